package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// Config says where an identity lives and what it depends on.
type Config struct {
	// Dir holds the identity, usually /var/lib/foobar/identity.
	Dir string
	// Bootstrap is what the machine was given; nil if it has nothing left of it.
	Bootstrap *Bootstrap
	// BuildTime is when the agent or its image was built. A clock before it is
	// known to be wrong; the zero time turns that rule off.
	BuildTime time.Time
	// Now is the clock and Random the source of keys and nonces: time.Now and
	// rand.Reader.
	Now    func() time.Time
	Random io.Reader
	// Step is called before each effect on the disk, if it is set. An error
	// ends the write right there: tests kill the agent with it.
	Step func(step string) error
}

// Identity is a machine's identity. Its methods may be called at the same time.
type Identity struct {
	dir       string
	bootstrap *Bootstrap
	buildTime time.Time
	now       func() time.Time
	random    io.Reader
	store     store
	// reset tells that the machine waits to be enrolled after a reset.
	reset bool

	state   atomic.Pointer[state]
	burning atomic.Pointer[error] // why the bootstrap could not be removed
	// unmended is why what follows from the identity differs from it; see mend.
	unmended atomic.Pointer[error]
	// unreset tells that there was a reset that could not be read.
	unreset bool

	// writing is held by whoever changes the identity, and guards pending.
	writing sync.Mutex
	pending pending
}

// state is what the identity is at one moment. It is never changed, only
// exchanged for another.
type state struct {
	deployment  string
	node        string
	incarnation int64
	listen      string
	key         ed25519.PrivateKey
	chain       []*x509.Certificate // the machine's own first
	ca          pki.Bundle
	enrollKey   []byte // nil once the machine is enrolled
}

func (s *state) enrolled() bool          { return s.enrollKey == nil }
func (s *state) leaf() *x509.Certificate { return s.chain[0] }
func (s *state) names() Names {
	return Names{Deployment: s.deployment, Node: s.node, Incarnation: s.incarnation, Listen: s.listen}
}

// Facts are what may be known of an identity.
type Facts struct {
	Deployment  string
	Node        string
	Incarnation int64
	Enrolled    bool
	// Key is the pin of the machine's key, see [api.KeyPin].
	Key string
	// Serial is the certificate's serial number in hexadecimal, Expires its
	// end; both say nothing before the enrolment.
	Serial  string
	Expires time.Time
	// Listen is where the agent is to listen, "host:port".
	Listen string
	// CAs are the CAs that the machine trusts.
	CAs []api.TrustedCA
}

// Open reads the identity from the disk, or begins a new one: with a key that
// nobody has seen, and a certificate that the machine signs itself. A machine
// that has neither an identity nor a bootstrap is an error, in one line.
func Open(c Config) (*Identity, error) {
	step := c.Step
	if step == nil {
		step = func(string) error { return nil }
	}
	id := &Identity{
		dir: c.Dir, bootstrap: c.Bootstrap, buildTime: c.BuildTime,
		now: c.Now, random: c.Random, store: store{step: step},
	}
	if err := errors.Join(os.MkdirAll(c.Dir, 0o700), id.sweep()); err != nil {
		err = fmt.Errorf("prepare the identity's directory: %w", err)
		if _, enrolledOnce, _ := readNames(c.Dir); enrolledOnce {
			err = id.lost(err)
		}
		return nil, err
	}
	kept, damage := readRecord(id.recordPath())
	reset, unread := readReset(c.Dir)
	if unread != nil && kept == nil {
		return nil, id.lost(both(damage, unread))
	}
	id.unreset = unread != nil // of an enrolled machine it stops nothing
	s, err := id.choose(kept, damage, reset)
	if err != nil {
		return nil, err
	}
	id.state.Store(s)
	if s.enrolled() {
		id.burn()      // an earlier run may have been killed before it could
		_ = id.mend(s) // a failure is a condition
	}
	return id, nil
}

// both returns two errors as one line; the first may be nil.
func both(first, second error) error {
	if first == nil {
		return second
	}
	return fmt.Errorf("%w; and %w", first, second)
}

// choose decides between the identity on disk and the bootstrap. The
// bootstrap wins if it is for another machine, or for a later one of the same
// name: then the VM was rebuilt around an old disk.
// A reset wins over both. An identity that cannot be read is not taken for none.
func (id *Identity) choose(kept *state, damage error, reset *Bootstrap) (*state, error) {
	if reset != nil {
		id.bootstrap = reset
		s, fresh, err := id.chooseReset(reset, kept)
		id.reset = fresh
		return s, err
	}
	if damage != nil {
		return nil, id.lost(damage)
	}
	b := id.bootstrap
	switch {
	case kept == nil:
		return id.chooseBootstrap(b)
	case b == nil:
		return kept, nil
	case kept.deployment != b.Deployment, kept.node != b.Node, kept.incarnation < b.Incarnation:
		return id.begin(b.Bootstrap)
	}
	kept.listen = b.Listen
	return kept, nil
}

// chooseBootstrap returns the state of a machine without an identity. If it was
// enrolled before, only a bootstrap that it was not enrolled with begins it again:
// one that is never removed, such as a systemd credential, is a used one.
func (id *Identity) chooseBootstrap(b *Bootstrap) (*state, error) {
	_, enrolledOnce, unknown := readNames(id.dir)
	switch {
	case unknown != nil:
		return nil, id.lost(both(errNoIdentity, unknown))
	case b == nil && enrolledOnce:
		return nil, id.lost(errNoIdentity)
	case b == nil:
		return nil, errors.New("bootstrap: there is none: give the machine the user_data of its foobar_bootstrap, as " +
			api.BootstrapPath + " or as the systemd credential " + api.BootstrapCredential)
	}
	return id.beginAgain(b.Bootstrap)
}

// beginAgain is begin for a machine that may have been enrolled before: its names
// say which bootstraps were used.
func (id *Identity) beginAgain(b api.Bootstrap) (*state, error) {
	if names, enrolledOnce, unknown := readNames(id.dir); enrolledOnce && unknown == nil {
		if why, _ := names.refuse(b); why != "" {
			return nil, id.lost(fmt.Errorf("%w; %s", errNoIdentity, why))
		}
	}
	return id.begin(b)
}

// begin returns the state of a machine that is to be enrolled.
func (id *Identity) begin(b api.Bootstrap) (*state, error) {
	enrollKey, err := b.Key()
	if err != nil {
		return nil, fmt.Errorf("bootstrap: /enroll_key: %w", err)
	}
	ca, err := pki.ParseBundle(b.CA)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	_, key, err := ed25519.GenerateKey(id.random)
	if err != nil {
		return nil, fmt.Errorf("make the machine's key: %w", err)
	}
	own, err := pki.SelfSigned(key, b.Deployment, b.Node)
	if err != nil {
		return nil, err
	}
	return &state{
		deployment: b.Deployment, node: b.Node, incarnation: b.Incarnation, listen: b.Listen,
		key: key, chain: []*x509.Certificate{own}, ca: ca, enrollKey: enrollKey,
	}, nil
}

// Facts returns what may be known of the identity.
func (id *Identity) Facts() Facts {
	s := id.state.Load()
	return Facts{
		Deployment: s.deployment, Node: s.node, Incarnation: s.incarnation, Enrolled: s.enrolled(),
		Key: pki.KeyPin(s.leaf()), Serial: pki.SerialText(s.leaf()), Expires: s.leaf().NotAfter, Listen: s.listen,
		CAs: trusted(s.ca),
	}
}

func trusted(bundle pki.Bundle) []api.TrustedCA {
	cas := make([]api.TrustedCA, len(bundle))
	for i, ca := range bundle {
		cas[i] = api.TrustedCA{Pin: pki.KeyPin(ca), Name: ca.Subject.CommonName, Expires: ca.NotAfter}
	}
	return cas
}

// Conditions returns what is wrong with the identity but stops nothing.
func (id *Identity) Conditions() []api.Condition {
	var found []api.Condition
	if err := id.burning.Load(); err != nil {
		found = append(found, api.Condition{
			Type: "BootstrapNotRemoved", Severity: api.SeverityWarning,
			Message: fmt.Sprintf("The used enrolment key could not be removed: %v. The key cannot be used again. Remove the file as root.", *err),
		})
	}
	if _, err := readReset(id.dir); id.unreset && err != nil {
		found = append(found, api.Condition{
			Type: "ResetNotDone", Severity: api.SeverityError,
			Message: fmt.Sprintf("Root on the machine has reset its identity, which could not be carried out: %v. The machine is still enrolled as before, and trusts %s. "+
				"Run again: foobar-agent identity reset --bootstrap FILE, or remove %s if that is no longer wanted.",
				err, strings.Join(id.state.Load().ca.Pins(), ", "), filepath.Join(id.dir, resetFile)),
		})
	}
	if err := id.notMended(); err != nil {
		found = append(found, api.Condition{
			Type: "ServiceCAsNotStored", Severity: api.SeverityError,
			Message: fmt.Sprintf("What follows from the machine's identity could not be stored: %v. Its services may accept other CAs than it trusts. The agent tries again each time that it is asked for its status; make room on the machine's disk.", err),
		})
	}
	if s := id.state.Load(); id.reset && !s.enrolled() {
		found = append(found, api.Condition{
			Type: "IdentityReset", Severity: api.SeverityWarning,
			Message: fmt.Sprintf("Root on the machine has reset its identity. It trusts %s and waits to be enrolled as incarnation %d by an apply of its foobar_machine. Its components run on.",
				strings.Join(s.ca.Pins(), ", "), s.incarnation),
		})
	}
	if s := id.state.Load(); len(s.ca) > 1 {
		found = append(found, api.Condition{
			Type: "SeveralCAs", Severity: api.SeverityWarning,
			Message: fmt.Sprintf("The machine trusts %d CAs: %s. That is right only while a CA is exchanged for another. "+
				"An apply of its foobar_machine removes those that the provider does not have.", len(s.ca), strings.Join(s.ca.Pins(), ", ")),
		})
	}
	if s := id.state.Load(); s.enrolled() && id.now().After(s.leaf().NotAfter) {
		found = append(found, api.Condition{
			Type: "CertificateExpired", Severity: api.SeverityWarning,
			Message: fmt.Sprintf("The machine's certificate ended at %s. The next apply of one of its components renews it.", clock(s.leaf().NotAfter)),
		})
	}
	return found
}

// burn removes the bootstrap. That its key serves no second time does not
// depend on it.
func (id *Identity) burn() {
	if id.bootstrap == nil || id.bootstrap.Path == "" {
		return
	}
	if err := id.store.remove(id.bootstrap.Path); err != nil {
		id.burning.Store(&err)
		return
	}
	id.burning.Store(nil)
}

// clockIsWrong reports whether the clock shows a time that cannot be.
func (id *Identity) clockIsWrong() bool { return id.now().Before(id.buildTime) }

func (id *Identity) recordPath() string { return filepath.Join(id.dir, recordFile) }

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
