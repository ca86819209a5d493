package identity_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// foreign is a CA of somebody else, for a deployment of the same name.
func foreign(t testing.TB) pki.Signer {
	return pki.Signer{Authority: authority(t, otherSeedText), Now: now, Random: rand.Reader}
}

// certifiedBy returns a certificate of web1 that s has signed, with a list of CAs.
func certifiedBy(t testing.TB, m *machine, s pki.Signer, cas pki.Bundle) api.Certification {
	t.Helper()
	public, ok := m.dial(admin(t)).ConnectionState().PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		t.Fatal("the machine's key is no Ed25519 key")
	}
	leaf, err := s.Node(public, "web1", 1)
	if err != nil {
		t.Fatal(err)
	}
	return api.Certification{Chain: []string{pki.EncodeCertificate(leaf)}, CA: cas.PEM()}
}

// An admin's certificate lives for minutes. Nothing that it can send makes the
// machine trust a CA that no trusted CA has signed.
func TestAdminCannotPlantACA(t *testing.T) {
	ours, theirs := signer(t), foreign(t)
	both := pki.Bundle{theirs.Certificate(), ours.Certificate()}
	endorsedBy := func(by pki.Signer, ca *x509.Certificate) []string {
		endorsement, err := by.Endorse(ca)
		if err != nil {
			t.Fatal(err)
		}
		return []string{pki.EncodeCertificate(endorsement)}
	}
	lastWeek := ours
	lastWeek.Now = at(now().AddDate(0, 0, -7))
	forged := forgedCA(t, ours.Certificate())
	for name, test := range map[string]struct {
		signer       pki.Signer
		list         pki.Bundle
		endorsements []string
		want         string
	}{
		"with a certificate of its own":   {theirs, both, nil, "no trusted CA has signed it"},
		"behind a certificate of ours":    {ours, both, nil, "no trusted CA has signed it"},
		"endorsed by itself":              {theirs, both, endorsedBy(theirs, theirs.Certificate()), "no trusted CA has signed it"},
		"with ours endorsed, not theirs":  {theirs, both, endorsedBy(ours, ours.Certificate()), "no trusted CA has signed it"},
		"with an endorsement of the past": {theirs, both, endorsedBy(lastWeek, theirs.Certificate()), "that signature counts from 2026-02-22T11:00:00Z"},
		"with an admin's certificate as endorsement": {
			theirs, both, []string{pki.EncodeCertificate(admin(t).Leaf)}, "no trusted CA has signed it",
		},
		"as ours with another end": {ours, pki.Bundle{forged}, nil, "its own key did not sign"},
	} {
		t.Run(name, func(t *testing.T) {
			m := booted(t, bootstrap(t, 1))
			newRun().enroll(m)
			given := certifiedBy(t, m, test.signer, test.list)
			given.Endorsements = test.endorsements
			err := m.dial(admin(t)).post("/v1/identity:renew", given, nil)
			if !api.IsProblem(err, api.ProblemForbidden) || !strings.Contains(err.Error(), test.want) ||
				!strings.Contains(err.Error(), pki.KeyPin(test.list[0])) {
				t.Errorf("got %v, want a refusal with %q and the pin", err, test.want)
			}
			m.boot()
			if pins := pinsOf(m); len(pins) != 1 || pins[0] != pki.KeyPin(ours.Certificate()) {
				t.Errorf("it trusts %v", pins)
			}
		})
	}
}

// Who has an admin's certificate and the bootstrap of a machine that is not
// enrolled yet cannot make it trust another CA for good either.
func TestEnrolmentCannotPlantACA(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	c := m.dial(admin(t))
	x := c.offer()
	grant := c.grant(x, enrollKey(t))
	grant.CA = pki.Bundle{foreign(t).Certificate(), signer(t).Certificate()}.PEM()
	if err := c.post("/v1/enroll:finish", grant, nil); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("got %v", err)
	}
	if m.id.Facts().Enrolled {
		t.Error("the machine is enrolled")
	}
}

// A CA's end may be put off: it is the same CA by its key.
func TestCAWithAnotherEndIsTheSame(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	end := now().AddDate(20, 0, 0)
	later, err := pki.NewAuthority(mustSeed(t), "shop", end)
	if err != nil {
		t.Fatal(err)
	}
	s := pki.Signer{Authority: later, Now: now, Random: rand.Reader}
	if err := m.dial(admin(t)).post("/v1/identity:renew", certifiedBy(t, m, s, pki.Bundle{later.Certificate()}), &api.Enrolled{}); err != nil {
		t.Fatal(err)
	}
	if cas := m.id.Facts().CAs; len(cas) != 1 || !cas[0].Expires.Equal(end) {
		t.Errorf("it trusts %+v", cas)
	}
}

// forgedCA returns a certificate of a CA's name and key that the CA has not
// signed, and that never ends.
func forgedCA(t testing.TB, ca *x509.Certificate) *x509.Certificate {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := *ca
	template.NotAfter = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)
	parent := *ca
	parent.PublicKey = key.Public()
	der, err := x509.CreateCertificate(nil, &template, &parent, ca.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return forged
}

func pinsOf(m *machine) []string {
	var pins []string
	for _, ca := range m.id.Facts().CAs {
		pins = append(pins, ca.Pin)
	}
	return pins
}
