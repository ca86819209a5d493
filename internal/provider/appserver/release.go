package appserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// archive is a release as it lies on the machine that Terraform runs on, open
// for reading. What is uploaded is the very file that was hashed.
type archive struct {
	*os.File
	sha256 string
	size   int64 // in bytes
}

// openArchive opens and hashes the file at a path. The caller closes it.
func openArchive(source string) (_ *archive, err error) {
	file, err := os.Open(source) //nolint:gosec // G304: naming a file to read is what the attribute is for
	if err != nil {
		return nil, archiveError(source, err)
	}
	defer func() {
		if err != nil {
			_ = file.Close() // nothing was written
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, archiveError(source, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; name a .tar.gz archive", source)
	}
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return nil, archiveError(source, err)
	}
	return &archive{File: file, sha256: hex.EncodeToString(hash.Sum(nil)), size: size}, nil
}

func archiveError(source string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s; build the release first, or leave source out and give the sha256 of a release that the machine has", source)
	}
	return fmt.Errorf("read the release: %w", err)
}

// checksumOf returns the checksum of the file at a path.
func checksumOf(source string) (string, error) {
	a, err := openArchive(source)
	if err != nil {
		return "", err
	}
	return a.sha256, a.Close()
}

// resolve plans the checksum of the release: that of the archive where one is
// named, which must then be the one that the configuration gives, if any.
func resolve(ctx context.Context, _ string, config tfsdk.Config, plan *tfsdk.Plan) diag.Diagnostics {
	var source, given types.String
	sourcePath, givenPath := path.Root("release").AtName("source"), path.Root("release").AtName("sha256")
	diags := config.GetAttribute(ctx, sourcePath, &source)
	diags.Append(config.GetAttribute(ctx, givenPath, &given)...)
	switch {
	case diags.HasError() || source.IsNull():
		return diags
	case source.IsUnknown():
		if given.IsNull() {
			diags.Append(plan.SetAttribute(ctx, givenPath, types.StringUnknown())...)
		}
		return diags
	}
	found, err := checksumOf(source.ValueString())
	switch {
	case err != nil:
		tfutil.Error(&diags, sourcePath, "The release cannot be read", "%v.", err)
	case given.IsNull():
		diags.Append(plan.SetAttribute(ctx, givenPath, found)...)
	case !given.IsUnknown() && given.ValueString() != found:
		tfutil.Error(&diags, givenPath, "The release has another checksum",
			"The file %s has the SHA-256 %s, not %s. Either it is another release than the one that was meant, or it was built anew: then give its checksum, or leave sha256 out.",
			source.ValueString(), found, given.ValueString())
	}
	return diags
}

// guess stands in for resolve where a configuration is judged by itself: a
// checksum that is left out will be that of the archive.
func guess(config *model) {
	if config.Release.SHA256 == nil {
		config.Release.SHA256 = new(strings.Repeat("0", 2*sha256.Size))
	}
}

// upload brings the planned release to the machine, unless it is there. With
// no archive at hand that is left to the agent to judge.
func upload(ctx context.Context, agents tfutil.Agents, planned, config model) (diag.Diagnostics, error) {
	if config.Release.Source == nil {
		return nil, nil
	}
	agent, err := agents.Agent(planned.Machine)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(*config.Release.Source)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close() }() // nothing was written
	want := tfutil.Or(planned.Release.SHA256, "")
	if a.sha256 != want {
		return nil, fmt.Errorf("the file %s has changed since the plan: its SHA-256 is %s, and %s was planned; plan again", a.Name(), a.sha256, want)
	}
	if err := agent.UploadBlob(ctx, a.sha256, a, a.size); err != nil {
		return nil, fmt.Errorf("upload the release: %w", err)
	}
	return nil, nil
}
