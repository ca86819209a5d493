package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/audit"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// A reset stops the agent, is audited and announced, and starts the agent
// again, also if the bootstrap is refused.
func TestResetIsAuditedAndAnnounced(t *testing.T) {
	dir := t.TempDir()
	seed, err := pki.ParseSeed(strings.Repeat("0f", pki.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := pki.NewAuthority(seed, "shop", pki.DefaultAuthorityEnd())
	if err != nil {
		t.Fatal(err)
	}
	b, err := pki.NewBootstrap(authority, "web1", 2, ":9443")
	if err != nil {
		t.Fatal(err)
	}
	file, console := filepath.Join(dir, "bootstrap.json"), filepath.Join(dir, "console")
	for path, text := range map[string][]byte{file: b.JSON(), console: nil} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var steps []string
	r := reset{
		state: dir, console: console, now: noon,
		stop:  func(context.Context) error { steps = append(steps, "stop"); return nil },
		start: func(context.Context) error { steps = append(steps, "start"); return nil },
	}
	var out bytes.Buffer
	if err := r.run(t.Context(), file, &out); err != nil {
		t.Fatal(err)
	}
	pin := pki.KeyPin(authority.Certificate())
	said, err := os.ReadFile(console)
	if err != nil || !strings.Contains(string(said), "root has reset the identity") || !strings.Contains(string(said), pin) {
		t.Errorf("the console says %q: %v", said, err)
	}
	if strings.Join(steps, " ") != "stop start" {
		t.Errorf("steps %v", steps)
	}
	log, err := audit.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := log.After(0)
	if err != nil || len(entries) != 1 || entries[0].Status != 200 || !strings.Contains(entries[0].Detail, pin) || log.Faults() != nil {
		t.Errorf("audited %+v, %v", entries, err)
	}
	if entries[0].Path != "foobar-agent identity reset" || entries[0].Problem != "" {
		t.Errorf("audited %+v", entries[0])
	}
	for name, text := range map[string]string{"nothing": "", "no bootstrap": `{"v":1}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		steps = nil
		if err := r.run(t.Context(), file, &out); err == nil || steps != nil {
			t.Errorf("%s: got %v after %v, want an error before the agent is stopped", name, err, steps)
		}
	}
}
