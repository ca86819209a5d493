package statefile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsSetAsideIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "operations", "a.json")
	for i := range statefile.KeepAside + 10 {
		write(t, path, fmt.Sprint(i))
		if to, err := statefile.SetAside(dir, path); err != nil || !strings.HasPrefix(to, filepath.Join(dir, statefile.AsideDir, "operations", "a.json.")) {
			t.Fatalf("%s, %v", to, err)
		}
	}
	kept, err := filepath.Glob(filepath.Join(dir, statefile.AsideDir, "*", "*"))
	if err != nil || len(kept) != statefile.KeepAside {
		t.Errorf("%d are kept, %v", len(kept), err)
	}
	for number, content := range map[int]string{1: "0", statefile.KeepAside + 10: fmt.Sprint(statefile.KeepAside + 9)} { // how it began, and the last
		if got, err := os.ReadFile(filepath.Join(dir, statefile.AsideDir, "operations", fmt.Sprintf("a.json.%d", number))); err != nil || string(got) != content {
			t.Errorf("number %d holds %q, %v", number, got, err)
		}
	}
}

func TestKeepLeavesAFileInItsPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	write(t, path, "x")
	to, err := statefile.Keep(dir, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{path, to} {
		if got, err := os.ReadFile(at); err != nil || string(got) != "x" {
			t.Errorf("%s holds %q, %v", at, got, err)
		}
	}
	if _, err := statefile.SetAside(dir, "/etc/passwd"); err == nil {
		t.Error("what lies elsewhere was moved")
	}
}

// TestKeepLeavesSomethingInItsPlace: a write that fails after it, on a full disk, is
// not taken for a component that is gone, whose condition ends.
func TestKeepLeavesSomethingInItsPlace(t *testing.T) {
	kinds := []statefile.Kind{{
		Pattern: "a.json", Holds: "a record", Stays: true, Renewed: true, Severity: api.SeverityWarning,
		Check: statefile.JSON(func(string, map[string]int) error { return nil }),
	}}
	for name, put := range map[string]func(path string) error{
		"a directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) },
		"a link":      func(path string) error { return os.Symlink("/none", path) },
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.json")
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			to, err := statefile.Keep(dir, path)
			if err != nil {
				t.Fatal(err)
			}
			if kept, err := os.Lstat(to); err != nil || kept.Mode().Type() != before.Mode().Type() {
				t.Errorf("kept is %v, %v", kept, err)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("nothing is in its place: %v", err)
			}
			if _, err := statefile.ReadJSON(path, new(any), nil); statefile.As(err) == nil {
				t.Errorf("what is in its place is not damaged: %v", err)
			}
			if got := statefile.Conditions(dir, kinds); len(got) != 1 {
				t.Errorf("the conditions are %+v", got)
			}
			if err := os.WriteFile(path+".new", []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
			if got := statefile.Conditions(dir, kinds); got != nil {
				t.Errorf("once it is written the conditions are %+v", got)
			}
		})
	}
}

func TestConditionsEndWithTheirFiles(t *testing.T) {
	dir := t.TempDir()
	kinds := []statefile.Kind{{Pattern: "operations/*.json", Holds: "an operation", Then: "Remove it.", Severity: api.SeverityWarning}}
	for i := range 5 {
		path := filepath.Join(dir, "operations", fmt.Sprintf("%d.json", i))
		write(t, path, "x")
		if _, err := statefile.SetAside(dir, path); err != nil {
			t.Fatal(err)
		}
	}
	got := statefile.Conditions(dir, kinds)
	if len(got) != 1 || !strings.Contains(got[0].Message, "0.json.1") || !strings.Contains(got[0].Message, "and 2 more (an operation). Remove it.") {
		t.Errorf("the conditions are %+v", got)
	}
	if err := os.RemoveAll(filepath.Join(dir, statefile.AsideDir)); err != nil {
		t.Fatal(err)
	}
	if got := statefile.Conditions(dir, kinds); got != nil {
		t.Errorf("without files they are %+v", got)
	}
}
