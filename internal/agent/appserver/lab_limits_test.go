//go:build lab

package appserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// greedy takes what it is asked for, until it is refused, and tells how much it got.
const greedy = `
import os, time
kept = []
def files():
    try:
        while True:
            kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as e:
        taken = len(kept)
        while kept:
            os.close(kept.pop())
        return "%d files, then %s" % (taken, e.strerror)
def tasks():
    children = []
    try:
        while True:
            child = os.fork()
            if child == 0:
                time.sleep(600)
                os._exit(0)
            children.append(child)
    except OSError as e:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)
        return "%d tasks, then %s" % (len(children), e.strerror)
def shm():
    open("/dev/shm/of-the-app", "w").write("x")
    return " ".join(sorted(os.listdir("/dev/shm")))
answers = {"/files": files, "/tasks": tasks, "/shm": shm}
` + plain

// plain is an app that answers with the texts that its answers make.
const plain = `
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = answers.get(self.path, lambda: "ok")().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX if "SOCKET" in os.environ else socket.AF_INET
    request_queue_size = 128
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "app", 0
Server(os.environ.get("SOCKET") or ("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`

// shown returns properties of a unit as systemd has them.
func (s *stand) shown(unit string, properties ...string) map[string]string {
	s.Helper()
	output, err := exec.CommandContext(context.Background(), "systemctl", "show", unit, "--property="+strings.Join(properties, ",")).Output()
	if err != nil {
		s.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(output)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[name] = value
	}
	return all
}

// text asks an app for a path through its nginx.
func (s *stand) text(port int, path string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		s.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.Fatalf("%s is answered with %d, %q, %v", path, response.StatusCode, body, err)
	}
	return string(body)
}

// TestLimitsHold has an app take all that it can get. Memory and CPU time are not
// counted on a machine of the lab: of these systemd is asked alone.
func TestLimitsHold(t *testing.T) {
	s := newStand(t)
	spec := s.spec(s.upload(map[string]entry{"main.py": {greedy, 0o644}}), 8080)
	spec.Limits = api.AppLimits{Memory: "256M", CPU: 50, Tasks: 32, OpenFiles: 128}
	s.apply("greedy", spec, nil)

	const unit = "foobar-app-greedy@blue.service"
	want := map[string]string{
		"MemoryMax": fmt.Sprint(256 << 20), "CPUQuotaPerSecUSec": "500ms", "CPUWeight": "50", "IOWeight": "50",
		"TasksMax": "32", "LimitNPROC": "32", "LimitNOFILE": "128", "OOMPolicy": "kill", "PrivateIPC": "yes",
	}
	names := make([]string, 0, len(want))
	for name := range want {
		names = append(names, name)
	}
	got := s.shown(unit, names...)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, not %q", name, got[name], value)
		}
	}
	adjusted, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", s.pid(unit)))
	if err != nil || strings.TrimSpace(string(adjusted)) != "500" {
		t.Errorf("the kernel would kill the app with %q, %v", adjusted, err)
	}

	if said := s.text(8080, "/files"); !strings.HasSuffix(said, ", then Too many open files") || len(said) > len("128 files, then Too many open files") {
		t.Errorf("the app got %s", said)
	}
	taken := 0
	said := s.text(8080, "/tasks")
	if _, err := fmt.Sscanf(said, "%d tasks", &taken); err != nil || taken > 32 || !strings.Contains(said, "Resource temporarily unavailable") {
		t.Errorf("the app got %s", said)
	}

	outside := "/dev/shm/of-the-machine"
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(outside) })
	if said := s.text(8080, "/shm"); said != "of-the-app" {
		t.Errorf("the app sees %q in /dev/shm", said)
	}
	if _, err := os.Stat("/dev/shm/of-the-app"); err == nil {
		t.Error("the machine sees what the app has in its /dev/shm")
	}
}
