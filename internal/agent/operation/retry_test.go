package operation_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// waits is a clock of retries: each wait ends when the test says so.
type waits struct {
	asked chan time.Duration
	over  chan time.Time
}

// waitsFor has a machine's agent wait by a clock of the test.
func (m *machine) waitsFor(t *testing.T, kind operation.Kind) waits {
	t.Helper()
	w := waits{make(chan time.Duration, 99), make(chan time.Time)}
	m.After = func(wait time.Duration) <-chan time.Time {
		w.asked <- wait
		return w.over
	}
	m.again(t, kind)
	return w
}

// next returns what is waited for next, and ends that wait.
func (w waits) next(t *testing.T) time.Duration {
	t.Helper()
	wait := <-w.asked
	w.over <- time.Time{}
	return wait
}

// TestWhatDoesNotEndIsTriedAgain by the agent alone, ever more rarely, until it works:
// the undoing of a change, and the end of what a change has replaced. Meanwhile a
// condition says what is wrong, and afterwards nothing is left to do.
func TestWhatDoesNotEndIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		fails string // the step that does
		says  []string
		ends  []string
	}{
		"an undoing":  {"undo: restore " + trafficLink, []string{"could not be undone", "version that failed"}, []string{unitOf("one")}},
		"a finishing": {"retire " + unitOf("one"), []string{"is in force"}, []string{unitOf("two")}},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			w := m.waitsFor(t, overlapping{m.kind, m.kind, nil})
			m.must(t, request("edge", 0, spec(80, "one")))
			var works atomic.Bool
			m.Engine.Hook = func(step string) error {
				if undone := strings.HasPrefix(c.fails, "undo"); !works.Load() && (step == c.fails || undone && step == "commit") {
					return errors.New("a fault.") //nolint:revive // as another program may end its message
				}
				return nil
			}
			m.do(t, request("edge", 1, spec(80, "two")))
			var waited []time.Duration
			for range 4 {
				waited = append(waited, w.next(t))
			}
			if want := []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute}; !slices.Equal(waited, want) {
				t.Errorf("it waits %v", waited)
			}
			wait := <-w.asked
			if wait != 5*time.Minute {
				t.Errorf("then it waits %s", wait)
			}
			got := m.eventually(t, "ChangeUnfinished", true)
			message := got.Conditions[slices.IndexFunc(got.Conditions, func(c api.Condition) bool { return c.Type == "ChangeUnfinished" })].Message
			for _, want := range append(c.says, "a fault", "tries again every few minutes", "no apply is needed") {
				if !strings.Contains(message, want) {
					t.Errorf("the condition says %q, without %q", message, want)
				}
			}
			if strings.Contains(message, "..") {
				t.Errorf("the condition says %q, with two full stops", message)
			}
			if running := m.runningUnits(t); !slices.Equal(running, []string{unitOf("one"), unitOf("two")}) {
				t.Errorf("meanwhile %q run", running)
			}
			works.Store(true)
			w.over <- time.Time{}
			if got := m.eventually(t, "ChangeUnfinished", false); len(got.Drift) > 0 {
				t.Errorf("the component is %+v", got)
			}
			if running := m.runningUnits(t); !slices.Equal(running, c.ends) {
				t.Errorf("in the end %q run", running)
			}
		})
	}
}

// TestARetryHidesNothing: while the agent tries again, which may take long, the
// condition is there as before.
func TestARetryHidesNothing(t *testing.T) {
	m := start(t, t.TempDir())
	w := m.waitsFor(t, overlapping{m.kind, m.kind, nil})
	m.must(t, request("edge", 0, spec(80, "one")))
	tries, retrying, goOn := 0, make(chan struct{}), make(chan struct{})
	m.Engine.Hook = func(step string) error {
		if step != "retire "+unitOf("one") {
			return nil
		}
		if tries++; tries == 3 { // the first is the operation's own, the second follows at once
			close(retrying)
			<-goOn
		}
		return errors.New("a fault")
	}
	op := m.must(t, request("edge", 1, spec(80, "two")))
	if len(op.Warnings) != 1 || op.Warnings[0].Type != "ChangeUnfinished" {
		t.Errorf("the apply ends with %+v", op.Warnings)
	}
	w.next(t)
	<-retrying
	var types []string
	for _, c := range m.get(t, "edge").Conditions {
		if types = append(types, c.Type); !strings.Contains(c.Message, "is in force") {
			t.Errorf("%s says %q", c.Type, c.Message)
		}
	}
	if !slices.Equal(types, []string{"OperationRunning", "ChangeUnfinished"}) {
		t.Errorf("the conditions are %q", types)
	}
	close(goOn)
}

// TestACreationThatIsNotUndoneIsShown, though there is no component that could show it.
func TestACreationThatIsNotUndoneIsShown(t *testing.T) {
	m := start(t, t.TempDir())
	w := m.waitsFor(t, overlapping{m.kind, m.kind, nil})
	var works atomic.Bool
	m.Engine.Hook = func(step string) error {
		if !works.Load() && (step == "commit" || step == "undo: restore "+trafficLink) {
			return errors.New("a fault")
		}
		return nil
	}
	if op := m.do(t, request("edge", 0, spec(80, "one"))); op.State != api.OperationFailed {
		t.Errorf("the creation ended as %+v", op)
	}
	shown := m.Conditions()
	if len(shown) != 1 || shown[0].Type != "ChangeUnfinished" || !strings.Contains(shown[0].Message, "load-balancer/edge failed, and could not be undone") {
		t.Errorf("the machine's conditions are %+v", shown)
	}
	works.Store(true)
	w.next(t)
	for len(m.Conditions()) > 0 {
		time.Sleep(time.Millisecond)
	}
}

// heldUndoing brings a machine to where the undoing of "two" is held: "one", which served
// before, does not run and does not start until mended is called.
func heldUndoing(t *testing.T) (m *machine, w waits, mended func()) {
	t.Helper()
	m = start(t, t.TempDir())
	w = m.waitsFor(t, overlapping{m.kind, m.kind, nil})
	m.must(t, request("edge", 0, spec(80, "one")))
	broken := true
	m.kind.Gate = func(_ context.Context, change converge.Change) error {
		if change.Undo && broken {
			return errors.New("it does not start")
		}
		return nil
	}
	m.Engine.Hook = func(step string) error {
		if step == "commit" {
			return errors.Join(m.units.Fail(t.Context(), unitOf("one")), errors.New("a fault"))
		}
		return nil
	}
	if op := m.do(t, request("edge", 1, spec(80, "two"))); op.State != api.OperationFailed {
		t.Fatalf("the release ended as %+v", op)
	}
	m.Engine.Hook = nil
	return m, w, func() { broken = false }
}

// TestARefusedChangeLeavesNoUndoing: a change that is refused touches nothing, and so the
// agent still tries to undo the one before.
func TestARefusedChangeLeavesNoUndoing(t *testing.T) {
	m, w, mended := heldUndoing(t)
	if op := m.do(t, request("edge", 1, spec(80, operationtest.Refused))); op.State != api.OperationFailed {
		t.Fatalf("what is refused ended as %+v", op)
	}
	m.eventually(t, "ChangeUnfinished", true)
	mended()
	m.retriesUntilUndone(t, w)
}

// retriesUntilUndone lets the agent try again at once until "one" serves as it did.
func (m *machine) retriesUntilUndone(t *testing.T, w waits) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.eventually(t, "ChangeUnfinished", false)
	}()
	for {
		select {
		case <-w.asked:
		case w.over <- time.Time{}:
		case <-ended:
			if running := m.runningUnits(t); !slices.Equal(running, []string{unitOf("one")}) {
				t.Errorf("in the end %q run", running)
			}
			if c := m.get(t, "edge"); len(c.Drift) > 0 || c.Generation != 1 {
				t.Errorf("in the end it is %+v", c)
			}
			return
		}
	}
}

// TestAFailureOnTopOfAnUndoingLeavesThatOpen: what runs again is not what was recorded,
// and the agent goes on trying to bring that back, also in its next life.
func TestAFailureOnTopOfAnUndoingLeavesThatOpen(t *testing.T) {
	for name, again := range map[string]bool{"in this life": false, "in the next life": true} {
		t.Run(name, func(t *testing.T) {
			m, w, mended := heldUndoing(t)
			stillBroken := m.kind.Gate
			m.kind.Gate = func(ctx context.Context, change converge.Change) error {
				if change.Undo && textOfSpec(change.From.Spec) == "two" {
					return stillBroken(ctx, change)
				}
				if change.Undo { // the way back of this one works
					return nil
				}
				if got := textOfSpec(change.From.Spec); got != "two" {
					t.Errorf("it goes on from %q", got)
				}
				return errors.New("it is not healthy")
			}
			op := m.do(t, request("edge", 1, spec(80, "three")))
			if op.Problem == nil || strings.Contains(op.Problem.Error(), "runs again") || !strings.Contains(op.Problem.Error(), "an earlier change is not undone either") {
				t.Errorf("it says %v", op.Problem)
			}
			if running := m.runningUnits(t); !slices.Equal(running, []string{unitOf("two")}) {
				t.Errorf("after it %q run", running)
			}
			if again {
				w = m.waitsFor(t, overlapping{m.kind, m.kind, nil})
			}
			m.eventually(t, "ChangeUnfinished", true)
			mended()
			m.retriesUntilUndone(t, w)
		})
	}
}

// TestAnUndoingThatIsLeftIsNoObstacle where what served before does not run any more: the
// next change goes on from what serves.
func TestAnUndoingThatIsLeftIsNoObstacle(t *testing.T) {
	m := start(t, t.TempDir())
	m.waitsFor(t, overlapping{m.kind, m.kind, nil})
	m.must(t, request("edge", 0, spec(80, "one")))
	fails, from := true, ""
	m.kind.Gate = func(_ context.Context, change converge.Change) error {
		if change.Undo {
			return errors.New("it does not start")
		}
		from = textOfSpec(change.From.Spec)
		return nil
	}
	m.Engine.Hook = func(step string) error {
		if step == "commit" && fails {
			return errors.Join(m.units.Fail(context.Background(), unitOf("one")), errors.New("a fault"))
		}
		return nil
	}
	wantProblem(t, m.do(t, request("edge", 1, spec(80, "two"))), api.ProblemInternal, unitOf("one"), "stays where it is")
	if running := m.runningUnits(t); !slices.Equal(running, []string{unitOf("two")}) {
		t.Errorf("after the change that failed %q run", running)
	}
	fails = false
	m.must(t, request("edge", 1, spec(80, "three")))
	if from != "two" {
		t.Errorf("the next change goes on from %q", from)
	}
	if running := m.runningUnits(t); !slices.Equal(running, []string{unitOf("three")}) {
		t.Errorf("in the end %q run", running)
	}
	if got := m.eventually(t, "ChangeUnfinished", false); len(got.Drift) > 0 {
		t.Errorf("in the end it differs in %+v", got.Drift)
	}
}
