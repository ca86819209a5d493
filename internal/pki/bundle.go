package pki

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Bundle is a list of accepted CA certificates, one to three. More than one
// are accepted while a CA is being exchanged for another.
type Bundle []*x509.Certificate

// ParseBundle reads the list as it stands in a bootstrap: PEM, one
// certificate to an element.
func ParseBundle(list []string) (Bundle, error) {
	certificates, err := api.ParseAuthorities(list)
	if err != nil {
		return nil, fmt.Errorf("the list of CA certificates: %w", err)
	}
	return certificates, nil
}

// ParseBundlePEM reads the list from one PEM text with one to three
// certificates, as a file or an attribute holds it.
func ParseBundlePEM(text string) (Bundle, error) {
	var list []string
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return ParseBundle(list)
		}
		list = append(list, string(pem.EncodeToMemory(block)))
	}
}

// PEM returns the list as it stands in a bootstrap.
func (b Bundle) PEM() []string {
	list := make([]string, 0, len(b))
	for _, certificate := range b {
		list = append(list, EncodeCertificate(certificate))
	}
	return list
}

// Pool returns the bundle as a TLS stack wants it.
func (b Bundle) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, certificate := range b {
		pool.AddCert(certificate)
	}
	return pool
}

// With returns the bundle with a certificate in front, unless it is in it.
func (b Bundle) With(certificate *x509.Certificate) Bundle {
	for _, have := range b {
		if have.Equal(certificate) {
			return b
		}
	}
	return append(Bundle{certificate}, b...)
}

// Verify reports why a certificate is not signed by one of the bundle for the
// given use, or not valid at the given moment; nil if it is.
func (b Bundle) Verify(certificate *x509.Certificate, use x509.ExtKeyUsage, at time.Time) error {
	_, err := certificate.Verify(x509.VerifyOptions{
		Roots:       b.Pool(),
		CurrentTime: at,
		KeyUsages:   []x509.ExtKeyUsage{use},
	})
	return err
}

// Signed reports whether one of the bundle signed the certificate for the
// given use, whatever the time is: it is checked at the moment it began.
func (b Bundle) Signed(certificate *x509.Certificate, use x509.ExtKeyUsage) bool {
	for _, ca := range b {
		at := certificate.NotBefore
		if ca.NotBefore.After(at) { // a backdated certificate of a young CA
			at = ca.NotBefore
		}
		if (Bundle{ca}).Verify(certificate, use, at) == nil {
			return true
		}
	}
	return false
}

// ParseCertificate reads exactly one certificate from PEM.
func ParseCertificate(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the text is not a PEM block of type \"CERTIFICATE\"")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read a certificate: %w", err)
	}
	return certificate, nil
}
