package pki

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

// SelfSigned returns the certificate that a machine shows until it is
// enrolled. It proves nothing but the key, says which machine it claims to be,
// and is valid at any time, so that no clock is in the way of the enrolment.
func SelfSigned(key ed25519.PrivateKey, deployment, node string) (*x509.Certificate, error) {
	subject := Subject{Deployment: deployment, Node: node, Actor: node, Unenrolled: true}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               subject.name(),
		URIs:                  []*url.URL{subject.uri()},
		DNSNames:              []string{NodeDNSName(deployment, node)},
		NotBefore:             time.Unix(0, 0),
		NotAfter:              time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC), // RFC 5280: no end
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the own certificate of machine %s: %w", node, err)
	}
	return x509.ParseCertificate(der)
}

// ReadUnenrolled returns which machine a certificate claims to be of, if it
// is one that a machine signed for itself. Anybody can make one.
func ReadUnenrolled(certificate *x509.Certificate) (Subject, bool) {
	subject, err := ReadSubject(certificate)
	if err != nil || !subject.Unenrolled {
		return Subject{}, false
	}
	err = certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature)
	return subject, err == nil
}
