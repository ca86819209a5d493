package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// TLSConfig returns how the agent serves: TLS 1.3 alone, without session
// tickets (a resumed session would skip the check of the client), to
// clients with a certificate of an accepted CA alone. It follows the identity:
// each connection is checked by what holds when it begins.
func (id *Identity) TLSConfig() *tls.Config {
	config := id.connection()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return id.connection(), nil }
	return config
}

func (id *Identity) connection() *tls.Config {
	s := id.state.Load()
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		NextProtos:             []string{"http/1.1"},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              s.ca.Pool(),
		Time:                   id.now,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return id.certificate(s), nil
		},
	}
	if id.forgivesTime(s) {
		config.ClientAuth = tls.RequireAnyClientCert
		config.VerifyConnection = func(c tls.ConnectionState) error {
			if !s.ca.Signed(c.PeerCertificates[0], x509.ExtKeyUsageClientAuth) {
				return errors.New("the client's certificate comes from no accepted CA")
			}
			return nil
		}
	}
	return config
}

// certificate returns what the machine shows, with its clock beside it: a
// client that is refused because of the time then knows whose clock is wrong.
func (id *Identity) certificate(s *state) *tls.Certificate {
	return &tls.Certificate{
		PrivateKey: s.key, Leaf: s.leaf(), Certificate: s.rawChain(),
		SignedCertificateTimestamps: [][]byte{pki.ClockStamp(id.now())},
	}
}

func (s *state) rawChain() [][]byte {
	raw := make([][]byte, len(s.chain))
	for i, c := range s.chain {
		raw[i] = c.Raw
	}
	return raw
}

// AsClient returns what the machine shows when it calls other machines, and the
// CAs by which it believes them, both as of now. The error is a not-enrolled
// [api.Problem].
func (id *Identity) AsClient() (*tls.Certificate, pki.Bundle, error) {
	s := id.state.Load()
	if !s.enrolled() {
		return nil, nil, NotEnrolled()
	}
	shown := &tls.Certificate{PrivateKey: s.key, Leaf: s.leaf(), Certificate: s.rawChain()}
	return shown, s.ca, nil
}

// forgivesTime reports whether client certificates are checked without a look
// at the clock, which is before the enrolment and with a clock that is known
// to be wrong. All that can be done then is to enrol, which needs a proof.
func (id *Identity) forgivesTime(s *state) bool { return !s.enrolled() && id.clockIsWrong() }

// Peer is who is at the other end of a connection.
type Peer struct {
	// Actor is the name in the certificate, Role what it allows.
	Actor string
	Role  api.Role
	// Node is the machine's name if the peer is one.
	Node string
	// Key is the pin of the key that the peer has, see [api.KeyPin].
	Key string
}

// Peer returns who is at the other end of a connection, checked by what holds
// now: a CA that was taken from the list and a certificate that has ended
// since the connection began count no longer. The error is a forbidden
// [api.Problem].
func (id *Identity) Peer(c tls.ConnectionState) (Peer, error) {
	subject, err := id.subject(id.state.Load(), c)
	if err != nil {
		return Peer{}, &api.Problem{Type: api.ProblemForbidden, Title: "The client's certificate is not accepted", Detail: err.Error()}
	}
	return Peer{Actor: subject.Actor, Role: subject.Role, Node: subject.Node, Key: pki.KeyPin(c.PeerCertificates[0])}, nil
}

func (id *Identity) subject(s *state, c tls.ConnectionState) (pki.Subject, error) {
	if len(c.PeerCertificates) == 0 {
		return pki.Subject{}, errors.New("there is none")
	}
	leaf := c.PeerCertificates[0]
	if !s.ca.Signed(leaf, x509.ExtKeyUsageClientAuth) {
		return pki.Subject{}, errors.New("it comes from no CA that this machine accepts")
	}
	if !id.forgivesTime(s) {
		if err := s.ca.Verify(leaf, x509.ExtKeyUsageClientAuth, id.now()); err != nil {
			return pki.Subject{}, fmt.Errorf("it is valid from %s to %s, and this machine's clock shows %s",
				clock(leaf.NotBefore), clock(leaf.NotAfter), clock(id.now()))
		}
	}
	subject, err := pki.ReadSubject(leaf)
	if err != nil {
		return pki.Subject{}, err
	}
	if subject.Deployment != s.deployment {
		return pki.Subject{}, fmt.Errorf("it is of deployment %q; this machine is of %q", subject.Deployment, s.deployment)
	}
	if subject.Role == "" {
		return pki.Subject{}, errors.New("it carries no role")
	}
	return subject, nil
}
