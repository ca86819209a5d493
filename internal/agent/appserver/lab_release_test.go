//go:build lab

package appserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/unixdiag"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// counted is an app that notes the id of each request in its own directory, once it
// has done its work. It ends at SIGTERM at once, as Python does by itself.
const counted = `
import os, random, time
NOTES = os.open(os.environ["STATE_DIRECTORY"] + "/ids", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(handler):
    time.sleep(random.random() / 10)
    os.write(NOTES, (handler.headers["X-Id"] + "\n").encode())
` + echo

// countedRelease is a release of it, whose answers tell its name.
func (s *stand) countedRelease(name, more string) string {
	s.Helper()
	code := "RELEASE = \"" + name + "\"\n" + strings.Replace(counted, "    def do_GET(self):\n", "    def do_GET(self):\n        if \"X-Id\" in self.headers: note(self)\n", 1)
	return s.upload(map[string]entry{"main.py": {more + code, 0o644}})
}

// load sends requests until it is stopped, each with an id of its own.
type load struct {
	url    string
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	// answered are the ids that were answered with 200, failed those that were not.
	answered map[string]bool
	failed   map[string]string
	slowest  time.Duration
}

// startLoad begins with as many clients as each of: GET and POST, over connections
// that are kept and that are not.
func startLoad(url string, each int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{url: url, cancel: cancel, answered: map[string]bool{}, failed: map[string]string{}}
	for client := range 4 * each {
		method := []string{http.MethodGet, http.MethodPost}[client%2]
		transport := &http.Transport{DisableKeepAlives: client/2%2 == 0, MaxIdleConnsPerHost: 1}
		l.done.Go(func() {
			defer transport.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				l.send(context.WithoutCancel(ctx), transport, method, fmt.Sprintf("%d-%d", client, n))
			}
		})
	}
	return l
}

func (l *load) send(ctx context.Context, transport *http.Transport, method, id string) {
	began := time.Now()
	request, err := http.NewRequestWithContext(ctx, method, l.url, bytes.NewReader([]byte(id)))
	if err == nil {
		request.Header.Set("X-Id", id)
		request.GetBody = nil // the transport is not to send it twice by itself
		var response *http.Response
		if response, err = transport.RoundTrip(request); err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			err = errors.Join(err, response.Body.Close())
			if response.StatusCode != http.StatusOK {
				err = errors.Join(err, errors.New(response.Status))
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, time.Since(began))
	if err != nil {
		l.failed[id] = fmt.Sprintf("%s: %v", method, err)
		return
	}
	l.answered[id] = true
}

// stop ends the load and compares what was answered with what the app has noted.
func (l *load) stop(t *testing.T, ids string) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	content, err := os.ReadFile(ids)
	if err != nil {
		t.Fatal(err)
	}
	noted := map[string]int{}
	for id := range strings.Lines(string(content)) {
		noted[strings.TrimSpace(id)]++
	}
	lost, twice := 0, 0
	for id := range l.answered {
		if noted[id] == 0 {
			lost++
		}
	}
	for _, n := range noted {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d requests answered, %d failed, %d lost, %d done twice; the slowest took %s", len(l.answered), len(l.failed), lost, twice, l.slowest.Round(time.Millisecond))
	if len(l.failed) > 0 || lost > 0 || twice > 0 || len(l.answered) < 100 {
		t.Errorf("failed: %.2000s", fmt.Sprint(slices.Sorted(maps.Values(l.failed))))
	}
}

// TestReleasesUnderLoad releases again and again while requests come in: good
// releases, bad ones of each sort, and changes that are releases too. No request
// fails, none is lost and none is done twice.
func TestReleasesUnderLoad(t *testing.T) {
	const url = "http://127.0.0.1:8081/"
	for name, ports := range map[string][]int{"on a socket": {}, "on ports": {8082, 8083}} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			spec := s.spec(s.countedRelease("first", ""), 8081)
			spec.AppPorts, spec.HealthCheck.StartTimeout = ports, api.Duration(5*time.Second)
			spec.HealthCheck.MinHealthyTime = api.Duration(2 * time.Second)
			s.apply("shop", spec, nil)
			if err := os.RemoveAll("/var/lib/foobar-app/shop/ids"); err != nil {
				t.Fatal(err)
			}
			spec.RestartTrigger = "a new file of notes"
			s.apply("shop", spec, nil)

			l := startLoad(url, 4)
			t.Cleanup(l.cancel)
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
				if what == "answers 500" {
					bad.HealthCheck.Path = "/broken"
				}
				problem := s.refused("shop", bad)
				t.Logf("%s: %v", what, problem)
				s.serves("good 3", url)
			}
			spec.Release.SHA256 = s.countedRelease("deaf to SIGTERM", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n")
			s.apply("shop", spec, nil)
			spec.Environment = map[string]string{"COLOUR": "blue"}
			s.apply("shop", spec, nil)
			// Where the app listens is a release too, which nginx has to know of.
			other := map[bool][]int{true: {8084, 8085}, false: {}}[len(ports) == 0]
			spec.AppPorts = other
			s.apply("shop", spec, nil)
			sick := spec
			sick.AppPorts, sick.HealthCheck.Path = ports, "/broken"
			t.Logf("in vain: %v", s.refused("shop", sick))
			spec.AppPorts = ports
			s.apply("shop", spec, nil)
			l.stop(t, "/var/lib/foobar-app/shop/ids")
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
	s.apply("stream", spec, nil)
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
