package identity

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// record is the identity on disk.
type record struct {
	V           int        `json:"v"`
	Deployment  string     `json:"deployment"`
	Node        string     `json:"node"`
	Incarnation int64      `json:"incarnation"`
	Listen      string     `json:"listen"`
	Key         api.Secret `json:"key"`
	api.Certification
}

const (
	recordVersion = 1
	recordFile    = "identity.json"
)

// readRecord returns the identity of an enrolled machine, nil if there is
// none. One that cannot be read is an error and not none: it must not be
// taken for a machine that anybody may enrol again.
func readRecord(path string) (*state, error) {
	data, err := statefile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("read the identity: %w", err)
	}
	if data == nil {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	s, err := parseRecord(data)
	if err != nil {
		return nil, fmt.Errorf("read the identity %s: %w", path, err)
	}
	return s, nil
}

func parseRecord(data []byte) (*state, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, errors.New("it is not a whole JSON document") // the error could quote the key
	}
	if r.V != recordVersion {
		return nil, fmt.Errorf("it has version %d, and this agent reads version %d", r.V, recordVersion)
	}
	key, err := pki.ParseKey(r.Key)
	if err != nil {
		return nil, err
	}
	s := &state{deployment: r.Deployment, node: r.Node, incarnation: r.Incarnation, listen: r.Listen, key: key}
	if s.chain, s.ca, err = s.certified(r.Certification); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *state) record() []byte {
	r := record{
		V: recordVersion, Deployment: s.deployment, Node: s.node, Incarnation: s.incarnation, Listen: s.listen,
		Key:           pki.EncodeKey(s.key),
		Certification: api.Certification{Chain: pki.Bundle(s.chain).PEM(), CA: s.ca.PEM()},
	}
	return append(api.Encode(r), '\n')
}

// certified checks a certificate for this machine's key and name: it has to be
// signed by one of the CAs that come with it.
func (s *state) certified(c api.Certification) ([]*x509.Certificate, pki.Bundle, error) {
	ca, err := pki.ParseBundle(c.CA)
	if err != nil {
		return nil, nil, err
	}
	if len(c.Chain) == 0 || len(c.Chain) > api.MaxAuthorities {
		return nil, nil, fmt.Errorf("the chain has %d certificates; 1 to %d are allowed", len(c.Chain), api.MaxAuthorities)
	}
	chain := make([]*x509.Certificate, len(c.Chain))
	for i, text := range c.Chain {
		if chain[i], err = pki.ParseCertificate(text); err != nil {
			return nil, nil, fmt.Errorf("element %d of the chain: %w", i, err)
		}
	}
	leaf := chain[0]
	if !pki.Matches(s.key, leaf) {
		return nil, nil, errors.New("the certificate is for another key than the machine's")
	}
	subject, err := pki.ReadSubject(leaf)
	if err != nil {
		return nil, nil, err
	}
	want := pki.Subject{Deployment: s.deployment, Role: api.RoleNode, Actor: s.node, Node: s.node, Incarnation: s.incarnation}
	if subject != want {
		return nil, nil, fmt.Errorf("the certificate is that of %s/%s, incarnation %d; the machine is %s/%s, incarnation %d",
			subject.Deployment, subject.Actor, subject.Incarnation, s.deployment, s.node, s.incarnation)
	}
	if !ca.Signed(leaf, x509.ExtKeyUsageServerAuth) {
		return nil, nil, errors.New("the certificate is signed by none of the CAs that come with it")
	}
	return chain, ca, nil
}
