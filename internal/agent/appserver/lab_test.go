//go:build lab

// These tests run as root on a machine of the lab, with real systemd, nginx
// and Python.
package appserver_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// patience bounds each wait for a condition.
const patience = time.Minute

// stand is an agent without its API: the real runner, engine and kind.
type stand struct {
	*testing.T
	runner *operation.Runner
	blobs  *blob.Store
	units  *systemd.Manager
	serial int
}

func newStand(t *testing.T) *stand {
	t.Helper()
	onLabMachine(t)
	dir, runtime := "/var/lib/foobar-appserver-test", "/run/foobar-appserver-test"
	for _, d := range []string{dir, runtime} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"), blob.DefaultQuota, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	units := systemd.New()
	engine := &converge.Engine{
		Dir: filepath.Join(dir, "transactions"), Units: units,
		Accounts: converge.SystemAccounts{}, Trees: blobs,
	}
	ctx, cancel := context.WithCancel(context.Background())
	runner, err := operation.New(operation.Config{
		Dir: dir, Runtime: runtime, Engine: engine, Units: units, Journal: logs.Journal{}, Blobs: blobs,
		Kinds: []operation.Kind{appserver.New(appserver.Deps{Systemd: units, Journal: logs.Journal{}})},
		Clock: time.Now, Logger: hclog.NewNullLogger(), Ctx: ctx,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{T: t, runner: runner, blobs: blobs, units: units}
	t.Cleanup(func() {
		s.deleteAll()
		cancel()
		runner.Wait()
		units.Close()
		for _, d := range []string{dir, runtime} {
			if err := os.RemoveAll(d); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// onLabMachine keeps the tests from making users and units anywhere else.
func onLabMachine(t *testing.T) {
	t.Helper()
	container, err := os.ReadFile("/run/systemd/container")
	if err != nil || strings.TrimSpace(string(container)) != "systemd-nspawn" {
		t.Fatal("this test changes the machine that it runs on: copy it to a machine of the lab, see internal/lab")
	}
}

func (s *stand) deleteAll() {
	s.Helper()
	listing, err := s.runner.List(context.Background())
	if err != nil {
		s.Error(err)
		return
	}
	for _, c := range listing.Components {
		s.serial++
		id := api.OperationID(api.VerbDelete, c.ID, c.Generation, api.Encode(s.serial), "")
		op, err := s.runner.Delete(context.Background(), operation.Request{ID: c.ID, Operation: id, Base: c.Generation, Actor: "test"})
		if err != nil {
			s.Error(err)
		} else if op = s.wait(op); op.State != api.OperationApplied {
			s.Errorf("delete %s: %v", c.ID, op.Problem)
		}
	}
}

func (s *stand) wait(op api.Operation) api.Operation {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for after := int64(0); !op.State.Done(); {
		events, err := s.runner.Events(ctx, op.ID, after, patience)
		if err == nil && ctx.Err() == nil {
			op, err = s.runner.Operation(ctx, op.ID)
		}
		if err != nil || ctx.Err() != nil {
			s.Fatalf("wait for the operation: %v %v", err, ctx.Err())
		}
		for _, e := range events {
			after = e.Seq
		}
	}
	return op
}

func app(name string) api.ID { return api.ID{Kind: api.KindAppServer, Name: name} }

// try applies a spec on what stands and returns how it ended.
func (s *stand) try(name string, spec api.AppServer, secrets map[string]api.Secret) api.Operation {
	s.Helper()
	base := int64(0)
	if c, err := s.runner.Get(context.Background(), app(name)); err == nil {
		base = c.Generation
	}
	raw := api.Encode(spec)
	op, err := s.runner.Apply(context.Background(), operation.Request{
		ID: app(name), Operation: api.OperationID(api.VerbApply, app(name), base, raw, ""), Base: base, Actor: "test",
		Write: api.Write{Spec: raw, Secrets: secrets},
	})
	if err != nil {
		s.Fatalf("apply %s: %v", name, err)
	}
	return s.wait(op)
}

func (s *stand) apply(name string, spec api.AppServer, secrets map[string]api.Secret) {
	s.Helper()
	if op := s.try(name, spec, secrets); op.State != api.OperationApplied {
		s.Fatalf("apply %s: %v\n%s", name, op.Problem, strings.Join(op.Problem.Log, "\n"))
	}
}

// warned fails the test unless an operation was applied with the one warning, none for "".
func (s *stand) warned(op api.Operation, want string) {
	s.Helper()
	said := ""
	for _, w := range op.Warnings {
		said += w.Type + ": " + w.Message
	}
	if op.State != api.OperationApplied || !strings.HasPrefix(said, want) || (want == "") != (said == "") {
		s.Errorf("it is %s (%v) and warns of %q, not %q", op.State, op.Problem, said, want)
	}
}

// refused applies what has to fail, and returns the problem.
func (s *stand) refused(name string, spec api.AppServer) *api.Problem {
	s.Helper()
	op := s.try(name, spec, nil)
	if op.State != api.OperationFailed {
		s.Fatalf("apply %s: it is %s, though it should fail", name, op.State)
	}
	return op.Problem
}

func (s *stand) get(name string) (api.Component, api.AppServerStatus) {
	s.Helper()
	c, err := s.runner.Get(context.Background(), app(name))
	if err != nil {
		s.Fatal(err)
	}
	var status api.AppServerStatus
	if err := json.Unmarshal(c.Status, &status); err != nil {
		s.Fatal(err)
	}
	return c, status
}

func (s *stand) pid(unit string) int {
	s.Helper()
	status, err := s.units.Status(context.Background(), unit)
	if err != nil {
		s.Fatal(err)
	}
	return status.MainPID
}

// signal sends a signal to the process of a unit that runs.
func (s *stand) signal(unit string, sig syscall.Signal) {
	s.Helper()
	pid := s.pid(unit)
	if pid == 0 { // which is this test, to kill(2)
		s.Fatalf("%s does not run", unit)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		s.Fatal(err)
	}
}

// live returns the unit of the app in the slot that the traffic goes to.
func (s *stand) live(name string) string {
	s.Helper()
	target, err := os.Readlink("/srv/" + name + "/current")
	if err != nil {
		s.Fatal(err)
	}
	return "foobar-app-" + name + "@" + filepath.Base(target) + ".service"
}

// entry is a file of a release.
type entry struct {
	content string
	mode    int64
}

// link is the mode of a symbolic link, which leads to its content.
const link = -1

// pack makes a release and its checksum.
func pack(t *testing.T, files map[string]entry) (string, []byte) {
	t.Helper()
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	tape := tar.NewWriter(zipped)
	for name, f := range files {
		header := &tar.Header{Name: name, Mode: f.mode, Size: int64(len(f.content)), Format: tar.FormatUSTAR}
		if f.mode == link {
			header = &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: f.content, Mode: 0o777, Format: tar.FormatUSTAR}
			f.content = ""
		}
		if err := tape.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tape, f.content); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []io.Closer{tape, zipped} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256(archive.Bytes())
	return hex.EncodeToString(sum[:]), archive.Bytes()
}

// upload puts a release into the blob store and returns its checksum.
func (s *stand) upload(files map[string]entry) string {
	s.Helper()
	sum, archive := pack(s.T, files)
	status, err := s.blobs.Status(context.Background(), sum)
	if err == nil && !status.Complete {
		if _, err = s.blobs.Append(context.Background(), sum, 0, int64(len(archive)), bytes.NewReader(archive)); err == nil {
			err = s.blobs.Finish(context.Background(), sum)
		}
	}
	if err != nil {
		s.Fatal(err)
	}
	return sum
}

// echo is an app that tells what it was given.
const echo = `
import http.server, json, os, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"release": RELEASE, "environment": dict(os.environ), "arguments": sys.argv[1:],
                           "headers": {k.lower(): v for k, v in self.headers.items()}, "path": self.path}).encode()
        self.send_response(200 if self.path != "/broken" else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # a connect(2) to a Unix socket fails at once when the queue is full
    address_family = socket.AF_UNIX if "SOCKET" in os.environ else socket.AF_INET
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "app", 0
print("started", RELEASE, flush=True)
Server(os.environ.get("SOCKET") or ("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`

// python is a release of the echo app.
func python(name string) map[string]entry {
	return map[string]entry{"main.py": {"RELEASE = \"" + name + "\"\n" + echo, 0o644}}
}

func (s *stand) release(name string) string {
	s.Helper()
	return s.upload(python(name))
}

func (s *stand) spec(release string, port int) api.AppServer {
	spec := api.DefaultAppServer()
	spec.Release.SHA256 = release
	spec.Command = []string{"python3", "main.py"}
	spec.Port = port
	spec.HealthCheck.StartTimeout = api.Duration(30 * time.Second)
	spec.HealthCheck.Interval = api.Duration(50 * time.Millisecond)
	spec.HealthCheck.MinHealthyTime = 0
	spec.StopTimeout = api.Duration(2 * time.Second)
	return spec
}

// shown is what the echo app answers.
type shown struct {
	Release     string            `json:"release"`
	Environment map[string]string `json:"environment"`
	Arguments   []string          `json:"arguments"`
	Headers     map[string]string `json:"headers"`
	Path        string            `json:"path"`
}

// reply is what nginx answered around it.
type reply struct {
	status int
	header http.Header
}

// ask sends a request over a connection of its own.
func ask(ctx context.Context, method, url string, body io.Reader, header http.Header) (reply, shown, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return reply{}, shown{}, err
	}
	if header != nil {
		request.Header = header
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return reply{}, shown{}, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is lost with it
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, shown{}, err
	}
	var answer shown
	if response.StatusCode == http.StatusOK && method != http.MethodHead {
		err = json.Unmarshal(content, &answer)
	}
	return reply{response.StatusCode, response.Header}, answer, err
}

func (s *stand) ask(method, url string, body io.Reader, header http.Header) (reply, shown) {
	s.Helper()
	r, answer, err := ask(context.Background(), method, url, body, header)
	if err != nil {
		s.Fatal(err)
	}
	return r, answer
}

// eventually waits for a condition that the machine brings about by itself.
func (s *stand) eventually(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}
