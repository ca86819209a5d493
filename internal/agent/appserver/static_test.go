package appserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestStaticDirectoriesAreLookedForInTheRelease(t *testing.T) {
	root := t.TempDir()
	release := filepath.Join(root, "release")
	if err := os.MkdirAll(filepath.Join(release, "public/assets"), 0o755); err != nil { //nolint:gosec // as a release is
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(release, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("public", filepath.Join(release, "link")); err != nil {
		t.Fatal(err)
	}
	for directory, want := range map[string]string{
		".": "", "public": "", "public/assets": "",
		"none": "is not in the release", "public/none": "is not in the release", "file": "is not a directory",
		"link/assets": "leads over the link link", "link": "leads over the link link",
	} {
		s := someSpec()
		s.Static = map[string]api.StaticDirectory{"/a/": {Directory: directory}}
		err := machine{root: root}.checkStatic(s, "/release")
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", directory, err)
			}
			continue
		}
		problem := api.AsProblem(err)
		if problem == nil || problem.Violations[0].Pointer != "/static/~1a~1/directory" || !strings.Contains(problem.Violations[0].Detail, want) {
			t.Errorf("%s: %v, want %q", directory, err, want)
		}
	}
}

func TestAReleaseWithoutItsStaticFilesIsNotStarted(t *testing.T) {
	from := render(t, "notes", specs()["socket"])
	to := renderBeside(t, "notes", edited(specs()["socket"], func(s *api.AppServer) {
		s.Static = map[string]api.StaticDirectory{"/assets/": {Directory: "public"}}
		s.RestartTrigger = "again"
	}), converge.InPlace{State: from.State})
	f := newFake(t, from)
	f.put(to)
	err := f.kind().Apply(t.Context(), change(from, to), silent)
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok || len(problem.Violations) != 1 || problem.Violations[0].Pointer != "/static/~1assets~1/directory" || len(f.calls) > 0 {
		t.Errorf("error %v, calls %q", err, f.calls)
	}
}
