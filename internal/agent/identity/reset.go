package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// A reset gives a machine that is enrolled already a new bootstrap: the way out
// when the CA seed is lost, or the identity is. Only root on the machine can do
// it. It is one file beside the identity, which [Open] prefers to all else until
// the machine is enrolled with it. Data, components and services are not touched.
const resetFile = "reset.json"

// Reset checks a bootstrap and leaves it in dir, the identity's directory, for
// the next [Open]. It must be for this machine, and of a higher incarnation than
// the machine has, as far as its identity or its names can be read: a key that was
// used serves no second time.
func Reset(dir string, b api.Bootstrap) error {
	names, known, err := readNames(dir)
	known = known && err == nil
	if kept, err := readRecord(filepath.Join(dir, recordFile)); err == nil && kept != nil {
		names, known = kept.names(), true
	}
	if known {
		if why, remedy := names.refuse(b); why != "" {
			return fmt.Errorf("%s: %s", why, remedy)
		}
	}
	s := store{step: func(string) error { return nil }}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("reset the identity: %w", err)
	}
	path := filepath.Join(dir, resetFile)
	if _, err := statefile.Read(path); err != nil { // something that no file can replace, such as a directory
		if _, err := statefile.SetAside(filepath.Dir(dir), path); err != nil {
			return fmt.Errorf("reset the identity: %w", err)
		}
	}
	if err := s.write(path, b.JSON()); err != nil {
		return fmt.Errorf("reset the identity: %w", err)
	}
	return nil
}

// refuse says why a machine of these names does not begin again with a bootstrap,
// and what to do about it; why is empty if it does.
func (n Names) refuse(b api.Bootstrap) (why, remedy string) {
	switch {
	case b.Deployment != n.Deployment || b.Node != n.Node:
		return fmt.Sprintf("the bootstrap is for %s of deployment %s, and this machine is %s of deployment %s",
			b.Node, b.Deployment, n.Node, n.Deployment), "give it its own"
	case b.Incarnation <= n.Incarnation:
		return fmt.Sprintf("the bootstrap is for incarnation %d, and this machine is incarnation %d", b.Incarnation, n.Incarnation),
			fmt.Sprintf("raise the incarnation of its foobar_bootstrap and foobar_machine to %d, and use the new bootstrap", n.Incarnation+1)
	}
	return "", ""
}

// readReset returns the bootstrap that a reset left; nil if there is none.
func readReset(dir string) (*Bootstrap, error) {
	path := filepath.Join(dir, resetFile)
	found, err := readBootstrap(path, checkPrivate)
	if err != nil {
		return nil, fmt.Errorf("the reset of the identity: %w", err)
	}
	if found != nil {
		found.Path = path
	}
	return found, nil
}

// chooseReset returns the state that a reset leads to: that of a machine to be
// enrolled with it, or the one that was. A damaged identity makes way for it.
func (id *Identity) chooseReset(reset *Bootstrap, kept *state) (s *state, fresh bool, err error) {
	enrolledWithIt := func(b api.Bootstrap) bool {
		return b.Deployment == kept.deployment && b.Node == kept.node && b.Incarnation <= kept.incarnation
	}
	if kept != nil && enrolledWithIt(reset.Bootstrap) {
		return kept, false, nil // only the file was left
	}
	s, err = id.beginAgain(reset.Bootstrap)
	return s, true, err
}

// Names are what a machine knows of itself without its identity: they prove
// nothing, and are kept beside it so that a machine which has lost its identity
// can say so, and is not enrolled again with a bootstrap that was used.
type Names struct {
	Deployment  string `json:"deployment"`
	Node        string `json:"node"`
	Incarnation int64  `json:"incarnation"`
	Listen      string `json:"listen"`
}

// namesPath returns where the names are kept: outside the identity's directory.
func namesPath(dir string) string { return filepath.Join(filepath.Dir(dir), namesFile) }

// readNames returns the names that a machine was enrolled with; enrolled is
// whether it ever was. The error is a [statefile.Damaged].
func readNames(dir string) (names Names, enrolled bool, err error) {
	path := namesPath(dir)
	data, err := statefile.Read(path)
	if err != nil || data == nil {
		return Names{}, err != nil, err
	}
	if names, err = parseNames(data); err != nil {
		return Names{}, true, &statefile.Damaged{Path: path, Err: err}
	}
	return names, true, nil
}

func parseNames(data []byte) (Names, error) {
	var names Names
	if api.Decode(data, &names) != nil {
		return Names{}, errors.New("it does not hold the names of a machine")
	}
	if err := errors.Join(api.CheckName(names.Node), api.CheckName(names.Deployment), api.CheckListen(names.Listen)); err != nil {
		return Names{}, errors.New("it does not hold the names of a machine")
	}
	return names, nil
}

// Lost is the error of a machine that was enrolled and has no identity that
// can be read.
type Lost struct {
	Names
	Err error
}

// Error says what is wrong, and the way out, in one line.
func (e *Lost) Error() string {
	return fmt.Sprintf("the machine's identity is lost: %v; restore the file, or raise the incarnation of the foobar_bootstrap and foobar_machine of %s "+
		"and run with the new bootstrap: foobar-agent identity reset --bootstrap FILE", e.Err, e.Node)
}

// Unwrap returns the cause.
func (e *Lost) Unwrap() error { return e.Err }

// lost gives a failure to find the identity the names of the machine, if they
// are known.
func (id *Identity) lost(cause error) error {
	names, enrolled, err := readNames(id.dir)
	ok := enrolled && err == nil
	if b := id.bootstrap; !ok && b != nil {
		names, ok = Names{Deployment: b.Deployment, Node: b.Node, Incarnation: b.Incarnation, Listen: b.Listen}, true
	}
	if !ok {
		return fmt.Errorf("%w. %s", cause, wayOut)
	}
	return &Lost{Names: names, Err: cause}
}

// errNoIdentity is the cause of a [Lost] machine whose identity is gone.
var errNoIdentity = errors.New("there is no identity that can be read")

// TLSConfig returns how a machine that has lost its identity answers: with a
// certificate of its own that claims its names and proves nothing, so that a
// plan learns what is the matter, and to nobody beyond that.
func (n Names) TLSConfig(random io.Reader) (*tls.Config, error) {
	_, key, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	own, err := pki.SelfSigned(key, n.Deployment, n.Node)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		Certificates:           []tls.Certificate{{PrivateKey: key, Leaf: own, Certificate: [][]byte{own.Raw}}},
		ClientAuth:             tls.RequireAnyClientCert,
		VerifyConnection: func(tls.ConnectionState) error {
			return errors.New("this machine has lost its identity, and trusts nobody")
		},
	}, nil
}

// PinsOf returns the pins of the CAs in a bootstrap; nil if they cannot be read.
func PinsOf(b api.Bootstrap) []string {
	bundle, err := pki.ParseBundle(b.CA)
	if err != nil {
		return nil
	}
	return bundle.Pins()
}

// TrustedBefore returns the pins of the CAs that the identity in dir trusts;
// nil if it cannot be read.
func TrustedBefore(dir string) []string {
	kept, err := readRecord(filepath.Join(dir, recordFile))
	if err != nil || kept == nil {
		return nil
	}
	return kept.ca.Pins()
}
