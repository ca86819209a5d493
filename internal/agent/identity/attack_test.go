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
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

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
		if err := upstream.post(r.URL.Path, json.RawMessage(body), &answer); err != nil { //nolint:contextcheck // the relay's own connection
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
	isA[*client.ProofFailed](t, err)
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
	m.now = at(time.Unix(60, 0))
	t.Run("before it, with a clock that is known to be wrong", check)
	m.now = now
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
	isA[*client.WrongMachine](t, err)
}

// impostor is a machine that holds the enrolment key, shows one key and asks
// for a certificate with a request of its own.
func impostor(t *testing.T, key ed25519.PrivateKey, csr []byte) (*machine, <-chan api.EnrollGrant) {
	t.Helper()
	own, err := pki.SelfSigned(key, "shop", "web1")
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
	return &machine{t: t, address: address}, granted
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A machine that was taken over before its enrolment may ask for anything.
func TestSignerIgnoresWhatTheRequestAsksFor(t *testing.T) {
	key := newKey(t)
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
	m, granted := impostor(t, key, csr)
	newRun().enroll(m)
	leaf, err := pki.ParseCertificate((<-granted).Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(leaf.Subject, leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses, leaf.URIs, leaf.IsCA)
	if want := "SERIALNUMBER=1,CN=web1 [web1.shop.internal] [] [] [spiffe://shop/node/web1] false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOnlyTheKeyOfTheConnectionIsSigned(t *testing.T) {
	key, other := newKey(t), newKey(t)
	foreign, err := pki.Request(other, "web1")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := pki.Request(key, "web1")
	if err != nil {
		t.Fatal(err)
	}
	forged[len(forged)-1] ^= 1
	for name, csr := range map[string][]byte{"another key": foreign, "a request that its key did not sign": forged, "none": nil} {
		m, _ := impostor(t, key, csr)
		if _, err := newRun().call(m).Enroll(t.Context()); as[*client.ProofFailed](t, err) == nil {
			t.Errorf("%s was signed", name)
		}
	}
}

// A list of CAs may hold another deployment's by mistake.
func TestAnotherDeploymentHasNoSay(t *testing.T) {
	foreign, err := pki.NewAuthority(mustSeed(t), "shop2", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	b := bootstrap(t, 1)
	b.CA = append(b.CA, pki.EncodeCertificate(foreign.Certificate()))
	m := booted(t, b)
	issued, err := pki.Signer{Authority: foreign, Now: now, Random: rand.Reader}.Client(api.RoleAdmin, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	err = m.dial(issued.TLS()).post("/v1/enroll", api.EnrollHello{Nonce: make([]byte, api.NonceSize)}, nil)
	if !api.IsProblem(err, api.ProblemForbidden) || !strings.Contains(err.Error(), `it is of deployment "shop2"; this machine is of "shop"`) {
		t.Errorf("got %v", err)
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
	var endorsements []string
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
			endorsement, err := s.Endorse(foreign.Certificate())
			if err != nil {
				return nil, nil, err
			}
			endorsements = []string{pki.EncodeCertificate(endorsement)}
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
		grant.Endorsements, endorsements = endorsements, nil
		if err := c.post("/v1/enroll:finish", grant, nil); !api.IsProblem(err, api.ProblemInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if m.id.Facts().Enrolled {
		t.Error("the machine is enrolled")
	}
}

func TestBegunEnrolmentsAreForgottenInTheEnd(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	first := m.dial(admin(t))
	grant := first.grant(first.offer(), enrollKey(t))
	var last *channel
	var lastGrant api.EnrollGrant
	for range 16 {
		last = m.dial(admin(t))
		lastGrant = last.grant(last.offer(), enrollKey(t))
	}
	if err := first.post("/v1/enroll:finish", grant, nil); !api.IsProblem(err, api.ProblemProof) {
		t.Errorf("the oldest of 17: %v", err)
	}
	if err := last.post("/v1/enroll:finish", lastGrant, &api.Enrolled{}); err != nil {
		t.Errorf("the youngest: %v", err)
	}
}

func TestNothingButFullTLS13Handshakes(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	config := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{*admin(t)}, MaxVersion: tls.VersionTLS12}
	if _, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", m.address); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	resuming := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{*admin(t)}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for range 2 {
		c := m.dialWith(resuming)
		c.offer() // reads whatever tickets there are
		if c.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
	}
}
