package operation_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// overlapping is a kind with a unit for each text, so that one version starts beside
// the other.
type overlapping struct {
	kind
	plain *operationtest.Kind
	drain func(ctx context.Context, change converge.Change) error
}

var _ operation.Switcher = overlapping{}

func unitOf(text string) string { return "foobar-edge-" + text + ".service" }

func (k overlapping) Render(name string, spec operation.Spec, secrets map[string]api.Secret, before converge.InPlace) (converge.State, error) {
	state, err := k.kind.Render(name, spec, secrets, before)
	if err == nil {
		unit := unitOf(textOfSpec(spec))
		state.Files[1].Path, state.Units[0].Name = filepath.Join(systemdtest.Units, unit), unit
		state.Links = append(state.Links, converge.Link{Path: trafficLink, Target: unit, Switch: true})
	}
	return state, err
}

func textOfSpec(spec any) string {
	return spec.(operationtest.Spec).Text //nolint:forcetypeassert // it is that kind's
}

func (k overlapping) Apply(ctx context.Context, change converge.Change, _ converge.Progress) error {
	if k.plain.Gate != nil {
		if err := k.plain.Gate(ctx, change); err != nil {
			return err
		}
	}
	if change.To == nil {
		return nil
	}
	return k.plain.Units.Start(ctx, change.To.State.Units[0].Name)
}

// ObserveDuring shows the change.
func (k overlapping) ObserveDuring(ctx context.Context, name string, applied converge.Version, change converge.Change) (operation.Observation, error) {
	observation, err := k.Observe(ctx, name, applied)
	observation.Status = map[string]string{"from": textOfSpec(change.From.Spec), "to": textOfSpec(change.To.Spec)}
	return observation, err
}

const trafficLink = "/etc/foobar/test/current"

func (overlapping) Sides(string) converge.Sides {
	var sides []converge.State
	for _, text := range []string{"one", "two", "three", systemdtest.Broken} {
		unit := unitOf(text)
		sides = append(sides, converge.State{
			Files: []converge.File{{Path: filepath.Join(systemdtest.Units, unit)}},
			Links: []converge.Link{{Path: trafficLink, Target: unit, Switch: true}},
			Units: []converge.Unit{{Name: unit}},
		})
	}
	return converge.Sides{Each: sides}
}

func (overlapping) Switched(context.Context, converge.Change, converge.Progress) error { return nil }

func (k overlapping) Drained(ctx context.Context, change converge.Change, _ time.Time, _ converge.Progress) error {
	if k.drain == nil {
		return nil
	}
	return k.drain(ctx, change)
}

func (overlapping) Killed(change converge.Change, unit string, _ time.Duration) {
	change.Warn("Killed", "", "%s was killed", unit)
}

// overlaps begins a life of the agent with an overlapping kind.
func (m *machine) overlaps(t *testing.T, drain func(context.Context, converge.Change) error) {
	t.Helper()
	m.again(t, overlapping{m.kind, m.kind, drain})
}

func (m *machine) runningUnits(t *testing.T) []string {
	t.Helper()
	running, err := m.units.Running(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(running))
}

// slow has units that take their time to end, and then fail to.
type slow struct {
	*systemdtest.Systemd
	fails bool
}

func (s slow) Stop(ctx context.Context, unit string) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(1500 * time.Millisecond):
	}
	if s.fails {
		return &systemd.JobError{Verb: "stop", Unit: unit, Job: "timeout"}
	}
	return s.Systemd.Stop(ctx, unit)
}

// eventually waits until a component shows a condition, or no more.
func (m *machine) eventually(t *testing.T, condition string, shown bool) api.Component {
	t.Helper()
	for {
		c := m.get(t, "edge")
		is := func(kind string) bool {
			return slices.ContainsFunc(c.Conditions, func(found api.Condition) bool { return found.Type == kind })
		}
		if !is("OperationRunning") && is(condition) == shown {
			return c
		}
		select {
		case <-t.Context().Done():
			t.Fatal("it does not come to that")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestAGoodChangeStaysThoughTheOldDoesNotEnd in the operation's time. The agent goes
// on with that; where it is in vain, nothing else is done to the component.
func TestAGoodChangeStaysThoughTheOldDoesNotEnd(t *testing.T) {
	for name, fails := range map[string]bool{"in time": false, "at all": true} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			m.overlaps(t, nil)
			m.must(t, request("edge", 0, spec(80, "one")))
			m.Engine.Units = slow{m.units, fails}
			second, third := request("edge", 1, spec(80, "two")), request("edge", 2, spec(80, "three"))
			second.Write.TimeoutSeconds = 1
			op := m.must(t, second)
			events, err := m.Events(t.Context(), op.ID, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if last := events[len(events)-1]; op.Generation != 2 || !strings.Contains(last.Message, "not ended yet") {
				t.Errorf("generation %d, and at last %q", op.Generation, last.Message)
			}
			for tried := false; fails && !tried && t.Context().Err() == nil; time.Sleep(time.Millisecond) { // it is tried at once
				if events, err = m.Events(t.Context(), op.ID, 0, 0); err != nil {
					t.Fatal(err)
				}
				tried = strings.Contains(events[len(events)-1].Message, "tries again every few minutes, and before the next change")
			}
			c := m.eventually(t, "ChangeUnfinished", fails)
			if events, err = m.Events(t.Context(), op.ID, 0, 0); err != nil {
				t.Fatal(err)
			}
			if last := events[len(events)-1].Message; fails != strings.Contains(last, "tries again every few minutes") || strings.Contains(last, "at once") {
				t.Errorf("of what it tried it says %q", last)
			}
			if c.Generation != 2 || len(c.Drift) > 0 {
				t.Errorf("the component is %+v", c)
			}
			want := []string{unitOf("two")}
			if fails {
				wantProblem(t, m.do(t, third), api.ProblemRolledBack, unitOf("one"), "systemctl kill")
				want = []string{unitOf("one"), unitOf("two")}
			}
			if got := m.runningUnits(t); !slices.Equal(got, want) {
				t.Errorf("%q run, want %q", got, want)
			}
			m.eventually(t, "ChangeUnfinished", fails)
			m.Engine.Units = m.units
			m.must(t, third)
			if got := m.runningUnits(t); !slices.Equal(got, []string{unitOf("three")}) {
				t.Errorf("once it ends, %q run", got)
			}
			if _, err := os.Stat(filepath.Join(m.root, systemdtest.Units, unitOf("one"))); !os.IsNotExist(err) {
				t.Errorf("its file is left: %v", err)
			}
		})
	}
}

// TestADrainOutlivesItsOperation in the background, with the time that it needs: from when
// it began, and of the next change none. The version that it drains is known by its state,
// also where the agent does not understand its spec any more.
func TestADrainOutlivesItsOperation(t *testing.T) {
	m := start(t, t.TempDir())
	since := make(chan time.Time, 9)
	m.again(t, timed{overlapping{m.kind, m.kind, nil}, func(ctx context.Context, change converge.Change, began time.Time) error {
		if change.From.Spec != nil || change.From.State.Link(trafficLink) != unitOf("one") {
			return nil
		}
		since <- began
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Until(began.Add(3 * time.Second))):
			return nil
		}
	}})
	m.must(t, request("edge", 0, spec(80, "one")))
	path := filepath.Join(m.root, stateDir, "components/load-balancer/edge.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"port"`, `"newer":1,"port"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	second, third := request("edge", 1, spec(80, "two")), request("edge", 2, spec(80, "three"))
	second.Write.TimeoutSeconds, third.Write.TimeoutSeconds = 1, 1
	op := m.must(t, second)
	events, err := m.Events(t.Context(), op.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if last := events[len(events)-1].Message; !strings.Contains(last, "goes on with that in the background") || strings.Contains(last, "tries again") {
		t.Errorf("at last it says %q", last)
	}
	m.must(t, third)
	first := <-since
	if again := <-since; !again.Equal(first) || time.Since(first) < 3*time.Second {
		t.Errorf("it drained from %s, then from %s", first, again)
	}
	if got := m.runningUnits(t); !slices.Equal(got, []string{unitOf("three")}) {
		t.Errorf("%q run", got)
	}
}

// timed is an overlapping kind that is told when a drain began.
type timed struct {
	overlapping
	drain func(ctx context.Context, change converge.Change, since time.Time) error
}

func (k timed) Drained(ctx context.Context, change converge.Change, since time.Time, _ converge.Progress) error {
	return k.drain(ctx, change, since)
}

// TestTheNextLifeOfTheAgentEndsTheOld in the background, while readers see the
// component as one that an operation is at work on, and operations wait.
func TestTheNextLifeOfTheAgentEndsTheOld(t *testing.T) {
	for name, end := range map[string]func(ctx context.Context) error{
		"after a shutdown": func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
		"after a kill": func(context.Context) error {
			runtime.Goexit()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			drains, leave := make(chan converge.Change, 9), make(chan struct{})
			m.overlaps(t, func(ctx context.Context, change converge.Change) error {
				drains <- change
				return end(ctx)
			})
			m.must(t, request("edge", 0, spec(80, "one")))
			second := request("edge", 1, spec(80, "two"))
			if _, err := m.Apply(t.Context(), second); err != nil {
				t.Fatal(err)
			}
			<-drains
			m.overlaps(t, func(ctx context.Context, change converge.Change) error {
				drains <- change
				select {
				case <-leave:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
			if op, err := m.Operation(t.Context(), second.Operation); err != nil || op.State != api.OperationApplied || op.Generation != 2 {
				t.Errorf("the operation ended as %+v, %v", op, err)
			}
			change := <-drains
			if change.Undo || textOfSpec(change.From.Spec) != "one" || textOfSpec(change.To.Spec) != "two" || change.From.State.Units[0].Name != unitOf("one") {
				t.Errorf("it drains %+v", change)
			}
			c := m.get(t, "edge")
			if c.Generation != 2 || len(c.Conditions) != 1 || c.Conditions[0].Type != "OperationRunning" || string(c.Status) != `{"from":"one","to":"two"}` {
				t.Errorf("meanwhile a reader sees %+v", c)
			}
			if said := c.Conditions[0].Message; !strings.Contains(said, "The last change, operation "+second.Operation+" of tester, is in force. What it replaced drains since 20") {
				t.Errorf("meanwhile it says %q", said)
			}
			op, err := m.Apply(t.Context(), request("edge", 2, spec(80, "three")))
			if err != nil || op.State != api.OperationQueued {
				t.Errorf("meanwhile an operation is %+v, %v", op, err)
			}
			if events, err := m.Events(t.Context(), op.ID, 0, time.Minute); err != nil || !strings.Contains(events[0].Message, "operation "+second.Operation+" of tester, has replaced to end, which drains since 20") {
				t.Errorf("it waits, and says %+v, %v", events, err)
			}
			close(leave)
			if op = m.await(t, op.ID); op.State != api.OperationApplied {
				t.Errorf("afterwards it ended as %v", op.Problem)
			}
			if got := m.runningUnits(t); !slices.Equal(got, []string{unitOf("three")}) {
				t.Errorf("%q run", got)
			}
		})
	}
}

// TestAnUndoingKnowsWhatWasEdited, also in the next life of the agent: what somebody
// edited is restarted on the way back, and nothing else.
func TestAnUndoingKnowsWhatWasEdited(t *testing.T) {
	for name, edited := range map[string]bool{"nothing": false, "its configuration": true} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			m.overlaps(t, nil)
			m.must(t, request("edge", 0, spec(80, "one")))
			want := map[string]bool{}
			if path := operationtest.Config("edge"); edited {
				want[path] = true
				if err := os.WriteFile(filepath.Join(m.root, path), []byte("by hand"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			entered, undone := make(chan struct{}), make(chan converge.Change, 1)
			m.kind.Gate = func(_ context.Context, change converge.Change) error {
				if change.Undo {
					undone <- change
					return nil
				}
				close(entered)
				runtime.Goexit()
				return nil
			}
			if _, err := m.Apply(t.Context(), request("edge", 1, spec(81, "two"))); err != nil {
				t.Fatal(err)
			}
			<-entered
			m.overlaps(t, nil)
			if change := <-undone; !maps.Equal(change.Edited, want) || textOfSpec(change.To.Spec) != "one" || textOfSpec(change.From.Spec) != "two" {
				t.Errorf("it goes back by %+v", change)
			}
			if got := m.runningUnits(t); !slices.Equal(got, []string{unitOf("one")}) {
				t.Errorf("%q run", got)
			}
		})
	}
}

// TestWhatServesIsKnownFromTheDisk where the record, or the journal of a change that was
// cut off after its switch, is damaged: the next change drains what really serves, and
// takes back or removes what stands beside it.
func TestWhatServesIsKnownFromTheDisk(t *testing.T) {
	damaged := func(t *testing.T, m *machine, path string) {
		t.Helper()
		if err := os.Truncate(filepath.Join(m.root, stateDir, path), 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		prepare func(t *testing.T, m *machine)
		base    int64
	}{
		"the record is lost": {func(t *testing.T, m *machine) {
			t.Helper()
			m.must(t, request("edge", 1, spec(80, "two")))
			damaged(t, m, "components/load-balancer/edge.json")
		}, 2},
		"the journal is damaged": {func(t *testing.T, m *machine) {
			t.Helper()
			entered := make(chan struct{})
			m.Engine.Hook = func(step string) error {
				if step == "record edge.json" {
					close(entered)
					runtime.Goexit()
				}
				return nil
			}
			if _, err := m.Apply(t.Context(), request("edge", 1, spec(80, "two"))); err != nil {
				t.Fatal(err)
			}
			<-entered
			m.Engine.Hook = nil
			damaged(t, m, "transactions/load-balancer/edge/journal.json")
		}, 1},
	} {
		for text, end := range map[string][]string{"three": {unitOf("three")}, systemdtest.Broken: {unitOf("two")}} {
			t.Run(name+", then "+text, func(t *testing.T) {
				m := start(t, t.TempDir())
				var drains []converge.Change
				drain := func(_ context.Context, change converge.Change) error {
					drains = append(drains, change)
					return nil
				}
				m.overlaps(t, nil)
				m.must(t, request("edge", 0, spec(80, "one")))
				c.prepare(t, m)
				m.overlaps(t, drain)
				op := m.do(t, request("edge", c.base, spec(80, text)))
				if failed := op.Problem != nil; failed != (text == systemdtest.Broken) {
					t.Fatal(op.Problem)
				}
				change := drains[len(drains)-1]
				if change.Undo {
					change.From, change.To = change.To, change.From
				}
				if change.From == nil || change.From.State.Link(trafficLink) != unitOf("two") || change.From.State.Units[0].Name != unitOf("two") {
					t.Errorf("it goes on from %+v", change.From)
				}
				running := m.runningUnits(t)
				if text == systemdtest.Broken { // what stood beside it stays until a change works
					running = slices.DeleteFunc(running, func(unit string) bool { return unit == unitOf("one") })
				}
				if !slices.Equal(running, end) {
					t.Errorf("%q run, want %q", running, end)
				}
				if target, err := os.Readlink(filepath.Join(m.root, trafficLink)); err != nil || target != end[0] {
					t.Errorf("the traffic leads to %s, %v", target, err)
				}
			})
		}
	}
}

// TestTheNewVersionIsSupervisedFromItsCommit, however long the old one drains: what looks
// after the component must not ask the new version what the old one was asked. A change
// that is undone leaves the old one supervised.
func TestTheNewVersionIsSupervisedFromItsCommit(t *testing.T) {
	m := start(t, t.TempDir())
	drains, leave := make(chan struct{}), make(chan struct{})
	n := newNurse(m.kind)
	m.again(t, supervisedOverlap{overlapping{m.kind, m.kind, func(ctx context.Context, _ converge.Change) error {
		drains <- struct{}{}
		select {
		case <-leave:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}, n})
	m.must(t, request("edge", 0, spec(80, "one")))
	c := <-n.supervised
	if got := textOf(t, c); got != "one" {
		t.Fatalf("at first it is supervised with %q", got)
	}
	op, err := m.Apply(t.Context(), request("edge", 1, spec(80, "two")))
	if err != nil {
		t.Fatal(err)
	}
	<-drains
	if got := textOf(t, c); got != "two" {
		t.Errorf("while the old version drains it is supervised with %q", got)
	}
	ran, err := c.Between(t.Context(), func(ctx context.Context) error {
		leave <- struct{}{}
		select {
		case <-ended(ctx, m, op.ID):
			t.Error("the operation ended while who supervises had its turn")
		case <-time.After(50 * time.Millisecond):
		}
		return nil
	})
	if !ran || err != nil {
		t.Errorf("while the old version drains, the new one is looked after: %t, %v", ran, err)
	}
	m.await(t, op.ID)
	if op, err = m.Apply(t.Context(), request("edge", 2, spec(80, systemdtest.Broken))); err != nil {
		t.Fatal(err)
	}
	<-drains // of what failed
	leave <- struct{}{}
	m.await(t, op.ID)
	if got := textOf(t, c); got != "two" {
		t.Errorf("after an undone change it is supervised with %q", got)
	}
}

// ended is closed with the end of an operation.
func ended(ctx context.Context, m *machine, id string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		for {
			if op, err := m.Operation(ctx, id); err != nil || op.State.Done() {
				close(done)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return done
}

// supervisedOverlap has its components supervised.
type supervisedOverlap struct {
	overlapping
	nurse nurse
}

func (s supervisedOverlap) Supervise(ctx context.Context, c operation.Supervised) {
	s.nurse.Supervise(ctx, c)
}

// TestTheNextLifeKnowsWhoseSecretsItHas: the values that are kept are of one version.
func TestTheNextLifeKnowsWhoseSecretsItHas(t *testing.T) {
	m := start(t, t.TempDir())
	drains := make(chan converge.Change, 9)
	secret := func(base, version int64, text, value string) operation.Request {
		s := spec(80, text)
		s.SecretsVersion = version
		r := request("edge", base, s)
		r.Write.Secrets = map[string]api.Secret{"TOKEN": api.Secret(value)}
		return r
	}
	m.overlaps(t, func(ctx context.Context, change converge.Change) error {
		drains <- change
		<-ctx.Done()
		return context.Cause(ctx)
	})
	m.must(t, secret(0, 1, "one", "hunter2"))
	if _, err := m.Apply(t.Context(), secret(1, 2, "two", "swordfish")); err != nil {
		t.Fatal(err)
	}
	<-drains
	m.overlaps(t, func(_ context.Context, change converge.Change) error {
		drains <- change
		return nil
	})
	change := <-drains
	if len(change.From.Secrets) != 0 || change.To.Secrets["TOKEN"].Reveal() != "swordfish" {
		t.Errorf("the old version has %d secrets, the new one %d", len(change.From.Secrets), len(change.To.Secrets))
	}
}

// TestWarningsAreAtTheEndOfTheOperation that they are about, one of each type.
func TestWarningsAreAtTheEndOfTheOperation(t *testing.T) {
	m := start(t, t.TempDir())
	m.overlaps(t, func(_ context.Context, change converge.Change) error {
		for range 2 {
			change.Warn("Cut", "/text", "%s was cut", textOfSpec(change.From.Spec))
		}
		change.Warn("Slow", "", "it was slow")
		return nil
	})
	if op := m.must(t, request("edge", 0, spec(80, "one"))); len(op.Warnings) > 0 {
		t.Errorf("a create that cuts nothing warns of %+v", op.Warnings)
	}
	op := m.must(t, request("edge", 1, spec(80, "two")))
	want := []api.Condition{
		{Type: "Cut", Severity: api.SeverityWarning, Pointer: "/text", Message: "one was cut"},
		{Type: "Slow", Severity: api.SeverityWarning, Message: "it was slow"},
	}
	if !slices.Equal(op.Warnings, want) {
		t.Errorf("it warns of %+v", op.Warnings)
	}
}
