package mariadb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// unstartable is a server that does not start.
type unstartable struct{}

var errUnstartable = errors.New("it does not start")

func (unstartable) Start(context.Context) error { return errUnstartable }
func (unstartable) Stop(context.Context) error  { return nil }

// TestAbandonSeed takes a seed back at each of its states, and goes on with it
// where the data were moved away.
func TestAbandonSeed(t *testing.T) {
	for _, test := range []struct {
		name string
		// files are what stands on the disk, besides the mark.
		files []string
		// data is what is found in the data directory afterwards.
		data  string
		ended bool
	}{
		{"no byte has arrived", []string{"data/old"}, "old", true},
		{"half a copy", []string{"data/old", "data.seed/new"}, "old", true},
		{"a whole copy", []string{"data/old", "data.seed/new", "data.seed/foobar-seed.json"}, "old", true},
		{"the data were moved away", []string{"data.old/old", "data.seed/new", "data.seed/foobar-seed.json"}, "new", false},
		{"the copy is in its place", []string{"data.old/old", "data/new", "data/foobar-seed.json"}, "new", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range append(test.files, "data.seeding") {
				path := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("{}"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			e := &Engine{Config: Config{DataDir: filepath.Join(dir, "data"), Server: unstartable{}}}
			if err := e.AbandonSeed(t.Context()); (err == nil) != test.ended || err != nil && !errors.Is(err, errUnstartable) {
				t.Fatalf("it ended with %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "data", test.data)); err != nil {
				t.Error(err)
			}
			if mark, err := e.SeedState(); err != nil || (mark == nil) != test.ended {
				t.Errorf("the mark is %+v, %v", mark, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "data.seed")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a copy is left: %v", err)
			}
		})
	}
}
