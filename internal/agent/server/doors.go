package server

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// bound is how many connections there may be, in all and from one address.
// IPv6 addresses of one /64 count as one: a single host can have all of them.
type bound struct{ all, address int }

// strangers bounds the connections of which nothing is known yet: those that
// shake hands, and those whose first request is not read. A Terraform run with
// -parallelism=10 makes some thirty at once, each for a few milliseconds. When
// there are too many, the oldest gives way, of the address that has the most:
// a flood takes places from itself, and a handshake that goes on gets through.
func strangers() bound { return bound{all: 256, address: 64} }

// guests bounds the connections of each role. They do not count as strangers,
// and no role takes places from another. A run holds some thirty; 128 from one
// address are several runs behind one gateway.
func guests() map[api.Role]bound {
	return map[api.Role]bound{
		api.RoleAdmin:  {all: 256, address: 128},
		api.RoleNode:   {all: 256, address: 64},
		api.RoleReader: {all: 64, address: 32},
	}
}

// stranger is the class of a connection of which nothing is known yet.
const stranger api.Role = ""

// doors counts the connections of the remote listener and keeps them within
// their bounds. Its methods may be called at the same time.
type doors struct {
	bounds map[api.Role]bound
	// gaveWay is called, without the lock, for each stranger that had to go.
	gaveWay func(address string)

	mu    sync.Mutex
	rooms map[api.Role]*room
}

// room holds the connections of one class.
type room struct {
	conns     *list.List     // of *conn, the oldest first
	addresses map[string]int // how many of each
}

func newDoors(gaveWay func(address string)) *doors {
	d := &doors{bounds: guests(), gaveWay: gaveWay, rooms: map[api.Role]*room{}}
	d.bounds[stranger] = strangers()
	for role := range d.bounds {
		d.rooms[role] = &room{conns: list.New(), addresses: map[string]int{}}
	}
	return d
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	doors   *doors
	address string
	// role and element say where it counts; element is nil once it does not.
	role    api.Role
	element *list.Element
}

// guarded is a listener whose connections count.
type guarded struct {
	net.Listener
	doors *doors
}

// Accept implements [net.Listener].
func (g guarded) Accept() (net.Conn, error) {
	raw, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return g.doors.enter(raw), nil
}

// enter counts a new connection. Another one may have to give way to it.
func (d *doors) enter(raw net.Conn) *conn {
	c := &conn{Conn: raw, doors: d, address: sourceOf(raw.RemoteAddr())}
	d.mu.Lock()
	victim := d.victim(c.address)
	if victim != nil {
		d.remove(victim)
	}
	d.add(c, stranger)
	d.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close() // whoever reads from it ends, and closes it properly
		d.gaveWay(victim.address)
	}
	return c
}

// victim returns which stranger has to give way to one more from an address;
// nil while there is room.
func (d *doors) victim(address string) *conn {
	limit, r := d.bounds[stranger], d.rooms[stranger]
	if r.addresses[address] >= limit.address {
		return r.oldest(func(a string) bool { return a == address })
	}
	if r.conns.Len() < limit.all {
		return nil
	}
	most := 0
	for _, n := range r.addresses {
		most = max(most, n)
	}
	return r.oldest(func(a string) bool { return r.addresses[a] == most })
}

// oldest returns the oldest connection from an address that is chosen.
func (r *room) oldest(chosen func(address string) bool) *conn {
	for e := r.conns.Front(); e != nil; e = e.Next() {
		if c, ok := e.Value.(*conn); ok && chosen(c.address) {
			return c
		}
	}
	return nil
}

// admit counts a connection, whose peer is known now, among those of its role.
// It reports whether there is room; if not, the connection stays a stranger.
func (d *doors) admit(c *conn, role api.Role) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit, known := d.bounds[role]
	if !known {
		return false
	}
	if c.element == nil || c.role == role { // it has gone, or this is not its first request
		return true
	}
	r := d.rooms[role]
	if r.conns.Len() >= limit.all || r.addresses[c.address] >= limit.address {
		return false
	}
	d.remove(c)
	d.add(c, role)
	return true
}

func (d *doors) add(c *conn, role api.Role) {
	r := d.rooms[role]
	c.role, c.element = role, r.conns.PushBack(c)
	r.addresses[c.address]++
}

func (d *doors) remove(c *conn) {
	if c.element == nil {
		return
	}
	r := d.rooms[c.role]
	r.conns.Remove(c.element)
	c.element = nil
	if r.addresses[c.address]--; r.addresses[c.address] == 0 {
		delete(r.addresses, c.address)
	}
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.doors.mu.Lock()
	c.doors.remove(c)
	c.doors.mu.Unlock()
	return c.Conn.Close()
}

// sourceOf returns what connections are counted by: the address of the peer.
func sourceOf(peer net.Addr) string {
	at, err := netip.ParseAddrPort(peer.String())
	if err != nil {
		return peer.String()
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

// admit gives the connection of a caller who is known now a place among those
// of its role. The error is a busy [api.Problem].
func (s *Server) admit(ctx context.Context, role api.Role) error {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok || s.doors.admit(c, role) {
		return nil
	}
	return &api.Problem{
		Type: api.ProblemBusy, Title: "The agent has too many connections",
		Detail: "all places for role \"" + string(role) + "\", or for this address, are taken; try again when other runs have ended",
	}
}
