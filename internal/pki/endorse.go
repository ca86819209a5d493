package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// A machine never adopts a CA because somebody with a client certificate says
// so: such a certificate lives for minutes, a CA for decades. A new CA comes
// with an endorsement, a certificate of the new CA's name and key that a CA
// which the machine trusts already has signed. Only who has the seed of that
// CA can make one.

// ForeignCA is a CA that is neither trusted nor endorsed by a trusted one.
type ForeignCA struct {
	// Pin is that of the CA's key, see [KeyPin].
	Pin string
	// Name is the common name in its certificate, which anybody can choose.
	Name string
	// Reason says what is missing.
	Reason string
}

// Error names the CA by its pin.
func (e *ForeignCA) Error() string { return fmt.Sprintf("the CA %s (%q) %s", e.Pin, e.Name, e.Reason) }

// Endorse returns a certificate of another CA's name and key, signed by this
// CA. It lives as long as a client certificate of a run: it is used at once,
// and cannot be replayed later to bring a CA back that was removed. As every CA
// of foobar has a path length of zero, no verifier takes it for an
// intermediate CA.
func (s Signer) Endorse(ca *x509.Certificate) (*x509.Certificate, error) {
	endorsement, err := s.sign(ca.PublicKey, ClientLifetime, &x509.Certificate{
		Subject:        ca.Subject,
		SubjectKeyId:   ca.SubjectKeyId,
		IsCA:           true,
		MaxPathLenZero: true,
	})
	if err != nil {
		return nil, fmt.Errorf("endorse the CA %s: %w", KeyPin(ca), err)
	}
	return endorsement, nil
}

// Admits reports why the list next may not take the place of b, as a
// [ForeignCA]; nil if it may. Each CA of next has to be in b, by name and key,
// or be endorsed by a CA in b. A zero time skips the check of the endorsement's
// limits.
func (b Bundle) Admits(next Bundle, endorsements []*x509.Certificate, at time.Time) error {
	for _, ca := range next {
		foreign := &ForeignCA{Pin: KeyPin(ca), Name: ca.Subject.CommonName}
		if ca.CheckSignatureFrom(ca) != nil {
			foreign.Reason = "has a certificate that its own key did not sign"
			return foreign
		}
		if slices.ContainsFunc(b, func(trusted *x509.Certificate) bool { return sameCA(trusted, ca) }) {
			continue // the same key, perhaps with another end
		}
		if foreign.Reason = b.missingEndorsement(ca, endorsements, at); foreign.Reason != "" {
			return foreign
		}
	}
	return nil
}

// missingEndorsement says why no endorsement lets a CA in; "" if one does.
func (b Bundle) missingEndorsement(ca *x509.Certificate, endorsements []*x509.Certificate, at time.Time) string {
	reason := "is not trusted, and no trusted CA has signed it"
	for _, endorsement := range endorsements {
		signed := func(trusted *x509.Certificate) bool { return endorsement.CheckSignatureFrom(trusted) == nil }
		if !endorsement.IsCA || !sameCA(endorsement, ca) || !slices.ContainsFunc(b, signed) {
			continue
		}
		if at.IsZero() || !at.Before(endorsement.NotBefore) && !at.After(endorsement.NotAfter) {
			return ""
		}
		reason = fmt.Sprintf("was signed by a trusted CA, but that signature counts from %s to %s, and the time is %s",
			clock(endorsement.NotBefore), clock(endorsement.NotAfter), clock(at))
	}
	return reason
}

// sameCA reports whether two certificates are of one CA.
func sameCA(one, other *x509.Certificate) bool {
	return bytes.Equal(one.RawSubjectPublicKeyInfo, other.RawSubjectPublicKeyInfo) && bytes.Equal(one.RawSubject, other.RawSubject)
}

// Pins returns the pins of the CAs' keys, in the order of the bundle.
func (b Bundle) Pins() []string {
	pins := make([]string, len(b))
	for i, ca := range b {
		pins[i] = KeyPin(ca)
	}
	return pins
}

// SignedLeaf reports whether ca, by its key, signed a certificate, whatever
// the time is.
func SignedLeaf(ca, certificate *x509.Certificate) bool {
	return certificate.CheckSignatureFrom(ca) == nil
}
