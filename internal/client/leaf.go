package client

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"

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
		return api.ServiceLeaf{}, fmt.Errorf("sign the leaf of service %s on machine %s: it takes the CA seed, which this run does not have", name, m.target.Name)
	}
	var leaf api.ServiceLeaf
	if _, err := m.do(ctx, call{method: http.MethodPost, path: leafPath(name)}, &leaf); err != nil {
		return api.ServiceLeaf{}, err
	}
	block, _ := pem.Decode([]byte(leaf.CSR))
	if block == nil {
		return api.ServiceLeaf{}, fmt.Errorf("machine %s answers no certificate request for service %s", m.target.Name, name)
	}
	public, err := pki.ReadRequest(block.Bytes)
	if err != nil {
		return api.ServiceLeaf{}, fmt.Errorf("sign the leaf of service %s on machine %s: %w", name, m.target.Name, err)
	}
	certificate, err := m.pool.credentials.signer.Service(public, names)
	if err != nil {
		return api.ServiceLeaf{}, err
	}
	signed := api.ServiceLeaf{CSR: leaf.CSR, Certificate: pki.EncodeCertificate(certificate)}
	_, err = m.do(ctx, call{method: http.MethodPut, path: leafPath(name), body: api.Encode(signed)}, &leaf)
	return leaf, err
}

func leafPath(name string) string { return "/v1/leaves/" + url.PathEscape(name) }
