package pki

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// NodeLifetime is how long a machine's certificate lives. It is long
	// because an expiry must never stop the data plane.
	NodeLifetime = 10 * 365 * 24 * time.Hour
	// RenewAfter is the age at which a machine's certificate is signed again.
	RenewAfter = 365 * 24 * time.Hour
	// ClientLifetime is how long the provider's own certificates live.
	ClientLifetime = 15 * time.Minute
	// MaxClientLifetime bounds the life of a client certificate that is issued.
	MaxClientLifetime = 90 * 24 * time.Hour
	// Backdate is how far a certificate reaches back, for clocks that are behind.
	Backdate = time.Hour
)

// authorityStart is when every CA begins to be valid: before any machine of
// any deployment was built.
func authorityStart() time.Time { return time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC) }

// ClientLifetimes bound the life of a client certificate.
func ClientLifetimes() api.DurationBounds {
	return api.DurationBounds{Low: api.Duration(time.Minute), High: api.Duration(MaxClientLifetime)}
}

// DefaultAuthorityEnd returns the end of a CA that is given none: fifty years
// after its fixed start.
func DefaultAuthorityEnd() time.Time { return authorityStart().AddDate(50, 0, 0) }

// CheckAuthorityEnd refuses an end of a CA that is not after its fixed start.
func CheckAuthorityEnd(notAfter time.Time) error {
	if !notAfter.After(authorityStart()) {
		return fmt.Errorf("the CA would end at %s, before its start at %s", clock(notAfter), clock(authorityStart()))
	}
	return nil
}

// Authority is the CA of one deployment.
type Authority struct {
	deployment  string
	seed        Seed
	key         ed25519.PrivateKey
	certificate *x509.Certificate
}

// NewAuthority derives the CA of a deployment. Its certificate ends at
// notAfter, or at [DefaultAuthorityEnd] if that is zero. The same arguments
// give the same certificate, byte for byte.
func NewAuthority(seed Seed, deployment string, notAfter time.Time) (*Authority, error) {
	if err := api.CheckName(deployment); err != nil {
		return nil, fmt.Errorf("the deployment's name: %w", err)
	}
	if seed.bytes == nil {
		return nil, errors.New("there is no CA seed")
	}
	if notAfter.IsZero() {
		notAfter = DefaultAuthorityEnd()
	}
	if err := CheckAuthorityEnd(notAfter); err != nil {
		return nil, err
	}
	a := &Authority{
		deployment: deployment,
		seed:       seed,
		key:        ed25519.NewKeyFromSeed(seed.derive(ed25519.SeedSize, "ca", deployment)),
	}
	// Go has changed how it makes up a missing key id; a given one stays.
	keyID := sha256.Sum256(publicOf(a.key))
	template := &x509.Certificate{
		SerialNumber:          serial(seed.derive(serialSize, "ca-serial", deployment)),
		Subject:               AuthorityName(deployment),
		NotBefore:             authorityStart(),
		NotAfter:              notAfter.UTC().Truncate(time.Second),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          keyID[:20],
	}
	der, err := x509.CreateCertificate(nil, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA certificate of %s: %w", deployment, err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("read back the CA certificate of %s: %w", deployment, err)
	}
	return a, nil
}

// Format prints whose CA it is for every verb, and never its key.
func (a *Authority) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "CA of %s", a.deployment) }

// AuthorityName returns the subject of a deployment's CA, which is the issuer of
// all its certificates. It does not change with the seed.
func AuthorityName(deployment string) pkix.Name {
	return pkix.Name{CommonName: "foobar CA of " + deployment}
}

// ServiceName returns the subject of the certificate of a machine's service, by
// the name of its leaf. It stays the same when the certificate is renewed, when
// the machine is rebuilt, and when the CA changes.
func ServiceName(deployment, node, service string) pkix.Name {
	return serviceName(NodeDNSName(deployment, node), service)
}

func serviceName(dns, service string) pkix.Name {
	name := pkix.Name{CommonName: dns}
	if service != "" {
		name.OrganizationalUnit = []string{service}
	}
	return name
}

// Deployment returns the name of the deployment whose CA it is.
func (a *Authority) Deployment() string { return a.deployment }

// Certificate returns the CA's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// EnrollKey returns the key with which one incarnation of a machine proves
// itself once.
func (a *Authority) EnrollKey(node string, incarnation int64) []byte {
	return a.seed.derive(api.EnrollKeySize, "enroll", a.deployment, node, strconv.FormatInt(incarnation, 10))
}

// Signer signs certificates at a moment, with serial numbers from a source of
// randomness.
type Signer struct {
	*Authority
	// Now is the clock and Random the source of keys and serial numbers;
	// outside of tests time.Now and rand.Reader.
	Now    func() time.Time
	Random io.Reader
}

// Client makes a key and a certificate that lets actor do what role allows.
// A lifetime of zero means [ClientLifetime].
func (s Signer) Client(role api.Role, actor string, lifetime time.Duration) (Issued, error) {
	if lifetime == 0 {
		lifetime = ClientLifetime
	}
	if !ClientLifetimes().Hold(api.Duration(lifetime)) {
		return Issued{}, fmt.Errorf("a client certificate of %s: allowed are %s", api.Duration(lifetime), ClientLifetimes())
	}
	if role == api.RoleNode || !slices.Contains(api.Roles(), role) {
		return Issued{}, fmt.Errorf("%q is no role of a client: allowed are %q and %q", role, api.RoleAdmin, api.RoleReader)
	}
	if err := CheckActor(actor); err != nil {
		return Issued{}, fmt.Errorf("the actor: %w", err)
	}
	_, key, err := ed25519.GenerateKey(s.Random)
	if err != nil {
		return Issued{}, fmt.Errorf("make a client's key: %w", err)
	}
	subject := Subject{Deployment: s.deployment, Role: role, Actor: actor}
	certificate, err := s.sign(key.Public(), lifetime, &x509.Certificate{
		Subject:     subject.name(),
		URIs:        []*url.URL{subject.uri()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Issued{}, fmt.Errorf("sign the client certificate of %q: %w", actor, err)
	}
	return Issued{Certificate: certificate, key: key}, nil
}

// Node signs a machine's key for the given name. It is given the key alone,
// so that nothing a machine asks for can get into its certificate.
func (s Signer) Node(public ed25519.PublicKey, node string, incarnation int64) (*x509.Certificate, error) {
	if err := api.CheckName(node); err != nil {
		return nil, fmt.Errorf("the machine's name: %w", err)
	}
	if incarnation < 1 {
		return nil, fmt.Errorf("incarnation %d of machine %s: they count from 1", incarnation, node)
	}
	subject := Subject{Deployment: s.deployment, Role: api.RoleNode, Actor: node, Node: node, Incarnation: incarnation}
	certificate, err := s.sign(public, NodeLifetime, &x509.Certificate{
		Subject:     subject.name(),
		URIs:        []*url.URL{subject.uri()},
		DNSNames:    []string{NodeDNSName(s.deployment, node)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of machine %s: %w", node, err)
	}
	return certificate, nil
}

// Service signs the key of a service, such as a database, for names of the
// caller's choosing. Its certificate carries no foobar URI: it is no machine
// and has no role.
func (s Signer) Service(public crypto.PublicKey, names ServiceNames) (*x509.Certificate, error) {
	if len(names.DNS) == 0 {
		return nil, errors.New("the certificate of a service needs a DNS name at least")
	}
	certificate, err := s.sign(public, NodeLifetime, &x509.Certificate{
		Subject:     serviceName(names.DNS[0], names.Service),
		DNSNames:    names.DNS,
		IPAddresses: names.IP,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of service %s: %w", names.DNS[0], err)
	}
	return certificate, nil
}

// sign fills in what all certificates share. None outlives the CA: a chain
// whose upper end has expired proves nothing.
func (s Signer) sign(public crypto.PublicKey, lifetime time.Duration, template *x509.Certificate) (*x509.Certificate, error) {
	number := make([]byte, serialSize)
	if _, err := io.ReadFull(s.Random, number); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	now := s.Now().UTC()
	template.SerialNumber = serial(number)
	template.NotBefore = now.Add(-Backdate)
	template.NotAfter = now.Add(lifetime)
	if end := s.certificate.NotAfter; template.NotAfter.After(end) {
		template.NotAfter = end
	}
	if !template.NotAfter.After(now) {
		return nil, fmt.Errorf("the CA of %s ended at %s; now is %s", s.deployment, clock(s.certificate.NotAfter), clock(now))
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if template.IsCA {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(s.Random, template, s.certificate, public, s.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// serialSize is the length of a serial number in bytes: RFC 5280 ends them at
// 20, and asks for no more than enough to be unique.
const serialSize = 16

// serial returns a positive number from random bytes.
func serial(random []byte) *big.Int {
	number := slices.Clone(random)
	number[0] = number[0]&0x7f | 0x40 // positive, and always of the same length
	return new(big.Int).SetBytes(number)
}

// publicOf returns the public half of key.
func publicOf(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
