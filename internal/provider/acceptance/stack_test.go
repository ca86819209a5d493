//go:build lab

// Package acceptance runs the example stack under Terraform against booted
// machines, in the lab's management namespace.
package acceptance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab/labtest"
)

const (
	examples = "../../../examples"

	lb1  = "module.notes.foobar_load_balancer.this"
	web1 = `module.notes.foobar_app_server.this["web1"]`
	web2 = `module.notes.foobar_app_server.this["web2"]`

	// url is what the outside client asks for.
	url = "http://www.foobar.test/"
)

// stack is the example stack, or its front half, not applied yet, on machines
// on which there is nothing yet.
type stack struct {
	*workspace
	lab      *labtest.Lab
	release  string
	password string // of the app in the database
	main     string // main.tf as the example has it
}

// withoutDatabases takes the place of the example's databases.tf: the app keeps
// its notes in memory.
const withoutDatabases = "locals {\n  database = {}\n}\n"

// newStack returns the front half of the example stack, load balancer and app
// servers, whose tests need no database.
func newStack(t *testing.T) *stack {
	t.Helper()
	return newStackWith(t, map[string]string{"databases.tf": withoutDatabases})
}

// newWholeStack returns the example stack as it is.
func newWholeStack(t *testing.T) *stack {
	t.Helper()
	return newStackWith(t, nil)
}

// newStackWith returns the example stack with some of its files exchanged, and
// with a state of its own.
func newStackWith(t *testing.T, files map[string]string) *stack {
	t.Helper()
	s := &stack{lab: labtest.New(t)}
	s.lab.Reset("lb1", "web1", "web2")
	root := t.TempDir()
	directory := filepath.Join(root, "stacks", "haproxy-mysql-pair")
	for _, part := range []string{"apps", "modules", filepath.Join("stacks", "haproxy-mysql-pair")} {
		copyFiles(t, filepath.Join(examples, part), filepath.Join(root, part))
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.release = filepath.Join(root, "notes.tar.gz")
	s.pack(t, filepath.Join(root, "apps", "notes", "pack.sh"))
	text, err := os.ReadFile(filepath.Join(directory, "main.tf"))
	if err != nil {
		t.Fatal(err)
	}
	s.main = string(text)
	s.workspace = newWorkspace(t, directory)
	s.password = rand.Text()
	s.env = append(s.env, "TF_VAR_database_password="+s.password)
	s.met()
	return s
}

// pack packs the release. (The copy of the script is not executable.)
func (s *stack) pack(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "sh", script, s.release).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// copyFiles copies a directory, but for what Terraform has left in it.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.Contains(entry.Name(), "terraform") {
			return skip(entry)
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func skip(entry fs.DirEntry) error {
	if entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// met tells the configuration which VMs there are.
func (s *stack) met() {
	s.t.Helper()
	incarnations := map[string]int{}
	for name, machine := range s.lab.Status().Machines {
		incarnations[name] = machine.Incarnation
	}
	text, err := json.Marshal(map[string]any{"release": s.release, "incarnations": incarnations})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("test.auto.tfvars.json", string(text))
}

// edit replaces texts of the example's main.tf, each by the one after it.
func (s *stack) edit(edits ...string) {
	s.t.Helper()
	text := s.main
	for i := 0; i+1 < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			s.t.Fatalf("the example holds no %q to edit", edits[i])
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	s.write("main.tf", text)
}

func (s *stack) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.directory, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// settled fails the test unless both servers answer in turn and nothing is
// left to do.
func (s *stack) settled() {
	s.t.Helper()
	s.serves()
	s.plan().empty()
}

// serves fails the test unless both servers soon answer in turn: one that was
// away is used again after some good health checks.
func (s *stack) serves() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		names, err := s.ask(10)
		if err == nil && inTurn(names) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Errorf("the servers do not answer in turn: %v, %v", names, err)
			return
		}
	}
}

func inTurn(names []string) bool {
	for i, name := range names[1:] {
		if name == names[i] {
			return false
		}
	}
	return true
}

// answers returns which servers answer n requests from outside.
func (s *stack) answers(n int) []string {
	s.t.Helper()
	names, err := s.ask(n)
	if err != nil {
		s.t.Fatal(err)
	}
	return names
}

// ask returns which servers answer n requests from outside; any that is not
// answered is an error.
func (s *stack) ask(n int) ([]string, error) {
	out, err := s.lab.Try(s.t.Context(), "run", "--", "sh", "-c",
		fmt.Sprintf("for i in $(seq %d); do curl -sS --fail --max-time 5 %s && echo; done", n, url))
	var names []string
	for _, match := range regexp.MustCompile(`"server":"([^"]+)"`).FindAllStringSubmatch(out, -1) {
		names = append(names, match[1])
	}
	if err == nil && len(names) != n {
		err = fmt.Errorf("%d of %d requests were answered:\n%s", len(names), n, out)
	}
	return names, err
}

// engine asks the load balancer's HAProxy something over its runtime socket.
func (s *stack) engine(command string) string {
	s.t.Helper()
	return s.lab.Exec("lb1", "sh", "-c", "echo '"+command+"' | socat - /run/foobar-lb-notes/admin.sock")
}

// worker returns the process of HAProxy that serves.
func (s *stack) worker() string {
	s.t.Helper()
	pid := regexp.MustCompile(`(?m)^Pid: (\d+)$`).FindStringSubmatch(s.engine("show info"))
	if pid == nil {
		s.t.Fatal("HAProxy does not tell its process")
	}
	return pid[1]
}

// weight returns the weight of a server that is in force.
func (s *stack) weight(server string) string {
	s.t.Helper()
	weight, _, _ := strings.Cut(strings.TrimSpace(s.engine("get weight web/"+server)), " ")
	return weight
}
