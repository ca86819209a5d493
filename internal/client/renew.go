package client

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// Identity returns what the machine's own certificate says, once it has been
// verified; without a call if the machine was met already.
func (m *Machine) Identity(ctx context.Context) (api.Enrolled, error) {
	leaf, err := m.meet(ctx)
	if err != nil {
		return api.Enrolled{}, err
	}
	return identityOf(leaf)
}

// Renew signs the machine's key again, for another ten years, and gives it the
// list of CAs of this run. A machine whose certificate has ended is renewed if
// its key is that of the target, and is refused otherwise.
func (m *Machine) Renew(ctx context.Context) (api.Enrolled, error) {
	m.renewing.Lock()
	defer m.renewing.Unlock()
	return m.renewNow(ctx)
}

func (m *Machine) renewNow(ctx context.Context) (api.Enrolled, error) {
	leaf, err := m.meet(ctx)
	if ended, ok := machineEnded(err); ok {
		return m.renewEnded(ctx, ended)
	}
	if err != nil {
		return api.Enrolled{}, err
	}
	transport, err := m.connections()
	if err != nil {
		return api.Enrolled{}, err
	}
	return m.renew(ctx, transport, leaf)
}

// renewIfDue renews a machine's certificate that is a year old, has ended, or
// comes from a CA that is being exchanged.
// It is part of every write; of several at once the first one does it.
func (m *Machine) renewIfDue(ctx context.Context) error {
	if !m.pool.credentials.CanWrite() {
		return nil // the machine says what such a caller may not do
	}
	if due, err := m.renewalDue(ctx); err != nil || !due {
		return err
	}
	m.renewing.Lock()
	defer m.renewing.Unlock()
	due, err := m.renewalDue(ctx)
	if err == nil && due {
		_, err = m.renewNow(ctx)
	}
	return err
}

func (m *Machine) renewalDue(ctx context.Context) (bool, error) {
	leaf, err := m.meet(ctx)
	if _, ended := machineEnded(err); ended && m.target.Key != "" {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	former := !pki.SignedLeaf(m.pool.credentials.signer.Certificate(), leaf) // while a CA is exchanged
	return former || m.options.Now().After(leaf.NotBefore.Add(pki.Backdate+pki.RenewAfter)), nil
}

// machineEnded finds in err that the machine's certificate has ended.
func machineEnded(err error) (*ClockMismatch, bool) {
	mismatch, ok := errors.AsType[*ClockMismatch](err)
	return mismatch, ok && mismatch.Ended()
}

// meet returns the machine's certificate once it was verified.
func (m *Machine) meet(ctx context.Context) (*x509.Certificate, error) {
	if leaf := m.leaf.Load(); leaf != nil {
		return leaf, nil
	}
	if _, err := m.Health(ctx); err != nil {
		return nil, err
	}
	return m.leaf.Load(), nil
}

func (m *Machine) renew(ctx context.Context, transport http.RoundTripper, old *x509.Certificate) (api.Enrolled, error) {
	signer := m.pool.credentials.signer
	if signer == nil {
		return api.Enrolled{}, fmt.Errorf("renew the certificate of machine %s: it takes the CA seed, which this run does not have", m.target.Name)
	}
	subject, err := pki.ReadSubject(old)
	if err != nil {
		return api.Enrolled{}, err
	}
	public, ok := old.PublicKey.(ed25519.PublicKey)
	if !ok {
		return api.Enrolled{}, fmt.Errorf("renew the certificate of machine %s: its key is a %T", m.target.Name, old.PublicKey)
	}
	leaf, err := signer.Node(public, m.target.Name, subject.Incarnation)
	if err != nil {
		return api.Enrolled{}, err
	}
	certification, err := m.certification(leaf)
	if err != nil {
		return api.Enrolled{}, err
	}
	if err := m.post(ctx, transport, "/v1/identity:renew", certification, nil); err != nil {
		return api.Enrolled{}, fmt.Errorf("renew the certificate of machine %s: %w", m.target.Name, err)
	}
	m.remember(leaf)
	return identityOf(leaf)
}

// renewEnded renews a certificate that has ended. The connection is verified
// as if it were the moment at which the certificate began, and carries nothing
// but the renewal; that the key is the known one is what makes it safe.
func (m *Machine) renewEnded(ctx context.Context, ended *ClockMismatch) (api.Enrolled, error) {
	if m.target.Key == "" {
		return api.Enrolled{}, ended
	}
	shown, err := m.pool.current()
	if err != nil {
		return api.Enrolled{}, err
	}
	then := func() time.Time { return ended.NotBefore.Add(pki.Backdate) }
	var leaf *x509.Certificate
	config := m.verifying(shown, then)
	config.VerifyConnection = func(state tls.ConnectionState) error {
		leaf = state.PeerCertificates[0]
		if err := m.checkMachine(leaf); err != nil {
			return err
		}
		shown, err = m.pool.credentials.forMachine(leaf, shown)
		return err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
	channel, err := m.handshake(ctx, config, shown)
	if err != nil {
		return api.Enrolled{}, err
	}
	defer channel.Close() //nolint:errcheck // the answer is in or lost by then
	transport := singleConnection(channel)
	defer transport.CloseIdleConnections()
	return m.renew(ctx, transport, leaf)
}
