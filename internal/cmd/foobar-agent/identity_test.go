package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/audit"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// A reset stops the agent, is audited and announced, and starts the agent
// again. What is no bootstrap is refused before the agent is stopped.
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
	var steps, journal []string
	r := reset{
		state: dir, console: console, now: noon,
		stop:    func(context.Context) error { steps = append(steps, "stop"); return nil },
		start:   func(context.Context) error { steps = append(steps, "start"); return nil },
		journal: func(notice string) error { journal = append(journal, notice); return nil },
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
	if len(journal) != 1 || journal[0]+"\n" != string(said) || out.String() != string(said) {
		t.Errorf("the journal says %q, the output %q, the console %q", journal, &out, said)
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

// A reset reads nothing that has no end, and waits for nobody who writes a pipe.
func TestResetReadsNothingButAFile(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(large, nil, 0o600), os.Truncate(large, 1<<40)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		pipe: "is not a regular file", "/dev/urandom": "is not a regular file", dir: "is not a regular file",
		large: "it has more than", filepath.Join(dir, "none"): "there is no file",
	} {
		if err := (reset{}).run(t.Context(), file, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", file, err, want)
		}
	}
}

// A bootstrap that is refused is audited as such and announced to nobody, the agent
// is started again, and the identity is what it was.
func TestRefusedResetIsAudited(t *testing.T) {
	for name, test := range map[string]struct {
		node        string
		incarnation int64
		want        string
	}{
		"the incarnation whose key was used": {"web1", 2, "this machine is incarnation 2"},
		"a lower incarnation":                {"web1", 1, "this machine is incarnation 2"},
		"another machine's":                  {"web2", 3, "give it its own"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			authority := enrolledIn(t, filepath.Join(dir, "identity"), "web1", 2)
			before, err := os.ReadFile(filepath.Join(dir, "identity", "identity.json"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := pki.NewBootstrap(authority, test.node, test.incarnation, ":9443")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "bootstrap.json")
			if err := os.WriteFile(file, b.JSON(), 0o600); err != nil {
				t.Fatal(err)
			}
			var steps, said []string
			r := reset{
				state: dir, now: noon,
				stop:    func(context.Context) error { steps = append(steps, "stop"); return nil },
				start:   func(context.Context) error { steps = append(steps, "start"); return nil },
				journal: func(notice string) error { said = append(said, notice); return nil },
			}
			var out bytes.Buffer
			if err := r.run(t.Context(), file, &out); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if strings.Join(steps, " ") != "stop start" || said != nil || out.Len() > 0 {
				t.Errorf("steps %v, said %v, printed %q", steps, said, &out)
			}
			log, err := audit.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := log.After(0)
			if err != nil || len(entries) != 1 || entries[0].Status != api.ProblemInvalid.Status() || entries[0].Problem != api.ProblemInvalid {
				t.Errorf("audited %+v, %v", entries, err)
			}
			if after, err := os.ReadFile(filepath.Join(dir, "identity", "identity.json")); err != nil || !bytes.Equal(after, before) {
				t.Errorf("the identity was changed, %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "identity", "reset.json")); !os.IsNotExist(err) {
				t.Errorf("the reset's file: %v", err)
			}
		})
	}
}

// A machine without a console, such as a container, announces the reset in its
// journal. Where that fails too, root is informed.
func TestResetIsAnnouncedWithoutAConsole(t *testing.T) {
	for name, fault := range map[string]error{"in the journal": nil, "nowhere": errors.New("no journal")} {
		t.Run(name, func(t *testing.T) {
			var journal []string
			r := reset{
				console: filepath.Join(t.TempDir(), "none"),
				journal: func(notice string) error { journal = append(journal, notice); return fault },
			}
			if err := r.announce("root has reset it"); !errors.Is(err, fault) || len(journal) != 1 || journal[0] != "root has reset it" {
				t.Errorf("the journal says %q, %v", journal, err)
			}
		})
	}
}

// enrolledIn has dir hold the identity of a machine that was enrolled, and returns
// the CA that it trusts.
func enrolledIn(t *testing.T, dir, node string, incarnation int64) *pki.Authority {
	t.Helper()
	m := agenttest.Start(t, agenttest.Config{Deployment: "shop", Node: node, Incarnation: incarnation})
	m.Enroll()
	m.Stop()
	if err := os.CopyFS(dir, os.DirFS(m.Path("/var/lib/foobar/identity"))); err != nil {
		t.Fatal(err)
	}
	return m.Signer().Authority
}
