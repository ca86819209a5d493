package integration_test

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
)

// silent opens n connections from an address and says nothing on them.
func silent(t *testing.T, m *agenttest.Machine, from string, n int) []net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conns := make([]net.Conn, n)
	for i := range conns {
		var err error
		if conns[i], err = dialer.DialContext(t.Context(), "tcp", m.Address()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conns[i].Close() })
	}
	return conns
}

// open counts the connections that the agent has not closed.
func open(conns []net.Conn) int {
	n := 0
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond)) // a TCP connection has deadlines
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			n++
		}
	}
	return n
}

// Unauthenticated clients open as many connections as they can. There is a limit, and
// it locks out nobody who has a certificate, from whatever address.
func TestFloodOfUnauthenticatedConnectionsLocksNobodyOut(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	var flood []net.Conn
	for _, from := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.1"} {
		flood = append(flood, silent(t, m, from, 100)...)
	}
	var runs sync.WaitGroup
	for range 10 {
		admin := m.Admin() // a run of its own, with new connections
		runs.Go(func() {
			for range 5 {
				if _, err := admin.Info(t.Context()); err != nil {
					t.Errorf("during the flood: %v", err)
				}
			}
		})
	}
	runs.Wait()
	const most, perAddress = 256, 64
	if n := open(flood); n > most {
		t.Errorf("%d unauthenticated connections are open; at most %d may be", n, most)
	}
	for one := range slices.Chunk(flood, 100) {
		if n := open(one); n > perAddress {
			t.Errorf("%d connections from one address are open; at most %d may be", n, perAddress)
		}
	}
}
