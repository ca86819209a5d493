//go:build lab

package appserver_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// hanger answers nothing any more once it was asked to hang, until it is killed.
const hanger = `
import threading, time
hung = threading.Event()
def ok():
    while hung.is_set():
        time.sleep(1)
    return "ok"
def hang():
    hung.set()
    return "hangs"
answers = {"/": ok, "/hang": hang}
` + plain

const (
	hangerApp  = "foobar-app-hanger@blue.service"
	hangerPort = 8090
)

func (s *stand) hangerSpec() api.AppServer {
	s.Helper()
	spec := s.spec(s.upload(map[string]entry{"main.py": {hanger, 0o644}}), 8080)
	spec.Liveness = &api.AppLiveness{Path: "/", Interval: api.Duration(time.Second), Timeout: api.Duration(500 * time.Millisecond), Failures: 2}
	spec.AgentCheckPort, spec.TrustedProxies = hangerPort, []string{"127.0.0.0/8"}
	return spec
}

// asked returns what a load balancer on this machine is given, "-" if nobody listens.
func asked() string {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", hangerPort), time.Second)
	if err != nil {
		return "-"
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	said, _ := io.ReadAll(conn)
	return string(said)
}

func (s *stand) tells(want api.AgentCheck) {
	s.Helper()
	s.eventually("load balancers are answered "+string(want), func() bool { return asked() == want.Line() })
}

// TestAHungAppComesBack has an app hang, die and go.
func TestAHungAppComesBack(t *testing.T) {
	s := newStand(t)
	s.apply("hanger", s.hangerSpec(), nil)
	s.tells(api.AgentCheckUp)
	before := s.pid(hangerApp)
	s.text(8080, "/hang")
	s.tells(api.AgentCheckDown)
	s.eventually("the app is restarted", func() bool { return s.pid(hangerApp) != before && s.pid(hangerApp) != 0 })
	s.tells(api.AgentCheckUp)
	if got := s.text(8080, "/"); got != "ok" {
		t.Errorf("it answers %q", got)
	}
	shown := s.condition("hanger", "AppWasHung")
	if _, status := s.get("hanger"); status.LivenessRestarts != 1 || !strings.Contains(shown, "once since the boot") {
		t.Errorf("%d restarts are counted; %q", status.LivenessRestarts, shown)
	}
	if c, _ := s.get("hanger"); len(c.Drift) > 0 {
		t.Errorf("the restart is drift: %v", c.Drift)
	}

	died := time.Now()
	s.signal(hangerApp, syscall.SIGKILL)
	for asked() != api.AgentCheckDown.Line() {
		if time.Since(died) > 900*time.Millisecond { // RestartSec is a second
			t.Fatal("the agent check does not report a dead app")
		}
	}
	t.Logf("load balancers knew of the death after %s", time.Since(died).Round(time.Millisecond))
	s.tells(api.AgentCheckUp)

	s.deleteAll()
	if got := asked(); got != "-" {
		t.Errorf("after the destroy it says %q", got)
	}
}

// TestHAProxyFollowsTheAgentCheck has HAProxy itself ask.
func TestHAProxyFollowsTheAgentCheck(t *testing.T) {
	s := newStand(t)
	s.apply("hanger", s.hangerSpec(), nil)
	dir := t.TempDir()
	admin, config := filepath.Join(dir, "admin.sock"), filepath.Join(dir, "haproxy.cfg")
	text := fmt.Sprintf(`global
    stats socket %s level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend www
    bind 127.0.0.1:8095
    default_backend app
backend app
    server web1 127.0.0.1:8080 check inter 500ms agent-check agent-port %d agent-inter 200ms
`, admin, hangerPort)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	haproxy := exec.CommandContext(ctx, "haproxy", "-db", "-f", config)
	if err := haproxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = haproxy.Wait() })
	state := func() string { return serverState(admin) }
	become := func(want string) {
		t.Helper()
		s.eventually("HAProxy has it "+want+"; it is "+state(), func() bool { return state() == want })
	}
	become("UP")
	drain := "/run/foobar-app-hanger-nginx/drain"
	if err := os.WriteFile(drain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	become("DRAIN (agent)")
	if err := os.Remove(drain); err != nil {
		t.Fatal(err)
	}
	become("UP")
	s.text(8080, "/hang")
	become("DOWN (agent)")
	become("UP")

	// Of an agent that is silent HAProxy keeps what it knew.
	spec := s.hangerSpec()
	spec.AgentCheckPort = 0
	s.apply("hanger", spec, nil)
	for range 10 {
		if got := state(); got != "UP" {
			t.Fatalf("with a silent agent HAProxy has it %s", got)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// serverState returns what HAProxy's status shows of its only server.
func serverState(admin string) string {
	conn, err := net.DialTimeout("unix", admin, time.Second)
	if err != nil {
		return err.Error()
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return err.Error()
	}
	reader := csv.NewReader(conn)
	reader.FieldsPerRecord = -1
	rows, err := reader.ReadAll()
	if err != nil {
		return err.Error()
	}
	const name, status = 1, 17 // columns of the management guide, section 9.1
	for _, row := range rows {
		if len(row) > status && row[name] == "web1" {
			return row[status]
		}
	}
	return "nowhere"
}

// TestAReleaseIsNoDeath has load balancers ask while the traffic moves to another slot.
func TestAReleaseIsNoDeath(t *testing.T) {
	s := newStand(t)
	spec := s.hangerSpec()
	s.apply("hanger", spec, nil)
	s.tells(api.AgentCheckUp)
	over, heardOf := make(chan struct{}), make(chan map[string]int)
	go func() {
		all := map[string]int{}
		for {
			select {
			case <-over:
				heardOf <- all
				return
			case <-time.After(20 * time.Millisecond):
				all[asked()]++
			}
		}
	}()
	for _, release := range []string{"two", "three"} {
		spec.Release.SHA256 = s.upload(map[string]entry{"main.py": {"RELEASE = \"" + release + "\"\n" + hanger, 0o644}})
		s.apply("hanger", spec, nil)
	}
	time.Sleep(3 * time.Second) // the old slots are stopped by now, and liveness has asked again
	close(over)
	if all := <-heardOf; len(all) != 1 || all[api.AgentCheckUp.Line()] == 0 {
		t.Errorf("over two releases load balancers were answered %v", all)
	}
}
