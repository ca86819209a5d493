package client_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

func TestEnlist(t *testing.T) {
	f := newFake(t)
	f.handle("PUT /v1/replications/notes/membership", func(*http.Request, string) (any, error) { return "", nil })
	membership := api.DBMembership{Peers: map[string]api.DBPeer{"web2": {Address: "10.0.0.2:9443", Key: api.KeyPin(nil), Incarnation: 1}}, Members: []string{"web2"}}
	if err := call(t, f.target(), options()).Enlist(t.Context(), "notes", membership); err != nil {
		t.Fatal(err)
	}
	calls, bodies := f.requests(http.MethodPut)
	if bodies[0] != string(api.Encode(membership)) || calls[0].Header.Get(api.HeaderMachine) != "web1" {
		t.Errorf("sent %s to %q", bodies[0], calls[0].Header)
	}
}

func TestReplicationCall(t *testing.T) {
	f := newFake(t)
	f.handle("GET /v1/replications/notes/view", func(*http.Request, string) (any, error) { return map[string]int{"epoch": 7}, nil })
	f.handle("PUT /v1/replications/notes", func(*http.Request, string) (any, error) { return "", nil })
	f.handle("DELETE /v1/replications/notes/lock", func(*http.Request, string) (any, error) {
		return nil, &api.Problem{Type: api.ProblemForbidden, Title: "web2 takes no part in notes"}
	})
	f.mux.HandleFunc("POST /v1/replications/notes/orders", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	m := call(t, f.target(), options())
	var seen struct{ Epoch int }
	if status, err := m.ReplicationCall(t.Context(), http.MethodGet, "notes", "view", nil, &seen); err != nil || status != http.StatusOK || seen.Epoch != 7 {
		t.Errorf("view: %d %v %+v", status, err, seen)
	}
	if status, err := m.ReplicationCall(t.Context(), http.MethodPut, "notes", "", api.DBConfig{Replication: "hunter2"}, nil); err != nil || status != http.StatusOK {
		t.Errorf("tell: %d %v", status, err)
	}
	if _, bodies := f.requests(http.MethodPut); !strings.Contains(bodies[0], "hunter2") {
		t.Errorf("sent was %s", bodies[0])
	}
	if status, err := m.ReplicationCall(t.Context(), http.MethodPost, "notes", "orders", struct{}{}, nil); err != nil || status != http.StatusAccepted {
		t.Errorf("order: %d %v", status, err)
	}
	status, err := m.ReplicationCall(t.Context(), http.MethodDelete, "notes", "lock", api.DBLock{Operation: "op1"}, nil)
	if status != http.StatusForbidden || !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("unlock: %d %v", status, err)
	}
	if _, bodies := f.requests(http.MethodDelete); bodies[0] != `{"operation":"op1"}` {
		t.Errorf("unlocked %s", bodies[0])
	}
	f.stop()
	_, err = m.ReplicationCall(t.Context(), http.MethodGet, "notes", "record", nil, nil)
	isA[*client.Unreachable](t, err)
}

// framed returns parts as frames; an empty one is a sign of life.
func framed(parts ...string) string {
	var b []byte
	for _, part := range parts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
	}
	return string(b)
}

// whole is what ends a copy.
func whole() string { return string(binary.BigEndian.AppendUint32(nil, api.CopyEnd)) }

// donate has the agent answer with a text, and then do something.
func (f *fake) donate(text string, then func(r *http.Request)) {
	f.mux.HandleFunc("GET /v1/replications/notes/copy", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		if then != nil {
			then(r)
		}
	})
}

func TestReplicationCopy(t *testing.T) {
	cut := func(*http.Request) { panic(http.ErrAbortHandler) }
	tests := map[string]struct {
		text string
		then func(*http.Request)
		want string // what comes
		err  string // and how it ends; empty: well
	}{
		"in one frame":             {framed("data") + whole(), nil, "data", ""},
		"in frames":                {framed("da", "", "", "ta") + whole(), nil, "data", ""},
		"of nothing":               {whole(), nil, "", ""},
		"with more behind its end": {framed("data") + whole() + framed("more"), nil, "data", ""},
		"without an end":           {framed("data"), nil, "data", "broke off"},
		"without anything":         {"", nil, "", "broke off"},
		"in half a frame":          {framed("data")[:6], nil, "da", "broke off"},
		"in half a head":           {framed("data", "x")[:10], nil, "data", "broke off"},
		"cut":                      {framed("data"), cut, "data", "broke off"},
		"in a frame too long":      {string(binary.BigEndian.AppendUint32(nil, api.MaxCopyFrame+1)), nil, "", "a frame of 1048577 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.donate(test.text, test.then)
			copied, err := call(t, f.target(), options()).ReplicationCopy(t.Context(), "notes")
			if err != nil {
				t.Fatal(err)
			}
			defer copied.Close() //nolint:errcheck // only read
			got, err := io.ReadAll(copied)
			if string(got) != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q, %v; want %q, %q", got, err, test.want, test.err)
			}
			if n, again := copied.Read(make([]byte, 10)); n != 0 || again == nil {
				t.Errorf("read on after the end: %d, %v", n, again)
			}
		})
	}
}

func TestReplicationCopyThatStalls(t *testing.T) {
	for name, text := range map[string]string{
		"before a frame": framed("data"), "in a frame": framed("data", "more")[:14], "in a head": framed("data", "more")[:10], "from the beginning": "",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.donate(text, func(r *http.Request) { <-r.Context().Done() })
			o := options()
			o.StallTimeout = 100 * time.Millisecond
			copied, err := call(t, f.target(), o).ReplicationCopy(t.Context(), "notes")
			if err != nil {
				t.Fatal(err)
			}
			defer copied.Close() //nolint:errcheck // only read
			if got, err := io.ReadAll(copied); err == nil || !strings.Contains(err.Error(), "no byte within 100ms") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestReplicationCopyThatIsNotAnswered(t *testing.T) {
	f := newFake(t)
	f.mux.HandleFunc("GET /v1/replications/silent/copy", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	f.handle("GET /v1/replications/notes/copy", func(*http.Request, string) (any, error) {
		return nil, &api.Problem{Type: api.ProblemForbidden, Title: "web2 takes no part in notes"}
	})
	o := options()
	o.StallTimeout = 100 * time.Millisecond
	m := call(t, f.target(), o)
	if _, err := m.ReplicationCopy(t.Context(), "notes"); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("got %v", err)
	}
	_, err := m.ReplicationCopy(t.Context(), "silent")
	if lost := as[*client.Unreachable](t, err); !lost.Sent || !strings.Contains(err.Error(), "no byte within 100ms") {
		t.Errorf("got %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.ReplicationCopy(over, "notes"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	f.stop()
	_, err = m.ReplicationCopy(t.Context(), "notes")
	isA[*client.Unreachable](t, err)
}

func TestReplicationCopyIsBrokenOffByItsReader(t *testing.T) {
	f := newFake(t)
	gone := make(chan struct{})
	f.donate(framed("data"), func(r *http.Request) {
		<-r.Context().Done()
		close(gone)
	})
	copied, err := call(t, f.target(), options()).ReplicationCopy(t.Context(), "notes")
	if err != nil {
		t.Fatal(err)
	}
	if err := copied.Close(); err != nil {
		t.Error(err)
	}
	<-gone
}

func TestNodeShowsWhatItsIdentityHasNow(t *testing.T) {
	s := signer(t, seedText, "shop")
	shown := node(t, s, "web2", 1)
	bundle, fault := pki.Bundle{s.Certificate()}, error(nil)
	own := func() (*tls.Certificate, pki.Bundle, error) {
		copied := shown // as an identity does, which makes it anew each time
		return &copied, bundle, fault
	}
	f := newFake(t)
	credentials := client.Node("shop", own)
	if credentials.CanWrite() || credentials.Deployment() != "shop" {
		t.Errorf("can write %t, deployment %q", credentials.CanWrite(), credentials.Deployment())
	}
	pool := client.NewPool(credentials, options())
	t.Cleanup(pool.Close)
	m, err := pool.Machine(f.target())
	if err != nil {
		t.Fatal(err)
	}
	health := func() *http.Request {
		t.Helper()
		if _, err := m.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
		calls, _ := f.requests(http.MethodGet)
		return calls[len(calls)-1]
	}
	first, second := health(), health()
	if first.RemoteAddr != second.RemoteAddr {
		t.Error("the same certificate did not keep its connection")
	}
	if got := first.TLS.PeerCertificates[0]; !got.Equal(shown.Leaf) {
		t.Errorf("showed the certificate of %s", got.Subject)
	}
	shown = node(t, s, "web2", 1)
	if renewed := health(); !renewed.TLS.PeerCertificates[0].Equal(shown.Leaf) {
		t.Error("a renewed certificate was not shown")
	}
	shown, bundle = node(t, s, "web2", 1), pki.Bundle{signer(t, otherSeedText, "shop").Certificate()}
	_, err = m.Health(t.Context())
	isA[*client.WrongCA](t, err)
	fault = errors.New("not enrolled")
	if _, err := m.Health(t.Context()); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
}

func FuzzReplicationCopy(f *testing.F) {
	f.Add([]byte(framed("data") + whole()))
	f.Add([]byte(framed("data", "", "x")))
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xfe})
	f.Fuzz(func(t *testing.T, sent []byte) {
		got, err := client.ReadFrames(sent)
		if err == nil && !strings.Contains(string(sent), whole()) {
			t.Errorf("%q became %q without an end", sent, got)
		}
	})
}
