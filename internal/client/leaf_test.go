package client_test

import (
	"crypto/ed25519"
	"encoding/pem"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// service is what a fake agent has of one service's leaf.
type service struct {
	t    testing.TB
	key  ed25519.PrivateKey
	leaf api.ServiceLeaf
}

// serve answers for the leaf "db"; before anybody asked for it there is none.
func (s *service) serve(f *fake) {
	f.handle("GET /v1/leaves/db", func(*http.Request, string) (any, error) {
		if s.leaf.CSR == "" {
			return nil, &api.Problem{Type: api.ProblemNotFound, Title: "There is no such service leaf"}
		}
		return s.leaf, nil
	})
	f.handle("POST /v1/leaves/db", func(*http.Request, string) (any, error) {
		if s.leaf.CSR == "" {
			s.request()
		}
		return s.leaf, nil
	})
	f.handle("PUT /v1/leaves/db", func(_ *http.Request, body string) (any, error) {
		return s.leaf, api.Decode([]byte(body), &s.leaf)
	})
}

// request makes the service's key.
func (s *service) request() {
	s.t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := pki.Request(key, "whatever it wants")
	if err != nil {
		s.t.Fatal(err)
	}
	s.key, s.leaf = key, api.ServiceLeaf{CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))}
}

// sign gives the service a certificate.
func (s *service) sign(by pki.Signer, key ed25519.PrivateKey, names pki.ServiceNames) {
	s.t.Helper()
	certificate, err := by.Service(key.Public(), names)
	if err != nil {
		s.t.Fatal(err)
	}
	s.leaf.Certificate = pki.EncodeCertificate(certificate)
}

// names returns what the certificate names.
func (s *service) names() []string {
	s.t.Helper()
	certificate, err := pki.ParseCertificate(s.leaf.Certificate)
	if err != nil {
		s.t.Fatal(err)
	}
	names := certificate.DNSNames
	for _, address := range certificate.IPAddresses {
		names = append(names, address.String())
	}
	return names
}

func TestLeafIsIssuedOnlyWhenDue(t *testing.T) {
	const node, bare, extra = "web1.shop.internal", "web1", "notes.shop.internal"
	one, two := net.ParseIP("10.0.0.1"), net.ParseIP("10.0.0.2")
	shop, foreign := signer(t, seedText, "shop"), signer(t, otherSeedText, "shop")
	lastYear := shop
	lastYear.Now = func() time.Time { return now().Add(-pki.RenewAfter - time.Minute) }
	signed := func(by pki.Signer, ip net.IP, dns ...string) func(*service) {
		return func(s *service) {
			s.request()
			s.sign(by, s.key, pki.ServiceNames{Service: "db", DNS: dns, IP: []net.IP{ip}})
		}
	}
	for name, c := range map[string]struct {
		before  func(s *service)
		besides pki.ServiceNames
		issued  bool
		want    []string
	}{
		"none yet":             {func(*service) {}, pki.ServiceNames{}, true, []string{node, bare}},
		"asked for alone":      {(*service).request, pki.ServiceNames{}, true, []string{node, bare}},
		"as wanted":            {signed(shop, one, node, bare), pki.ServiceNames{IP: []net.IP{one}}, false, []string{node, bare, "10.0.0.1"}},
		"a year old":           {signed(lastYear, one, node, bare), pki.ServiceNames{IP: []net.IP{one}}, true, []string{node, bare, "10.0.0.1"}},
		"with a name too many": {signed(shop, one, extra, node, bare), pki.ServiceNames{IP: []net.IP{one}}, true, []string{node, bare, "10.0.0.1"}},
		"of another subject":   {signed(shop, one, bare, node), pki.ServiceNames{IP: []net.IP{one}}, true, []string{node, bare, "10.0.0.1"}},
		"without its service": {func(s *service) {
			s.request()
			s.sign(shop, s.key, pki.ServiceNames{DNS: []string{node, bare}, IP: []net.IP{one}})
		}, pki.ServiceNames{IP: []net.IP{one}}, true, []string{node, bare, "10.0.0.1"}},
		"without a name":              {signed(shop, one, node, bare), pki.ServiceNames{DNS: []string{extra}, IP: []net.IP{one}}, true, []string{node, bare, extra, "10.0.0.1"}},
		"without an address":          {signed(shop, one, node, bare), pki.ServiceNames{IP: []net.IP{one, two}}, true, []string{node, bare, "10.0.0.1", "10.0.0.2"}},
		"with an address too many":    {signed(shop, one, node, bare), pki.ServiceNames{}, true, []string{node, bare}},
		"of another CA":               {signed(foreign, one, "bank.example", node, bare), pki.ServiceNames{IP: []net.IP{one}}, true, []string{node, bare, "10.0.0.1"}},
		"for the key of another":      {someoneElses(shop, "web2.shop.internal"), pki.ServiceNames{}, true, []string{node, bare}},
		"that is no certificate even": {func(s *service) { s.request(); s.leaf.Certificate = "x" }, pki.ServiceNames{}, true, []string{node, bare}},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := newFake(t), &service{t: t}
			c.before(s)
			s.serve(f)
			m, key := call(t, f.target(), options()), s.key
			for range 2 { // what was issued is as wanted
				if err := m.EnsureLeaf(t.Context(), "db", c.besides); err != nil {
					t.Fatal(err)
				}
			}
			puts, _ := f.requests(http.MethodPut)
			if (len(puts) == 1) != c.issued || len(puts) > 1 {
				t.Errorf("it was signed %d times; want it signed: %t", len(puts), c.issued)
			}
			if got := s.names(); !slices.Equal(got, c.want) {
				t.Errorf("it names %v, not %v", got, c.want)
			}
			if key != nil && !key.Equal(s.key) {
				t.Error("the machine made another key")
			}
		})
	}
}

// A membership that ends takes its names out of the leaf, and nothing else.
func TestTrimLeaf(t *testing.T) {
	shop, foreign := signer(t, seedText, "shop"), signer(t, otherSeedText, "shop")
	node, bare, extra, one := "web1.shop.internal", "web1", "notes.shop.internal", net.IPv4(10, 0, 0, 1)
	signed := func(by pki.Signer, dns ...string) func(s *service) {
		return func(s *service) {
			s.request()
			s.sign(by, s.key, pki.ServiceNames{Service: "db", DNS: dns, IP: []net.IP{one}})
		}
	}
	for name, c := range map[string]struct {
		before func(s *service)
		want   []string // nil: it is not touched
	}{
		"with the replication's name": {signed(shop, node, bare, extra), []string{node, bare, "10.0.0.1"}},
		"with its own names":          {signed(shop, node, bare), nil},
		"of another CA":               {signed(foreign, node, bare, extra), nil},
		"none":                        {func(*service) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := newFake(t), &service{t: t}
			c.before(s)
			s.serve(f)
			for range 2 {
				if err := call(t, f.target(), options()).TrimLeaf(t.Context(), "db"); err != nil {
					t.Fatal(err)
				}
			}
			puts, _ := f.requests(http.MethodPut)
			if (len(puts) == 1) != (c.want != nil) || len(puts) > 1 {
				t.Errorf("it was signed %d times", len(puts))
			}
			if c.want != nil && !slices.Equal(s.names(), c.want) {
				t.Errorf("it names %v, not %v", s.names(), c.want)
			}
		})
	}
}

// someoneElses gives a service the certificate that another key has.
func someoneElses(by pki.Signer, name string) func(*service) {
	return func(s *service) {
		s.request()
		s.sign(by, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), pki.ServiceNames{DNS: []string{name}})
	}
}

func TestLeafTakesTheSeed(t *testing.T) {
	f, s := newFake(t), &service{t: t}
	s.serve(f)
	shop := signer(t, seedText, "shop")
	issued, err := shop.Client(api.RoleReader, "ci", 0)
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := client.Given(issued.CertificatePEM(), issued.KeyPEM(), pki.EncodeCertificate(shop.Certificate()))
	if err != nil {
		t.Fatal(err)
	}
	pool := client.NewPool(credentials, options())
	t.Cleanup(pool.Close)
	m, err := pool.Machine(f.target())
	if err != nil {
		t.Fatal(err)
	}
	err = m.EnsureLeaf(t.Context(), "db", pki.ServiceNames{})
	if err == nil || !strings.Contains(err.Error(), "it takes the CA seed") {
		t.Errorf("without the seed: %v", err)
	}
	if posts, _ := f.requests(http.MethodPost); len(posts) != 0 {
		t.Error("the machine was asked all the same")
	}
}
