package identity_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestReadBootstrapPrefersTheCredential(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bootstrap.json")
	if found, err := identity.ReadBootstrap(dir, file); found != nil || err != nil {
		t.Errorf("of nothing it read %v, %v", found, err)
	}
	if err := os.WriteFile(file, bootstrap(t, 1).JSON(), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := identity.ReadBootstrap(dir, file)
	if err != nil || found.Incarnation != 1 || found.Path != file {
		t.Errorf("got %+v, %v", found, err)
	}
	// systemd's own modes differ with its version; they are not checked.
	if err := os.WriteFile(filepath.Join(dir, api.BootstrapCredential), bootstrap(t, 2).JSON(), 0o440); err != nil {
		t.Fatal(err)
	}
	found, err = identity.ReadBootstrap(dir, file)
	if err != nil || found.Incarnation != 2 || found.Path != "" {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestReadBootstrapRefusesInOneLine(t *testing.T) {
	whole := string(bootstrap(t, 1).JSON())
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"empty":            {"", 0o600, "is empty"},
		"truncated":        {whole[:200], 0o600, "is cut off after 200 bytes"},
		"a later version":  {strings.Replace(whole, `"v":1`, `"v":7`, 1), 0o600, "has version 7, and this agent reads version 1"},
		"readable by all":  {whole, 0o644, "has mode 0644, so that others than root can read the enrolment key"},
		"readable by some": {whole, 0o640, "has mode 0640"},
		"writable by all":  {whole, 0o602, "has mode 0602"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "bootstrap.json")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, test.mode); err != nil {
				t.Fatal(err)
			}
			found, err := identity.ReadBootstrap("", file)
			if err == nil {
				t.Fatalf("it was accepted: %v", found)
			}
			text := err.Error()
			if !strings.HasPrefix(text, "bootstrap: ") || !strings.Contains(text, test.want) || !strings.Contains(text, file) || strings.Contains(text, "\n") {
				t.Errorf("got %q", text)
			}
		})
	}
	if _, err := identity.ReadBootstrap("", t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a directory: %v", err)
	}
}

func TestDamagedIdentityIsNotTakenForNone(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	m.stop()
	path := filepath.Join(m.dir, "identity.json")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":           "",
		"truncated":       string(whole[:len(whole)/2]),
		"another version": strings.Replace(string(whole), `"v":1`, `"v":2`, 1),
		"another node":    strings.Replace(string(whole), `"web1"`, `"web2"`, 1),
		"no chain":        strings.Replace(string(whole), `"chain"`, `"links"`, 1),
		"a broken key":    strings.Replace(string(whole), "PRIVATE KEY", "PRIVATE_KEY", 2),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, b := range []*identity.Bootstrap{nil, {Bootstrap: bootstrap(t, 1)}} {
			_, err := identity.Open(identity.Config{Dir: m.dir, Bootstrap: b, Now: now})
			if err == nil || !strings.Contains(err.Error(), "run with the new bootstrap: foobar-agent identity reset") {
				t.Errorf("%s: got %v", name, err)
			}
			if err != nil && strings.Contains(err.Error(), "MC4C") {
				t.Errorf("%s: the error shows the key: %v", name, err)
			}
		}
	}
}
