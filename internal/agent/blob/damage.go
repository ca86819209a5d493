package blob

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// Files are the kinds of files of a [Store] in "blobs", below the agent's directory.
func Files() []statefile.Kind {
	return []statefile.Kind{
		{
			Pattern: "blobs/*" + manifestSuffix, Holds: "the list of what an artifact holds",
			Check: statefile.JSON(func(string, Manifest) error { return nil }), Severity: api.SeverityWarning,
			Then:    "The app's release cannot be compared with it, which is drift. terraform apply unpacks the artifact again.",
			Settled: settled, Leftovers: []string{"blobs/.new-*"},
		},
		{
			Pattern: "blobs/*", Holds: "an uploaded artifact", Severity: api.SeverityWarning,
			Then: "terraform apply uploads it again where it is needed. Remove the file to end this condition.", Settled: settled,
		},
	}
}

// settled reports whether a file is there again.
func settled(path string) bool {
	content, err := statefile.Read(path)
	return err == nil && content != nil
}

// explain says what an archive that cannot be unpacked means: one that is not
// what was uploaded any more is set aside, so that it is uploaded again.
func (s *Store) explain(ctx context.Context, sum string, err error) error {
	if _, bad := errors.AsType[*artifact.Error](err); !bad {
		return err
	}
	f, opened := s.Open(sum)
	if opened != nil {
		return err
	}
	found, hashed := hash(ctx, f)
	if errors.Join(hashed, f.Close()) != nil || found == sum {
		return err
	}
	if _, aside := statefile.SetAside(filepath.Dir(s.dir), s.path(sum)); aside != nil {
		return errors.Join(err, aside)
	}
	return Missing(sum)
}

// clear sets aside what a manifest cannot replace.
func (s *Store) clear(sum string) error {
	_, err := s.Manifest(sum)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err = statefile.SetAside(filepath.Dir(s.dir), s.path(sum)+manifestSuffix)
	return err
}
