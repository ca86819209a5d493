package server

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// limit is how many connections there may be, in all and from one address.
// IPv6 addresses of one /64 count as one: a single host can have all of them.
type limit struct{ all, address int }

// unauthenticatedLimit limits the connections whose client is not known yet: those
// in the TLS handshake, and those whose first request is not read. A Terraform run
// with -parallelism=10 makes some thirty at once, each for a few milliseconds. A
// new connection beyond the limit closes one of the address that has the most: the
// oldest of those that are least far (see [stage]). So a flood closes its own
// connections, and other clients get through, also from the same address.
func unauthenticatedLimit() limit { return limit{all: 256, address: 64} }

// roleLimits limits the connections of each role. Unauthenticated connections do
// not count against them, and no role uses up the limit of another. A run holds
// some thirty; 128 from one address are several runs behind one gateway.
func roleLimits() map[api.Role]limit {
	return map[api.Role]limit{
		api.RoleAdmin:  {all: 256, address: 128},
		api.RoleNode:   {all: 256, address: 64},
		api.RoleReader: {all: 64, address: 32},
	}
}

// stage is how far an unauthenticated connection is. Anybody can open one and say
// nothing; to go on takes a TLS client, and to complete the handshake a certificate.
type stage int

const (
	silent   stage = iota // its client has sent no ClientHello
	greeted               // it has
	verified              // the handshake is complete, and a request begins
)

// unauthenticated is the class of a connection whose client is not known yet.
const unauthenticated api.Role = ""

// connLimits counts the connections of the remote listener and keeps them within
// their limits. Its methods may be called at the same time.
type connLimits struct {
	limits map[api.Role]limit
	// onClose is called, without the lock, for each unauthenticated connection
	// that was closed for a newer one.
	onClose func(address string)

	mu      sync.Mutex
	classes map[api.Role]*class
}

// class holds the connections of one role, or the unauthenticated ones.
type class struct {
	conns     *list.List     // of *conn, the oldest first
	addresses map[string]int // how many of each
}

func newConnLimits(onClose func(address string)) *connLimits {
	l := &connLimits{limits: roleLimits(), onClose: onClose, classes: map[api.Role]*class{}}
	l.limits[unauthenticated] = unauthenticatedLimit()
	for role := range l.limits {
		l.classes[role] = &class{conns: list.New(), addresses: map[string]int{}}
	}
	return l
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	limits  *connLimits
	address string
	stage   stage
	// role and element say where it counts; element is nil once it does not.
	role    api.Role
	element *list.Element
}

// limitedListener is a listener whose connections count.
type limitedListener struct {
	net.Listener
	limits *connLimits
}

// Accept implements [net.Listener].
func (l limitedListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.limits.accept(raw), nil
}

// accept counts a new connection, and closes another one if there are too many.
func (l *connLimits) accept(raw net.Conn) *conn {
	c := &conn{Conn: raw, limits: l, address: sourceOf(raw.RemoteAddr())}
	l.mu.Lock()
	surplus := l.surplus(c.address)
	if surplus != nil {
		l.remove(surplus)
	}
	l.add(c, unauthenticated)
	l.mu.Unlock()
	if surplus != nil {
		_ = surplus.Conn.Close() // its reader ends, and closes it properly
		l.onClose(surplus.address)
	}
	return c
}

// surplus returns which unauthenticated connection one more from an address
// replaces; nil below the limits.
func (l *connLimits) surplus(address string) *conn {
	limit, present := l.limits[unauthenticated], l.classes[unauthenticated]
	if present.addresses[address] >= limit.address {
		return present.oldest(func(a string) bool { return a == address })
	}
	if present.conns.Len() < limit.all {
		return nil
	}
	most := 0
	for _, n := range present.addresses {
		most = max(most, n)
	}
	return present.oldest(func(a string) bool { return present.addresses[a] == most })
}

// oldest returns, of the connections from an address that is chosen, the oldest one
// that is least far.
func (c *class) oldest(chosen func(address string) bool) *conn {
	var least *conn
	for e := c.conns.Front(); e != nil; e = e.Next() {
		if found, ok := e.Value.(*conn); ok && chosen(found.address) && (least == nil || found.stage < least.stage) {
			least = found
		}
	}
	return least
}

// reached notes how far a connection is.
func (l *connLimits) reached(c net.Conn, at stage) {
	if channel, ok := c.(*tls.Conn); ok {
		c = channel.NetConn()
	}
	if counted, ok := c.(*conn); ok {
		l.mu.Lock()
		counted.stage = max(counted.stage, at)
		l.mu.Unlock()
	}
}

// listen returns a listener for TLS whose connections count.
func (l *connLimits) listen(remote net.Listener, config *tls.Config) net.Listener {
	config = config.Clone()
	each := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		l.reached(hello.Conn, greeted)
		if each == nil {
			return nil, nil //nolint:nilnil // which means config itself
		}
		return each(hello)
	}
	return tls.NewListener(limitedListener{remote, l}, config)
}

// follow notes the state of a connection, as [http.Server] tells it.
func (l *connLimits) follow(c net.Conn, state http.ConnState) {
	if state == http.StateActive { // the first byte of a request
		l.reached(c, verified)
	}
}

// admit counts a connection, whose client is known now, among those of its role.
// It reports whether the limits of the role allow it; if not, the connection stays
// an unauthenticated one.
func (l *connLimits) admit(c *conn, role api.Role) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, known := l.limits[role]
	if !known {
		return false
	}
	if c.element == nil || c.role == role { // it is closed, or this is not its first request
		return true
	}
	present := l.classes[role]
	if present.conns.Len() >= limit.all || present.addresses[c.address] >= limit.address {
		return false
	}
	l.remove(c)
	l.add(c, role)
	return true
}

func (l *connLimits) add(c *conn, role api.Role) {
	to := l.classes[role]
	c.role, c.element = role, to.conns.PushBack(c)
	to.addresses[c.address]++
}

func (l *connLimits) remove(c *conn) {
	if c.element == nil {
		return
	}
	from := l.classes[c.role]
	from.conns.Remove(c.element)
	c.element = nil
	if from.addresses[c.address]--; from.addresses[c.address] == 0 {
		delete(from.addresses, c.address)
	}
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.limits.mu.Lock()
	c.limits.remove(c)
	c.limits.mu.Unlock()
	return c.Conn.Close()
}

// sourceOf returns what connections are counted by: the address of the client.
func sourceOf(client net.Addr) string {
	at, err := netip.ParseAddrPort(client.String())
	if err != nil {
		return client.String()
	}
	address := at.Addr().Unmap().WithZone("")
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return address.String()
}

// connKey is the context key of a request's connection.
type connKey struct{}

// withConn notes the connection that a request comes over.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if channel, ok := c.(*tls.Conn); ok {
		if counted, ok := channel.NetConn().(*conn); ok {
			return context.WithValue(ctx, connKey{}, counted)
		}
	}
	return ctx
}

// admit counts the connection of a caller who is known now among those of its
// role. The error is a busy [api.Problem].
func (s *Server) admit(ctx context.Context, role api.Role) error {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok || s.limits.admit(c, role) {
		return nil
	}
	return &api.Problem{
		Type: api.ProblemBusy, Title: "The agent has too many connections",
		Detail: "the limit of connections of role \"" + string(role) + "\", or of this address, is reached; try again when other runs have ended",
	}
}
