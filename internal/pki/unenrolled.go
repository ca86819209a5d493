package pki

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
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

// Request returns a certificate request in DER for key. The names in it are
// for people: no signer of foobar takes them over.
func Request(key ed25519.PrivateKey, commonName string) ([]byte, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}}
	der, err := x509.CreateCertificateRequest(nil, template, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request for %s: %w", commonName, err)
	}
	return der, nil
}

// ReadRequest returns the key that a certificate request, in DER, asks for,
// once the request has proved that its maker holds the key.
func ReadRequest(der []byte) (ed25519.PublicKey, error) {
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the certificate request is not signed by its own key: %w", err)
	}
	public, ok := request.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the certificate request is for a %T; an Ed25519 key is needed", request.PublicKey)
	}
	return public, nil
}
