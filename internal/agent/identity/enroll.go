package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// pending holds the enrolments that were begun, oldest first. Each belongs to
// one connection and can be finished once.
type pending []pki.Exchange

// maxPending bounds how many are remembered; whoever can begin one holds an
// admin's certificate, so that more than a few mean a program gone wild.
const maxPending = 16

// put remembers an exchange in place of an earlier one of its connection.
func (p *pending) put(x pki.Exchange) {
	p.take(x.Exporter)
	if len(*p) == maxPending {
		*p = slices.Delete(*p, 0, 1)
	}
	*p = append(*p, x)
}

// take forgets and returns the exchange of a connection. If there is none it
// returns one that nobody can have a proof for, so that all who fail take the
// same way.
func (p *pending) take(exporter []byte) pki.Exchange {
	i := slices.IndexFunc(*p, func(x pki.Exchange) bool { return bytes.Equal(x.Exporter, exporter) })
	if i < 0 {
		return pki.Exchange{Exporter: exporter}
	}
	found := (*p)[i]
	*p = slices.Delete(*p, i, i+1)
	return found
}

// Offer answers the first call of an enrolment: POST /v1/enroll. Its errors
// are problems, or failures of the machine itself.
func (id *Identity) Offer(c tls.ConnectionState, hello api.EnrollHello) (api.EnrollOffer, error) {
	id.writing.Lock()
	defer id.writing.Unlock()
	s, err := id.unenrolled(c)
	if err != nil {
		return api.EnrollOffer{}, err
	}
	if len(hello.Nonce) != api.NonceSize {
		var found api.Violations
		found.Add("/nonce", "has %d bytes, and must have %d", len(hello.Nonce), api.NonceSize)
		return api.EnrollOffer{}, found.Problem()
	}
	exporter, err := pki.Exporter(c)
	if err != nil {
		return api.EnrollOffer{}, err
	}
	csr, err := pki.Request(s.key, s.node)
	if err != nil {
		return api.EnrollOffer{}, err
	}
	nonce := make([]byte, api.NonceSize)
	if _, err := io.ReadFull(id.random, nonce); err != nil {
		return api.EnrollOffer{}, fmt.Errorf("draw a nonce: %w", err)
	}
	x := pki.Exchange{
		Exporter: exporter, SPKI: s.leaf().RawSubjectPublicKeyInfo,
		ProviderNonce: hello.Nonce, NodeNonce: nonce, CSR: csr,
	}
	id.pending.put(x)
	return api.EnrollOffer{CSR: csr, Nonce: nonce, Proof: x.Proof(s.enrollKey, pki.SideNode)}, nil
}

// Finish answers the second call of an enrolment: POST /v1/enroll:finish, on
// the connection of the first. When it returns without an error the machine is
// enrolled for good, and its key is burnt. Its errors are problems, or
// failures of the machine itself; those of a proof that does not hold are all
// alike.
func (id *Identity) Finish(c tls.ConnectionState, grant api.EnrollGrant) (api.Enrolled, error) {
	id.writing.Lock()
	defer id.writing.Unlock()
	s, err := id.unenrolled(c)
	if err != nil {
		return api.Enrolled{}, err
	}
	exporter, err := pki.Exporter(c)
	if err != nil {
		return api.Enrolled{}, err
	}
	x := id.pending.take(exporter)
	if !x.Proves(s.enrollKey, pki.SideController, grant.Proof) {
		return api.Enrolled{}, &api.Problem{
			Type: api.ProblemProof, Title: "The proof of the enrolment does not hold",
			Detail: "the enrolment key, the connection or the exchange is another one; nothing was changed",
		}
	}
	if err := id.adopt(s, c, grant.Certification); err != nil {
		return api.Enrolled{}, err
	}
	id.burn()
	return id.answer(), nil
}

// Renew gives the enrolled machine a new certificate for its key, and a new
// list of CAs: POST /v1/identity:renew. Its errors are as those of
// [Identity.Finish].
func (id *Identity) Renew(c tls.ConnectionState, renewal api.Certification) (api.Enrolled, error) {
	id.writing.Lock()
	defer id.writing.Unlock()
	s := id.state.Load()
	if err := id.admin(c); err != nil {
		return api.Enrolled{}, err
	}
	if !s.enrolled() {
		return api.Enrolled{}, NotEnrolled()
	}
	if err := id.adopt(s, c, renewal); err != nil {
		return api.Enrolled{}, err
	}
	return id.answer(), nil
}

// adopt makes a certificate and its CAs the machine's own, first on disk. It
// refuses a CA that is neither trusted nor endorsed by a trusted one, whoever
// sends it, and a list that would lock out its sender.
func (id *Identity) adopt(s *state, c tls.ConnectionState, given api.Certification) error {
	if err := id.admits(s, given); err != nil {
		return err
	}
	chain, ca, err := s.certified(given)
	if err != nil {
		return &api.Problem{Type: api.ProblemInvalid, Title: "The certificate for this machine is not valid", Detail: err.Error()}
	}
	if !ca.Signed(c.PeerCertificates[0], x509.ExtKeyUsageClientAuth) {
		return &api.Problem{
			Type: api.ProblemInvalid, Title: "The list of CA certificates would lock out its sender",
			Detail: "the certificate of the client that sends the list comes from none of its CAs; keep that CA in the list",
		}
	}
	next := &state{
		deployment: s.deployment, node: s.node, incarnation: s.incarnation, listen: s.listen,
		key: s.key, chain: chain, ca: ca,
	}
	if err := id.hold(id.recordPath(), next.record(), checkIdentity); err != nil {
		return fmt.Errorf("store the identity: %w", err)
	}
	id.state.Store(next)
	return id.mend(next)
}

// admits refuses a list with a foreign CA.
func (id *Identity) admits(s *state, given api.Certification) error {
	next, err := pki.ParseBundle(given.CA)
	if err != nil {
		return &api.Problem{Type: api.ProblemInvalid, Title: "The list of CA certificates is not valid", Detail: err.Error()}
	}
	endorsements := make([]*x509.Certificate, len(given.Endorsements))
	for i, text := range given.Endorsements {
		if endorsements[i], err = pki.ParseCertificate(text); err != nil {
			return &api.Problem{Type: api.ProblemInvalid, Title: "An endorsement of a CA is not valid", Detail: err.Error()}
		}
	}
	moment := id.now()
	if id.forgivesTime(s) {
		moment = time.Time{}
	}
	if err := s.ca.Admits(next, endorsements, moment); err != nil {
		return &api.Problem{
			Type: api.ProblemForbidden, Title: "A foreign CA is not adopted",
			Detail: fmt.Sprintf("%v; this machine trusts %s, and adopts only a CA that one of those has signed. "+
				"To make it trust another seed, root on the machine runs: foobar-agent identity reset --bootstrap FILE", err, strings.Join(s.ca.Pins(), ", ")),
		}
	}
	return nil
}

func (id *Identity) answer() api.Enrolled {
	f := id.Facts()
	return api.Enrolled{
		Deployment: f.Deployment, Node: f.Node, Incarnation: f.Incarnation,
		Key: f.Key, Serial: f.Serial, Expires: f.Expires,
	}
}

// unenrolled returns the state of a machine that an admin may enrol now.
func (id *Identity) unenrolled(c tls.ConnectionState) (*state, error) {
	if err := id.admin(c); err != nil {
		return nil, err
	}
	s := id.state.Load()
	if s.enrolled() {
		return nil, &api.Problem{
			Type: api.ProblemEnrolled, Title: "The machine is enrolled already",
			Detail: fmt.Sprintf("it is %s, incarnation %d; only a bootstrap of a higher incarnation makes it new again", s.node, s.incarnation),
		}
	}
	return s, nil
}

// admin repeats here, where trust is made, what the route table demands.
func (id *Identity) admin(c tls.ConnectionState) error {
	peer, err := id.Peer(c)
	if err != nil {
		return err
	}
	if peer.Role != api.RoleAdmin {
		return &api.Problem{
			Type: api.ProblemForbidden, Title: "The role may not do this",
			Detail: fmt.Sprintf("the certificate of %q has role %q; %q is needed", peer.Actor, peer.Role, api.RoleAdmin),
		}
	}
	return nil
}

// NotEnrolled returns the problem of a call that only an enrolled machine answers.
func NotEnrolled() *api.Problem {
	return &api.Problem{
		Type: api.ProblemNotEnrolled, Title: "The machine is not enrolled",
		Detail: "until it is, it answers health and enrolment alone; a foobar_machine enrols it",
	}
}
