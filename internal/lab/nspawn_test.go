package lab

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

func TestCommandLines(t *testing.T) {
	var b strings.Builder
	for _, args := range [][]string{
		nspawnArgs("demo", machine(t, "lb1=203.0.113.10,10.0.0.10"), "/root-of-lb1", "/bootstrap.json"),
		nspawnArgs("demo", machine(t, "web1=10.0.0.1"), "/root-of-web1", ""),
		provisionArgs("/root", "/images", "", "10-base.sh"),
		provisionArgs("/root", "/images", "/agent", agentScript),
		enterMachine(42, []string{"ls", "-l"}),
		enterSite(42, "/dir", []string{"ls", "-l"}),
		{overlayOptions([]string{"/layer", "/base"}, "/upper", "/work")},
	} {
		b.WriteString(strings.Join(args, "\n  ") + "\n")
	}
	golden.Compare(t, "commands.golden", b.String())
}

func TestLeaderFromNotify(t *testing.T) {
	for message, want := range map[string]int{
		"READY=1\nSTATUS=Container running.\nX_NSPAWN_LEADER_PID=4711": 4711,
		"X_NSPAWN_LEADER_PID=4711\nREADY=1\n":                          4711,
		"STATUS=Started.":                                              0,
		"X_NSPAWN_LEADER_PID=":                                         0,
		"X_NSPAWN_LEADER_PID=x":                                        0,
		"X_NSPAWN_LEADER_PID=1":                                        0,
		"":                                                             0,
	} {
		got, ok := leaderFromNotify(message)
		if ok != (want != 0) || ok && got != want {
			t.Errorf("leaderFromNotify(%q) = %d, %t, want %d", message, got, ok, want)
		}
	}
}

func FuzzLeaderFromNotify(f *testing.F) {
	f.Add("READY=1\nX_NSPAWN_LEADER_PID=4711")
	f.Fuzz(func(t *testing.T, message string) {
		if pid, ok := leaderFromNotify(message); ok && pid <= 1 {
			t.Errorf("process %d from %q", pid, message)
		}
	})
}

func TestBootEndOf(t *testing.T) {
	for script, want := range map[string]bootEnd{
		"exit 0":        poweredOff,
		"exit 133":      rebooted,
		"kill -KILL $$": powerLost,
		"exit 1":        "",
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		_ = cmd.Run() // how it ended is what is looked at
		got, err := bootEndOf(cmd.ProcessState)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v, want %q", script, got, err, want)
		}
	}
}
