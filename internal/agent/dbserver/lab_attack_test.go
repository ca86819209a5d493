//go:build lab

package dbserver_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

// The account of the server leads root to no socket that is open to root alone:
// the unit's commands run as root, and the socket that they use lies in the account's directory.
func TestLabUnitUnderAttack(t *testing.T) {
	s := newStand(t)
	s.apply(small())
	private := filepath.Join(t.TempDir(), "only.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", private)
	if err != nil {
		t.Fatal(err)
	}
	var reached atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-ended })
	mysql, err := foreign.Lookup("mysql")
	if err != nil {
		t.Fatal(err)
	}
	as := func(args ...string) {
		t.Helper()
		if out, err := mysql.Command(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	as("mv", at.Socket, at.Socket+".real")
	as("ln", "-s", private, at.Socket)
	if err := s.units.Reload(t.Context(), at.Unit); err == nil {
		t.Error("a reload with a link in the socket's place ends well")
	}
	out, err := exec.CommandContext(t.Context(), "/usr/lib/foobar/foobar-agent", "db-server", "started", id.Name).CombinedOutput()
	if err == nil {
		t.Errorf("so does what the unit runs after a start: %s", out)
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("root's socket was reached %d times", n)
	}
	as("mv", "-T", at.Socket+".real", at.Socket)
	if err := s.units.Reload(t.Context(), at.Unit); err != nil {
		t.Errorf("a reload without the link: %v", err)
	}
	if _, err := os.Lstat(private); err != nil {
		t.Fatal(err)
	}
	if purges := s.query("SELECT @@GLOBAL.slave_connections_needed_for_purge"); purges != "0" {
		t.Errorf("a server without a replication keeps its binary logs for %s connections", purges)
	}
}
