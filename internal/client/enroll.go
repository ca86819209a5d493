package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// Enroll makes the machine a member of the deployment and returns its
// identity. It waits for a machine that does not answer yet until ctx ends. A
// machine that is enrolled already, under the right name and incarnation, is
// authentic by its chain: its identity is returned, so that an enrolment whose
// last answer was lost can be repeated.
//
// It needs credentials with the seed, and a target with an incarnation. A
// target with a key and a machine that is not enrolled is a [WrongMachine]:
// the machine with that key is gone.
func (m *Machine) Enroll(ctx context.Context) (api.Enrolled, error) {
	if !m.pool.credentials.CanWrite() {
		return api.Enrolled{}, fmt.Errorf("enrol machine %s: it takes the CA seed, which this run does not have", m.target.Name)
	}
	if m.target.Incarnation == 0 {
		return api.Enrolled{}, fmt.Errorf("enrol machine %s: which incarnation of it is meant is not known", m.target.Name)
	}
	pause := newBackoff()
	for {
		enrolled, err := m.enrollOnce(ctx)
		if !worthRetrying(err) {
			return enrolled, err
		}
		if pause.wait(ctx) != nil {
			return api.Enrolled{}, fmt.Errorf("enrol machine %s: the time is up: %w", m.target.Name, err)
		}
	}
}

// worthRetrying reports whether an enrolment may end well when it is tried
// again: the machine boots, the answer was lost, or another run was faster.
func worthRetrying(err error) bool {
	_, lost := errors.AsType[*Unreachable](err)
	return lost || api.IsProblem(err, api.ProblemEnrolled)
}

func (m *Machine) enrollOnce(ctx context.Context) (api.Enrolled, error) {
	shown, err := m.pool.current()
	if err != nil {
		return api.Enrolled{}, err
	}
	met, err := m.dialVerified(ctx, shown)
	if err == nil {
		defer met.Close() //nolint:errcheck // nothing was sent
		return identityOf(met.ConnectionState().PeerCertificates[0])
	}
	if _, fresh := errors.AsType[*NotEnrolled](err); !fresh {
		return api.Enrolled{}, err
	}
	if m.target.Key != "" {
		return api.Enrolled{}, m.wrongMachine("it is not enrolled, but a machine with key %s is known by that name: the VM was replaced, or it is an impostor; if you replaced it, raise its incarnation",
			m.target.Key)
	}
	return m.exchange(ctx, shown)
}

// exchange carries out both halves of an enrolment on one connection. It is
// the only connection that is made to a machine which has proved nothing, and
// beside a nonce it carries nothing until the machine's proof holds.
func (m *Machine) exchange(ctx context.Context, shown *tls.Certificate) (api.Enrolled, error) {
	channel, err := m.dialUnverified(ctx, shown)
	if err != nil {
		return api.Enrolled{}, err
	}
	transport := singleConnection(channel)
	defer transport.CloseIdleConnections()
	defer channel.Close() //nolint:errcheck // the answer is in or lost by then

	x := pki.Exchange{ProviderNonce: make([]byte, api.NonceSize)}
	if _, err := io.ReadFull(m.options.Random, x.ProviderNonce); err != nil {
		return api.Enrolled{}, fmt.Errorf("draw a nonce: %w", err)
	}
	state := channel.ConnectionState()
	x.SPKI = state.PeerCertificates[0].RawSubjectPublicKeyInfo
	if x.Exporter, err = pki.Exporter(state); err != nil {
		return api.Enrolled{}, err
	}
	var offer api.EnrollOffer
	if err := m.post(ctx, transport, "/v1/enroll", api.EnrollHello{Nonce: x.ProviderNonce}, &offer); err != nil {
		return api.Enrolled{}, err
	}
	x.NodeNonce, x.CSR = offer.Nonce, offer.CSR
	leaf, err := m.judgeOffer(x, offer.Proof, state.PeerCertificates[0])
	if err != nil {
		return api.Enrolled{}, err
	}
	certification, err := m.certification(leaf)
	if err != nil {
		return api.Enrolled{}, err
	}
	grant := api.EnrollGrant{
		Certification: certification,
		Proof:         x.Proof(m.enrollKey(), pki.SideController),
	}
	if err := m.post(ctx, transport, "/v1/enroll:finish", grant, nil); err != nil {
		return api.Enrolled{}, err
	}
	m.remember(leaf)
	return identityOf(leaf)
}

// judgeOffer compares the machine's proof and signs its key. All that is wrong
// with an offer is the same error: it must not help whoever made it up.
func (m *Machine) judgeOffer(x pki.Exchange, proof []byte, shown *x509.Certificate) (*x509.Certificate, error) {
	failed := &ProofFailed{Machine: m.target.Name, Address: m.target.Address, Incarnation: m.target.Incarnation}
	if !x.Proves(m.enrollKey(), pki.SideNode, proof) || len(x.NodeNonce) != api.NonceSize {
		return nil, failed
	}
	public, err := pki.ReadRequest(x.CSR)
	if err != nil || !public.Equal(shown.PublicKey) {
		return nil, failed
	}
	return m.pool.credentials.signer.Node(public, m.target.Name, m.target.Incarnation)
}

func (m *Machine) enrollKey() []byte {
	return m.pool.credentials.signer.EnrollKey(m.target.Name, m.target.Incarnation)
}

// certification returns what makes a certificate the machine's own.
func (m *Machine) certification(leaf *x509.Certificate) (api.Certification, error) {
	credentials := m.pool.credentials
	endorsements, err := credentials.endorsements()
	return api.Certification{Chain: []string{pki.EncodeCertificate(leaf)}, CA: credentials.bundle.PEM(), Endorsements: endorsements}, err
}

// dialUnverified makes the connection of an enrolment. The other end shows
// that it holds some key; that it is the machine's follows from the proof.
func (m *Machine) dialUnverified(ctx context.Context, shown *tls.Certificate) (*conn, error) {
	config := m.verifying(shown, m.options.Now)
	config.InsecureSkipVerify = true //nolint:gosec // the proof of the enrolment takes its place
	config.VerifyConnection = func(state tls.ConnectionState) error {
		claimed, ok := pki.ReadUnenrolled(state.PeerCertificates[0])
		if !ok || claimed.Node != m.target.Name || claimed.Deployment != m.pool.credentials.deployment {
			return m.unreachable(errors.New("the machine has changed its certificate while it was to be enrolled"))
		}
		return nil
	}
	return m.handshake(ctx, config, shown)
}

// singleConnection returns a transport that has this connection and never
// another: every proof belongs to it.
func singleConnection(channel *conn) *http.Transport {
	once := make(chan *conn, 1)
	once <- channel
	return &http.Transport{
		MaxConnsPerHost: 1,
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
			select {
			case c := <-once:
				return c, nil
			default:
				return nil, errors.New("the connection of the enrolment was lost")
			}
		},
	}
}

func (m *Machine) post(ctx context.Context, transport http.RoundTripper, path string, in, out any) error {
	_, err := m.doOver(ctx, transport, call{method: http.MethodPost, path: path, body: api.Encode(in)}, out)
	return err
}

// identityOf returns what a machine's certificate says.
func identityOf(leaf *x509.Certificate) (api.Enrolled, error) {
	subject, err := pki.ReadSubject(leaf)
	if err != nil {
		return api.Enrolled{}, err
	}
	return api.Enrolled{
		Deployment: subject.Deployment, Node: subject.Node, Incarnation: subject.Incarnation,
		Key: pki.KeyPin(leaf), Serial: pki.SerialText(leaf), Expires: leaf.NotAfter,
	}, nil
}
