//go:build lab

package appserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/unixdiag"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// counted is an app that notes the id of each request in its own directory, once it
// has done its work. It ends at SIGTERM at once, as Python does by itself.
const counted = `
import os, random, time
NOTES = os.open(os.environ["STATE_DIRECTORY"] + "/ids", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(handler):
    time.sleep(random.random() / 10)
    os.write(NOTES, (handler.headers["Id"] + "\n").encode())
` + echo

// countedRelease is a release of it, whose answers tell its name.
func (s *stand) countedRelease(name, more string) string {
	s.Helper()
	code := "RELEASE = \"" + name + "\"\n" + strings.Replace(counted, "    def do_GET(self):\n", "    def do_GET(self):\n        if \"Id\" in self.headers: note(self)\n", 1)
	return s.upload(map[string]entry{"main.py": {more + code, 0o644}, "public/name.txt": {name, 0o644}})
}

// notes is where the counted app of "shop" notes the requests.
const notes = "/var/lib/foobar-app/shop/ids"

// nothingLost has clients send requests during a change. None fails, none is lost and
// none is done twice.
func (s *stand) nothingLost(load loadtest.Load, change func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.Cleanup(cancel)
	load.Clients, load.Pause = 16, time.Millisecond
	sent := make(chan []loadtest.Sent, 1)
	go func() { sent <- load.Run(ctx) }()
	change()
	cancel()
	all := <-sent
	content, err := os.ReadFile(notes)
	if err != nil {
		s.Fatal(err)
	}
	noted, twice := map[string]int{}, 0
	for line := range strings.Lines(string(content)) {
		id := strings.TrimSpace(line)
		if noted[id]++; noted[id] == 2 {
			twice++
		}
	}
	account := loadtest.Count(all, loadtest.Apps{Began: noted, Done: noted})
	s.Logf("%s: %s", load.Name, account)
	if len(account.Failures) > 0 || len(account.Lost) > 0 || twice > 0 || len(all) < 100 {
		s.Errorf("%s: done twice %d, lost %+v, failed %+v", load.Name, twice, account.Lost, account.Failures)
	}
}

// TestReleasesUnderLoad releases again and again while requests come in: good
// releases, bad ones of each sort, and changes that are releases too. No request
// fails, none is lost and none is done twice.
func TestReleasesUnderLoad(t *testing.T) {
	const address = "127.0.0.1:8081"
	const url = "http://" + address + "/"
	for name, ports := range map[string][]int{"on a socket": {}, "on ports": {8082, 8083}} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			spec := s.spec(s.countedRelease("first", ""), 8081)
			spec.AppPorts, spec.HealthCheck.StartTimeout = ports, api.Duration(5*time.Second)
			spec.HealthCheck.MinHealthyTime = api.Duration(300 * time.Millisecond)
			s.apply("shop", spec, nil)
			if err := os.RemoveAll(notes); err != nil {
				t.Fatal(err)
			}
			spec.RestartTrigger = "a new file of notes"
			s.apply("shop", spec, nil)

			s.nothingLost(loadtest.Load{Address: address, Name: "releases " + name}, func() {
				for i := range 4 {
					name := fmt.Sprint("good ", i)
					spec.Release.SHA256 = s.countedRelease(name, "")
					s.apply("shop", spec, nil)
					s.serves(name, url)
				}
				for what, code := range map[string]string{
					"crashes at its start": "raise SystemExit('no')\n",
					"hangs at its start":   "import time\ntime.sleep(3600)\n",
					"answers 500":          "import os\nos.environ['SICK'] = '1'\n",
					"dies soon after":      "import os, threading\nthreading.Timer(1.5, lambda: os._exit(1)).start()\n",
				} {
					bad := spec
					bad.Release.SHA256 = s.countedRelease(what, code)
					switch what {
					case "answers 500":
						bad.HealthCheck.Path = "/broken"
						fallthrough
					case "hangs at its start":
						bad.HealthCheck.StartTimeout = api.Duration(2 * time.Second)
					case "dies soon after":
						bad.HealthCheck.MinHealthyTime = api.Duration(2 * time.Second)
					}
					problem := s.refused("shop", bad)
					t.Logf("%s: %v", what, problem)
					s.serves("good 3", url)
				}
				spec.Release.SHA256 = s.countedRelease("deaf to SIGTERM", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n")
				s.apply("shop", spec, nil)
				spec.Environment = map[string]string{"COLOUR": "blue"}
				s.apply("shop", spec, nil)
			})
			// Where the app listens is a release too, for which nginx is reloaded. A worker
			// that is to end closes the connections that are idle without reading from them
			// (ngx_close_idle_connections, ngx_http_keepalive_handler), so a request that is
			// under way on one is reset; a fresh connection is never idle. Clients that keep theirs,
			// as load balancers do, send such a GET again; these ones send nothing twice.
			s.nothingLost(loadtest.Load{Address: address, Name: "other ports " + name, Fresh: true}, func() {
				spec.AppPorts = map[bool][]int{true: {8084, 8085}, false: {}}[len(ports) == 0]
				s.apply("shop", spec, nil)
				sick := spec
				sick.AppPorts, sick.HealthCheck.Path, sick.HealthCheck.StartTimeout = ports, "/broken", api.Duration(2*time.Second)
				t.Logf("in vain: %v", s.refused("shop", sick))
				spec.AppPorts = ports
				s.apply("shop", spec, nil)
			})
		})
	}
}

// TestAStreamOutlivesASwitch until the drain timeout, and then ends with its app,
// whatever the app calls its socket.
func TestAStreamOutlivesASwitch(t *testing.T) {
	s := newStand(t)
	streaming := strings.Replace(echo, `os.environ.get("SOCKET")`, `os.path.relpath(os.environ["SOCKET"])`, 1)
	streaming = strings.Replace(streaming, "    def do_GET(self):\n", `    def do_GET(self):
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("X-Accel-Buffering", "no")
            self.end_headers()
            n = 0
            while not STOP.wait(0.05):
                self.wfile.write(b"event %d of %s\n" % (n, RELEASE.encode()))
                n += 1
            self.wfile.write(b"the end\n")
            return
`, 1)
	streaming = strings.Replace(streaming, "print(\"started\"", `import signal, threading
STOP = threading.Event()
def stop(*_):
    STOP.set()
    threading.Timer(0.3, lambda: os._exit(0)).start()
signal.signal(signal.SIGTERM, stop)
print("started"`, 1)
	release := func(name string) string {
		return s.upload(map[string]entry{"main.py": {"RELEASE = \"" + name + "\"\n" + streaming, 0o644}})
	}
	spec := s.spec(release("one"), 8081)
	spec.DrainTimeout = api.Duration(2 * time.Second)
	s.apply("stream", spec, nil)
	type end struct {
		text string
		err  error
		took time.Duration
	}
	ended := make(chan end, 1)
	go func() {
		began := time.Now()
		response, err := http.Get("http://127.0.0.1:8081/stream") //nolint:noctx // it ends with the app
		if err != nil {
			ended <- end{err: err}
			return
		}
		text, err := io.ReadAll(response.Body)
		ended <- end{string(text), errors.Join(err, response.Body.Close()), time.Since(began)}
	}()
	s.eventually("the stream is open", func() bool {
		open, err := unixdiag.Connections("/run/foobar-app-stream-blue/app.sock")
		return err == nil && open > 0
	})
	began := time.Now()
	spec.Release.SHA256 = release("two")
	op := s.try("stream", spec, nil)
	s.warned(op, "RequestsCut: 1 request was still open after drain_timeout (2s)")
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("the apply did not wait for the stream: it took %s", took)
	}
	s.serves("two", "http://127.0.0.1:8081/")
	got := <-ended
	if got.err != nil || !strings.HasSuffix(got.text, "the end\n") || strings.Contains(got.text, "of two") {
		t.Errorf("the stream ended with %v after %s: ... %q", got.err, got.took, got.text[max(0, len(got.text)-100):])
	}
	events := strings.Split(strings.TrimSuffix(got.text, "the end\n"), "\n")
	for i, event := range events[:len(events)-1] {
		if event != fmt.Sprintf("event %d of one", i) {
			t.Fatalf("event %d is %q", i, event)
		}
	}
}
