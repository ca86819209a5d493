//go:build lab && full

package acceptance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab/labtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// releaseStack is the front half of the example stack with the app of testdata/counted,
// which notes the ids of requests.
type releaseStack struct {
	*stack
	// sums are the names of releases by their checksum.
	sums map[string]string
}

// settings of the stack, by what main.tf has in their place.
const (
	healthyTime = `min_healthy_time = "2s"`
	environment = `environment = { NOTES_SERVER = name }`
)

// newReleaseStack returns the stack with the edits, not applied yet.
func newReleaseStack(t *testing.T, edits ...string) *releaseStack {
	t.Helper()
	l := &releaseStack{stack: newStack(t), sums: map[string]string{}}
	before, rest, found := strings.Cut(l.main, "  command = [\n")
	_, after, ended := strings.Cut(rest, "\n  ]\n")
	if !found || !ended {
		t.Fatal("the example has no command to exchange")
	}
	l.main = before + "  command = [\"python3\", \"main.py\"]\n" + after
	l.alter(edits...)
	return l
}

// alter edits main.tf for good: later edits are of what it is then.
func (l *releaseStack) alter(edits ...string) {
	l.t.Helper()
	l.edit(edits...)
	l.main = content(l.t, l.directory, "main.tf")
}

// pack makes a release with a name, and with what it does badly, the next to be applied.
func (l *releaseStack) pack(name string, badly ...string) {
	l.t.Helper()
	artifact := countedRelease(l.t, name, badly...)
	l.release = filepath.Join(l.t.TempDir(), "release.tar.gz")
	if err := os.WriteFile(l.release, artifact, 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.sums[sum(artifact)] = name
	l.met()
}

// countedRelease is a release of the app of testdata/counted.
func countedRelease(t *testing.T, name string, badly ...string) []byte {
	t.Helper()
	return packed(t, packedFile{"main.py", content(t, "testdata", "counted", "main.py")},
		packedFile{"release.py", fmt.Sprintf("NAME = %q\n%s\n", name, strings.Join(badly, "\n"))})
}

// packedFile is a file of an artifact.
type packedFile struct{ name, text string }

// packed returns an artifact: the same for the same files.
func packed(t *testing.T, files ...packedFile) []byte {
	t.Helper()
	var artifact bytes.Buffer
	zipped := gzip.NewWriter(&artifact)
	tape := tar.NewWriter(zipped)
	for _, file := range files {
		if err := tape.WriteHeader(&tar.Header{Name: file.name, Mode: 0o644, Size: int64(len(file.text)), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tape, file.text); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []io.Closer{tape, zipped} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return artifact.Bytes()
}

// apply applies the configuration as the Show does.
func (l *releaseStack) apply() {
	l.t.Helper()
	l.must("apply", "-no-color", "-input=false", "-auto-approve", "-parallelism=10")
}

// shows fails the test unless all servers soon answer with a release, in turn.
func (l *releaseStack) shows(release string) {
	l.t.Helper()
	l.soon("not all servers answer with release "+release, func() (string, bool) {
		out, err := l.lab.Try(l.t.Context(), "run", "--", "sh", "-c", "for i in $(seq 10); do curl -sS --fail --max-time 5 "+url+" && echo; done")
		return out, err == nil && strings.Count(out, fmt.Sprintf(`"release":%q`, release)) == 10 &&
			strings.Contains(out, `"server":"web1"`) && strings.Contains(out, `"server":"web2"`)
	})
}

// serial numbers the loads of a test binary, so that no two have an id in common.
func (l *releaseStack) serial() string { return fmt.Sprint(time.Now().UnixNano()) }

// outsideClients are those that ask from outside while something changes.
type outsideClients struct {
	l       *releaseStack
	cmd     *exec.Cmd
	stop    io.Closer
	out     bytes.Buffer
	problem bytes.Buffer
}

// front is where the outside client finds the load balancer.
const front = "203.0.113.10:80"

// steady is a load that leaves the machines time for something else.
func steady() loadtest.Load {
	return loadtest.Load{Address: front, Clients: 16, Pause: 60 * time.Millisecond}
}

// start begins a load from the outside client.
func (l *releaseStack) start(load loadtest.Load) *outsideClients {
	l.t.Helper()
	load.Name = l.serial()
	return l.begins(task{Load: &load})
}

// begins gives the outside client a task.
func (l *releaseStack) begins(given task) *outsideClients {
	l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	c := &outsideClients{l: l}
	ctx := context.WithoutCancel(l.t.Context())
	c.cmd = l.lab.Command(ctx, "run", "--", "env", clientEnv+"="+string(encoded(l.t, given)), self)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.problem
	if c.stop, err = c.cmd.StdinPipe(); err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = c.stop.Close() })
	return c
}

// end ends the task, and returns what the clients got.
func (c *outsideClients) end() received {
	c.l.t.Helper()
	_ = c.stop.Close()
	var got received
	err := c.cmd.Wait()
	if err == nil {
		err = json.Unmarshal(c.out.Bytes(), &got)
	}
	if err != nil {
		c.l.t.Fatalf("the clients failed: %v: %s", err, c.problem.String())
	}
	return got
}

// noted reads what the apps noted on both machines.
func (l *releaseStack) noted() loadtest.Apps {
	l.t.Helper()
	return notedBy(l.t, l.lab, "web1", "web2")
}

// notedBy reads what the apps noted on machines.
func notedBy(t *testing.T, lab *labtest.Lab, machines ...string) loadtest.Apps {
	t.Helper()
	read := func(book string) map[string]int {
		counts := map[string]int{}
		for _, machine := range machines {
			for id := range strings.FieldsSeq(lab.Exec(machine, "cat", "/var/lib/foobar-app/notes/"+book)) {
				counts[id]++
			}
		}
		return counts
	}
	return loadtest.Apps{Began: read("began"), Done: read("done")}
}

// account ends the load and makes its account, which the log shows.
func (c *outsideClients) account(what string) loadtest.Account {
	c.l.t.Helper()
	a := loadtest.Count(c.end().Sent, c.l.noted())
	c.l.t.Logf("%s: %s", what, a)
	return a
}

// nothing fails the test if a request of the load failed, was lost or was served twice.
func (c *outsideClients) nothing(what string) {
	c.l.t.Helper()
	a := c.account(what)
	if n := a.Sent["GET"] + a.Sent["POST"]; n < 200 {
		c.l.t.Errorf("%s: there was no load: %d requests", what, n)
	}
	if len(a.Failures)+len(a.Lost)+len(a.Twice) > 0 {
		c.l.t.Errorf("%s: failed %+v, lost %+v, twice %+v", what, a.Failures, a.Lost, a.Twice)
	}
}
