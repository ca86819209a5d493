package provider_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPack packs a directory twice, the second time after a run that was broken off:
// the artifact is the same, and nothing else is left.
func TestPack(t *testing.T) {
	app, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(app, "main.py"), []byte("print('hello')\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	artifact := filepath.Join(dir, "app.tar.gz")
	pack := func() string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(root, "examples/apps/pack.sh"), app, artifact, "1").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	first := pack()
	for _, left := range []string{".part", ".part.gz"} {
		if err := os.WriteFile(artifact+left, []byte("broken off"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if second := pack(); second != first {
		t.Errorf("the checksum was %s, and is %s", first, second)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// TestPackLeavesNothingWhereItFails at its last step.
func TestPackLeavesNothingWhereItFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "programs"), 0o700); err != nil {
		t.Fatal(err)
	}
	failing := []byte("#!/bin/sh\necho some\nexit 1\n")
	if err := os.WriteFile(filepath.Join(dir, "programs", "gzip"), failing, 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	command := exec.CommandContext(t.Context(), "sh", filepath.Join(root, "examples/apps/pack.sh"), filepath.Join(dir, "programs"), filepath.Join(out, "app.tar.gz"))
	command.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "programs")+":"+os.Getenv("PATH"))
	if said, err := command.CombinedOutput(); err == nil || bytes.Contains(said, []byte("usage")) {
		t.Errorf("it did not fail: %v, %s", err, said)
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
}
