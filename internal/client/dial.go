package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// dialVerified makes a connection on which the machine has proved to be the
// one meant.
func (m *Machine) dialVerified(ctx context.Context, shown *tls.Certificate) (*conn, error) {
	return m.handshake(ctx, m.verifying(shown, m.options.Now), shown)
}

// verifying returns how connections are made: standard verification of chain,
// name and time, and then of what else is known of the machine.
func (m *Machine) verifying(shown *tls.Certificate, now func() time.Time) *tls.Config {
	credentials := m.pool.credentials
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"http/1.1"},
		ServerName: pki.NodeDNSName(credentials.deployment, m.target.Name),
		RootCAs:    credentials.authorities().Pool(),
		Time:       now,
		// Shown whatever CAs the machine asks for: its answer then says why not.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil },
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			if err := m.checkMachine(leaf); err != nil {
				return err
			}
			m.remember(leaf)
			var err error
			shown, err = credentials.forMachine(leaf, shown) // the machine is known before it is shown anything
			return err
		},
	}
}

// remember keeps the machine's certificate, unless a later one is known: a
// handshake that began before a renewal may end after it.
func (m *Machine) remember(leaf *x509.Certificate) {
	for {
		known := m.leaf.Load()
		if known != nil && known.NotBefore.After(leaf.NotBefore) || m.leaf.CompareAndSwap(known, leaf) {
			return
		}
	}
}

// handshake dials and does the handshake. Its errors are of this package's types.
func (m *Machine) handshake(ctx context.Context, config *tls.Config, shown *tls.Certificate) (*conn, error) {
	raw, err := m.connect(ctx)
	if err != nil {
		return nil, m.unreachable(err)
	}
	bounded, cancel := context.WithTimeout(ctx, m.options.DialTimeout)
	defer cancel()
	channel := tls.Client(raw, config)
	if err := channel.HandshakeContext(bounded); err != nil {
		_ = raw.Close() // the handshake's error is the one that matters
		if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return nil, m.explainCertificate(untrusted.UnverifiedCertificates[0], untrusted.Err)
		}
		return nil, m.explain(err, shown, time.Time{})
	}
	theirs, _ := pki.ReadClockStamp(channel.ConnectionState().SignedCertificateTimestamps)
	return &conn{
		Conn: channel, ended: make(chan struct{}),
		explain: func(err error) error { return m.explain(err, shown, theirs) },
	}, nil
}

func (m *Machine) connect(ctx context.Context) (net.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, m.options.DialTimeout)
	defer cancel()
	raw, err := m.options.Dial(bounded, "tcp", m.target.Address)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, fmt.Errorf("nobody accepts a connection within %s", m.options.DialTimeout)
	}
	return raw, err
}

// checkMachine checks a certificate whose chain, name and time hold.
func (m *Machine) checkMachine(leaf *x509.Certificate) error {
	subject, err := pki.ReadSubject(leaf)
	switch {
	case err != nil:
		return m.wrongMachine("it shows a certificate that is not a machine's: %v", err)
	case subject.Role != api.RoleNode:
		return m.wrongMachine("it shows the certificate of a client, %q", subject.Actor)
	case subject.Node != m.target.Name || subject.Deployment != m.pool.credentials.deployment:
		return m.wrongMachine("it is machine %q of deployment %q", subject.Actor, subject.Deployment)
	case m.target.Incarnation != 0 && subject.Incarnation != m.target.Incarnation:
		return m.wrongMachine("it is incarnation %d of it, and incarnation %d is meant; was the VM not rebuilt, or does the old one still have the address?",
			subject.Incarnation, m.target.Incarnation)
	case m.target.Key != "" && pki.KeyPin(leaf) != m.target.Key:
		return m.wrongMachine("its key is %s, and the known one is %s: the VM was replaced, or it is an impostor; if you replaced it, raise its incarnation",
			pki.KeyPin(leaf), m.target.Key)
	}
	return nil
}

// explainCertificate says what is wrong with a certificate that standard
// verification refused.
func (m *Machine) explainCertificate(leaf *x509.Certificate, cause error) error {
	if claimed, ok := pki.ReadUnenrolled(leaf); ok {
		if claimed.Node == m.target.Name && claimed.Deployment == m.pool.credentials.deployment {
			return &NotEnrolled{Machine: m.target.Name, Address: m.target.Address}
		}
		return m.wrongMachine("it claims to be machine %q of deployment %q, and is not enrolled", claimed.Node, claimed.Deployment)
	}
	credentials := m.pool.credentials
	if !credentials.authorities().Signed(leaf, x509.ExtKeyUsageAny) {
		return &WrongCA{Machine: m.target.Name, Address: m.target.Address,
			Detail: fmt.Sprintf("the machine's certificate comes from %q", leaf.Issuer.CommonName)}
	}
	now := m.options.Now()
	subject, err := pki.ReadSubject(leaf)
	if err == nil && subject.Node == m.target.Name && (now.Before(leaf.NotBefore) || now.After(leaf.NotAfter)) {
		return m.clockMismatch(true, leaf, time.Time{})
	}
	if err := m.checkMachine(leaf); err != nil {
		return err
	}
	return &WrongCA{Machine: m.target.Name, Address: m.target.Address, Detail: cause.Error()}
}

// The alerts with which a machine refuses a client's certificate (RFC 8446,
// section 6.2).
const (
	alertBadCertificate     tls.AlertError = 42
	alertCertificateExpired tls.AlertError = 45
	alertUnknownCA          tls.AlertError = 48
)

// explain turns an error of the connection into one of this package's types.
func (m *Machine) explain(err error, shown *tls.Certificate, theirs time.Time) error {
	if known := typed(err); known != nil {
		return known
	}
	remote, ok := errors.AsType[*net.OpError](err)
	if !ok || remote.Op != "remote error" {
		return m.unreachable(err)
	}
	switch remote.Err.Error() { // the alert's type is private to crypto/tls; its text is public
	case alertCertificateExpired.Error():
		return m.clockMismatch(false, shown.Leaf, theirs)
	case alertUnknownCA.Error(), alertBadCertificate.Error():
		return &WrongCA{Machine: m.target.Name, Address: m.target.Address,
			Detail: fmt.Sprintf("the machine refuses the client certificate of this run, which comes from %q", shown.Leaf.Issuer.CommonName)}
	}
	return m.unreachable(err)
}

func (m *Machine) unreachable(err error) error {
	return &Unreachable{Machine: m.target.Name, Address: m.target.Address, Err: err}
}

func (m *Machine) wrongMachine(format string, args ...any) error {
	return &WrongMachine{Machine: m.target.Name, Address: m.target.Address, Detail: fmt.Sprintf(format, args...)}
}

func (m *Machine) clockMismatch(ofMachine bool, certificate *x509.Certificate, theirs time.Time) error {
	return &ClockMismatch{
		Machine: m.target.Name, Address: m.target.Address, OfMachine: ofMachine,
		NotBefore: certificate.NotBefore, NotAfter: certificate.NotAfter, Ours: m.options.Now(), Theirs: theirs,
	}
}

// refusalWait bounds how long a failed write waits for the reason to arrive,
// which then is on its way already.
const refusalWait = time.Second

// conn is a connection whose errors say what the machine meant. In TLS 1.3 a
// machine checks the client's certificate after the client's side of the
// handshake is done, so that a refusal can meet a request half written: the
// write then fails of a reset while the reason waits to be read.
type conn struct {
	*tls.Conn
	explain func(error) error

	once   sync.Once
	ended  chan struct{} // closed when a read has failed with reason
	reason error
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil || errors.Is(err, net.ErrClosed) || isTimeout(err) {
		return n, err
	}
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		err = c.explain(err)
	}
	c.once.Do(func() {
		c.reason = err
		close(c.ended)
	})
	return n, err
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil || isTimeout(err) {
		return n, err
	}
	wait := refusalWait
	if errors.Is(err, net.ErrClosed) {
		wait = 0 // closed on this side: after the reason was read, or without one
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.ended:
		return n, c.reason
	case <-timer.C:
	}
	select {
	case <-c.ended: // both were there
		return n, c.reason
	default:
		return n, err
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
