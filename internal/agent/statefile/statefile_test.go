package statefile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
