package appserver

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// freePort returns a port that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()                     //nolint:errcheck // it was only asked for its port
	return listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of TCP
}

// ask asks on a port, having said something first.
func ask(t *testing.T, port int, first string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return "nobody listens"
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, first)
	said, _ := io.ReadAll(conn)
	return string(said)
}

func checkedSpec(port int, trusted ...string) api.AppServer {
	s := someSpec()
	s.AgentCheckPort, s.TrustedProxies, s.Address = port, trusted, "127.0.0.1"
	return s
}

func TestTheAgentCheckAnswersLoadBalancersAlone(t *testing.T) {
	port, other := freePort(t), freePort(t)
	s := checkedSpec(port, "127.0.0.0/8")
	w := newWard(t, s)
	t.Cleanup(w.port.close)
	w.step(t.Context(), w.clock.now)
	if got := ask(t, port, ""); got != "" {
		t.Errorf("before anything is known it says %q", got)
	}
	w.pass(time.Second)
	for _, first := range []string{"", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("x", 1<<16)} {
		if got := ask(t, port, first); got != api.AgentCheckUp.Line() {
			t.Errorf("after %d bytes it says %q", len(first), got)
		}
	}
	w.write(layout{"notes"}.drainFile(), "", 0o600)
	if got := ask(t, port, ""); got != api.AgentCheckDrain.Line() {
		t.Errorf("while it drains it says %q", got)
	}

	w.follow(checkedSpec(port, "192.0.2.0/24"), w.clock.now)
	w.step(t.Context(), w.clock.now)
	if got := ask(t, port, ""); got != "" {
		t.Errorf("to another it says %q", got)
	}
	w.follow(checkedSpec(other, "127.0.0.1/32"), w.clock.now)
	w.step(t.Context(), w.clock.now)
	if got := ask(t, port, ""); got != "nobody listens" {
		t.Errorf("on the former port: %q", got)
	}
	if got := ask(t, other, ""); got != api.AgentCheckDrain.Line() {
		t.Errorf("on the new port: %q", got)
	}
	w.follow(someSpec(), w.clock.now)
	w.step(t.Context(), w.clock.now)
	if got := ask(t, other, ""); got != "nobody listens" {
		t.Errorf("without agent_check_port: %q", got)
	}
}

func TestAPortThatIsTakenIsReportedAndTriedAgain(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of TCP
	w := newWard(t, checkedSpec(port, "127.0.0.0/8"))
	t.Cleanup(w.port.close)
	w.pass(3 * time.Second)
	if shown := w.condition(); !strings.HasPrefix(shown, "AgentCheckUnavailable warning ") || !strings.Contains(shown, "address already in use") {
		t.Errorf("it tells %q", shown)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	w.pass(3 * time.Second)
	if shown := w.condition(); shown != "" {
		t.Errorf("once it listens it tells %q", shown)
	}
	if got := ask(t, port, ""); got != api.AgentCheckUp.Line() {
		t.Errorf("it says %q", got)
	}
}

// A connection that sends nothing, or stays open, is closed soon.
func TestTheAgentCheckBoundsWhoAsks(t *testing.T) {
	port := freePort(t)
	w := newWard(t, checkedSpec(port, "127.0.0.0/8"))
	t.Cleanup(w.port.close)
	w.pass(time.Second)
	for range 2 * maxAsking {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	deadline := time.Now().Add(10 * askTime)
	for ask(t, port, "") != api.AgentCheckUp.Line() {
		if time.Now().After(deadline) {
			t.Fatal("nobody is answered any more")
		}
		time.Sleep(vitalInterval)
	}
}

// TestASocketClosedToNginxIsDown also without liveness, where a healthy app is not asked again.
func TestASocketClosedToNginxIsDown(t *testing.T) {
	w := newWard(t, checkedSpec(freePort(t), "127.0.0.0/8"))
	w.pass(time.Minute)
	if got := w.say(); got != api.AgentCheckUp {
		t.Errorf("of an app that serves it says %q", got)
	}
	w.write(w.layout.appSocket(w.slot), "", 0o600)
	w.pass(time.Second)
	if got := w.say(); got != api.AgentCheckDown {
		t.Errorf("of a socket that nginx cannot open it says %q", got)
	}
}
