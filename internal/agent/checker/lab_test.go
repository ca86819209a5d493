//go:build lab

package checker_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/checker"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

// run has a shell do what a checker could be made to do. The shell and its
// tools are what it reads.
func run(t *testing.T, script string, reads ...string) (string, error) {
	t.Helper()
	return checker.Run(t.Context(), checker.Check{
		Program: "/usr/bin/dash", Args: []string{checker.ConfigPath}, Account: account,
		Config: []byte(script), Reads: append(reads, "/usr/bin"),
	})
}

// account is who the sandboxes of these tests belong to.
const account = "haproxy"

// setuidID returns a directory with a setuid copy of id(1), and the user that it
// runs as when the account starts it outside of a sandbox.
func setuidID(t *testing.T) (dir, outside string) {
	t.Helper()
	dir = "/var/lib/setuid" // of the tests' directories, some are mounted nosuid, and some are root's alone
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program, err := os.ReadFile("/usr/bin/id")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "id")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(path, program, 0o755), os.Chmod(path, 0o755|fs.ModeSetuid)); err != nil { //nolint:gosec // that is the case
		t.Fatal(err)
	}
	owner, err := foreign.Lookup(account)
	if err != nil {
		t.Fatal(err)
	}
	output, err := owner.Command(t.Context(), path, "-un").CombinedOutput()
	if err != nil {
		t.Fatalf("%s, %v", output, err)
	}
	return dir, string(output)
}

// TestLabASandboxHoldsWhatAnyCheckerCouldBeMadeToDo attacks from within.
func TestLabASandboxHoldsWhatAnyCheckerCouldBeMadeToDo(t *testing.T) {
	t.Setenv("FOOBAR_CANARY", "of the agent")
	for name, test := range map[string]struct {
		script, says string
	}{
		"it runs as the account":        {"id -un; id -Gn", "haproxy\nhaproxy\n"},
		"it has its directory to write": {"echo x >a && cat a", "x\n"},
		"nothing of /etc":               {"ls -A /etc", "group\nld.so.cache\npasswd\n"},
		"one account":                   {"cut -d: -f1 /etc/passwd /etc/group", "haproxy\nhaproxy\n"},
		"no devices":                    {"ls /dev | grep -v mqueue; ls -A /dev/mqueue", "null\n"},
		"no processes, no state":        {"for d in /proc/1 /sys/kernel /var /root /home /srv /run/foobar /run/systemd/private /tmp; do [ -e $d ] && echo $d; done; :", ""},
		"no environment of the agent's": {"env | grep -c CANARY; :", "0\n"},
		"no network":                    {"/usr/bin/python3 -c 'import socket; socket.create_connection((\"10.0.0.1\", 9443), 1)' 2>&1 | tail -n1", "OSError: [Errno 101] Network is unreachable\n"},
	} {
		t.Run(name, func(t *testing.T) {
			output, err := run(t, test.script)
			if err != nil || output != test.says {
				t.Errorf("it printed %q, %v; want %q", output, err, test.says)
			}
		})
	}
	t.Run("no setuid way out", func(t *testing.T) {
		dir, outside := setuidID(t)
		output, err := run(t, "find "+dir+" /usr/bin/su -perm -4000; "+dir+"/id -un", dir)
		if want := dir + "/id\n/usr/bin/su\n" + account + "\n"; err != nil || output != want || outside != "root\n" {
			t.Errorf("it printed %q, %v; want %q; outside it ran as %q", output, err, want, outside)
		}
	})
	const tooMuch, tooLong = "simplify the configuration", "the machine is too busy, or the configuration too large"
	for name, test := range map[string]struct{ script, says string }{
		"processor time":    {"while :; do :; done", "simplify"}, // on a busy machine, the run time comes first
		"run time":          {"exec sleep 600", tooLong},
		"output":            {"while :; do echo 0123456789012345678901234567890123456789; done", tooMuch},
		"output of a child": {"(while :; do echo x; done) & wait", tooMuch},
	} {
		t.Run("bound of "+name, func(t *testing.T) {
			t.Parallel()
			output, err := run(t, test.script)
			if !api.IsProblem(err, api.ProblemEngineRefused) || !strings.Contains(err.Error(), test.says) || len(output) > 256<<10 {
				t.Errorf("%d bytes of output, %v", len(output), err)
			}
		})
	}
	t.Run("bound of memory", func(t *testing.T) {
		output, err := run(t, "exec python3 -c 'x = bytearray(4 << 30)'")
		if err == nil || !strings.Contains(output, "MemoryError") {
			t.Errorf("it printed %q, %v", output, err)
		}
	})
	t.Run("a refusal", func(t *testing.T) {
		output, err := run(t, "echo no >&2; exit 3")
		if refusal, ok := errors.AsType[*checker.Refusal](err); !ok || refusal.Status != 3 || output != "no\n" {
			t.Errorf("it printed %q, %v", output, err)
		}
	})
	t.Cleanup(func() { // after the parallel ones
		if left, _ := filepath.Glob(checker.RuntimeDir + "/check-sandbox-*"); len(left) > 0 {
			t.Errorf("%q are left", left)
		}
	})
}
