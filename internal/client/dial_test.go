package client_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// selfSigned returns the certificate of a machine that is not enrolled.
func selfSigned(t testing.TB, deployment, name string) tls.Certificate {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := pki.SelfSigned(key, deployment, name)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// stranger returns a self-signed certificate that has nothing to do with foobar.
func stranger(t testing.TB) tls.Certificate {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "router"}, DNSNames: []string{"web1.shop.internal"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestWhoAnswersIsReportedByTheHandshakeAlone(t *testing.T) {
	s := signer(t, seedText, "shop")
	past := s
	past.Now = func() time.Time { return now().AddDate(-11, 0, 0) }
	young, err := pki.NewAuthority(mustSeed(t, seedText), "shop", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	future := pki.Signer{Authority: young, Now: func() time.Time { return now().AddDate(1, 0, 0) }, Random: rand.Reader}
	right := node(t, s, "web1", 1)
	for name, test := range map[string]struct {
		shown  tls.Certificate
		target client.Target
		want   string
	}{
		"the machine":                     {right, client.Target{}, "<nil>"},
		"the machine, of known key":       {right, client.Target{Incarnation: 1, Key: pki.KeyPin(right.Leaf)}, "<nil>"},
		"another key":                     {right, client.Target{Key: api.KeyPin(nil)}, "*client.WrongMachine: its key is sha256:"},
		"another incarnation":             {right, client.Target{Incarnation: 2}, "*client.WrongMachine: it is incarnation 1 of it, and incarnation 2 is meant"},
		"another machine":                 {node(t, s, "web2", 1), client.Target{}, `*client.WrongMachine: it is machine "web2" of deployment "shop"`},
		"another deployment":              {node(t, signer(t, seedText, "shop2"), "web1", 1), client.Target{}, `*client.WrongCA: certificate comes from "foobar CA of shop2"`},
		"another seed":                    {node(t, signer(t, otherSeedText, "shop"), "web1", 1), client.Target{}, "*client.WrongCA"},
		"a stranger":                      {stranger(t), client.Target{}, `*client.WrongCA: comes from "router"`},
		"not enrolled":                    {selfSigned(t, "shop", "web1"), client.Target{}, "*client.NotEnrolled"},
		"another one, not enrolled":       {selfSigned(t, "shop", "web2"), client.Target{}, `*client.WrongMachine: it claims to be machine "web2" of deployment "shop", and is not enrolled`},
		"another deployment's, likewise":  {selfSigned(t, "shop2", "web1"), client.Target{}, "*client.WrongMachine"},
		"an admin's own certificate":      {adminCertificate(t), client.Target{}, `*client.WrongMachine: it shows the certificate of a client, "somebody"`},
		"a certificate that has ended":    {node(t, past, "web1", 1), client.Target{}, "*client.ClockMismatch: ended at 2025-02-26T12:00:00Z, and the clock here shows 2026-03-01"},
		"a certificate that is to come":   {node(t, future, "web1", 1), client.Target{}, "*client.ClockMismatch: the machine's certificate is valid from 2027"},
		"another's that is to come":       {node(t, future, "web2", 1), client.Target{}, "*client.WrongMachine"},
		"one of the machine's, to a peer": {right, client.Target{Name: "web2"}, `*client.WrongMachine: it is machine "web1"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeWith(t, &tls.Config{Certificates: []tls.Certificate{test.shown}, ClientAuth: tls.RequestClientCert})
			test.target.Address = f.address
			if test.target.Name == "" {
				test.target.Name = "web1"
			}
			_, err := call(t, test.target, options()).Health(t.Context())
			class, text, _ := strings.Cut(test.want, ": ")
			if got := fmt.Sprintf("%T", err); got != class || err != nil && !strings.Contains(err.Error(), text) {
				t.Errorf("got %s %v, want %s", got, err, test.want)
			}
			if calls, _ := f.requests(http.MethodGet); err != nil && len(calls) != 0 {
				t.Error("something was sent to it")
			}
		})
	}
}

func mustSeed(t testing.TB, text string) pki.Seed {
	t.Helper()
	seed, err := pki.ParseSeed(text)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func adminCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	issued, err := signer(t, seedText, "shop").Client(api.RoleAdmin, "somebody", 0)
	if err != nil {
		t.Fatal(err)
	}
	return *issued.TLS()
}

// A machine refuses a certificate when the client believes the handshake done:
// the reason must not be lost to a reset, whoever is faster.
func TestReasonOfARefusalArrives(t *testing.T) {
	s := signer(t, seedText, "shop")
	for name, test := range map[string]struct {
		pool  *x509.CertPool
		clock time.Time
		want  string
	}{
		"another CA":   {pki.Bundle{signer(t, otherSeedText, "shop").Certificate()}.Pool(), now(), "*client.WrongCA"},
		"another time": {pki.Bundle{s.Certificate()}.Pool(), now().AddDate(0, 0, 1), "*client.ClockMismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			shown := node(t, s, "web1", 1)
			shown.SignedCertificateTimestamps = [][]byte{pki.ClockStamp(test.clock)}
			f := newFakeWith(t, &tls.Config{
				Certificates: []tls.Certificate{shown}, ClientAuth: tls.RequireAndVerifyClientCert,
				ClientCAs: test.pool, Time: func() time.Time { return test.clock },
			})
			m := call(t, f.target(), options())
			for range 20 {
				big := client.Change{ID: change().ID, Write: api.Write{Spec: []byte(`"` + strings.Repeat("x", 1<<18) + `"`)}}
				_, err := m.Plan(t.Context(), big.ID, 0, big.Write)
				if got := fmt.Sprintf("%T", err); got != test.want {
					t.Fatalf("got %s %v, want %s", got, err, test.want)
				}
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{
		"nobody listens":            free.Addr().String(),
		"nobody does the handshake": silent.Addr().String(),
		"something without TLS":     plain.Listener.Addr().String(),
		"a name that is unknown":    "web1.invalid:9443",
	} {
		o := options()
		o.DialTimeout = 200 * time.Millisecond
		_, err := call(t, client.Target{Name: "web1", Address: address}, o).Health(t.Context())
		if lost := as[*client.Unreachable](t, err); lost.Sent {
			t.Errorf("%s: something was sent: %v", name, err)
		}
	}
}

func TestAnswerThatDoesNotComeIsNotWaitedForForEver(t *testing.T) {
	f := newFake(t)
	f.handle("GET /v1/info", func(r *http.Request, _ string) (any, error) { <-r.Context().Done(); return nil, errCut })
	o := options()
	o.CallTimeout = 200 * time.Millisecond
	_, err := call(t, f.target(), o).Info(t.Context())
	if lost := as[*client.Unreachable](t, err); !lost.Sent || !strings.Contains(err.Error(), "no answer within 200ms") {
		t.Errorf("got %+v", lost)
	}
}

func TestAnswers(t *testing.T) {
	f := newFake(t)
	for path, answer := range map[string]string{"/v1/info": "<html>", "/v1/components": `{"components":[{"kind":"app-server","name":"a","new":1}]}`} {
		f.handle("GET "+path, func(*http.Request, string) (any, error) { return answer, nil })
	}
	f.handle("GET "+appPath, func(*http.Request, string) (any, error) {
		return nil, &api.Problem{Type: api.ProblemNotFound, Title: "There is no such component"}
	})
	f.handle("GET /v1/logs", func(r *http.Request, _ string) (any, error) {
		return api.Logs{Lines: []api.LogLine{{Unit: r.URL.Query().Get("unit"), Message: r.URL.Query().Get("lines")}}}, nil
	})
	m := call(t, f.target(), options())
	if _, err := m.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "read what machine web1 answered to GET /v1/info") {
		t.Errorf("an answer that is no JSON: %v", err)
	}
	if list, err := m.Components(t.Context()); err != nil || len(list.Components) != 1 {
		t.Errorf("an answer of a later release: %+v, %v", list, err)
	}
	if _, err := m.Get(t.Context(), change().ID); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("a component that is not there: %v", err)
	}
	if _, err := m.Audit(t.Context(), 7); !api.IsProblem(err, api.ProblemNotFound) || !strings.Contains(err.Error(), "404") {
		t.Errorf("a problem that is none: %v", err)
	}
	if lines, err := m.Logs(t.Context(), "foobar-lb-a.service", 50); err != nil || len(lines) != 1 || lines[0].Unit != "foobar-lb-a.service" || lines[0].Message != "50" {
		t.Errorf("got %v, %v", lines, err)
	}
}

func TestErrorsSayWhatWasFoundAndWhatToDo(t *testing.T) {
	const name, address = "web1", "10.0.0.1:9443"
	later := now().Add(time.Hour)
	for _, test := range []struct {
		err   error
		wants []string
	}{
		{&client.Unreachable{Machine: name, Address: address, Err: net.ErrClosed}, []string{"does not answer", net.ErrClosed.Error()}},
		{&client.NotEnrolled{Machine: name, Address: address}, []string{"apply of its foobar_machine enrols it"}},
		{&client.WrongMachine{Machine: name, Address: address, Detail: "it is web2"}, []string{"another machine than web1", "it is web2"}},
		{&client.WrongCA{Machine: name, Address: address, Detail: "why"}, []string{"why", "check ca_seed and deployment"}},
		{&client.ProofFailed{Machine: name, Address: address, Incarnation: 2}, []string{"incarnation 2", "nothing was sent to it", "user_data"}},
		{&client.ClockMismatch{Machine: name, Address: address, Ours: now(), Theirs: later}, []string{"the client certificate of this run", now().Format(time.RFC3339), "shows " + later.Format(time.RFC3339)}},
		{&client.ClockMismatch{Machine: name, Address: address, Ours: now(), NotAfter: later, OfMachine: true}, []string{"the machine's certificate", "is not known"}},
		{&client.ClockMismatch{Machine: name, Address: address, Ours: later, NotAfter: now(), OfMachine: true}, []string{"ended at " + now().Format(time.RFC3339), "knows the machine's key"}},
		{&client.TooOld{Machine: name, Version: "0.1.0", Missing: []string{"a", "b"}}, []string{"version 0.1.0", "a, b", "newer image"}},
	} {
		text := test.err.Error()
		for _, want := range append(test.wants, name) {
			if !strings.Contains(text, want) {
				t.Errorf("%T: %q lacks %q", test.err, text, want)
			}
		}
		if strings.Contains(text, "\n") {
			t.Errorf("%T has more than one line", test.err)
		}
	}
}

func TestRequire(t *testing.T) {
	info := api.Info{Health: api.Health{Node: "web1"}, Version: "0.1.0", APIVersions: []string{"v1"}, Features: []string{"a"}}
	if err := client.Require(info, "a"); err != nil {
		t.Error(err)
	}
	if err := as[*client.TooOld](t, client.Require(info, "a", "b")); len(err.Missing) != 1 || err.Missing[0] != "b" {
		t.Errorf("got %v", err)
	}
	info.APIVersions = []string{"v2"}
	if err := as[*client.TooOld](t, client.Require(info)); err.Missing[0] != "API v1" {
		t.Errorf("got %v", err)
	}
}
