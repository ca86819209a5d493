package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// Credentials are what a pool shows to machines, and whom it believes.
type Credentials struct {
	deployment string
	bundle     pki.Bundle
	// One of signer, given and own is set.
	signer *pki.Signer
	actor  string
	// others are further signers, of CAs that machines trust too while one CA
	// is exchanged for another.
	others []pki.Signer
	given  *tls.Certificate
	own    func() (*tls.Certificate, pki.Bundle, error)
}

// Admin returns credentials of role admin: certificates of a few minutes,
// minted in memory when they are needed and named for actor. While a CA is
// exchanged, the signer of the other one comes in others: each endorses the
// other to machines, and a machine that does not trust the first one yet is
// called with a certificate of the CA that it shows itself.
func Admin(signer pki.Signer, actor string, others ...pki.Signer) (Credentials, error) {
	if err := pki.CheckActor(actor); err != nil {
		return Credentials{}, fmt.Errorf("the actor: %w", err)
	}
	bundle := pki.Bundle{signer.Certificate()}
	for _, other := range others {
		if other.Deployment() != signer.Deployment() {
			return Credentials{}, fmt.Errorf("the other CA is of deployment %q, and this is %q", other.Deployment(), signer.Deployment())
		}
		bundle = append(bundle, other.Certificate())
	}
	if len(bundle) > api.MaxAuthorities {
		return Credentials{}, fmt.Errorf("there are %d CA certificates with that of the seed; at most %d are allowed", len(bundle), api.MaxAuthorities)
	}
	return Credentials{deployment: signer.Deployment(), bundle: bundle, signer: &signer, actor: actor, others: others}, nil
}

// Given returns credentials made of a certificate that somebody else minted,
// its key, and the CAs of the machines, all in PEM: for runs that have no seed.
func Given(certificatePEM string, key api.Secret, caPEM string) (Credentials, error) {
	certificate, err := pki.ParseCertificate(certificatePEM)
	if err != nil {
		return Credentials{}, fmt.Errorf("the client certificate: %w", err)
	}
	private, err := pki.ParseKey(key)
	if err != nil {
		return Credentials{}, fmt.Errorf("the client key: %w", err)
	}
	bundle, err := pki.ParseBundlePEM(caPEM)
	if err != nil {
		return Credentials{}, err
	}
	subject, err := pki.ReadSubject(certificate)
	if err != nil {
		return Credentials{}, fmt.Errorf("the client certificate: %w", err)
	}
	if subject.Role == "" || subject.Role == api.RoleNode {
		return Credentials{}, fmt.Errorf("the client certificate is that of machine %s; one of a client is needed", subject.Node)
	}
	given := &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: private, Leaf: certificate}
	if !pki.Matches(private, certificate) {
		return Credentials{}, errors.New("client certificate and client key do not belong together")
	}
	return Credentials{deployment: subject.Deployment, bundle: bundle, given: given, actor: subject.Actor}, nil
}

// Node returns the credentials of a machine, with which its agent calls other
// machines: role node. They are asked for before each call and each connection,
// so that a renewed certificate and its list of CAs count from then on. An error
// means that the machine has no identity yet.
func Node(deployment string, own func() (*tls.Certificate, pki.Bundle, error)) Credentials {
	return Credentials{deployment: deployment, own: own}
}

// Deployment returns whose machines can be called.
func (c Credentials) Deployment() string { return c.deployment }

// CanWrite reports whether the credentials hold the seed: without it machines
// can be read, but nothing can be signed.
func (c Credentials) CanWrite() bool { return c.signer != nil }

// authorities returns the CAs that machines are believed by, now.
func (c Credentials) authorities() pki.Bundle {
	if c.own == nil {
		return c.bundle
	}
	_, bundle, err := c.own()
	if err != nil {
		return nil // nobody is believed
	}
	return bundle
}

// mint returns a certificate to show from now on, and when to mint the next
// one; the zero time means never.
func (c Credentials) mint(now time.Time) (*tls.Certificate, time.Time, error) {
	if c.given != nil {
		return c.given, time.Time{}, nil
	}
	if c.own != nil {
		certificate, _, err := c.own()
		return certificate, now, err
	}
	certificate, err := c.mintBy(*c.signer)
	if err != nil {
		return nil, time.Time{}, err
	}
	// The last third is a reserve for calls under way and for clocks that
	// differ a little.
	return certificate, now.Add(pki.ClientLifetime * 2 / 3), nil
}

func (c Credentials) mintBy(signer pki.Signer) (*tls.Certificate, error) {
	issued, err := signer.Client(api.RoleAdmin, c.actor, pki.ClientLifetime)
	if err != nil {
		return nil, err
	}
	return issued.TLS(), nil
}

// forMachine returns the certificate to show to a machine: shown, unless the
// machine's own comes from another CA of these credentials, which the machine
// then trusts for sure.
func (c Credentials) forMachine(leaf *x509.Certificate, shown *tls.Certificate) (*tls.Certificate, error) {
	if c.signer == nil || pki.SignedLeaf(c.signer.Certificate(), leaf) {
		return shown, nil
	}
	for _, other := range c.others {
		if pki.SignedLeaf(other.Certificate(), leaf) {
			return c.mintBy(other)
		}
	}
	return shown, nil
}

// endorsements returns what lets in each CA of these credentials on a machine
// that trusts only another one of them.
func (c Credentials) endorsements() ([]string, error) {
	if len(c.others) == 0 {
		return nil, nil
	}
	var texts []string
	signers := append([]pki.Signer{*c.signer}, c.others...)
	for i, by := range signers {
		for j, other := range signers {
			if i == j {
				continue
			}
			endorsement, err := by.Endorse(other.Certificate())
			if err != nil {
				return nil, err
			}
			texts = append(texts, pki.EncodeCertificate(endorsement))
		}
	}
	return texts, nil
}

// Pins returns the pins of the CAs that machines are to trust.
func (c Credentials) Pins() []string { return c.authorities().Pins() }
