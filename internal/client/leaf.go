package client

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// Leaf returns the leaf of a service of the machine.
func (m *Machine) Leaf(ctx context.Context, name string) (api.ServiceLeaf, error) {
	return get[api.ServiceLeaf](ctx, m, leafPath(name), nil)
}

// IssueLeaf has the machine make a key for a service, signs it for the given
// names, and has the machine store the certificate.
func (m *Machine) IssueLeaf(ctx context.Context, name string, names pki.ServiceNames) (api.ServiceLeaf, error) {
	if !m.pool.credentials.CanWrite() {
		return api.ServiceLeaf{}, m.cannotSign(name)
	}
	var leaf api.ServiceLeaf
	if _, err := m.do(ctx, call{method: http.MethodPost, path: leafPath(name)}, &leaf); err != nil {
		return api.ServiceLeaf{}, err
	}
	public, err := requestedKey(leaf)
	if err != nil {
		return api.ServiceLeaf{}, fmt.Errorf("sign the leaf of service %s on machine %s: %w", name, m.target.Name, err)
	}
	names.Service = name
	certificate, err := m.pool.credentials.signer.Service(public, names)
	if err != nil {
		return api.ServiceLeaf{}, err
	}
	signed := api.ServiceLeaf{CSR: leaf.CSR, Certificate: pki.EncodeCertificate(certificate)}
	_, err = m.do(ctx, call{method: http.MethodPut, path: leafPath(name), body: api.Encode(signed)}, &leaf)
	return leaf, err
}

// EnsureLeaf makes sure that a service of the machine has a leaf. It names the
// machine, by its name in the deployment and by its bare one, and what is
// wanted besides. It is signed where there is none yet, where the present one
// names something else, is of another CA than that of this run, or a year old;
// otherwise nothing is changed. A name that the present one has beyond these goes.
func (m *Machine) EnsureLeaf(ctx context.Context, name string, besides pki.ServiceNames) error {
	if !m.pool.credentials.CanWrite() {
		return m.cannotSign(name)
	}
	if err := m.renewIfDue(ctx); err != nil {
		return err
	}
	present, err := m.Leaf(ctx, name)
	if err != nil && !api.IsProblem(err, api.ProblemNotFound) {
		return fmt.Errorf("look at the leaf of service %s: %w", name, err)
	}
	wanted := pki.ServiceNames{Service: name, DNS: append(m.ownNames(), besides.DNS...), IP: besides.IP}
	if !leafDue(present, wanted, m.pool.credentials.signer, m.options.Now()) {
		return nil
	}
	if _, err := m.IssueLeaf(ctx, name, wanted); err != nil {
		return fmt.Errorf("issue the leaf of service %s: %w", name, err)
	}
	return nil
}

// TrimLeaf takes the DNS names out of a service's leaf that are not the machine's
// own: no membership gives it any, and one that was signed elsewhere ends with
// the membership. It changes nothing else: where there is no leaf, or none of this CA, it is a later write that has it
// signed.
func (m *Machine) TrimLeaf(ctx context.Context, name string) error {
	if !m.pool.credentials.CanWrite() {
		return m.cannotSign(name)
	}
	present, err := m.Leaf(ctx, name)
	if api.IsProblem(err, api.ProblemNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the leaf of service %s: %w", name, err)
	}
	certificate, ok := signedLeaf(present, m.pool.credentials.signer)
	if !ok || sameNames(certificate.DNSNames, m.ownNames()) {
		return nil
	}
	return m.EnsureLeaf(ctx, name, pki.ServiceNames{IP: certificate.IPAddresses})
}

// ownNames returns the names of the machine: in the deployment, and the bare one.
func (m *Machine) ownNames() []string {
	return []string{pki.NodeDNSName(m.pool.credentials.deployment, m.target.Name), m.target.Name}
}

// leafDue reports whether a service's leaf has to make way for one with the
// names wanted. What the present one says counts only if this CA has signed it
// for that very key.
func leafDue(present api.ServiceLeaf, wanted pki.ServiceNames, signer *pki.Signer, now time.Time) bool {
	certificate, ok := signedLeaf(present, signer)
	if !ok {
		return true
	}
	named := sameNames(certificate.DNSNames, wanted.DNS) && sameAddresses(certificate.IPAddresses, wanted.IP) &&
		certificate.Subject.CommonName == wanted.DNS[0] && slices.Equal(certificate.Subject.OrganizationalUnit, []string{wanted.Service})
	return !named || !now.Before(certificate.NotBefore.Add(pki.Backdate+pki.RenewAfter))
}

// sameNames reports whether both are the same set of names.
func sameNames(a, b []string) bool {
	missing := func(from []string) func(string) bool {
		return func(name string) bool { return !slices.Contains(from, name) }
	}
	return !slices.ContainsFunc(a, missing(b)) && !slices.ContainsFunc(b, missing(a))
}

// signedLeaf returns the certificate of a leaf if it is for the leaf's own key
// and signed by this CA.
func signedLeaf(leaf api.ServiceLeaf, signer *pki.Signer) (*x509.Certificate, bool) {
	public, err := requestedKey(leaf)
	if err != nil {
		return nil, false
	}
	certificate, err := pki.ParseCertificate(leaf.Certificate)
	if err != nil || !public.Equal(certificate.PublicKey) {
		return nil, false
	}
	return certificate, pki.Bundle{signer.Certificate()}.Signed(certificate, x509.ExtKeyUsageServerAuth)
}

// requestedKey returns the key that a leaf's request asks a certificate for.
func requestedKey(leaf api.ServiceLeaf) (ed25519.PublicKey, error) {
	block, _ := pem.Decode([]byte(leaf.CSR))
	if block == nil {
		return nil, errors.New("it is no certificate request")
	}
	return pki.ReadRequest(block.Bytes)
}

// sameAddresses reports whether both are the same set of addresses.
func sameAddresses(a, b []net.IP) bool {
	missing := func(from []net.IP) func(net.IP) bool {
		return func(address net.IP) bool { return !slices.ContainsFunc(from, address.Equal) }
	}
	return !slices.ContainsFunc(a, missing(b)) && !slices.ContainsFunc(b, missing(a))
}

func (m *Machine) cannotSign(service string) error {
	return fmt.Errorf("sign the leaf of service %s on machine %s: it takes the CA seed, which this run does not have", service, m.target.Name)
}

func leafPath(name string) string { return "/v1/leaves/" + url.PathEscape(name) }
