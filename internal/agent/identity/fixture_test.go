package identity_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

const (
	seedText      = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	otherSeedText = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

// now is what every clock shows that is right.
func now() time.Time { return time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC) }

// built is when the agent was built.
func built() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func authority(t testing.TB, seed string) *pki.Authority {
	t.Helper()
	parsed, err := pki.ParseSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.NewAuthority(parsed, "shop", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustSeed(t testing.TB) pki.Seed {
	t.Helper()
	seed, err := pki.ParseSeed(seedText)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func signer(t testing.TB) pki.Signer {
	return pki.Signer{Authority: authority(t, seedText), Now: now, Random: rand.Reader}
}

func bootstrap(t testing.TB, incarnation int64) api.Bootstrap {
	t.Helper()
	b, err := pki.NewBootstrap(authority(t, seedText), "web1", incarnation, ":9443")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// machine is a machine with a disk, on which an agent can run.
type machine struct {
	t         testing.TB
	dir       string
	bootstrap string // the file
	now       func() time.Time
	step      func(string) error
	address   string
	id        *identity.Identity
	handled   atomic.Int64 // the calls that got past TLS
	stop      func()
}

// unboxed returns a machine with a bootstrap, which does not run yet.
func unboxed(t testing.TB, b api.Bootstrap) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, dir: filepath.Join(dir, "identity"), bootstrap: filepath.Join(dir, "bootstrap.json"), now: now}
	m.tell(b)
	return m
}

// booted returns a machine whose agent serves.
func booted(t testing.TB, b api.Bootstrap) *machine {
	t.Helper()
	m := unboxed(t, b)
	m.boot()
	return m
}

// tell gives the machine a bootstrap.
func (m *machine) tell(b api.Bootstrap) {
	m.t.Helper()
	if err := os.WriteFile(m.bootstrap, b.JSON(), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// boot starts the agent anew on what the disk holds.
func (m *machine) boot() {
	m.t.Helper()
	if m.stop != nil {
		m.stop()
	}
	found, err := identity.ReadBootstrap("", m.bootstrap)
	if err != nil {
		m.t.Fatal(err)
	}
	m.id, err = identity.Open(identity.Config{
		Dir: m.dir, Bootstrap: found, BuildTime: built(),
		Now: func() time.Time { return m.now() }, Random: rand.Reader,
		Step: func(step string) error {
			if m.step == nil {
				return nil
			}
			return m.step(step)
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.address, m.stop = serve(m.t, m.id.TLSConfig(), m.handler())
}

// serve answers on a loopback port until the returned function is called.
func serve(t testing.TB, config *tls.Config, handler http.Handler) (string, func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, TLSConfig: config, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(listener, "", "")
	}()
	stop := func() {
		_ = server.Close()
		<-done
	}
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// handler answers the routes of trust, as the agent's server does.
func (m *machine) handler() http.Handler {
	answer := func(call func(r *http.Request) (any, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, err := m.id.Peer(*r.TLS)
			var body any
			if err == nil {
				m.handled.Add(1)
				body, err = call(r)
			}
			w.Header().Set("Content-Type", "application/json")
			if err != nil {
				w.WriteHeader(api.AsProblem(err).Type.Status())
				body = api.AsProblem(err)
			}
			_, _ = w.Write(api.Encode(body))
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /v1/health", answer(func(*http.Request) (any, error) {
		f := m.id.Facts()
		return api.Health{Node: f.Node, Incarnation: f.Incarnation, Enrolled: f.Enrolled}, nil
	}))
	mux.Handle("POST /v1/enroll", answer(decoded(m.offer)))
	mux.Handle("POST /v1/enroll:finish", answer(decoded(m.finish)))
	mux.Handle("POST /v1/identity:renew", answer(decoded(m.renew)))
	return mux
}

func (m *machine) offer(c tls.ConnectionState, in api.EnrollHello) (any, error) {
	return m.id.Offer(c, in)
}

func (m *machine) finish(c tls.ConnectionState, in api.EnrollGrant) (any, error) {
	return m.id.Finish(c, in)
}

func (m *machine) renew(c tls.ConnectionState, in api.Certification) (any, error) {
	return m.id.Renew(c, in)
}

func decoded[T any](call func(tls.ConnectionState, T) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var in T
		data, err := io.ReadAll(r.Body)
		if err == nil {
			err = api.Decode(data, &in)
		}
		if err != nil {
			return nil, err
		}
		return call(*r.TLS, in)
	}
}

// run is one run of Terraform.
type run struct {
	seed string
	now  func() time.Time
	key  string
	inc  int64
	// others are the seeds of CAs that are exchanged for this one.
	others []string
}

func newRun() run { return run{seed: seedText, now: now, inc: 1} }

// call returns the machine as this run calls it.
func (r run) call(m *machine) *client.Machine {
	m.t.Helper()
	signerOf := func(seed string) pki.Signer {
		return pki.Signer{Authority: authority(m.t, seed), Now: r.now, Random: rand.Reader}
	}
	var others []pki.Signer
	for _, seed := range r.others {
		others = append(others, signerOf(seed))
	}
	credentials, err := client.Admin(signerOf(r.seed), "test", others...)
	if err != nil {
		m.t.Fatal(err)
	}
	pool := client.NewPool(credentials, client.Options{Now: r.now, CallTimeout: 10 * time.Second})
	m.t.Cleanup(pool.Close)
	called, err := pool.Machine(client.Target{Name: "web1", Address: m.address, Incarnation: r.inc, Key: r.key})
	if err != nil {
		m.t.Fatal(err)
	}
	return called
}

// enroll enrols the machine and returns what it became.
func (r run) enroll(m *machine) api.Enrolled {
	m.t.Helper()
	enrolled, err := r.call(m).Enroll(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return enrolled
}

// channel is one TLS connection to a machine, for whoever does not keep to
// the order of the calls.
type channel struct {
	t testing.TB
	*tls.Conn
	reader *bufio.Reader
}

// dial connects to a machine as the holder of a certificate, or of none, and
// verifies nothing.
func (m *machine) dial(shown *tls.Certificate) *channel {
	m.t.Helper()
	config := &tls.Config{InsecureSkipVerify: true}
	if shown != nil {
		config.Certificates = []tls.Certificate{*shown}
	}
	return m.dialWith(config)
}

func (m *machine) dialWith(config *tls.Config) *channel {
	m.t.Helper()
	raw, err := new(net.Dialer).DialContext(m.t.Context(), "tcp", m.address)
	if err != nil {
		m.t.Fatal(err)
	}
	conn := tls.Client(raw, config)
	m.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.HandshakeContext(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	return &channel{t: m.t, Conn: conn, reader: bufio.NewReader(conn)}
}

// post calls over the connection. An answer that is no success is its problem.
func (c *channel) post(path string, in, out any) error {
	c.t.Helper()
	request := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, "https://web1"+path, bytes.NewReader(api.Encode(in)))
	if err := request.Write(c); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		problem := new(api.Problem)
		return errors.Join(json.Unmarshal(body, problem), problem)
	}
	return json.Unmarshal(body, out)
}

// offer begins an enrolment and returns the exchange so far.
func (c *channel) offer() pki.Exchange {
	c.t.Helper()
	x := pki.Exchange{ProviderNonce: make([]byte, api.NonceSize), SPKI: c.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo}
	_, _ = rand.Read(x.ProviderNonce)
	var err error
	if x.Exporter, err = pki.Exporter(c.ConnectionState()); err != nil {
		c.t.Fatal(err)
	}
	var offer api.EnrollOffer
	if err := c.post("/v1/enroll", api.EnrollHello{Nonce: x.ProviderNonce}, &offer); err != nil {
		c.t.Fatal(err)
	}
	x.NodeNonce, x.CSR = offer.Nonce, offer.CSR
	return x
}

// grant signs what an exchange asks for.
func (c *channel) grant(x pki.Exchange, key []byte) api.EnrollGrant {
	c.t.Helper()
	public, err := pki.ReadRequest(x.CSR)
	if err != nil {
		c.t.Fatal(err)
	}
	leaf, err := signer(c.t).Node(public, "web1", 1)
	if err != nil {
		c.t.Fatal(err)
	}
	return api.EnrollGrant{
		Certification: api.Certification{Chain: []string{pki.EncodeCertificate(leaf)}, CA: pki.Bundle{signer(c.t).Certificate()}.PEM()},
		Proof:         x.Proof(key, pki.SideController),
	}
}

func enrollKey(t testing.TB) []byte { return authority(t, seedText).EnrollKey("web1", 1) }

// admin returns a certificate of role admin.
func admin(t testing.TB) *tls.Certificate {
	t.Helper()
	issued, err := signer(t).Client(api.RoleAdmin, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	return issued.TLS()
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

func encoded(key []byte) string { return base64.StdEncoding.EncodeToString(key) }

func decodePEM(t testing.TB, text string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("%q is no PEM", text)
	}
	return block.Bytes
}
