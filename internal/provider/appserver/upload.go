package appserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// upload brings the planned release to the machine, unless it is there. A file
// that is missing is no error yet: the machine may have the release, and says
// so if it does not.
//
// The checksum that was planned decides in any case: a file that was changed
// since is not uploaded, and one that changes during the upload is refused by
// the machine.
func upload(ctx context.Context, data *tfutil.Data, planned, config model) (diag.Diagnostics, error) {
	if config.Release.Source == nil {
		return nil, nil
	}
	agent, err := data.Agents.Agent(planned.Machine)
	if err != nil {
		return nil, err
	}
	source, want := *config.Release.Source, tfutil.Or(planned.Release.SHA256, "")
	file, err := data.Artifacts.Open(ctx, source, tfutil.Or(planned.Release.MaxBytes, 0))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, sourceProblem("The artifact cannot be read", "%s", tfutil.Sentence(err))
	}
	defer func() { _ = file.Close() }() // nothing was written
	if file.SHA256 != want {
		return nil, changed(source, file.SHA256, want)
	}
	err = agent.UploadBlob(ctx, file.SHA256, file, file.Size, tfutil.UploadProgress(ctx, planned.Machine, source, file.Size))
	if api.IsProblem(err, api.ProblemInvalid) { // perhaps what arrived is not what was hashed
		if again, reread := rehash(ctx, source); reread == nil && again != want {
			return nil, changed(source, again, want)
		}
	}
	if err != nil {
		return nil, placed(fmt.Errorf("upload the artifact %s: %w", source, err))
	}
	return nil, nil
}

// placed has a machine's refusal of an upload, such as for want of room, shown
// at the source.
func placed(err error) error {
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok || len(problem.Violations) > 0 {
		return err
	}
	shown := *problem
	shown.Detail, shown.Violations = "", api.Violations{{Pointer: sourcePointer, Detail: problem.Detail}}
	return &shown
}

// rehash reads a file whatever is known of it.
func rehash(ctx context.Context, source string) (string, error) {
	var unread tfutil.Artifacts
	file, err := unread.Open(ctx, source, 1)
	if err != nil {
		return "", err
	}
	return file.SHA256, file.Close()
}

func changed(source, found, want string) error {
	return sourceProblem("The artifact was changed", "The file %s was changed since the plan: its SHA-256 is %s, and %s was planned; plan again", source, found, want)
}

// sourceProblem returns an error that is shown at the source.
func sourceProblem(title, format string, args ...any) error {
	return &api.Problem{
		Type: api.ProblemInvalid, Title: title,
		Violations: api.Violations{{Pointer: sourcePointer, Detail: fmt.Sprintf(format, args...)}},
	}
}

// lacks says why a machine that lacks the release will not get it from an
// apply, nil if it will.
func lacks(config model, sum string) error {
	const title = "The machine lacks the artifact"
	if config.Release.Source == nil {
		return &api.Problem{
			Type: api.ProblemInvalid, Title: title,
			Violations: api.Violations{{Pointer: "/release/sha256", Detail: fmt.Sprintf(
				"The machine has no artifact with the SHA-256 %s; give the file in source, so that the apply uploads it, or the checksum of an artifact that was uploaded before", sum)}},
		}
	}
	if _, err := os.Stat(*config.Release.Source); err == nil {
		return nil
	}
	return sourceProblem(title, "There is no file %s, and the machine has no artifact with the SHA-256 %s; build the release, then plan again", located(*config.Release.Source), sum)
}

// keep notes which file the release was read from, so that a later plan knows
// whether a file that is missing is the one of the present release.
func keep(ctx context.Context, config model, to tfutil.PrivateWriter) diag.Diagnostics {
	return tfutil.SetSource(ctx, to, tfutil.Or(config.Release.Source, ""))
}
