package appserver

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
