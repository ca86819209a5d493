package server

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// peer is a connection from an address, which notes that it was closed.
type peer struct {
	net.Conn
	from   net.Addr
	closed bool
}

func (p *peer) RemoteAddr() net.Addr { return p.from }

func (p *peer) Close() error {
	p.closed = true
	return nil
}

// testLimits are limits with the addresses of the connections that were closed.
type testLimits struct {
	*connLimits
	closed []string
	port   uint16
}

func newTestLimits() *testLimits {
	l := &testLimits{}
	l.connLimits = newConnLimits(func(address string) { l.closed = append(l.closed, address) })
	return l
}

// connect makes n connections from an address.
func (l *testLimits) connect(n int, address string) []*conn {
	conns := make([]*conn, n)
	for i := range conns {
		l.port++
		conns[i] = l.accept(&peer{from: &net.TCPAddr{IP: net.ParseIP(address), Port: int(l.port)}})
	}
	return conns
}

func closed(c *conn) bool {
	p, ok := c.Conn.(*peer)
	return ok && p.closed
}

func TestNewConnectionClosesTheOldestOfItsAddress(t *testing.T) {
	l := newTestLimits()
	limit := unauthenticatedLimit()
	friend := l.connect(1, "10.0.0.9")[0]
	flood := l.connect(limit.address+10, "10.0.0.66")
	for i, one := range flood {
		if want := i < 10; closed(one) != want {
			t.Errorf("connection %d of the flood: closed %t", i, closed(one))
		}
	}
	if closed(friend) {
		t.Error("a connection of another address was closed")
	}
}

// Connections that say nothing come from the address of an administrator, too: they
// close one another.
func TestConnectionThatSaysNothingYieldsFirst(t *testing.T) {
	l := newTestLimits()
	limit := unauthenticatedLimit()
	mine := l.connect(2, "10.0.0.9")
	l.reached(mine[0], verified)
	l.reached(mine[1], greeted)
	bare := l.connect(10*limit.address, "10.0.0.9")
	for i, one := range mine {
		if closed(one) {
			t.Errorf("connection %d of the administrator was closed", i)
		}
	}
	for i, one := range bare {
		if want := i < len(bare)-limit.address+len(mine); closed(one) != want {
			t.Fatalf("bare connection %d of %d: closed %t", i, len(bare), closed(one))
		}
	}
	for _, one := range bare {
		l.reached(one, greeted) // they learn
	}
	l.connect(limit.address-1, "10.0.0.9")
	if closed(mine[0]) {
		t.Error("a connection with a certificate was closed before one without")
	}
}

func TestNewConnectionClosesOneOfTheAddressWithTheMost(t *testing.T) {
	l := newTestLimits()
	limit := unauthenticatedLimit()
	friend := l.connect(3, "10.0.0.9")
	for i := range limit.all / limit.address {
		l.connect(limit.address, fmt.Sprintf("10.0.1.%d", i))
	}
	late := l.connect(5, "10.0.0.10")
	for _, one := range slices.Concat(friend, late) {
		if closed(one) {
			t.Error("a connection of an address with few was closed")
		}
	}
	for _, address := range l.closed {
		if address == "10.0.0.9" || address == "10.0.0.10" {
			t.Errorf("a connection of %s was closed", address)
		}
	}
	if n := l.classes[unauthenticated].conns.Len(); n != limit.all {
		t.Errorf("%d unauthenticated connections, want %d", n, limit.all)
	}
}

func TestRoleUsesUpNoLimitOfAnother(t *testing.T) {
	for role, limit := range roleLimits() {
		l := newTestLimits()
		var admitted []*conn
		for i := 0; len(admitted) < limit.all; i++ {
			for range limit.address {
				one := l.connect(1, fmt.Sprintf("10.0.2.%d", i))[0]
				if !l.admit(one, role) {
					t.Fatalf("%s: connection %d of %d was refused", role, len(admitted)+1, limit.all)
				}
				admitted = append(admitted, one)
			}
			if more := l.connect(1, fmt.Sprintf("10.0.2.%d", i))[0]; l.admit(more, role) {
				t.Errorf("%s: one too many from an address was admitted", role)
			}
		}
		extra := l.connect(1, "10.0.3.1")[0]
		if l.admit(extra, role) {
			t.Errorf("%s: one too many was admitted", role)
		}
		for other := range roleLimits() {
			if other != role && !l.admit(l.connect(1, "10.0.3.2")[0], other) {
				t.Errorf("the limit of %s refused a %s", role, other)
			}
		}
		if !l.admit(admitted[0], role) {
			t.Error("the second request of a connection was refused")
		}
		_ = admitted[1].Close()
		_ = admitted[1].Close() // counts once
		if !l.admit(extra, role) || l.admit(l.connect(1, "10.0.3.3")[0], role) {
			t.Errorf("%s: after one was closed, not just one was admitted", role)
		}
	}
}

func TestSources(t *testing.T) {
	for from, want := range map[string]string{
		"10.0.0.1:1":                   "10.0.0.1",
		"[::ffff:10.0.0.1]:1":          "10.0.0.1",
		"[2001:db8:1:2:3:4:5:6]:1":     "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":             "fe80::/64",
		"[2001:db8:1:2::9]:443":        "2001:db8:1:2::/64",
		"[2001:db8:1:3::9]:443":        "2001:db8:1:3::/64",
		"something that is no address": "something that is no address",
	} {
		if got := sourceOf(named(from)); got != want {
			t.Errorf("%s counts as %q, want %q", from, got, want)
		}
	}
}

type named string

func (named) Network() string  { return "tcp" }
func (n named) String() string { return string(n) }

func TestLogOfUnauthenticatedConnectionsIsLimited(t *testing.T) {
	var log bytes.Buffer
	lines := func() []string { return strings.Split(strings.TrimSpace(log.String()), "\n") }
	clock := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var due func()
	l := newConnLog(hclog.New(&hclog.LoggerOptions{Output: &log, JSONFormat: true}), func() time.Time { return clock })
	l.after = func(_ time.Duration, f func()) func() bool {
		due = f
		return func() bool { return true }
	}
	for range 1000 {
		_, _ = l.Write([]byte("http: TLS handshake error from 10.0.0.66:1: EOF\n"))
	}
	if n := len(lines()); n != connLogLines {
		t.Errorf("%d lines, want %d", n, connLogLines)
	}
	due()
	if all := lines(); len(all) != connLogLines+1 || !strings.Contains(all[connLogLines], fmt.Sprintf(`"lines":%d`, 1000-connLogLines)) {
		t.Errorf("after the window: %v", all[len(all)-1])
	}
	clock = clock.Add(connLogWindow)
	_, _ = l.Write([]byte("again\n"))
	if n := len(lines()); n != connLogLines+2 {
		t.Errorf("a new window begins with %d lines", n-connLogLines-1)
	}
}

func TestRefusalAtTheLimitIsNotAudited(t *testing.T) {
	b := newBench(t, true)
	answer := httptest.NewRecorder()
	b.handler(func(*http.Request) (Caller, error) {
		return Caller{Actor: "ci", Role: api.RoleReader}, &api.Problem{Type: api.ProblemBusy, Title: "The agent has too many connections"}
	}).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/components", http.NoBody))
	wantProblem(t, answer, api.ProblemBusy, "too many connections")
	if answer.Header().Get("Connection") != "close" {
		t.Error("the connection is kept")
	}
	if entries := append(b.entries(), b.refused()...); len(entries) != 0 {
		t.Errorf("audited: %+v", entries)
	}
}
