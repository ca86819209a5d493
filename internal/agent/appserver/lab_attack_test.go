//go:build lab

package appserver_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

// attack puts links in the place of whatever it may, all the time: pairs of a path
// and of where the link leads.
const attack = `
import os, stat, sys
pairs = list(zip(sys.argv[1::2], sys.argv[2::2]))
print("ready", flush=True)
n = 0
while True:
    for path, target in pairs:
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode) and os.readlink(path) == target:
                continue
            n += 1
            os.rename(path, "%s.%d" % (path, n))
            os.symlink(target, path)
        except OSError:
            pass
`

// An app's account leads the agent, which is root, neither to a socket that is
// open to root alone nor to another directory: not by its own socket, and not by
// its release while another one is unpacked and put in its place.
func TestAppLeadsRootNowhere(t *testing.T) {
	s := newStand(t)
	first := s.spec(s.release("first"), 8080)
	s.apply("swapper", first, nil)

	victim := filepath.Join("/var/lib", "foobar-victim")
	for _, dir := range []string{victim, filepath.Join(victim, "inner")} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // anybody may know that it is there
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.RemoveAll(victim) })
	only := filepath.Join(victim, "root.sock")
	listener, err := net.Listen("unix", only)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(only, 0o600); err != nil {
		t.Fatal(err)
	}
	var came atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	owners := func() string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "find "+victim+" -printf '%P %U:%G %m\\n' | sort; find /srv/swapper -user app-swapper").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	before := owners()

	account, err := foreign.Lookup("app-swapper")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	home := "/srv/swapper/"
	cmd := account.Command(ctx, "python3", "-c", attack, "/run/foobar-app-swapper-blue/app.sock", only,
		home+"releases", victim, home+"slots", victim, home+"slots/blue", victim, home+"current", victim, home+"slots/blue/release", victim, home+"slots/blue/app.sock", only,
		"/etc/foobar/app-server/swapper/blue.env", filepath.Join(victim, "inner"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.eventually("the socket is swapped", func() bool {
		target, _ := os.Readlink("/run/foobar-app-swapper-blue/app.sock")
		return target == only
	})
	for range 5 {
		s.get("swapper") // asks the app for its health
	}
	second := s.spec(s.release("second"), 8080)
	second.HealthCheck.StartTimeout = second.HealthCheck.Timeout
	s.try("swapper", second, nil) // it may fail, as the app does not let itself be asked
	cancel()
	_ = cmd.Wait()
	if after := owners(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	if n := came.Load(); n > 0 {
		t.Errorf("root came to a socket that is open to it alone, %d times", n)
	}
	s.apply("swapper", second, nil)
}
