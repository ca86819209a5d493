package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Target says which machine is meant and where to look for it.
type Target struct {
	// Name is the machine's; its certificate has to prove it.
	Name string
	// Address is a host or "host:port"; the port is [api.DefaultPort] if none
	// is given. It proves nothing.
	Address string
	// Incarnation tells which machine of that name is meant; 0 if that is not known.
	Incarnation int64
	// Key is the pin of the machine's key, see [api.KeyPin]; "" if it is not known.
	Key string
}

// Options are what a pool depends on; each has a default.
type Options struct {
	// DialTimeout bounds how long a machine may take to accept a connection,
	// and again for the handshake. 3 s: far above any network, far below a
	// person's patience.
	DialTimeout time.Duration
	// CallTimeout bounds a call that is answered at once; 30 s, which a
	// machine that is busy with its disk still keeps.
	CallTimeout time.Duration
	// PollInterval is how often a running operation is looked at beside its
	// events; 2 s.
	PollInterval time.Duration
	// StallTimeout is how long a copy of a database may bring no byte;
	// [api.CopyPatience].
	StallTimeout time.Duration
	// RestartPatience is how long a call that does no harm twice is repeated
	// while the agent refuses connections or drops them without an answer; 0,
	// the default, repeats none. All calls of a machine share it: see [Machine].
	RestartPatience time.Duration
	// Dial makes a network connection; [net.Dialer.DialContext].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock, Random the source of nonces: time.Now and rand.Reader.
	Now    func() time.Time
	Random io.Reader
}

func (o Options) withDefaults() Options {
	if o.DialTimeout == 0 {
		o.DialTimeout = 3 * time.Second
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = 30 * time.Second
	}
	if o.PollInterval == 0 {
		o.PollInterval = 2 * time.Second
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = api.CopyPatience
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return o
}

// Pool holds one [Machine] for each target, so that calls share connections.
// Nothing is dialled or minted before the first call. Its methods may be
// called at the same time.
type Pool struct {
	credentials Credentials
	options     Options

	mu       sync.Mutex
	machines map[Target]*Machine
	// certificate is shown until renewAt, zero for as long as the pool lives.
	certificate *tls.Certificate
	renewAt     time.Time
}

// NewPool returns a pool of machines that are called with the given credentials.
func NewPool(c Credentials, o Options) *Pool {
	return &Pool{credentials: c, options: o.withDefaults(), machines: map[Target]*Machine{}}
}

// Credentials returns what the pool shows to machines.
func (p *Pool) Credentials() Credentials { return p.credentials }

// Machine returns the machine of a target. The same target gives the same one.
func (p *Pool) Machine(t Target) (*Machine, error) {
	if err := api.CheckName(t.Name); err != nil {
		return nil, fmt.Errorf("the machine's name: %w", err)
	}
	address, err := withPort(t.Address)
	if err != nil {
		return nil, fmt.Errorf("the address of machine %s: %w", t.Name, err)
	}
	if t.Key != "" {
		if err := api.CheckKeyPin(t.Key); err != nil {
			return nil, fmt.Errorf("the key of machine %s: %w", t.Name, err)
		}
	}
	if t.Incarnation < 0 {
		return nil, fmt.Errorf("the incarnation of machine %s is %d; they count from 1", t.Name, t.Incarnation)
	}
	t.Address = address
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.machines[t]
	if !ok {
		m = newMachine(p, t)
		p.machines[t] = m
	}
	return m, nil
}

// Close closes the connections that nobody uses.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.machines {
		m.closeIdle()
	}
}

// current returns the certificate to show, freshly minted where that is due.
func (p *Pool) current() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Now()
	if p.certificate != nil && (p.renewAt.IsZero() || now.Before(p.renewAt)) {
		return p.certificate, nil
	}
	certificate, renewAt, err := p.credentials.mint(now)
	if err != nil {
		return nil, fmt.Errorf("mint a client certificate: %w", err)
	}
	p.renewAt = renewAt
	if p.certificate == nil || !p.certificate.Leaf.Equal(certificate.Leaf) { // the same one keeps its connections
		p.certificate = certificate
	}
	return p.certificate, nil
}

// withPort returns an address that has a port.
func withPort(address string) (string, error) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
			return "", fmt.Errorf("%q is not a host or \"host:port\" with a port from 1 to 65535", address)
		}
		return address, nil
	}
	host := strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if host == "" || (strings.Contains(host, ":") && net.ParseIP(host) == nil) {
		return "", fmt.Errorf("%q is not a host or \"host:port\"", address)
	}
	return net.JoinHostPort(host, strconv.Itoa(api.DefaultPort)), nil
}
