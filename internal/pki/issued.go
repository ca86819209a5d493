package pki

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Issued is a certificate with its private key.
type Issued struct {
	Certificate *x509.Certificate
	key         ed25519.PrivateKey
}

// Format prints whose certificate it is for every verb, and never the key.
func (i Issued) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "certificate of %q", i.Certificate.Subject.CommonName)
}

// ServiceNames are the names in a service's certificate.
type ServiceNames struct {
	// Service is the name of the service's leaf on its machine, which tells its
	// certificate's subject from that of the machine's other services. It may be
	// "".
	Service string
	// DNS holds one name at least; the first is also the common name.
	DNS []string
	// IP holds addresses by which clients know the service.
	IP []net.IP
}

// TLS returns certificate and key as a TLS stack wants them.
func (i Issued) TLS() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{i.Certificate.Raw}, PrivateKey: i.key, Leaf: i.Certificate}
}

// CertificatePEM returns the certificate in PEM.
func (i Issued) CertificatePEM() string { return EncodeCertificate(i.Certificate) }

// KeyPEM returns the private key in PEM (PKCS #8).
func (i Issued) KeyPEM() api.Secret { return EncodeKey(i.key) }

// EncodeCertificate returns a certificate in PEM.
func EncodeCertificate(certificate *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
}

// EncodeKey returns a private key in PEM (PKCS #8).
func EncodeKey(key ed25519.PrivateKey) api.Secret {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(fmt.Sprintf("pki: encode an Ed25519 key: %v", err)) // every Ed25519 key has this form
	}
	return api.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// ParseKey reads an Ed25519 private key from PEM (PKCS #8). The error quotes
// nothing of the text.
func ParseKey(text api.Secret) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text.Reveal()))
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("the key is not a PEM block of type \"PRIVATE KEY\"")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the key is not in PKCS #8 form")
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T; an Ed25519 key is needed", parsed)
	}
	return key, nil
}

// KeyPin returns the pin of a certificate's key, see [api.KeyPin].
func KeyPin(certificate *x509.Certificate) string {
	return api.KeyPin(certificate.RawSubjectPublicKeyInfo)
}

// SerialText returns a certificate's serial number in hexadecimal.
func SerialText(certificate *x509.Certificate) string {
	return hex.EncodeToString(certificate.SerialNumber.Bytes())
}

// Matches reports whether a certificate is for the public half of key.
func Matches(key ed25519.PrivateKey, certificate *x509.Certificate) bool {
	return publicOf(key).Equal(certificate.PublicKey)
}
