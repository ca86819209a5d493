package appserver

import (
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// elfOf is the beginning of a program for a machine of elf(5).
func elfOf(machine byte, rest string) string {
	return "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 11) + string([]byte{machine, 0}) + rest
}

// TestAFailedExecIsExplained at the attribute that it comes from.
func TestAFailedExecIsExplained(t *testing.T) {
	own, other, otherName := byte(62), byte(183), "arm64"
	if runtime.GOARCH == "arm64" {
		own, other, otherName = 183, 62, "amd64"
	}
	v := render(t, "notes", specs()["socket"])
	for name, c := range map[string]struct {
		status  int
		program string
		at      api.Pointer
		want    string
	}{
		"another architecture":  {203, elfOf(other, ""), "/command/0", "is a program for " + otherName + ", and this machine is " + runtime.GOARCH},
		"another C library":     {203, elfOf(own, "\x00/lib/ld-musl-x86_64.so.1\x00"), "/command/0", "needs /lib/ld-musl-x86_64.so.1, which is not on this machine"},
		"no interpreter line":   {203, "print('hello')\n", "/command/0", "is neither a program for Linux nor a script"},
		"an empty file":         {203, "", "/command/0", "is neither a program for Linux nor a script"},
		"a bad interpreter":     {203, "#!/usr/bin/python3\n", "/command/0", "a script whose interpreter cannot be executed"},
		"what is not permitted": {203, elfOf(own, ""), "/command/0", "cannot be executed by the app's user"},
		"a closed directory":    {200, "", "/release", "cannot enter the release's top directory (systemd: 200/CHDIR)"},
		"a removed user":        {217, "", "", "cannot be used (systemd: 217/USER)"},
		"a sandbox":             {226, "", "", "(systemd: 226/NAMESPACE)"},
		"a failure of its own":  {status: 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, v)
			f.units[fakeApp] = systemd.Status{ActiveState: "inactive"}
			f.write("/usr/bin/python3", "\x7fELF", 0o755)
			s, err := specOf(v.Spec)
			if err != nil {
				t.Fatal(err)
			}
			r := rollout{kind: f.kind(), layout: layout{"notes"}, spec: s, slot: slotBlue, change: change(v, v), progress: silent}
			r.spec.Command = []string{"./bin/shop"}
			f.write(r.release()+"/bin/shop", c.program, 0o755)
			problem, ok := errors.AsType[*api.Problem](r.notStarted(t.Context(), &systemd.JobError{Verb: "restart", Unit: fakeApp, Job: "failed", Result: "exit-code", ExitStatus: c.status}))
			if !ok {
				t.Fatal("it is no problem")
			}
			if c.want == "" {
				if len(problem.Violations) > 0 {
					t.Errorf("it explains %+v", problem.Violations)
				}
				return
			}
			if len(problem.Violations) != 1 || problem.Violations[0].Pointer != c.at || !strings.Contains(problem.Violations[0].Detail, c.want) {
				t.Errorf("it explains %+v, not %q", problem.Violations, c.want)
			}
		})
	}
}

// TestWhatIsNoProgramAnyMoreIsNotWaitedFor: an app may exchange its files at any moment,
// and nobody ever writes to its FIFO.
func TestWhatIsNoProgramAnyMoreIsNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop")
	if err := syscall.Mkfifo(path, 0o700); err != nil {
		t.Fatal(err)
	}
	m := machine{}
	for _, says := range []string{m.lacksInterpreter(path), m.notExecuted(path, "")} {
		if !strings.Contains(says, "it is no regular file") {
			t.Errorf("it says %q", says)
		}
	}
}
