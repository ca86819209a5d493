//go:build lab

package loadbalancer_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// The variables of the process that [appMain] is.
const (
	appSocket  = "FOOBAR_TEST_APP_SOCKET"
	appSeen    = "FOOBAR_TEST_APP_SEEN"
	appWorkers = "FOOBAR_TEST_APP_WORKERS"
	appTakes   = "FOOBAR_TEST_APP_TAKES"
)

func TestMain(m *testing.M) {
	if os.Getenv(appSocket) != "" {
		appMain()
		return
	}
	os.Exit(m.Run())
}

// appMain is an app in a process of its own, which can be killed. It works on
// some requests at one time, writes down the id of each as it begins, and lets
// all others wait, as an app with a pool of workers does.
func appMain() {
	workers, _ := strconv.Atoi(os.Getenv(appWorkers))
	takes, _ := time.ParseDuration(os.Getenv(appTakes))
	seen, err := os.OpenFile(os.Getenv(appSeen), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		panic(err)
	}
	_ = os.Remove(os.Getenv(appSocket))
	listener, err := net.Listen("unix", os.Getenv(appSocket))
	if err == nil {
		err = os.Chmod(os.Getenv(appSocket), 0o666)
	}
	if err != nil {
		panic(err)
	}
	free := make(chan struct{}, workers)
	_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // a test's
		_, _ = io.Copy(io.Discard, r.Body)
		free <- struct{}{}
		defer func() { <-free }()
		_, _ = seen.WriteString(r.Header.Get("Id") + "\n")
		time.Sleep(takes) // its work
		if status, err := strconv.Atoi(r.Header.Get("Answer")); err == nil {
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(w, "done\n")
	}))
}

// appHost is a machine with an app: the app, nginx in front of it as an app
// server has it, and what its agent says of it.
type appHost struct {
	t       *testing.T
	name    string
	dir     string
	port    int // nginx's
	workers int
	takes   time.Duration
	app     *exec.Cmd
	nginx   *exec.Cmd
	// says is the answer of the agent check; empty is no answer. With follows
	// it is what the app's process makes of it.
	agent   net.Listener
	says    atomic.Value
	follows atomic.Bool
	alive   atomic.Bool
}

// nginxText is the configuration of nginx in front of an app: what it answers
// where the app does not, and a check of nginx alone.
const nginxText = `
user www-data;
worker_processes 1;
pid DIR/nginx.pid;
error_log DIR/error.log;
daemon off;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    map "$request_method:$upstream_connect_time" $dead {
        default 502;
        "~^(GET|HEAD|OPTIONS|PUT|DELETE):" 425;
        "~:-?$" 425;
    }
    server {
        listen 127.0.0.1:PORT;
        location = /health { return 200 "it is ok"; }
        location / {
            proxy_pass http://unix:DIR/app.sock;
            proxy_http_version 1.1;
            proxy_next_upstream off;
            error_page 502 = @dead;
        }
        location @dead {
            if ($dead = 425) { return 425; }
            return 502;
        }
    }
}
`

// newAppHost starts an app of some workers that take some time each.
func newAppHost(t *testing.T, name string, workers int, takes time.Duration) *appHost {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "foobar-test-"+name+"-") //nolint:usetesting // nginx's worker has to get through to the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &appHost{t: t, name: name, dir: dir, port: freePort(t), workers: workers, takes: takes}
	h.says.Store("")
	h.follows.Store(true)
	text := strings.NewReplacer("DIR", dir, "PORT", strconv.Itoa(h.port)).Replace(nginxText)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	t.Cleanup(h.kill)
	t.Cleanup(h.killNginx)
	h.startNginx()
	if h.agent, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.agent.Close() })
	go h.answer()
	return h
}

// startNginx starts nginx and waits until it listens.
func (h *appHost) startNginx() {
	h.t.Helper()
	h.nginx = exec.Command("nginx", "-c", filepath.Join(h.dir, "nginx.conf"), "-e", filepath.Join(h.dir, "error.log"))
	h.nginx.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := h.nginx.Start(); err != nil {
		h.t.Fatal(err)
	}
	for range 200 {
		if conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.port))); err == nil {
			_ = conn.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(h.dir, "error.log"))
	h.t.Fatalf("nginx does not listen: %s", log)
}

// killNginx ends nginx and its workers as kill -9 does.
func (h *appHost) killNginx() {
	_ = syscall.Kill(-h.nginx.Process.Pid, syscall.SIGKILL)
	_ = h.nginx.Wait()
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	address, _ := listener.Addr().(*net.TCPAddr)
	return address.Port
}

// start starts the app and waits until it listens.
func (h *appHost) start() {
	h.t.Helper()
	program, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	socket := filepath.Join(h.dir, "app.sock")
	h.app = exec.Command(program)
	h.app.Env = append(os.Environ(), appSocket+"="+socket, appSeen+"="+filepath.Join(h.dir, "seen"),
		appWorkers+"="+strconv.Itoa(h.workers), appTakes+"="+h.takes.String())
	h.app.Stderr = os.Stderr
	if err := h.app.Start(); err != nil {
		h.t.Fatal(err)
	}
	for range 500 {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			h.alive.Store(true)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatalf("the app of %s does not listen", h.name)
}

// kill ends the app as kill -9 does.
func (h *appHost) kill() {
	_ = h.app.Process.Kill()
	_ = h.app.Wait()
	h.alive.Store(false)
}

// answer is the agent's side of the agent check.
func (h *appHost) answer() {
	for {
		conn, err := h.agent.Accept()
		if err != nil {
			return
		}
		said, _ := h.says.Load().(string)
		if h.follows.Load() {
			said = string(api.AgentCheckDown)
			if h.alive.Load() {
				said = string(api.AgentCheckUp)
			}
		}
		if said != "" {
			_, _ = io.WriteString(conn, api.AgentCheck(said).Line())
		}
		_ = conn.Close()
	}
}

// tell has the agent check answer something whatever the app does.
func (h *appHost) tell(answer api.AgentCheck) {
	h.says.Store(string(answer))
	h.follows.Store(false)
}

// seen counts how often the app began to work on each id.
func (h *appHost) seen() map[string]int {
	h.t.Helper()
	file, err := os.Open(filepath.Join(h.dir, "seen"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	counts := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		counts[lines.Text()]++
	}
	return counts
}

// overApps returns a load balancer over apps, with the limit per server.
func overApps(limit int, agents bool, hosts ...*appHost) api.LoadBalancer {
	spec := over()
	check := spec.Backends["web"].HealthCheck
	check.BodyPattern, check.Interval = "", api.Duration(500*time.Millisecond)
	for _, h := range hosts {
		server := api.DefaultServer()
		server.Address, server.Port, server.MaxConnections = "127.0.0.1", h.port, limit
		if address, ok := h.agent.Addr().(*net.TCPAddr); ok && agents {
			server.AgentCheckPort = address.Port
		}
		spec.Backends["web"].Servers[h.name] = server
	}
	return spec
}

// load has clients send requests until its result is called, which returns what
// they got.
func load(clients int, pause time.Duration) (end func() []loadtest.Sent) {
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan []loadtest.Sent, 1)
	go func() { results <- loadtest.Load{Address: front, Clients: clients, Pause: pause}.Run(ctx) }()
	return func() []loadtest.Sent { cancel(); return <-results }
}

// count compares what clients got with what the apps noted, which they do as they
// begin to work on a request.
func count(results []loadtest.Sent, hosts ...*appHost) loadtest.Account {
	seen := map[string]int{}
	for _, h := range hosts {
		for id, times := range h.seen() {
			seen[id] += times
		}
	}
	return loadtest.Count(results, loadtest.Apps{Began: seen, Done: seen})
}
