//go:build lab && full

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// struck is the machine whose release is broken off; the other one's goes on.
const struck = "web1"

// strikes are what breaks a release off, by what ends.
func strikes() map[string]func(*releaseStack) {
	return map[string]func(*releaseStack){
		"the agent": func(l *releaseStack) {
			l.lab.Exec(struck, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "foobar-agent.service")
		},
		"the machine": func(l *releaseStack) { l.lab.Kill(struck) },
	}
}

// stopsAtSteps gives the machine an agent that a test can have wait at a step, see
// fault_tagged.go of foobar-agent.
func (l *releaseStack) stopsAtSteps() {
	l.t.Helper()
	program := filepath.Join(l.t.TempDir(), "foobar-agent")
	build := exec.CommandContext(l.t.Context(), "go", "build", "-tags", "faults", "-o", program, "../../cmd/foobar-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		l.t.Fatalf("build the agent: %v\n%s", err, out)
	}
	file, err := os.Open(program)
	if err != nil {
		l.t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was read
	put := l.lab.Command(l.t.Context(), "exec", struck, "--", "sh", "-ec", `
		cd /usr/lib/foobar; cat >foobar-agent.new; chmod 0755 foobar-agent.new; mv foobar-agent.new foobar-agent
		systemctl restart foobar-agent.service`)
	put.Stdin = file
	if out, err := put.CombinedOutput(); err != nil {
		l.t.Fatalf("put the agent in place: %v\n%s", err, out)
	}
}

// waitAt has the agent of the machine wait before a step of the next operation; 0
// is none of them.
func (l *releaseStack) waitAt(step int) {
	l.t.Helper()
	l.lab.Exec(struck, "sh", "-ec", "mkdir -p /run/foobar-faults; cd /run/foobar-faults; : >steps; rm -f reached; echo "+strconv.Itoa(step)+" >at")
}

// steps are those of the operations since waitAt.
func (l *releaseStack) steps() []string {
	l.t.Helper()
	return strings.Split(strings.TrimSpace(l.lab.Exec(struck, "cat", "/run/foobar-faults/steps")), "\n")
}

// reached waits until the agent waits at the step, and returns its name. The agent
// that comes after it waits at none.
func (l *releaseStack) reached(a *application) string {
	l.t.Helper()
	var step string
	l.soon("the step was not reached", func() (string, bool) {
		select {
		case <-a.ended:
			l.t.Fatalf("the apply ended before the step: %s", a.said.String())
		default:
		}
		out, err := l.lab.TryExec(struck, "cat", "/run/foobar-faults/reached")
		step = out
		return fmt.Sprint(err), err == nil && out != ""
	})
	l.lab.Exec(struck, "rm", "/run/foobar-faults/at")
	return step
}

// oneRelease waits until exactly one release serves on the machine, and returns its
// name: the record says which; the slots, the units, nginx and the answer agree.
func (l *releaseStack) oneRelease() (name string) {
	l.t.Helper()
	l.soon("not exactly one release serves", func() (string, bool) {
		found, err := l.lookAtRelease()
		name = found
		return fmt.Sprintf("%s: %v", found, err), err == nil
	})
	return name
}

// lookAtRelease returns the release that the record of the machine names, and an
// error if anything else there is of another one.
func (l *releaseStack) lookAtRelease() (string, error) {
	text, err := l.lab.TryExec(struck, "foobar-agent", "status", "-json")
	if err != nil {
		return "", err
	}
	var status struct{ Components []api.Component }
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		return "", err
	}
	if len(status.Components) != 1 {
		return "", fmt.Errorf("%d components: %s", len(status.Components), text)
	}
	c := status.Components[0]
	var spec api.AppServer
	var now api.AppServerStatus
	if err := json.Unmarshal(c.Spec, &spec); err != nil {
		return "", err
	}
	if err := json.Unmarshal(c.Status, &now); err != nil {
		return "", err
	}
	name := l.sums[spec.Release.SHA256]
	if len(c.Drift)+len(c.Conditions) > 0 || now.Release != spec.Release.SHA256 || !now.Healthy {
		return name, fmt.Errorf("drift %v, conditions %v, status %s", c.Drift, c.Conditions, c.Status)
	}
	for slot, s := range now.Slots {
		if want := map[bool]api.SlotState{true: api.SlotLive, false: api.SlotEmpty}[slot == now.Slot]; s.State != want {
			return name, fmt.Errorf("slot %s is %s", slot, s.State)
		}
	}
	active, err := l.lab.TryExec(struck, "systemctl", "list-units", "--state=active", "--plain", "--no-legend", "--no-pager", "foobar-app-notes@*")
	if err != nil {
		return name, err
	}
	if lines := strings.Split(strings.TrimSpace(active), "\n"); len(lines) != 1 || !strings.HasPrefix(lines[0], "foobar-app-notes@"+now.Slot+".service") {
		return name, fmt.Errorf("active are %q", lines)
	}
	answer, err := answerOf(l.t.Context(), "http://10.0.0.1/")
	if err == nil && answer.Release != name {
		err = fmt.Errorf("release %s answers", answer.Release)
	}
	return name, err
}

// countedAnswer is what the app answers.
type countedAnswer struct{ Server, Release, Edit string }

func answerOf(ctx context.Context, url string) (answer countedAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close() //nolint:errcheck // it is read
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(text, &answer)
}

// finish applies once more after a release was broken off, and fails the test
// unless it serves then and nothing is left to do.
func (l *releaseStack) finish(release string) {
	l.t.Helper()
	l.apply()
	if now := l.oneRelease(); now != release {
		l.t.Errorf("after the second apply release %q serves, not %q", now, release)
	}
	l.plan().empty()
}

// newStruck returns the stack with a first release, ready to be broken off.
func newStruck(t *testing.T) *releaseStack {
	t.Helper()
	l := newReleaseStack(t, healthyTime, `min_healthy_time = "500ms"`)
	l.stopsAtSteps()
	l.pack("first")
	l.apply()
	l.settled()
	return l
}

// TestReleaseBrokenOffAtEachStep kills Terraform, and then the agent or the machine
// as a loss of power does, before each step of a release: up to the commit the one
// before serves then, afterwards the new one, and a second apply brings the new one. The
// clients lose nothing with the agent, and with the machine what was in flight to it.
func TestReleaseBrokenOffAtEachStep(t *testing.T) {
	for what, strike := range strikes() {
		t.Run(what, func(t *testing.T) {
			l := newStruck(t)
			l.pack("second")
			l.waitAt(0)
			l.apply()
			steps := l.steps()
			t.Logf("%d steps: %s", len(steps), strings.Join(steps, "; "))
			if len(steps) < 10 {
				t.Fatal("a release has more steps")
			}
			load, spans := l.start(steady()), []span(nil)
			kept, before := 0, "second"
			for i := range steps {
				release := fmt.Sprintf("broken off at %d", i+1)
				l.pack(release)
				l.waitAt(i + 1)
				a := l.begin(l.lab)
				step := l.reached(a)
				serves := before
				if step != "commit" && slices.Contains(l.steps(), "commit") {
					serves = release
					kept++
				}
				a.kill(false) // it would ask again, and what serves is to be seen before that
				spans = append(spans, watched(t.Context(), "10.0.0.1:80", func() { strike(l) }))
				now := l.oneRelease()
				t.Logf("%s ended before %q: release %q serves", what, step, now)
				if now != serves {
					t.Errorf("%s ended before %q, and release %q serves, not %q", what, step, now, serves)
				}
				l.finish(release)
				before = release
			}
			if kept == 0 || kept == len(steps) {
				t.Errorf("%d of %d steps are after the commit", kept, len(steps))
			}
			users := load.account("what users lost")
			for _, s := range users.Failures {
				if what != "the machine" || !slices.ContainsFunc(spans, func(k span) bool { return s.InFlight(k.from, k.to) }) {
					t.Errorf("a request failed that was not in flight to what ended: %+v", s)
				}
			}
			if len(users.Lost)+len(users.Twice) > 0 {
				t.Errorf("lost %+v, twice %+v", users.Lost, users.Twice)
			}
			t.Logf("%d of %d releases broken off had been committed", kept, len(steps))
			l.settled()
			l.runs()
		})
	}
}
