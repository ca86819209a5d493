//go:build lab

package appserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// talker forges at its start, bursts and dies when it is asked to, and floods its
// log while it is asked to.
const talker = `
import os, socket, sys, threading
def forge(unit):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(("UNIT=%s\n_PID=1\n_UID=0\nMESSAGE=Starting %s forged\n" % (unit, unit)).encode(), "/run/systemd/journal/socket")
    s.sendto(("COREDUMP_UNIT=%s\nOBJECT_SYSTEMD_UNIT=%s\nMESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1\nMESSAGE=forged core dump of %s\n" % (unit, unit, unit)).encode(), "/run/systemd/journal/socket")
forge("foobar-app-talker-nginx.service")
print("\x1b[2Jowned\rnothing", flush=True)
def burst():
    for i in range(200000):
        sys.stdout.write("%06d %s\n" % (i, "x" * 92))
    sys.stdout.write("last words\n")
    sys.stdout.flush()
    os._exit(1)
def asked(what):
    return os.path.exists(os.path.join(os.environ["RUNTIME_DIRECTORY"], what))
class Burst(threading.Thread):
    def run(self):
        n = 0
        while not asked("burst"):
            if asked("say"):
                print("said so", flush=True)
                os.remove(os.path.join(os.environ["RUNTIME_DIRECTORY"], "say"))
            if asked("flood"):
                sys.stdout.write("".join("%09d %s\n" % (i, "y" * 200) for i in range(n, n + 1000)))
                n += 1000
            else:
                threading.Event().wait(0.05)
        os.remove(os.path.join(os.environ["RUNTIME_DIRECTORY"], "burst"))
        burst()
Burst(daemon=True).start()
` + "RELEASE = \"talker\"\n" + echo

const (
	talkerApp   = "foobar-app-talker@blue.service"
	talkerNginx = "foobar-app-talker-nginx.service"
)

// journal returns what the journal has of a unit since a time, as one text.
func (s *stand) journal(unit string, since time.Time) string {
	s.Helper()
	ctx := context.Background()
	if err := (logs.Journal{}).Sync(ctx, unit); err != nil {
		s.Fatal(err)
	}
	output, err := exec.CommandContext(ctx, "journalctl", "--namespace=*", "--quiet", "--all", "--output=cat", fmt.Sprintf("--since=@%d.%06d", since.Unix(), since.Nanosecond()/1000), "_SYSTEMD_UNIT="+unit).Output()
	if err != nil {
		s.Fatal(err)
	}
	return string(output)
}

func (s *stand) condition(name, sort string) string {
	s.Helper()
	c, _ := s.get(name)
	i := slices.IndexFunc(c.Conditions, func(c api.Condition) bool { return c.Type == sort })
	if i < 0 {
		return ""
	}
	return c.Conditions[i].Message
}

func (s *stand) burst() {
	s.Helper()
	before := s.pid(talkerApp)
	if err := os.WriteFile("/run/foobar-app-talker-blue/burst", nil, 0o600); err != nil {
		matches, _ := filepath.Glob("/run/foobar-app-talker*")
		s.Fatalf("%v; there are %q", err, matches)
	}
	s.eventually("the app dies and comes back", func() bool {
		pid := s.pid(talkerApp) // first: what is healthy may be the one that is about to die
		_, status := s.get("talker")
		return pid != 0 && pid != before && status.Healthy
	})
}

// TestLogsCanBeBelieved has an app lie, burst, die and hang.
func TestLogsCanBeBelieved(t *testing.T) {
	s, began := newStand(t), time.Now()
	s.apply("talker", s.spec(s.upload(map[string]entry{"main.py": {talker, 0o644}}), 8081), nil)
	ctx, before := context.Background(), s.condition("talker", "LogsDropped") // of a former run on this machine

	lines, err := logs.Journal{}.Lines(ctx, talkerNginx, 100)
	if err != nil || slices.ContainsFunc(lines, func(l api.LogLine) bool { return strings.Contains(l.Message, "forged") }) {
		t.Errorf("nginx's log has the app's line: %+v, %v", lines, err)
	}
	lines, err = logs.Journal{}.Lines(ctx, talkerApp, 100)
	i := slices.IndexFunc(lines, func(l api.LogLine) bool { return strings.Contains(l.Message, "forged") })
	if err != nil || i < 0 || lines[i].Unit != talkerApp || lines[i].Manager {
		t.Errorf("the forged line is not the app's own: %+v, %v", lines, err)
	}
	if _, status := s.get("talker"); !slices.Contains(status.Log, `\x1b[2Jowned\rnothing`) {
		t.Errorf("the status shows %q", status.Log)
	}

	s.burst()
	all := s.journal(talkerApp, began)
	if n := strings.Count(all, "xxxxxxxxxx\n"); n != 200000 || !strings.Contains(all, "\nlast words\n") {
		t.Errorf("of a burst of 200000 lines %d are there; last words: %t", n, strings.Contains(all, "\nlast words\n"))
	}
	if shown := s.condition("talker", "LogsDropped"); shown != "" && shown != before {
		t.Errorf("a loss is reported where there is none: %s", shown)
	}

	dropIn := "/run/systemd/system/foobar-app-talker@.service.d/limit.conf"
	err = errors.Join(os.MkdirAll(filepath.Dir(dropIn), 0o755), os.WriteFile(dropIn, []byte("[Service]\nLogRateLimitIntervalSec=1s\nLogRateLimitBurst=1000\n"), 0o644),
		s.units.DaemonReload(ctx), s.units.Restart(ctx, talkerApp))
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the app is back", func() bool { _, status := s.get("talker"); return status.Healthy })
	s.burst()
	s.eventually("the loss is reported", func() bool {
		shown := s.condition("talker", "LogsDropped")
		return shown != before && strings.Contains(shown, " lines of "+talkerApp)
	})

	// The release for the drop-in's repair has no limit, and is another process.
	s.apply("talker", s.spec(s.upload(map[string]entry{"main.py": {talker, 0o644}}), 8081), nil)
	s.signal(s.live("talker"), syscall.SIGSTOP)
	if shown := s.condition("talker", "AppUnhealthy"); !strings.Contains(shown, "did not answer within") {
		t.Errorf("of a hung app it says %q", shown)
	}
	s.signal(s.live("talker"), syscall.SIGCONT)
}

// TestAFloodDrivesOutNoOtherLines has an app log as much as it can, until its own
// first lines are gone. That lines above the rate are reported is the test before.
func TestAFloodDrivesOutNoOtherLines(t *testing.T) {
	s, began := newStand(t), time.Now()
	s.apply("talker", s.spec(s.upload(map[string]entry{"main.py": {talker, 0o644}}), 8081), nil)
	s.ask(http.MethodGet, "http://127.0.0.1:8081/before-the-flood", nil, nil)
	mark := "before the flood of " + began.String()
	if err := exec.Command("logger", mark).Run(); err != nil {
		t.Fatal(err)
	}
	s.eventually("the first line is there", func() bool { return strings.Contains(s.journal(talkerApp, began), "owned") })

	flood := "/run/foobar-app-talker-blue/flood"
	if err := os.WriteFile(flood, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.eventually("the flood has driven out its own first lines", func() bool {
		oldest, err := exec.Command("sh", "-c", `journalctl --namespace='*' --quiet --all --output=cat --since=$1 _SYSTEMD_UNIT=$2 | head -c 4096`,
			"-", fmt.Sprintf("@%d", began.Unix()), talkerApp).Output()
		return err == nil && !strings.Contains(string(oldest), "owned") && strings.Contains(string(oldest), "yyyy")
	})
	if err := os.Remove(flood); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.journal(talkerNginx, began), `"path":"/before-the-flood"`) {
		t.Error("the flood drove out the access log's line")
	}
	if output, err := exec.Command("journalctl", "--quiet", "--output=cat", "--identifier=root").Output(); err != nil || !strings.Contains(string(output), mark) {
		t.Errorf("the flood drove out the machine's lines: %v", err)
	}
}

// TestNoUnitReachesAnotherUnitsLog has each unit's account, in what the unit sees of
// the machine, write to every journal namespace. It may write to its own alone, as
// what fills a namespace drives out the lines that are in it.
func TestNoUnitReachesAnotherUnitsLog(t *testing.T) {
	const write = `
import glob, socket, sys
reached = []
for path in ["/run/systemd/journal.foobar-app-talker@/socket", "/run/systemd/journal.foobar-app-talker-nginx/socket"] + glob.glob("/run/systemd/*/socket"):
    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(("MESSAGE=%s to %s\n" % (sys.argv[1], path)).encode(), path)
        reached.append(path)
    except OSError:
        pass
print(*reached)
`
	s, began := newStand(t), time.Now()
	s.apply("talker", s.spec(s.upload(map[string]entry{"main.py": {talker, 0o644}}), 8081), nil)
	for unit, account := range map[string]string{talkerApp: "app-talker", talkerNginx: "www-data"} {
		if _, err := os.Stat("/run/systemd/journal." + logs.Namespace(unit) + "/socket"); err != nil {
			t.Fatal(err)
		}
		output, err := exec.Command("nsenter", "--mount", fmt.Sprintf("--target=%d", s.pid(unit)), "--",
			"runuser", "-u", account, "--", "/usr/bin/python3", "-c", write, "trespass").CombinedOutput()
		if got := strings.TrimSpace(string(output)); err != nil || got != "/run/systemd/journal/socket" {
			t.Errorf("the account of %s reaches %q, %v; want its own log alone", unit, got, err)
		}
		if err := (logs.Journal{}).Sync(context.Background(), unit); err != nil {
			t.Fatal(err)
		}
		output, err = exec.Command("journalctl", "--namespace="+logs.Namespace(unit), "--quiet", "--output=cat", fmt.Sprintf("--since=@%d", began.Unix()), "--grep=trespass").Output()
		if got := strings.TrimSpace(string(output)); err != nil || got != "trespass to /run/systemd/journal/socket" {
			t.Errorf("the log of %s has %q, %v", unit, got, err)
		}
	}
}

// TestNoLogHasAQueryString has nginx log errors of requests with and without one.
func TestNoLogHasAQueryString(t *testing.T) {
	const url, canary = "http://127.0.0.1:8081/", "token=canary-of-a-query"
	s, began := newStand(t), time.Now()
	s.apply("talker", s.spec(s.release("quiet"), 8081), nil)
	s.ask(http.MethodGet, url+"fine?"+canary, nil, nil)
	if err := s.units.Stop(context.Background(), talkerApp); err != nil {
		t.Fatal(err)
	}
	s.ask(http.MethodGet, url+"plain", nil, nil)
	s.ask(http.MethodGet, url+"secret?"+canary, nil, nil)
	s.ask(http.MethodGet, url+"referred", nil, http.Header{"Referer": {"http://www.foobar.test/?" + canary}})
	log := s.journal(talkerNginx, began)
	if strings.Contains(log, canary) {
		t.Errorf("the log has a query string:\n%s", log)
	}
	for _, want := range []string{`"path":"/fine"`, `"path":"/secret","protocol":"HTTP/1.1","status":502`, `request: "GET /plain HTTP/1.1"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
}
