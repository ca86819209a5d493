//go:build lab

package appserver_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// moody is an app that answers as its path says, and prints the id of each
// request before anything else.
const moody = `
import http.server, os, socket, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do(self):
        sys.stdout.write("got %s %s\n" % (self.command, self.headers.get("X-Test-Id", "-")))
        sys.stdout.flush()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.split("?")[0]
        if path == "/hang":
            time.sleep(3600)
        if path == "/half":
            self.wfile.write(b"HTTP/1.1 200 O")
            self.wfile.flush()
            os.kill(os.getpid(), 9)
        if path == "/slow":
            time.sleep(0.05)
        code = int(path[1:]) if path[1:].isdigit() else 200
        answer = b"own" if code != 200 else b"0123456789" * 1000
        self.send_response(code)
        self.send_header("X-Frame-Options", "of the app")
        self.send_header("X-Powered-By", "the app")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_OPTIONS = do
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

// public are the files of a release of the moody app.
func public() map[string]entry {
	return map[string]entry{
		"main.py":                          {moody, 0o644},
		"public/assets/app.css":            {strings.Repeat("body { color: red }\n", 200), 0o644},
		"public/assets/app.wasm":           {"\x00asm", 0o644},
		"public/assets/python":             {"/usr/bin/python3", link},
		"public/assets/code":               {"../../main.py", link},
		"public/assets/same.css":           {"app.css", link},
		"public/assets/other":              {"../docs", link},
		"public/docs/index.html":           {"<p>docs", 0o644},
		"public/robots.txt":                {"User-agent: *\n", 0o644},
		"public/.env":                      {"hidden", 0o644},
		"public/.git/config":               {"hidden", 0o644},
		"public/.well-known/security.txt":  {"Contact: mailto:a@foobar.test\n", 0o644},
		"public/.well-known/.git/config":   {"hidden", 0o644},
		"public/assets/nested/.htpasswd":   {"hidden", 0o644},
		"public/assets/deep/er/index.html": {"deeper", 0o644},
	}
}

// answered is what a client got: the status is 0 if the connection was closed
// without an answer.
type answered struct {
	status int
	header http.Header
	body   string
}

// request sends a request from an address of the loopback interface, over a
// connection of its own.
func request(ctx context.Context, from, method, path, body string, header http.Header) (answered, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(ctx, "tcp", "127.0.0.1:8081")
	if err != nil {
		return answered{}, err
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1:8081"+path, strings.NewReader(body))
	if err != nil {
		return answered{}, err
	}
	if header != nil {
		r.Header = header
	}
	r.Close = true
	if err := r.Write(conn); err != nil {
		return answered{}, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), r)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return answered{}, nil
	}
	if err != nil {
		return answered{}, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is lost with it
	content, err := io.ReadAll(response.Body)
	return answered{response.StatusCode, response.Header, string(content)}, err
}

const (
	balancer = "127.0.0.1" // trusted
	stranger = "127.0.0.2"
)

func (s *stand) request(from, method, path, body string, header http.Header) answered {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := request(ctx, from, method, path, body, header)
	if err != nil {
		s.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (s *stand) front() api.AppServer {
	s.Helper()
	spec := s.spec(s.upload(public()), 8081)
	spec.TrustedProxies = []string{balancer + "/32"}
	return spec
}

const moodyApp = "foobar-app-moody@blue.service"

// A load balancer learns what it may send to another server, and nobody else is.
func TestADeadAppTellsLoadBalancersWhatMayBeSentElsewhere(t *testing.T) {
	for name, ports := range map[string][]int{"socket": {}, "ports": {8090, 8091}} {
		t.Run(name, func(t *testing.T) { deadApp(t, ports) })
	}
}

func deadApp(t *testing.T, ports []int) {
	t.Helper()
	s := newStand(t)
	spec := s.front()
	spec.AppPorts = ports
	s.apply("moody", spec, nil)

	// What the app answers by itself is passed on, whatever it is.
	for _, code := range []int{418, 425, 431, 444, 500, 502, 503, 504} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if a := s.request(balancer, method, fmt.Sprintf("/%d", code), "", nil); a.status != code || a.body != "own" {
				t.Errorf("of the app's own %d on a %s the load balancer got %d %q", code, method, a.status, a.body)
			}
		}
	}
	type want struct{ balancer, stranger int }
	idempotent, other := want{425, 502}, want{502, 502}
	inHand := map[string]want{
		http.MethodGet: idempotent, http.MethodHead: idempotent, http.MethodPut: idempotent, http.MethodDelete: idempotent, http.MethodOptions: idempotent,
		http.MethodPost: other, http.MethodPatch: other,
	}
	// A request that the app has while it is killed.
	kill := func(from, method, path string) int {
		t.Helper()
		if err := s.units.Restart(context.Background(), moodyApp); err != nil { // sooner than systemd would
			t.Fatal(err)
		}
		s.eventually("the app answers", func() bool { return s.request(balancer, http.MethodHead, "/", "", nil).status == 200 })
		began, pid, got := time.Now(), s.pid(moodyApp), make(chan int, 1)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		go func() {
			a, err := request(ctx, from, method, path, "", http.Header{"X-Test-Id": {"in-hand"}})
			if err != nil {
				a.status = -1
			}
			got <- a.status
		}()
		if path == "/hang" {
			s.eventually("the app has the request", func() bool { return strings.Contains(s.journal(moodyApp, began), "got "+method+" in-hand") })
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		return <-got
	}
	for method, want := range inHand {
		if got := kill(balancer, method, "/hang"); got != want.balancer {
			t.Errorf("of a %s in flight the load balancer got %d, want %d", method, got, want.balancer)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if got := kill(stranger, method, "/hang"); got != 502 {
			t.Errorf("of a %s in flight another client got %d", method, got)
		}
		if got := kill(balancer, method, "/half"); got != 502 {
			t.Errorf("of a %s with half an answer the load balancer got %d", method, got)
		}
	}
	// Requests that the app never sees.
	if err := s.units.Stop(context.Background(), moodyApp); err != nil {
		t.Fatal(err)
	}
	for method := range inHand {
		if got := s.request(balancer, method, "/", "", nil).status; got != 425 {
			t.Errorf("of a %s without an app the load balancer got %d", method, got)
		}
		if got := s.request(stranger, method, "/", "", nil).status; got != 502 {
			t.Errorf("of a %s without an app another client got %d", method, got)
		}
	}
	upgrade := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}
	if a, b := s.request(balancer, http.MethodGet, "/", "", upgrade).status, s.request(stranger, http.MethodGet, "/", "", upgrade).status; a != 425 || b != 502 {
		t.Errorf("of a WebSocket without an app the load balancer got %d, another client %d", a, b)
	}
	if a := s.request(balancer, http.MethodGet, api.AppHealthPath, "", nil); a.status != 200 {
		t.Errorf("without an app the check of load balancers is answered with %d", a.status)
	}
}

// Under load and kill -9, a POST that a load balancer may send again was never seen
// by the app, and every other was answered.
func TestAKilledAppUnderLoad(t *testing.T) {
	s, began := newStand(t), time.Now()
	s.apply("moody", s.front(), nil)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var mu sync.Mutex
	counts, never := map[string]int{}, []string{}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			method := []string{http.MethodGet, http.MethodPost}[client%2]
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("id-%d-%d.", client, n)
				a, err := request(ctx, balancer, method, "/slow", "body", http.Header{"X-Test-Id": {id}})
				mu.Lock()
				counts[fmt.Sprintf("%s %d", method, a.status)]++
				if err != nil {
					counts[err.Error()]++
				}
				if method == http.MethodPost && a.status == 425 {
					never = append(never, id)
				}
				mu.Unlock()
			}
		})
	}
	for range 4 {
		pid := s.pid(moodyApp)
		time.Sleep(300 * time.Millisecond)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.eventually("the app is back", func() bool {
			now := s.pid(moodyApp)
			_, status := s.get("moody")
			return now != 0 && now != pid && status.Healthy
		})
	}
	close(stop)
	clients.Wait()
	t.Logf("answers: %v", counts)
	for outcome := range counts {
		switch outcome {
		case "GET 200", "GET 425", "POST 200", "POST 425", "POST 502":
		default:
			t.Errorf("%d times %s", counts[outcome], outcome)
		}
	}
	// Four clients and four kills; and until the kernel has closed the socket of a dying
	// process, a client that sends its next request at once can have it queued there too.
	if counts["POST 502"] > 2*4*4 {
		t.Errorf("%d POST failed; the app had at most 16 in flight, and about as many in its queue", counts["POST 502"])
	}
	seen := s.journal(moodyApp, began)
	if counts["POST 425"] == 0 || !strings.Contains(seen, "got POST id-") {
		t.Errorf("the app was never down, or its log is empty: %v", counts)
	}
	for _, id := range never {
		if strings.Contains(seen, id) {
			t.Errorf("the app saw %s, which may be sent again", id)
		}
	}
}

func TestLimitsTimeoutsAndGzip(t *testing.T) {
	s := newStand(t)
	spec := s.front()
	spec.RequestLimits = api.AppRequestLimits{BodyBytes: 1000, HeaderBytes: 4096}
	second := api.Duration(time.Second)
	spec.RequestTimeouts = api.AppRequestTimeouts{Headers: second, Body: second, Send: second, App: second, WebSocket: 30 * second}
	spec.Gzip = true
	s.apply("moody", spec, nil)

	long := func(n int) http.Header { return http.Header{"X-Long": {strings.Repeat("x", n)}} }
	many := http.Header{}
	for i := range 8 {
		many.Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 3000))
	}
	for what, c := range map[string]struct {
		got  answered
		want int
	}{
		"a body":              {s.request(balancer, http.MethodPost, "/", strings.Repeat("x", 1000), nil), 200},
		"a large body":        {s.request(balancer, http.MethodPost, "/", strings.Repeat("x", 1001), nil), 413},
		"a header":            {s.request(balancer, http.MethodGet, "/", "", long(4000)), 200},
		"a large header":      {s.request(balancer, http.MethodGet, "/", "", long(4200)), 431},
		"many headers":        {s.request(balancer, http.MethodGet, "/", "", many), 431},
		"a long request line": {s.request(balancer, http.MethodGet, "/"+strings.Repeat("x", 4200), "", nil), 414},
		"a silent app":        {s.request(balancer, http.MethodGet, "/hang", "", nil), 504},
		"a silent app (POST)": {s.request(balancer, http.MethodPost, "/hang", "x", nil), 504},
	} {
		if c.got.status != c.want {
			t.Errorf("%s: %d, want %d", what, c.got.status, c.want)
		}
	}
	// A slow client is cut off: nginx sends no 408 in its way.
	for what, text := range map[string]string{
		"headers": "GET / HTTP/1.1\r\nHost: x\r\n",
		"a body":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx",
	} {
		if got := s.raw(text); got != "" {
			t.Errorf("a client that is slow with %s got %q", what, got)
		}
	}
	// What follows a head that is too large is no request.
	if got := s.raw("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 5000) + "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"); strings.Count(got, "HTTP/1.1 ") != 1 {
		t.Errorf("two requests, the first with a large header, were answered with %q", got)
	}
	a := s.request(balancer, http.MethodGet, "/", "", http.Header{"Accept-Encoding": {"gzip"}})
	unzipped, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil || a.header.Get("Content-Encoding") != "gzip" || a.header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("compressed: %v, %v", a.header, err)
	}
	if content, err := io.ReadAll(unzipped); err != nil || !bytes.Equal(content, bytes.Repeat([]byte("0123456789"), 1000)) {
		t.Errorf("it is unpacked as %.20q, %v", content, err)
	}
	if a := s.request(balancer, http.MethodGet, "/", "", nil); a.header.Get("Content-Encoding") != "" {
		t.Errorf("compressed for who did not ask: %v", a.header)
	}
}

// raw sends a text and returns all that comes back until the connection ends.
func (s *stand) raw(text string) string {
	s.Helper()
	conn, err := (&net.Dialer{}).DialContext(s.Context(), "tcp", "127.0.0.1:8081")
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		s.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		s.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		s.Fatal(err)
	}
	return string(got)
}

// To an app, X_Real_IP is the same as X-Real-IP.
func TestUnderscoresForgeNothing(t *testing.T) {
	s := newStand(t)
	spec := s.spec(s.release("headers"), 8081)
	given := http.Header{}
	for name, value := range map[string]string{
		"X_Custom": "given", "X_Forwarded_For": "evil", "X_Real-IP": "evil", "X-Forwarded_Proto": "evil", "X_Request_ID": "evil", "Content_Length": "evil",
	} {
		given[name] = []string{value}
	}
	for on, want := range map[bool]string{false: "", true: "given"} {
		spec.UnderscoresInHeaders = on
		s.apply("moody", spec, nil)
		_, answer := s.ask(http.MethodGet, "http://127.0.0.1:8081/", nil, given)
		if got := answer.Headers["x_custom"]; got != want {
			t.Errorf("underscores %t: X_Custom is %q", on, got)
		}
		for name, value := range answer.Headers {
			if value == "evil" {
				t.Errorf("underscores %t: the app got %s of the client's", on, name)
			}
		}
	}
}

// The agent can ask the app the way that requests go, also where a static file
// has the path of its health check.
func TestNginxPassesTheAppsOwnHealthCheckToTheAgent(t *testing.T) {
	s := newStand(t)
	spec := s.front()
	spec.Static = map[string]api.StaticDirectory{"/": {Directory: "public"}}
	spec.HealthCheck.Path = "/robots.txt"
	s.apply("moody", spec, nil)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", "/run/foobar-app-moody-nginx/admin.sock")
	}}}
	check := func() (int, string) {
		t.Helper()
		response, err := client.Get("http://localhost/app") //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // nothing is lost with it
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if status, body := check(); status != 200 || !strings.HasPrefix(body, "0123456789") {
		t.Errorf("the app by way of nginx: %d %.20q", status, body)
	}
	if err := s.units.Stop(context.Background(), moodyApp); err != nil {
		t.Fatal(err)
	}
	if status, _ := check(); status != http.StatusBadGateway {
		t.Errorf("a dead app by way of nginx: %d", status)
	}
}

// Neither log of nginx has a query string, of a file or otherwise.
func TestNoLogOfAFileHasAQueryString(t *testing.T) {
	const canary = "token=canary-of-a-query"
	s, began := newStand(t), time.Now()
	spec := s.front()
	spec.Static = map[string]api.StaticDirectory{"/": {Directory: "public"}}
	spec.RequestLimits = api.AppRequestLimits{BodyBytes: 10, HeaderBytes: 1024}
	s.apply("moody", spec, nil)
	for _, text := range []string{
		"GET /robots.txt?" + canary + " HTTP/1.1", "GET /docs/?" + canary + " HTTP/1.1", "GET /none?" + canary + " HTTP/1.1", "GET /.env?" + canary + " HTTP/1.1",
		"GET /assets/python?" + canary + " HTTP/1.1", "GET /assets/other/x?" + canary + " HTTP/1.1", "GET /robots.txt/x?" + canary + " HTTP/1.1",
		"GET /" + strings.Repeat("y", 300) + "?" + canary + " HTTP/1.1", "GET /a%0Ab?" + canary + " HTTP/1.1", "GET /a%0a{b/?" + canary + " HTTP/1.1",
		"GET /assets/python%0A?" + canary + " HTTP/1.1", "GET /assets/other/a%0Ab?" + canary + " HTTP/1.1", "GET /a%0A" + strings.Repeat("y", 300) + "?" + canary + " HTTP/1.1",
		"GET /\xff\xfe?" + canary + " HTTP/1.1", "GET /assets/python\xff?" + canary + " HTTP/1.1",
		"GET http://www.foobar.test/robots.txt?" + canary + " HTTP/1.1", "GET /robots.txt#x?" + canary + " HTTP/1.1", "GET /robots.txt#" + canary + " HTTP/1.1",
		"GET /robots.txt?" + canary + " HTTP/9.9", "GET /_foobar/x?" + canary + " HTTP/1.1", "GET /robots.txt?" + canary + strings.Repeat("y", 2000) + " HTTP/1.1",
		"GET /robots.txt?" + canary + " HTTP/1.1\r\nX: " + strings.Repeat("y", 2000), "POST /?" + canary + " HTTP/1.1\r\nContent-Length: 100",
		"GET /robots.txt?" + canary + " HTTP/1.1\r\nRange: bytes=9-1", "GET /500?" + canary + " HTTP/1.1",
	} {
		s.raw(text + "\r\nHost: x\r\nConnection: close\r\n\r\n")
	}
	if err := s.units.Stop(context.Background(), moodyApp); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/none", "/a%0Ab", "/\xff", "/.env"} {
		s.raw("GET " + path + "?" + canary + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	}
	log := s.journal("foobar-app-moody-nginx.service", began)
	if strings.Contains(log, "canary") {
		t.Errorf("the log has a query string:\n%s", log)
	}
	for _, want := range []string{`"path":"/robots.txt"`, `"path":"/docs/"`, `"path":"/a%0Ab"`, `"path":"/assets/python"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
}
