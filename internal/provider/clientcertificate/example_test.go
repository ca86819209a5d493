package clientcertificate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestTheExampleKeepsItsKeyToItself, also where a file of that name is open to others.
func TestTheExampleKeepsItsKeyToItself(t *testing.T) {
	text, err := os.ReadFile("../../../examples/ephemeral-resources/foobar_client_certificate/ephemeral-resource.tf")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`command = (".*")`).FindSubmatch(text)
	if found == nil {
		t.Fatal("there is no command in it")
	}
	command, err := strconv.Unquote(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "ci.key")
	if err := os.WriteFile(key, nil, 0o644); err != nil { //nolint:gosec // that is what this is about
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "sh", "-c", command) //nolint:gosec // of this repository
	run.Dir, run.Env = dir, append(os.Environ(), "CERTIFICATE=one", "KEY=two")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v, %v", info, err)
	}
	if got, err := os.ReadFile(key); err != nil || string(got) != "two" {
		t.Errorf("it holds %q, %v", got, err)
	}
}
