package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Subject is who a certificate speaks for. It stands in the certificate as
// one URI: "spiffe://DEPLOYMENT/role/ROLE" of a client,
// "spiffe://DEPLOYMENT/node/NODE" of a machine, and
// "spiffe://DEPLOYMENT/unenrolled/NODE" in the certificate that a machine
// signs for itself before it is enrolled.
type Subject struct {
	Deployment string
	// Role is what the certificate allows its holder to do; empty for a
	// machine that is not enrolled.
	Role api.Role
	// Actor is who holds the certificate: a client's common name, or a
	// machine's name.
	Actor string
	// Node is the machine's name, and Incarnation which machine of that name
	// it is; empty and 0 for a client.
	Node        string
	Incarnation int64
	// Unenrolled tells that the machine signed this certificate itself.
	Unenrolled bool
}

// maxActor bounds an actor, in bytes: X.509 ends common names at 64.
const maxActor = 64

// ActorRule says what [CheckActor] allows.
func ActorRule() string { return fmt.Sprintf("1 to %d bytes of printable text", maxActor) }

// CheckActor reports why text cannot name who acts, nil if it can.
func CheckActor(text string) error {
	if text == "" || len(text) > maxActor {
		return fmt.Errorf("%q has %d bytes; an actor has 1 to %d", text, len(text), maxActor)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		return fmt.Errorf("%q has an unprintable character at byte %d", text, i)
	}
	return nil
}

// NodeDNSName returns the synthetic name in a machine's certificate, which is
// verified whatever the machine's address is.
func NodeDNSName(deployment, node string) string {
	return node + "." + deployment + ".internal"
}

// segments of the URI's path, before the name.
const (
	segmentRole       = "role"
	segmentNode       = "node"
	segmentUnenrolled = "unenrolled"
)

func (s Subject) uri() *url.URL {
	segment, name := segmentRole, string(s.Role)
	switch {
	case s.Unenrolled:
		segment, name = segmentUnenrolled, s.Node
	case s.Role == api.RoleNode:
		segment, name = segmentNode, s.Node
	}
	return &url.URL{Scheme: "spiffe", Host: s.Deployment, Path: "/" + segment + "/" + name}
}

func (s Subject) name() pkix.Name {
	name := pkix.Name{CommonName: s.Actor}
	if s.Incarnation > 0 {
		name.SerialNumber = strconv.FormatInt(s.Incarnation, 10)
	}
	return name
}

// ReadSubject reads back who a certificate speaks for. It checks only the
// form: whether the certificate is to be believed is the chain's matter.
func ReadSubject(certificate *x509.Certificate) (Subject, error) {
	if len(certificate.URIs) != 1 {
		return Subject{}, fmt.Errorf("the certificate has %d URIs; those of foobar have one", len(certificate.URIs))
	}
	uri := certificate.URIs[0]
	parts := strings.Split(uri.Path, "/")
	if uri.Scheme != "spiffe" || len(parts) != 3 || parts[0] != "" {
		return Subject{}, fmt.Errorf("the certificate's URI %q is none of foobar's", uri)
	}
	subject, err := readPath(parts[1], parts[2])
	if err != nil {
		return Subject{}, fmt.Errorf("the certificate's URI %q: %w", uri, err)
	}
	subject.Deployment = uri.Host
	if subject.Node == "" {
		subject.Actor = certificate.Subject.CommonName
		return subject, nil
	}
	if subject.Unenrolled {
		return subject, nil
	}
	subject.Incarnation, err = strconv.ParseInt(certificate.Subject.SerialNumber, 10, 64)
	if err != nil || subject.Incarnation < 1 {
		return Subject{}, fmt.Errorf("the certificate's incarnation %q is not a number from 1", certificate.Subject.SerialNumber)
	}
	return subject, nil
}

func readPath(segment, name string) (Subject, error) {
	switch segment {
	case segmentRole:
		role := api.Role(name)
		if role == api.RoleNode || !slices.Contains(api.Roles(), role) {
			return Subject{}, fmt.Errorf("%q is no role of a client", name)
		}
		return Subject{Role: role}, nil
	case segmentNode:
		return Subject{Role: api.RoleNode, Node: name, Actor: name}, api.CheckName(name)
	case segmentUnenrolled:
		return Subject{Unenrolled: true, Node: name, Actor: name}, api.CheckName(name)
	}
	return Subject{}, errors.New("is none of foobar's")
}
