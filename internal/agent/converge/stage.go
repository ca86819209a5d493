package converge

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Stage writes the files of a state below the existing directory dir, which
// must be root-only, each under its own path, for the engine's own checker to
// read. Trees and links are not staged.
func Stage(dir, name string, v Version) (Staged, error) {
	paths := make(map[string]string, len(v.State.Files))
	for _, f := range v.State.Files {
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return Staged{}, fmt.Errorf("stage %s: %w", f.Path, err)
		}
		if err := os.WriteFile(path, f.Content, 0o600); err != nil {
			return Staged{}, fmt.Errorf("stage %s: %w", f.Path, err)
		}
		paths[f.Path] = path
	}
	return NewStaged(name, v, paths), nil
}

// Source returns the place in the spec that a line of a file came from: that
// of the line itself, or else of the nearest one before it. Line numbers begin
// at 1; the result is empty for lines of our own making.
func (f File) Source(line int) api.Pointer {
	for ; line > 0; line-- {
		if p, ok := f.Sources[line]; ok {
			return p
		}
	}
	return ""
}
