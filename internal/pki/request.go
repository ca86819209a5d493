package pki

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
)

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
