package agenttest_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// pausedConn is a connection whose answers are held back.
type pausedConn struct {
	net.Conn
	arrived, resume chan struct{}
	once            sync.Once
}

func (c *pausedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.once.Do(func() {
		close(c.arrived)
		<-c.resume
	})
	return n, err
}

// An administrator's line is slow. Hundreds of connections that say nothing come
// from the same address in the middle of the handshake, which succeeds all the same.
func TestBareConnectionsDoNotCutAHandshake(t *testing.T) {
	m, _ := enrolled(t, agenttest.Config{})
	issued, err := m.Signer().Client(api.RoleAdmin, "terraform@test", 0)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		t.Helper()
		raw, err := new(net.Dialer).DialContext(t.Context(), "tcp", m.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = raw.Close() })
		return raw
	}
	slow := &pausedConn{Conn: dial(), arrived: make(chan struct{}), resume: make(chan struct{})}
	channel := tls.Client(slow, &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: pki.NodeDNSName("test", "web1"),
		RootCAs: pki.Bundle{m.Signer().Certificate()}.Pool(), Certificates: []tls.Certificate{*issued.TLS()},
	})
	shaken := make(chan error, 1)
	go func() { shaken <- channel.HandshakeContext(t.Context()) }()
	<-slow.arrived
	bare := make([]net.Conn, 300)
	for i := range bare {
		bare[i] = dial()
	}
	_ = bare[0].SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := bare[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the first of them was not closed: %v", err)
	}
	close(slow.resume)
	if err := <-shaken; err != nil {
		t.Fatalf("the handshake: %v", err)
	}
	_, err = io.WriteString(channel, "GET /v1/health HTTP/1.1\r\nHost: web1\r\nConnection: close\r\n\r\n")
	answer, readErr := io.ReadAll(channel)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("%q, %v, %v", answer, err, readErr)
	}
}
