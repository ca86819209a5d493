package appserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// ward is an app that is looked after, a step at a time.
type ward struct {
	*fake
	*watcher
	// busy tells that an operation is at work.
	busy bool
	// earlier is what happened before the watcher's turn came.
	earlier func()
	applied chan converge.Version
}

func watchedSpec() api.AppServer {
	s := someSpec()
	s.Liveness = &api.AppLiveness{Path: "/live", Interval: api.Duration(10 * time.Second), Timeout: api.Duration(time.Second), Failures: 3}
	return s
}

func newWard(t *testing.T, s api.AppServer) *ward {
	t.Helper()
	w := &ward{fake: newFake(t, render(t, "notes", s))}
	w.again(s)
	return w
}

// again begins another life of the agent.
func (w *ward) again(s api.AppServer) {
	k := w.fake.kind()
	w.applied = make(chan converge.Version, 1)
	w.watcher = newWatcher(k, operation.Supervised{Name: "notes", Log: hclog.NewNullLogger(), Applied: w.applied, Between: func(ctx context.Context, do func(context.Context) error) (bool, error) {
		if w.busy {
			return false, nil
		}
		if w.earlier != nil {
			w.earlier()
		}
		return true, do(ctx)
	}})
	k.watchers.set("notes", w.watcher)
	w.apply(s)
	w.take(<-w.applied, w.clock.now)
}

// apply applies a spec in the slot that has the traffic.
func (w *ward) apply(s api.AppServer) { w.applied <- converge.Version{Spec: s, State: w.place.State} }

// pass lets time go by, in steps of a second.
func (w *ward) pass(d time.Duration) {
	for end := w.clock.now.Add(d); !w.clock.now.After(end); w.clock.now = w.clock.now.Add(time.Second) {
		w.step(context.Background(), w.clock.now)
		for w.probing {
			w.note(<-w.results, w.clock.now)
			w.step(context.Background(), w.clock.now)
		}
	}
}

func (w *ward) restarts() int {
	return len(slices.DeleteFunc(slices.Clone(w.calls), func(call string) bool { return call != "restart "+fakeApp }))
}

func (w *ward) hang() { w.answer = func() (Answer, error) { return Answer{}, errors.New("timeout") } }

func (w *ward) heal() { w.answer = func() (Answer, error) { return Answer{Status: 200}, nil } }

func (w *ward) condition() string {
	_, found := w.watcher.kind.lifeOf("notes")
	texts := make([]string, len(found))
	for i, c := range found {
		texts[i] = c.Type + " " + string(c.Severity) + " " + c.Message
	}
	return strings.Join(texts, "\n")
}

func TestAHungAppIsRestartedAndReported(t *testing.T) {
	w := newWard(t, watchedSpec())
	w.pass(time.Minute)
	if w.restarts() != 0 || w.condition() != "" {
		t.Fatalf("an app that answers: %d restarts, %s", w.restarts(), w.condition())
	}
	w.hang()
	w.pass(19 * time.Second)
	if w.restarts() != 0 {
		t.Error("it was restarted before three answers failed")
	}
	w.busy = true
	w.pass(12 * time.Second)
	if shown := w.condition(); w.restarts() != 0 || !strings.HasPrefix(shown, "AppHung error ") || !strings.Contains(shown, "/live 3 times in a row") {
		t.Errorf("beside an operation: %d restarts, %q", w.restarts(), shown)
	}
	w.busy = false
	w.pass(2 * time.Second)
	if shown := w.condition(); w.restarts() != 1 || !strings.HasPrefix(shown, "AppWasHung warning ") || !strings.Contains(shown, "once since the boot") {
		t.Errorf("%d restarts, %q", w.restarts(), shown)
	}
	w.heal()
	w.pass(time.Minute)
	if w.restarts() != 1 || w.say() != api.AgentCheckUp {
		t.Errorf("after it has come back: %d restarts, it is %q", w.restarts(), w.say())
	}
}

func TestAnAppThatStaysHungIsRestartedSeldom(t *testing.T) {
	w := newWard(t, edited(watchedSpec(), func(s *api.AppServer) { s.HealthCheck.StartTimeout = api.Duration(time.Second) }))
	w.pass(time.Minute)
	w.hang()
	w.pass(10 * time.Minute)
	if n := w.restarts(); n < 3 || n > 5 {
		t.Errorf("%d restarts in ten minutes", n)
	}
	before := w.restarts()
	w.again(watchedSpec()) // what the agent knew outlives it
	w.pass(2 * time.Minute)
	if n := w.restarts() - before; n > 1 {
		t.Errorf("%d restarts in the two minutes after the agent's own", n)
	}
	if restarts, _ := w.watcher.kind.lifeOf("notes"); restarts != w.restarts() {
		t.Errorf("%d restarts are counted, %d were done", restarts, w.restarts())
	}
}

func TestAnAppMayTakeItsTimeToStart(t *testing.T) {
	w := newWard(t, watchedSpec()) // start_timeout is a minute
	w.hang()
	w.pass(59 * time.Second)
	if w.restarts() != 0 || w.say() != "" {
		t.Errorf("%d restarts while it starts; load balancers hear %q", w.restarts(), w.say())
	}
	w.pass(40 * time.Second)
	if w.restarts() != 1 {
		t.Errorf("%d restarts of an app that never answered", w.restarts())
	}
}

func TestABusyMachineBlamesNoApp(t *testing.T) {
	w := newWard(t, watchedSpec())
	w.pass(time.Minute)
	w.hang()
	for range 20 { // the agent itself comes late each time
		w.clock.now = w.clock.now.Add(15 * time.Second)
		w.step(t.Context(), w.clock.now)
		if w.probing {
			w.note(<-w.results, w.clock.now)
			w.step(t.Context(), w.clock.now)
		}
	}
	if w.restarts() != 0 {
		t.Errorf("%d restarts", w.restarts())
	}
}

// What the watcher saw before its turn may be over when it comes.
func TestTheWatcherLooksAgainInItsTurn(t *testing.T) {
	s := watchedSpec()
	for name, c := range map[string]struct {
		earlier func(w *ward)
		want    []string
	}{
		"it hangs on":      {func(*ward) {}, []string{"restart " + fakeApp}},
		"it has recovered": {func(w *ward) { w.heal() }, nil},
		"a release has replaced it": {func(w *ward) {
			w.start(fakeGreen)
			w.units[fakeApp] = systemd.Status{ActiveState: "inactive"}
			w.traffic(slotGreen)
		}, nil},
		"a release has replaced it, and systemd does not answer": {func(w *ward) {
			w.traffic(slotGreen)
			w.statusError = errors.New("no answer")
		}, nil},
		"it was restarted": {func(w *ward) {
			w.processOf(fakePID+10, "/", "")
			w.units[fakeApp] = systemd.Status{LoadState: "loaded", ActiveState: "active", MainPID: fakePID + 10}
			if err := os.RemoveAll(filepath.Join(w.root, "proc", "42")); err != nil {
				w.Fatal(err)
			}
		}, nil},
		"it is not to be asked any more": {func(w *ward) {
			w.apply(edited(s, func(s *api.AppServer) { s.Liveness = nil }))
		}, nil},
		"it may fail more often": {func(w *ward) {
			l := *s.Liveness
			l.Failures = 10
			w.apply(edited(s, func(s *api.AppServer) { s.Liveness = &l }))
		}, nil},
		"it was applied as it is": {func(w *ward) { w.apply(s) }, []string{"restart " + fakeApp}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t, s)
			w.pass(time.Minute)
			w.hang()
			w.busy = true
			w.pass(35 * time.Second)
			w.busy, w.earlier = false, func() { c.earlier(w) }
			w.step(t.Context(), w.clock.now)
			if !slices.Equal(w.calls, c.want) {
				t.Errorf("done is %q, want %q", w.calls, c.want)
			}
			if restarts, _ := w.watcher.kind.lifeOf("notes"); restarts != len(c.want) {
				t.Errorf("%d restarts are counted", restarts)
			}
		})
	}
}

// TestAnAppIsAskedWhatItWasStartedWith: during a release the link leads to the new app
// before its version is the applied one, and an operator can turn it.
func TestAnAppIsAskedWhatItWasStartedWith(t *testing.T) {
	s := edited(specs()["port"], func(s *api.AppServer) { s.Liveness, s.AppPorts = watchedSpec().Liveness, []int{8001, 8002} })
	w := newWard(t, s)
	next := edited(s, func(s *api.AppServer) {
		l := *s.Liveness
		l.Path = "/alive"
		s.Liveness, s.AppPorts = &l, []int{9001, 9002}
	})
	to := renderBeside(t, "notes", next, converge.InPlace{State: w.place.State, Spec: s})
	w.answer = func() (Answer, error) { // as the release that runs in the slot
		return Answer{Status: map[string]int{"/live on 127.0.0.1:8001": 200, "/alive on 127.0.0.1:9002": 200}[w.asked]}, nil
	}
	steps := []struct {
		what  string
		do    func()
		asked string
	}{
		{"before", func() {}, "/live on 127.0.0.1:8001"},
		{"switched", func() { w.start(fakeGreen); w.traffic(slotGreen) }, ""},
		{"committed", func() { w.take(to, w.clock.now) }, "/alive on 127.0.0.1:9002"},
		{"turned by an operator", func() { w.traffic(slotBlue) }, ""},
	}
	for _, step := range steps {
		step.do()
		w.asked = ""
		w.pass(time.Minute)
		if w.asked != step.asked || w.say() != api.AgentCheckUp || w.condition() != "" || w.restarts() > 0 {
			t.Errorf("%s: asked for %q, it is %q, %s, %d restarts", step.what, w.asked, w.say(), w.condition(), w.restarts())
		}
		if pause := w.pause(w.clock.now); pause <= 0 || pause > time.Duration(w.spec.Liveness.Interval) {
			t.Errorf("%s: it waits %s", step.what, pause)
		}
	}
	w.again(s) // another life of the agent, whose record is of the slot that has no traffic
	w.traffic(slotGreen)
	w.pass(time.Minute)
	if w.say() != "" {
		t.Errorf("of an app that nothing is known of it says %q", w.say())
	}
}

func TestWhatLoadBalancersAreReported(t *testing.T) {
	for _, c := range []struct {
		known, runs, answered, hung bool
		want                        api.AgentCheck
	}{
		{want: ""},
		{runs: true, answered: true, want: ""},
		{known: true, want: api.AgentCheckDown},
		{known: true, runs: true, want: api.AgentCheckDown},
		{known: true, answered: true, want: api.AgentCheckDown},
		{known: true, runs: true, answered: true, hung: true, want: api.AgentCheckDown},
		{known: true, runs: true, answered: true, want: api.AgentCheckUp},
	} {
		if got := stateOf(c.known, c.runs, c.answered, c.hung); got != c.want {
			t.Errorf("%+v: it is %q", c, got)
		}
	}
}

func TestLoadBalancersHearOfAProcessThatIsGone(t *testing.T) {
	s := someSpec()
	s.AgentCheckPort, s.TrustedProxies = 1, []string{"127.0.0.1/32"}
	w := newWard(t, s)
	w.port.retry = w.clock.now.Add(time.Hour) // this test listens nowhere
	w.port.address = listenAddress(s)
	if w.say() != "" {
		t.Errorf("before anything is known it says %q", w.say())
	}
	w.pass(time.Second)
	if w.say() != api.AgentCheckUp {
		t.Errorf("of an app that runs it says %q", w.say())
	}
	drain := layout{"notes"}.drainFile()
	w.write(drain, "", 0o600)
	if w.say() != api.AgentCheckDrain {
		t.Errorf("of one that drains it says %q", w.say())
	}
	proc := filepath.Join(w.root, "proc")
	if err := os.RemoveAll(proc); err != nil { // systemd has not noticed yet
		t.Fatal(err)
	}
	w.step(t.Context(), w.clock.now)
	if w.say() != api.AgentCheckDown {
		t.Errorf("of one that has ended it says %q", w.say())
	}
	w.units[fakeApp] = systemd.Status{ActiveState: "activating", SubState: "auto-restart"}
	w.hang()
	w.pass(time.Second)
	w.start(fakeApp) // it runs and does not answer yet
	w.pass(2 * time.Second)
	if w.say() != api.AgentCheckDown {
		t.Errorf("of one that starts it says %q", w.say())
	}
	w.heal()
	w.pass(time.Second)
	if err := os.Remove(filepath.Join(w.root, drain)); err != nil {
		t.Fatal(err)
	}
	if w.say() != api.AgentCheckUp {
		t.Errorf("of one that is back it says %q", w.say())
	}
}

func TestWithoutLivenessNobodyAsks(t *testing.T) {
	w := newWard(t, someSpec())
	asked := 0
	w.answer = func() (Answer, error) { asked++; return Answer{}, errors.New("no") }
	w.pass(10 * time.Minute)
	if asked != 0 || len(w.calls) != 0 {
		t.Errorf("it was asked %d times, and %q was done", asked, w.calls)
	}
}

func TestASiteOfFilesHasNobodyToWatch(t *testing.T) {
	s := edited(someSpec(), func(s *api.AppServer) {
		s.Command, s.Static = []string{}, map[string]api.StaticDirectory{"/": {Directory: "."}}
	})
	w := newWard(t, someSpec())
	w.follow(s, w.clock.now)
	w.statusError = errors.New("systemd was asked")
	w.hang()
	w.pass(time.Minute)
	if w.say() != "" || len(w.calls) != 0 || w.probing {
		t.Errorf("it says %q, and %q was done", w.say(), w.calls)
	}
}

func TestWhenAHungAppIsRestarted(t *testing.T) {
	now := time.Unix(1000, 0)
	for want, p := range map[string]pulse{
		"as soon as no operation is at work on it.":         {},
		"as soon as no operation is at work on it, again.":  {InRow: 1, Last: now.Add(-time.Hour)},
		"again at 1970-01-01 00:17:00 UTC at the earliest.": {InRow: 1, Last: now.Add(-10 * time.Second)},
	} {
		if got := p.plan(now); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
