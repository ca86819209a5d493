package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// A service leaf is a directory of its own with these files, all in PEM and
// private to root: whoever runs the service passes them on. The last holds the
// CAs that the machine accepts, for a service that checks its peers.
const (
	leafKeyFile         = "key.pem"
	leafCertificateFile = "cert.pem"
	leafCAFile          = "ca.pem"
)

// LeafDir returns the directory of a service's leaf.
func (id *Identity) LeafDir(name string) string { return filepath.Join(id.leavesDir(), name) }

// Leaf returns the leaf of a service: its request, and its certificate if it
// has one that this machine's CAs signed. Errors that a caller can act on are
// problems.
func (id *Identity) Leaf(name string) (api.ServiceLeaf, error) {
	s, err := id.forLeaf(name)
	if err != nil {
		return api.ServiceLeaf{}, err
	}
	key, err := readLeafKey(id.leafPath(name, leafKeyFile))
	if noKey(err) {
		return api.ServiceLeaf{}, &api.Problem{
			Type: api.ProblemNotFound, Title: "There is no such service leaf",
			Detail: fmt.Sprintf("nobody has asked for a leaf %q on this machine", name),
		}
	}
	if err != nil {
		return api.ServiceLeaf{}, err
	}
	return id.describeLeaf(s, name, key)
}

// RequestLeaf makes the key of a service's leaf, unless it has one, and
// returns the request for its certificate. Errors that a caller can act on are
// problems.
func (id *Identity) RequestLeaf(name string) (api.ServiceLeaf, error) {
	id.writing.Lock()
	defer id.writing.Unlock()
	s, err := id.forLeaf(name)
	if err != nil {
		return api.ServiceLeaf{}, err
	}
	path := id.leafPath(name, leafKeyFile)
	key, err := readLeafKey(path)
	if noKey(err) {
		key, err = id.makeLeafKey(path)
	}
	if err != nil {
		return api.ServiceLeaf{}, err
	}
	return id.describeLeaf(s, name, key)
}

// StoreLeaf stores the certificate of a service's leaf, which has to be for
// the leaf's key and signed by one of this machine's CAs. Errors that a caller
// can act on are problems.
func (id *Identity) StoreLeaf(name string, signed api.ServiceLeaf) (api.ServiceLeaf, error) {
	id.writing.Lock()
	defer id.writing.Unlock()
	s, err := id.forLeaf(name)
	if err != nil {
		return api.ServiceLeaf{}, err
	}
	key, err := readLeafKey(id.leafPath(name, leafKeyFile))
	if noKey(err) {
		return api.ServiceLeaf{}, leafProblem("there is no key for it yet: ask for the leaf with POST first")
	}
	if err != nil {
		return api.ServiceLeaf{}, err
	}
	certificate, err := pki.ParseCertificate(signed.Certificate)
	if err != nil {
		return api.ServiceLeaf{}, leafProblem(err.Error())
	}
	if !pki.Matches(key, certificate) {
		return api.ServiceLeaf{}, leafProblem("it is for another key than the one that this machine made")
	}
	if !s.ca.Signed(certificate, x509.ExtKeyUsageServerAuth) {
		return api.ServiceLeaf{}, leafProblem("it is signed by no CA that this machine accepts")
	}
	if err := id.storeLeafCA(s, name); err != nil {
		return api.ServiceLeaf{}, err
	}
	if err := id.hold(id.leafPath(name, leafCertificateFile), []byte(pki.EncodeCertificate(certificate)), checkCertificate); err != nil {
		return api.ServiceLeaf{}, fmt.Errorf("store the service leaf %s: %w", name, err)
	}
	return id.describeLeaf(s, name, key)
}

// forLeaf returns the state of a machine that may have a leaf of that name.
func (id *Identity) forLeaf(name string) (*state, error) {
	if err := api.CheckLeafName(name); err != nil {
		return nil, leafProblem(err.Error())
	}
	s := id.state.Load()
	if !s.enrolled() {
		return nil, NotEnrolled()
	}
	return s, nil
}

func (id *Identity) leafPath(name, file string) string { return filepath.Join(id.LeafDir(name), file) }

func (id *Identity) makeLeafKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(id.random)
	if err != nil {
		return nil, fmt.Errorf("make a service's key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("prepare the service leaf's directory: %w", err)
	}
	return key, id.hold(path, []byte(pki.EncodeKey(key).Reveal()), checkKey)
}

func (id *Identity) describeLeaf(s *state, name string, key ed25519.PrivateKey) (api.ServiceLeaf, error) {
	csr, err := pki.Request(key, name)
	if err != nil {
		return api.ServiceLeaf{}, err
	}
	leaf := api.ServiceLeaf{CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))}
	text, err := statefile.Read(id.leafPath(name, leafCertificateFile))
	if err != nil || text == nil {
		return leaf, nil //nolint:nilerr // a damaged one makes way for another signature
	}
	certificate, err := pki.ParseCertificate(string(text))
	if err != nil {
		return leaf, nil //nolint:nilerr // as above
	}
	// A rebuilt machine, or one with a new CA, needs a new signature.
	if pki.Matches(key, certificate) && s.ca.Signed(certificate, x509.ExtKeyUsageServerAuth) {
		leaf.Certificate, leaf.Expires = string(text), certificate.NotAfter
	}
	return leaf, nil
}

// readLeafKey reads the key of a leaf. Its error is [fs.ErrNotExist] or a
// [statefile.Damaged].
func readLeafKey(path string) (ed25519.PrivateKey, error) {
	text, err := statefile.Read(path)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return nil, fs.ErrNotExist
	}
	key, err := pki.ParseKey(api.Secret(text))
	if err != nil {
		return nil, &statefile.Damaged{Path: path, Err: err}
	}
	return key, nil
}

// noKey reports whether a key is to be made: there is none, or one that is of
// no use to anybody.
func noKey(err error) bool { return errors.Is(err, fs.ErrNotExist) || statefile.As(err) != nil }

func leafProblem(detail string) error {
	return &api.Problem{Type: api.ProblemInvalid, Title: "The service leaf is not valid", Detail: detail}
}
