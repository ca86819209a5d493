package appserver

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// serve answers on a Unix socket until the test ends.
func serve(t *testing.T, handler http.HandlerFunc) Endpoint {
	t.Helper()
	endpoint := Endpoint{Network: "unix", Address: filepath.Join(t.TempDir(), "app.sock")}
	listener, err := net.Listen(endpoint.Network, endpoint.Address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with the close below
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return endpoint
}

func TestHealthChecks(t *testing.T) {
	endpoint := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.RequestURI {
		case "/good?full=1":
			_, _ = w.Write([]byte(strings.Repeat("x", 100_000)))
		case "/moved":
			http.Redirect(w, r, "/good?full=1", http.StatusFound)
		case "/slow":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	k := New(Deps{})
	for path, want := range map[string]string{
		"/good?full=1": "answered 200",
		"/moved":       "answered 302 instead of 200",
		"/bad":         "answered 503 instead of 200",
		"/slow":        "did not answer within 100ms",
	} {
		h := api.AppHealthCheck{Path: path, Timeout: api.Duration(time.Second)}
		if path == "/slow" {
			h.Timeout = api.Duration(100 * time.Millisecond)
		}
		said, healthy := k.check(t.Context(), h, endpoint, k.show(layout{"notes"}))
		if said != want || healthy != (path == "/good?full=1") {
			t.Errorf("%s: %v, %q; want %q", path, healthy, said, want)
		}
	}
	gone := Endpoint{Network: "unix", Address: endpoint.Address + ".gone"}
	if said, healthy := k.check(t.Context(), api.AppHealthCheck{Path: "/", Timeout: api.Duration(time.Second)}, gone, k.show(layout{"notes"})); healthy ||
		!strings.HasPrefix(said, "did not answer: ") {
		t.Errorf("nobody: %v, %q", healthy, said)
	}
}

// TestWhatAnAppSaysIsShort: net/http quotes a status line that it does not understand,
// and what is said goes into conditions, plans and files.
func TestWhatAnAppSaysIsShort(t *testing.T) {
	const secret = "hunter2"
	for name, c := range map[string]struct{ sent, says string }{
		"a long status line":       {strings.Repeat("\x01", 30<<10) + "\r\n\r\n", `malformed HTTP response "\x01`},
		"an endless one":           {strings.Repeat("\x01", 9<<20) + "\r\n\r\n", noAnswer},
		"long headers":             {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 9<<20) + "\r\n\r\n", noAnswer},
		"a secret where it is cut": {strings.Repeat("ä", maxSaid/2-50) + strings.Repeat(secret, 20) + "\r\n\r\n", `malformed HTTP response "ä`},
		"a short status line":      {"oops\r\n\r\n", `malformed HTTP response "oops"`},
	} {
		t.Run(name, func(t *testing.T) {
			k := New(Deps{Root: t.TempDir()})
			show := k.show(layout{"notes"}, map[string]api.Secret{"TOKEN": api.Secret(secret)})
			said, good := k.check(t.Context(), api.AppHealthCheck{Path: "/", Timeout: api.Duration(10 * time.Second)}, sends(t, c.sent), show)
			if good || len(said) > len(noAnswer)+2+maxSaid+len("… (1234567 bytes)") || !utf8.ValidString(said) {
				t.Errorf("%t, %d bytes: %.300s", good, len(said), said)
			}
			if !strings.HasPrefix(said, noAnswer) || !strings.Contains(said, c.says) || strings.Contains(said, "hunt") {
				t.Errorf("it says %.1000s", said)
			}
		})
	}
}

// sends answers each request on a Unix socket with a text until the test ends.
func sends(t *testing.T, text string) Endpoint {
	t.Helper()
	endpoint := Endpoint{Network: "unix", Address: filepath.Join(t.TempDir(), "app.sock")}
	listener, err := net.Listen(endpoint.Network, endpoint.Address)
	if err != nil {
		t.Fatal(err)
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answers.Go(func() {
				_, _ = bufio.NewReader(conn).ReadString('\n')
				_, _ = conn.Write([]byte(text)) // which ends early where nobody reads on
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		answers.Wait()
	})
	return endpoint
}

func TestProbeReadsOnlyTheBeginning(t *testing.T) {
	endpoint := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("x", 100_000)))
	})
	answer, err := httpProber{}.Get(context.Background(), endpoint, "/")
	if err != nil || len(answer.Body) != maxProbeBody {
		t.Errorf("%d bytes, %v", len(answer.Body), err)
	}
}

func TestSiteEndpoint(t *testing.T) {
	for address, want := range map[string]string{
		"*": "127.0.0.1:80", "0.0.0.0": "127.0.0.1:80", "::": "[::1]:80", "10.0.0.1": "10.0.0.1:80", "2001:db8::1": "[2001:db8::1]:80",
	} {
		s := someSpec()
		s.Address = address
		if got := siteEndpoint(s); got != (Endpoint{Network: "tcp", Address: want}) {
			t.Errorf("%s: %v, want %s", address, got, want)
		}
	}
}
