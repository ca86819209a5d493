package identity_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

func TestEnrolmentMakesOneLastingIdentity(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	if facts := m.id.Facts(); facts.Enrolled || facts.Node != "web1" || facts.Listen != ":9443" {
		t.Fatalf("it begins as %+v", facts)
	}
	if _, err := newRun().call(m).Health(t.Context()); as[*client.NotEnrolled](t, err) == nil {
		t.Error("a machine that is not enrolled was believed")
	}
	enrolled := newRun().enroll(m)
	want := api.Enrolled{
		Deployment: "shop", Node: "web1", Incarnation: 1,
		Key: m.id.Facts().Key, Serial: m.id.Facts().Serial, Expires: now().Add(pki.NodeLifetime),
	}
	if enrolled != want {
		t.Errorf("got %+v, want %+v", enrolled, want)
	}
	if _, err := os.Stat(m.bootstrap); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the bootstrap is still there: %v", err)
	}
	for range 2 {
		pinned := newRun()
		pinned.key = enrolled.Key
		if health, err := pinned.call(m).Health(t.Context()); err != nil || !health.Enrolled {
			t.Errorf("got %+v, %v", health, err)
		}
		if again := newRun().enroll(m); again != enrolled {
			t.Errorf("the second enrolment gave %+v, the first %+v", again, enrolled)
		}
		m.boot()
		if facts := m.id.Facts(); !facts.Enrolled || facts.Key != enrolled.Key || facts.Listen != ":9443" {
			t.Errorf("after a restart it is %+v", facts)
		}
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the directory holds %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %s, %v", entries[0].Name(), info.Mode(), err)
	}
}

// relay stands between Terraform and a machine, with TLS of its own on both
// sides and a stolen certificate of a run.
func relay(t *testing.T, m *machine, stolen *tls.Certificate) (behind *machine, paths *[]string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	own, err := pki.SelfSigned(key, "shop", "web1")
	if err != nil {
		t.Fatal(err)
	}
	upstream := m.dial(stolen)
	var mu sync.Mutex
	paths = new([]string)
	address, _ := serve(t, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.Raw}, PrivateKey: key}},
		ClientAuth:   tls.RequestClientCert,
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		*paths = append(*paths, r.URL.Path)
		body, _ := io.ReadAll(r.Body)
		var answer json.RawMessage
		if err := upstream.post(r.URL.Path, json.RawMessage(body), &answer); err != nil {
			t.Errorf("the relay: %v", err)
		}
		_, _ = w.Write(answer)
	}))
	return &machine{t: t, address: address}, paths
}

func TestRelayLearnsAndGivesNothing(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	behind, paths := relay(t, m, admin(t))
	_, err := newRun().call(behind).Enroll(t.Context())
	as[*client.ProofFailed](t, err)
	if len(*paths) != 1 || (*paths)[0] != "/v1/enroll" {
		t.Errorf("the relay saw %v, want the first call alone", *paths)
	}
	if m.id.Facts().Enrolled {
		t.Error("the machine is enrolled")
	}
	newRun().enroll(m) // the machine itself still can be
}

func TestWrongKeysLookAlikeToTerraform(t *testing.T) {
	texts := map[string]bool{}
	for name, key := range map[string][]byte{
		"another seed's":         authority(t, otherSeedText).EnrollKey("web1", 1),
		"another machine's":      authority(t, seedText).EnrollKey("web2", 1),
		"a higher incarnation's": authority(t, seedText).EnrollKey("web1", 2),
	} {
		b := bootstrap(t, 1)
		b.EnrollKey = api.Secret(encoded(key))
		m := booted(t, b)
		_, err := newRun().call(m).Enroll(t.Context())
		text := strings.ReplaceAll(as[*client.ProofFailed](t, err).Error(), m.address, "ADDRESS")
		texts[text] = true
		if m.id.Facts().Enrolled || m.handled.Load() != 1 {
			t.Errorf("%s: enrolled %t after %d calls", name, m.id.Facts().Enrolled, m.handled.Load())
		}
	}
	if len(texts) != 1 {
		t.Errorf("the texts differ: %v", texts)
	}
}

func TestWrongProofsLookAlikeToEverybody(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	one, two := m.dial(admin(t)), m.dial(admin(t))
	recorded := two.offer()
	answers := map[string]bool{}
	for name, attempt := range map[string]func() error{
		"another seed's key": func() error {
			return one.post("/v1/enroll:finish", one.grant(one.offer(), authority(t, otherSeedText).EnrollKey("web1", 1)), nil)
		},
		"another machine's key": func() error {
			return one.post("/v1/enroll:finish", one.grant(one.offer(), authority(t, seedText).EnrollKey("web2", 1)), nil)
		},
		"a lower incarnation's key": func() error {
			return one.post("/v1/enroll:finish", one.grant(one.offer(), authority(t, seedText).EnrollKey("web1", 0)), nil)
		},
		"the proof of another connection": func() error {
			one.offer()
			return one.post("/v1/enroll:finish", one.grant(recorded, enrollKey(t)), nil)
		},
		"the machine's own proof": func() error {
			x := one.offer()
			grant := one.grant(x, enrollKey(t))
			grant.Proof = x.Proof(enrollKey(t), pki.SideNode)
			return one.post("/v1/enroll:finish", grant, nil)
		},
		"an exchange that another has followed": func() error {
			x := one.offer()
			one.offer()
			return one.post("/v1/enroll:finish", one.grant(x, enrollKey(t)), nil)
		},
		"a second try for one exchange": func() error {
			x := one.offer()
			_ = one.post("/v1/enroll:finish", one.grant(x, []byte("wrong")), nil)
			return one.post("/v1/enroll:finish", one.grant(x, enrollKey(t)), nil)
		},
		"no exchange at all": func() error {
			return one.post("/v1/enroll:finish", one.grant(recorded, enrollKey(t)), nil)
		},
		"no proof": func() error {
			grant := one.grant(one.offer(), enrollKey(t))
			grant.Proof = nil
			return one.post("/v1/enroll:finish", grant, nil)
		},
	} {
		err := attempt()
		if !api.IsProblem(err, api.ProblemProof) {
			t.Errorf("%s: got %v", name, err)
		}
		answers[err.Error()] = true
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	if m.id.Facts().Enrolled {
		t.Error("the machine is enrolled")
	}
	// The other connection's own exchange is still good.
	if err := two.post("/v1/enroll:finish", two.grant(recorded, enrollKey(t)), &api.Enrolled{}); err != nil {
		t.Error(err)
	}
}

func TestNonceHasItsLength(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	for _, size := range []int{0, 31, 33} {
		err := m.dial(admin(t)).post("/v1/enroll", api.EnrollHello{Nonce: make([]byte, size)}, nil)
		if !api.IsProblem(err, api.ProblemInvalid) {
			t.Errorf("a nonce of %d bytes: %v", size, err)
		}
	}
}

func TestNobodyElseGetsIn(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	foreign := pki.Signer{Authority: authority(t, otherSeedText), Now: now, Random: rand.Reader}
	otherCA, err := foreign.Client(api.RoleAdmin, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := signer(t).Client(api.RoleReader, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T) {
		for name, test := range map[string]struct {
			shown *tls.Certificate
			// handshake tells that TLS has to end the connection.
			handshake bool
		}{
			"no certificate":      {nil, true},
			"another CA's":        {otherCA.TLS(), true},
			"a reader's":          {reader.TLS(), false},
			"another machine's":   {machineCertificate(t, "web2"), false},
			"a service's":         {serviceCertificate(t), false},
			"that of the machine": {machineCertificate(t, "web1"), false},
		} {
			for _, path := range []string{"/v1/enroll", "/v1/enroll:finish", "/v1/identity:renew"} {
				err := m.dial(test.shown).post(path, struct{}{}, nil)
				if err == nil || !test.handshake && !api.IsProblem(err, api.ProblemForbidden) {
					t.Errorf("%s: %s: got %v", name, path, err)
				}
				if _, answered := errors.AsType[*api.Problem](err); test.handshake && answered {
					t.Errorf("%s: %s was answered: %v", name, path, err)
				}
			}
		}
	}
	t.Run("before the enrolment", check)
	newRun().enroll(m)
	t.Run("after it", check)
}

func machineCertificate(t testing.TB, node string) *tls.Certificate {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := signer(t).Node(public, node, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
}

func serviceCertificate(t testing.TB) *tls.Certificate {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := signer(t).Service(public, pki.ServiceNames{DNS: []string{pki.NodeDNSName("shop", "web1")}})
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
}

// A service's certificate names the machine as well. Whoever holds its key, a
// database, must not pass for the machine's agent.
func TestServiceIsNoMachine(t *testing.T) {
	address, _ := serve(t, &tls.Config{Certificates: []tls.Certificate{*serviceCertificate(t)}}, http.NotFoundHandler())
	_, err := newRun().call(&machine{t: t, address: address}).Health(t.Context())
	as[*client.WrongMachine](t, err)
}

// A machine that was taken over before its enrolment may ask for anything.
func TestSignerIgnoresWhatTheRequestAsksFor(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	own, err := pki.SelfSigned(key, "shop", "web1")
	if err != nil {
		t.Fatal(err)
	}
	constraints, err := asn1.Marshal(struct{ IsCA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "lb1", Organization: []string{"admin"}},
		DNSNames:        []string{"lb1.shop.internal", "*.shop.internal"},
		IPAddresses:     []net.IP{net.IPv4(10, 0, 0, 1)},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: constraints}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	granted := make(chan api.EnrollGrant, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/enroll", func(w http.ResponseWriter, r *http.Request) {
		var hello api.EnrollHello
		_ = json.NewDecoder(r.Body).Decode(&hello)
		x := pki.Exchange{SPKI: own.RawSubjectPublicKeyInfo, ProviderNonce: hello.Nonce, NodeNonce: make([]byte, api.NonceSize), CSR: csr}
		x.Exporter, _ = pki.Exporter(*r.TLS)
		_, _ = w.Write(api.Encode(api.EnrollOffer{CSR: csr, Nonce: x.NodeNonce, Proof: x.Proof(enrollKey(t), pki.SideNode)}))
	})
	mux.HandleFunc("POST /v1/enroll:finish", func(_ http.ResponseWriter, r *http.Request) {
		var grant api.EnrollGrant
		_ = json.NewDecoder(r.Body).Decode(&grant)
		granted <- grant
	})
	address, _ := serve(t, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.Raw}, PrivateKey: key}}, ClientAuth: tls.RequestClientCert,
	}, mux)
	newRun().enroll(&machine{t: t, address: address})
	leaf, err := pki.ParseCertificate((<-granted).Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(leaf.Subject, leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses, leaf.URIs, leaf.IsCA)
	if want := "SERIALNUMBER=1,CN=web1 [web1.shop.internal] [] [] [spiffe://shop/node/web1] false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMachineAcceptsOnlyItsOwnCertificate(t *testing.T) {
	s := signer(t)
	foreign := pki.Signer{Authority: authority(t, otherSeedText), Now: now, Random: rand.Reader}
	stranger, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := booted(t, bootstrap(t, 1))
	c := m.dial(admin(t))
	for name, certify := range map[string]func(public ed25519.PublicKey) (*x509.Certificate, []*x509.Certificate, error){
		"for another machine": func(p ed25519.PublicKey) (*x509.Certificate, []*x509.Certificate, error) {
			leaf, err := s.Node(p, "web2", 1)
			return leaf, []*x509.Certificate{s.Certificate()}, err
		},
		"for another incarnation": func(p ed25519.PublicKey) (*x509.Certificate, []*x509.Certificate, error) {
			leaf, err := s.Node(p, "web1", 2)
			return leaf, []*x509.Certificate{s.Certificate()}, err
		},
		"for another key": func(ed25519.PublicKey) (*x509.Certificate, []*x509.Certificate, error) {
			leaf, err := s.Node(stranger, "web1", 1)
			return leaf, []*x509.Certificate{s.Certificate()}, err
		},
		"of a CA that is not in the list": func(p ed25519.PublicKey) (*x509.Certificate, []*x509.Certificate, error) {
			leaf, err := foreign.Node(p, "web1", 1)
			return leaf, []*x509.Certificate{s.Certificate()}, err
		},
		"with a list that locks its sender out": func(p ed25519.PublicKey) (*x509.Certificate, []*x509.Certificate, error) {
			leaf, err := foreign.Node(p, "web1", 1)
			return leaf, []*x509.Certificate{foreign.Certificate()}, err
		},
		"with no CA": func(p ed25519.PublicKey) (*x509.Certificate, []*x509.Certificate, error) {
			leaf, err := s.Node(p, "web1", 1)
			return leaf, nil, err
		},
	} {
		x := c.offer()
		public, err := pki.ReadRequest(x.CSR)
		if err != nil {
			t.Fatal(err)
		}
		leaf, cas, err := certify(public)
		if err != nil {
			t.Fatal(err)
		}
		grant := c.grant(x, enrollKey(t))
		grant.Chain, grant.CA = []string{pki.EncodeCertificate(leaf)}, pki.Bundle(cas).PEM()
		if err := c.post("/v1/enroll:finish", grant, nil); !api.IsProblem(err, api.ProblemInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if m.id.Facts().Enrolled {
		t.Error("the machine is enrolled")
	}
}

func TestOneOfTwoAtOnceWins(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	var won, refused atomic.Int64
	channels, grants := make([]*channel, 8), make([]api.EnrollGrant, 8)
	for i := range channels {
		channels[i] = m.dial(admin(t))
		grants[i] = channels[i].grant(channels[i].offer(), enrollKey(t))
	}
	var wg sync.WaitGroup
	for i, c := range channels {
		wg.Go(func() {
			switch err := c.post("/v1/enroll:finish", grants[i], &api.Enrolled{}); {
			case err == nil:
				won.Add(1)
			case api.IsProblem(err, api.ProblemEnrolled):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d won and %d were refused", won.Load(), refused.Load())
	}
	if err := m.dial(admin(t)).post("/v1/enroll", api.EnrollHello{Nonce: make([]byte, api.NonceSize)}, nil); !api.IsProblem(err, api.ProblemEnrolled) {
		t.Errorf("a further enrolment: %v", err)
	}
}

func TestRunsAtOnceAgree(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	results := make([]api.Enrolled, 4)
	var wg sync.WaitGroup
	for i := range results {
		called := newRun().call(m)
		wg.Go(func() {
			var err error
			if results[i], err = called.Enroll(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range results {
		if r.Key != m.id.Facts().Key || r.Serial != m.id.Facts().Serial {
			t.Errorf("a run holds %+v, the machine %+v", r, m.id.Facts())
		}
	}
}

func TestKillAtAnyWriteEndsInOneIdentity(t *testing.T) {
	killed := errors.New("killed")
	for at := 1; ; at++ {
		m := booted(t, bootstrap(t, 1))
		count := 0
		var where string
		m.step = func(step string) error {
			if count++; count >= at { // nothing happens after a kill
				where = step
				return killed
			}
			return nil
		}
		_, _ = newRun().call(m).Enroll(t.Context()) // whatever it answers is lost
		m.step = nil
		if count < at {
			if at < 6 {
				t.Errorf("there are %d writes only", at-1)
			}
			return
		}
		t.Run(fmt.Sprintf("before write %d, %s", at, where), func(t *testing.T) {
			m.t = t
			m.boot()
			before := m.id.Facts()
			enrolled := newRun().enroll(m)
			if before.Enrolled && enrolled.Key != before.Key {
				t.Error("the retry made a second identity")
			}
			m.boot()
			if facts := m.id.Facts(); !facts.Enrolled || facts.Key != enrolled.Key || facts.Serial != enrolled.Serial {
				t.Errorf("the machine is %+v, the run holds %+v", facts, enrolled)
			}
			if entries, err := os.ReadDir(m.dir); err != nil || len(entries) != 1 {
				t.Errorf("the directory holds %v, %v", entries, err)
			}
			if _, err := os.Stat(m.bootstrap); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the bootstrap is still there: %v", err)
			}
		})
	}
}

func TestLostLastAnswerIsMadeUpFor(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	c := m.dial(admin(t))
	grant := c.grant(c.offer(), enrollKey(t))
	if err := c.post("/v1/enroll:finish", grant, &api.Enrolled{}); err != nil {
		t.Fatal(err)
	}
	if enrolled := newRun().enroll(m); enrolled.Key != m.id.Facts().Key {
		t.Errorf("the run holds %s, the machine %s", enrolled.Key, m.id.Facts().Key)
	}
}

func TestFailedWriteLeavesTheMachineEnrollable(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	m.step = func(string) error { return errors.New("no space left on device") }
	_, err := newRun().call(m).Enroll(t.Context())
	if !api.IsProblem(err, api.ProblemInternal) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
	m.step = nil
	newRun().enroll(m)
}

func TestBootstrapThatCannotBeRemovedIsACondition(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	m.step = func(step string) error {
		if step == "remove" {
			return errors.New("read-only file system")
		}
		return nil
	}
	newRun().enroll(m)
	if c := m.id.Conditions(); len(c) != 1 || c[0].Type != "BootstrapNotRemoved" {
		t.Errorf("got %v", c)
	}
	m.step = nil
	m.boot()
	if c := m.id.Conditions(); len(c) != 0 {
		t.Errorf("got %v", c)
	}
	if _, err := os.Stat(m.bootstrap); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the bootstrap is still there: %v", err)
	}
}

func TestOnlyAHigherIncarnationMakesAMachineNew(t *testing.T) {
	m := booted(t, bootstrap(t, 2))
	second := newRun()
	second.inc = 2
	old := second.enroll(m)
	for _, lower := range []int64{1, 2} {
		m.tell(bootstrap(t, lower))
		m.boot()
		if facts := m.id.Facts(); !facts.Enrolled || facts.Key != old.Key {
			t.Errorf("incarnation %d: %+v", lower, facts)
		}
	}
	m.tell(bootstrap(t, 3))
	m.boot()
	if facts := m.id.Facts(); facts.Enrolled || facts.Key == old.Key || facts.Incarnation != 3 {
		t.Errorf("incarnation 3: %+v", facts)
	}
	pinned := second
	pinned.key = old.Key
	if _, err := pinned.call(m).Enroll(t.Context()); as[*client.WrongMachine](t, err) == nil {
		t.Error("a replaced machine was taken for the known one")
	}
	third := newRun()
	third.inc = 3
	if fresh := third.enroll(m); fresh.Incarnation != 3 || fresh.Key == old.Key {
		t.Errorf("got %+v", fresh)
	}
	if _, err := second.call(m).Enroll(t.Context()); as[*client.WrongMachine](t, err) == nil {
		t.Error("incarnation 3 was taken for incarnation 2")
	}
}

func TestOpenWithoutAnythingIsAnError(t *testing.T) {
	_, err := identity.Open(identity.Config{Dir: t.TempDir(), Now: now, Random: rand.Reader})
	if err == nil || !strings.Contains(err.Error(), "there is none") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestClockRule(t *testing.T) {
	long := time.Date(1970, time.January, 1, 0, 1, 0, 0, time.UTC)
	future := time.Date(2099, time.January, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		machine, run time.Time
		enrols       bool
	}{
		"both right":                      {now(), now(), true},
		"the machine's in 1970":           {long, now(), true},
		"the machine's before its build":  {built().Add(-time.Second), now(), true},
		"the machine's in 2099":           {future, now(), false},
		"the machine's behind":            {now().Add(-59 * time.Minute), now(), true},
		"the machine's far behind":        {now().Add(-61 * time.Minute), now(), false},
		"the machine's a little ahead":    {now().Add(14 * time.Minute), now(), true},
		"the machine's ahead":             {now().Add(16 * time.Minute), now(), false},
		"the run's certificate is future": {now(), now().Add(2 * time.Hour), false},
		"the run's certificate has ended": {now(), now().Add(-time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			m := unboxed(t, bootstrap(t, 1))
			m.now = at(test.machine)
			m.boot()
			r := newRun()
			r.now = at(test.run)
			_, err := r.call(m).Enroll(t.Context())
			if test.enrols {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			both(t, err, test.run, test.machine)
			if m.id.Facts().Enrolled {
				t.Error("the machine is enrolled")
			}
		})
	}
}

// both checks that an error names both clocks.
func both(t *testing.T, err error, ours, theirs time.Time) {
	t.Helper()
	text := as[*client.ClockMismatch](t, err).Error()
	for _, clock := range []time.Time{ours, theirs} {
		if !strings.Contains(text, clock.Format(time.RFC3339)) {
			t.Errorf("%q does not name %s", text, clock.Format(time.RFC3339))
		}
	}
}

func TestEnrolledMachineForgivesNoClock(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	for _, wrong := range []time.Time{time.Unix(60, 0).UTC(), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)} {
		m.now = at(wrong)
		before := m.handled.Load()
		_, err := newRun().call(m).Health(t.Context())
		both(t, err, now(), wrong)
		if m.handled.Load() != before {
			t.Error("the call was handled")
		}
	}
}

func TestWrongClockEnrolsAndThenWaitsForTheRightOne(t *testing.T) {
	m := unboxed(t, bootstrap(t, 1))
	m.now = at(time.Unix(60, 0).UTC())
	m.boot()
	enrolled := newRun().enroll(m)
	_, err := newRun().call(m).Health(t.Context())
	both(t, err, now(), time.Unix(60, 0).UTC())
	m.now = now
	if _, err := newRun().call(m).Health(t.Context()); err != nil {
		t.Error(err)
	}
	if again := newRun().enroll(m); again != enrolled {
		t.Errorf("got %+v, want %+v", again, enrolled)
	}
}
