package pki_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// otherAuthority returns the CA of the same deployment from another seed.
func otherAuthority(t testing.TB, deployment string) pki.Signer {
	t.Helper()
	seed, err := pki.ParseSeed("ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.NewAuthority(seed, deployment, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return pki.Signer{Authority: a, Now: now, Random: rand.Reader}
}

func TestBundleAdmitsWhatATrustedCAHasSigned(t *testing.T) {
	old, fresh := signer(t, "shop"), otherAuthority(t, "shop")
	elsewhere := signer(t, "bank")
	trusted := pki.Bundle{old.Certificate()}
	both := pki.Bundle{fresh.Certificate(), old.Certificate()}
	endorse := func(by pki.Signer, ca *x509.Certificate) []*x509.Certificate {
		endorsement, err := by.Endorse(ca)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{endorsement}
	}
	good := endorse(old, fresh.Certificate())
	for name, test := range map[string]struct {
		next         pki.Bundle
		endorsements []*x509.Certificate
		at           time.Time
		admitted     bool
	}{
		"what is trusted":                     {trusted, nil, now(), true},
		"an endorsed one":                     {both, good, now(), true},
		"an endorsed one alone":               {pki.Bundle{fresh.Certificate()}, good, now(), true},
		"one whose endorsement has ended":     {both, good, now().Add(pki.ClientLifetime + time.Second), false},
		"one whose endorsement has not begun": {both, good, now().Add(-pki.Backdate - time.Second), false},
		"an ended endorsement, without time":  {both, good, time.Time{}, true},
		"one that nobody endorsed":            {both, nil, now(), false},
		"one that endorses itself":            {both, endorse(fresh, fresh.Certificate()), now(), false},
		"one that a stranger endorsed":        {both, endorse(elsewhere, fresh.Certificate()), now(), false},
		"another than the one endorsed":       {both, endorse(old, elsewhere.Certificate()), now(), false},
		"an endorsement as a CA":              {pki.Bundle{good[0]}, good, now(), false},
	} {
		err := trusted.Admits(test.next, test.endorsements, test.at)
		if foreign := new(pki.ForeignCA); (err == nil) != test.admitted || err != nil && (!errors.As(err, &foreign) || foreign.Pin != pki.KeyPin(test.next[0])) {
			t.Errorf("%s: got %v, want admitted %t", name, err, test.admitted)
		}
	}
}

// An endorsement lets a CA into a list. It must not stretch the trust in the
// old CA to what the new one signs, for whoever has only the old one.
func TestEndorsementIsNoIntermediate(t *testing.T) {
	old, fresh := signer(t, "shop"), otherAuthority(t, "shop")
	endorsement, err := old.Endorse(fresh.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	intermediates := x509.NewCertPool()
	intermediates.AddCert(endorsement)
	_, err = node(t, fresh, "web1", 1).Verify(x509.VerifyOptions{
		Roots: pki.Bundle{old.Certificate()}.Pool(), Intermediates: intermediates, CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err == nil {
		t.Error("a chain over the endorsement is believed")
	}
}

// A machine's certificate lasts for years, and its key is known to root
// there. With its name and key in a CA of root's making it endorses nothing.
func TestANodeCertificateEndorsesNothing(t *testing.T) {
	s := signer(t, "shop")
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	node, err := s.Node(public, "web1", 1)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(nil, &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: node.RawSubject, NotBefore: now().Add(-time.Hour), NotAfter: now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, &x509.Certificate{RawSubject: node.RawSubject, SerialNumber: big.NewInt(1)}, public, key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := (pki.Bundle{s.Certificate()}).Admits(pki.Bundle{own}, []*x509.Certificate{node}, now()); err == nil {
		t.Error("a machine's certificate let in a CA of root's on that machine")
	}
}
