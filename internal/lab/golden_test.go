package lab

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if text != string(want) {
		t.Errorf("%s differs; see the change with -update and git diff. Got:\n%s\nWant:\n%s", path, text, want)
	}
}

func machine(t *testing.T, text string) Machine {
	t.Helper()
	m, err := ParseMachine(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
