package client_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

const (
	seedText      = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	otherSeedText = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

func now() time.Time { return time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC) }

func signer(t testing.TB, seed, deployment string) pki.Signer {
	t.Helper()
	parsed, err := pki.ParseSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.NewAuthority(parsed, deployment, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return pki.Signer{Authority: a, Now: now, Random: rand.Reader}
}

// node returns the certificate of a machine.
func node(t testing.TB, s pki.Signer, name string, incarnation int64) tls.Certificate {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := s.Node(public, name, incarnation)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// fake is an agent that answers as a test wants it to.
type fake struct {
	t       testing.TB
	config  *tls.Config
	address string
	mux     *http.ServeMux
	server  *http.Server
	done    chan struct{}

	mu    sync.Mutex
	calls []*http.Request // with bodies already read
	texts []string        // the bodies
}

// newFake returns an agent of machine web1, incarnation 1, which serves.
func newFake(t testing.TB) *fake { return newFakeAt(t, now) }

// newFakeAt returns that agent with another clock.
func newFakeAt(t testing.TB, clock func() time.Time) *fake {
	t.Helper()
	s := signer(t, seedText, "shop")
	return newFakeWith(t, &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{node(t, s, "web1", 1)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pki.Bundle{s.Certificate()}.Pool(),
		Time:         clock,
	})
}

func newFakeWith(t testing.TB, config *tls.Config) *fake {
	t.Helper()
	f := &fake{t: t, config: config, mux: http.NewServeMux(), address: "127.0.0.1:0"}
	f.handle("GET /v1/health", func(*http.Request, string) (any, error) {
		return api.Health{Node: "web1", Incarnation: 1, Enrolled: true}, nil
	})
	f.start()
	t.Cleanup(f.stop)
	return f
}

// start listens where the agent listened before.
func (f *fake) start() {
	f.t.Helper()
	listener, err := net.Listen("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.address = listener.Addr().String()
	f.server = &http.Server{Handler: f.mux, TLSConfig: f.config, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	f.done = make(chan struct{})
	go func(server *http.Server, done chan struct{}) {
		defer close(done)
		_ = server.ServeTLS(listener, "", "")
	}(f.server, f.done)
}

// stop ends the agent as a kill would.
func (f *fake) stop() {
	_ = f.server.Close()
	<-f.done
}

// errCut makes a handler end the connection without an answer.
var errCut = errors.New("cut")

// handle answers a route with a value or a problem.
func (f *fake) handle(pattern string, answer func(r *http.Request, body string) (any, error)) {
	f.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.calls, f.texts = append(f.calls, r), append(f.texts, string(body))
		f.mu.Unlock()
		out, err := answer(r, string(body))
		if errors.Is(err, errCut) {
			panic(http.ErrAbortHandler)
		}
		if err != nil {
			out = api.AsProblem(err)
			w.Header().Set("Content-Type", api.ProblemContentType)
			w.WriteHeader(api.AsProblem(err).Type.Status())
		}
		if raw, ok := out.(string); ok {
			_, _ = io.WriteString(w, raw)
			return
		}
		_ = json.NewEncoder(w).Encode(out)
	})
}

// requests returns the calls of a method so far, and their bodies.
func (f *fake) requests(method string) (calls []*http.Request, bodies []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range f.calls {
		if r.Method == method {
			calls, bodies = append(calls, r), append(bodies, f.texts[i])
		}
	}
	return calls, bodies
}

// leaf returns the certificate that the agent shows.
func (f *fake) leaf() *x509.Certificate { return f.config.Certificates[0].Leaf }

// target returns the machine that the agent is.
func (f *fake) target() client.Target { return client.Target{Name: "web1", Address: f.address} }

// options are quick, so that no test has to wait.
func options() client.Options {
	return client.Options{Now: now, PollInterval: 20 * time.Millisecond, CallTimeout: 10 * time.Second}
}

// call returns a target as a run with the seed calls it.
func call(t testing.TB, target client.Target, o client.Options) *client.Machine {
	t.Helper()
	s := signer(t, seedText, "shop")
	s.Now = o.Now
	credentials, err := client.Admin(s, "test")
	if err != nil {
		t.Fatal(err)
	}
	pool := client.NewPool(credentials, o)
	t.Cleanup(pool.Close)
	m, err := pool.Machine(target)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// isA fails unless err is of type T.
func isA[T error](t testing.TB, err error) {
	t.Helper()
	_ = as[T](t, err)
}

// as fails unless err is of type T, and returns it.
func as[T error](t testing.TB, err error) T {
	t.Helper()
	found, ok := errors.AsType[T](err)
	if !ok {
		t.Fatalf("got %T %v, want a %T", err, err, found)
	}
	return found
}
