package conformance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func (b *bench) planWritesNothing(t *testing.T) {
	before := b.snapshot(t)
	plan, err := b.runner.Plan(t.Context(), b.id(), 0, api.Write{Spec: b.First})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Changes) == 0 {
		t.Error("the plan of a creation names no change")
	}
	equal(t, "after a plan", before, b.snapshot(t))
	// In memory it leaves its answer, and nothing of what was checked.
	left, err := filepath.Glob(filepath.Join(b.runtime, "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "answers" {
		t.Fatalf("the plan left %v, %v", left, err)
	}
	answers, err := os.ReadDir(left[0])
	if err != nil || len(answers) != 1 {
		t.Fatalf("the plan left the answers %v, %v", answers, err)
	}
	want := fmt.Sprintf(`{"impact":%q,"planned":true,"at":`, plan.Impact)
	if got, err := os.ReadFile(filepath.Join(left[0], answers[0].Name())); err != nil || !strings.HasPrefix(string(got), want) || len(got) > 150 {
		t.Errorf("the answer is kept as %s, %v", got, err)
	}
}

func (b *bench) observedEqualsSpec(t *testing.T) {
	b.apply(t, b.First)
	if b.generation != 1 {
		t.Errorf("the first generation is %d", b.generation)
	}
}

func (b *bench) applyIsIdempotent(t *testing.T) {
	before, pids := b.snapshot(t), b.pids(t, b.First)
	for _, base := range []int64{b.generation, 0} { // again, and as an adoption
		op := b.try(t, base, b.First)
		if op.State != api.OperationApplied || op.Generation != b.generation {
			t.Errorf("based on %d it ended as %s with generation %d: %v", base, op.State, op.Generation, op.Problem)
		}
	}
	plan, err := b.runner.Plan(t.Context(), b.id(), b.generation, api.Write{Spec: b.First})
	if err != nil || plan.Impact != api.ImpactNone || len(plan.Changes) > 0 {
		t.Errorf("the plan of the same spec is %+v, %v", plan, err)
	}
	equal(t, "after applying the same", before, b.snapshot(t))
	if now := b.pids(t, b.First); !maps.Equal(pids, now) {
		t.Errorf("the processes were %v and are %v", pids, now)
	}
	b.inForce(t)
}

func (b *bench) updateTakesEffect(t *testing.T) {
	b.apply(t, b.Second)
	if b.generation != 2 {
		t.Errorf("the second generation is %d", b.generation)
	}
}

func (b *bench) failureIsRolledBack(t *testing.T) {
	before := b.snapshot(t)
	op := b.try(t, b.generation, b.Broken)
	if op.State != api.OperationFailed {
		t.Fatalf("the broken spec ended as %s", op.State)
	}
	t.Logf("the problem is %v", op.Problem)
	if op.Problem.Type == api.ProblemInternal {
		t.Errorf("the problem tells nothing that a caller can act on: %v", op.Problem)
	}
	if op.Problem.Type == api.ProblemRolledBack {
		for _, want := range []string{fmt.Sprintf("generation %d", b.generation), "runs again", "foobar-agent logs " + b.id().String()} {
			if !strings.Contains(op.Problem.Detail, want) {
				t.Errorf("the detail %q does not say %q", op.Problem.Detail, want)
			}
		}
	}
	equal(t, "after the rollback", before, b.snapshot(t))
	b.inForce(t)
}

// damages are what can happen to any component: each of its files, links,
// trees and units in turn.
func (b *bench) damages(t *testing.T) []Break {
	state := b.state(t, b.spec)
	var out []Break
	add := func(name string, do func() error) {
		out = append(out, Break{name, func(context.Context) error { return do() }})
	}
	for _, f := range state.Files {
		path := b.path(f.Path)
		add("edited "+f.Path, func() error { return os.WriteFile(path, append([]byte("# by hand\n"), f.Content...), f.Mode) })
		add("removed "+f.Path, func() error { return os.Remove(path) })
		add("mode of "+f.Path, func() error { return os.Chmod(path, f.Mode^0o002) })
	}
	for _, l := range state.Links {
		add("removed "+l.Path, func() error { return os.Remove(b.path(l.Path)) })
	}
	for _, tree := range state.Trees {
		add("removed "+tree.Path, func() error { return os.RemoveAll(b.path(tree.Path)) })
		add("added to "+tree.Path, func() error { return os.WriteFile(b.path(tree.Path)+"/by-hand", nil, 0o600) })
	}
	for _, u := range state.Units {
		add("stopped "+u.Name, func() error { return b.Units.Stop(t.Context(), u.Name) })
		add("disabled "+u.Name, func() error {
			if err := b.Units.Disable(t.Context(), u.Name); err != nil {
				return err
			}
			return b.Units.DaemonReload(t.Context())
		})
	}
	return out
}

func (b *bench) driftIsRepaired(t *testing.T) {
	want := b.snapshot(t)
	for i := range append(b.damages(t), b.Breaks...) {
		damage := append(b.damages(t), b.Breaks...)[i] // of what stands by now
		t.Run(damage.Name, func(t *testing.T) {
			state := b.standing(t)
			if err := damage.Do(t.Context()); err != nil {
				t.Fatal(err)
			}
			c := b.get(t)
			if len(c.Drift) == 0 && string(c.Observed) == string(c.Spec) {
				t.Fatal("it is not seen")
			}
			t.Logf("drift %v", c.Drift)
			before := b.generation
			b.apply(t, b.spec)
			if b.generation != before+1 {
				t.Errorf("the repair of generation %d made %d", before, b.generation)
			}
			if b.Beside {
				b.gone(t, state)
				return
			}
			equal(t, "after the repair", want, b.snapshot(t))
		})
	}
}

// gone sees that nothing is left of a state that does not stand any more.
func (b *bench) gone(t *testing.T, before converge.State) {
	t.Helper()
	stands := b.standing(t).Everything()
	for _, f := range before.Files {
		if !stands[f.Path] && describe(b.path(f.Path)) != "nothing" {
			t.Errorf("%s is left", f.Path)
		}
	}
	for _, u := range before.Units {
		status, err := b.Units.Status(t.Context(), u.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !stands[u.Name] && !status.Missing() {
			t.Errorf("%s is left: %s", u.Name, status.ActiveState)
		}
	}
}

// killRecovers ends the agent before each step of an update in turn, until an
// update has no more steps to be ended before.
func (b *bench) killRecovers(t *testing.T) {
	specs := map[bool][]byte{true: b.First, false: b.Second}
	for step, first := 0, true; ; step++ {
		left, name, died := step, "", make(chan struct{})
		b.restart(t, func(s string) error {
			if left--; left == -1 {
				name = s
				close(died)
				runtime.Goexit() // the operation ends here, as with its process
			}
			return nil
		})
		request := b.request(b.generation, specs[first])
		op, err := b.runner.Apply(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if !b.died(t, op, died) {
			b.take(t, op.ID, specs[first])
			b.restart(t, nil)
			b.inForce(t)
			return
		}
		b.restart(t, nil)
		b.afterKill(t, step, name, op, request)
		first = string(b.spec) != string(b.First)
		if t.Failed() {
			return
		}
	}
}

// died waits until either the operation is done or its agent dead.
func (b *bench) died(t *testing.T, op api.Operation, died <-chan struct{}) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.await(ctx, t, op)
	}()
	select {
	case <-died:
		cancel()
		<-done
		return true
	case <-done:
		return false
	}
}

// afterKill sees that the component is whole, as it was or as it was wanted,
// and that the operation says which.
func (b *bench) afterKill(t *testing.T, step int, name string, op api.Operation, request operation.Request) {
	t.Helper()
	ended, err := b.runner.Operation(t.Context(), op.ID)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case ended.State == api.OperationApplied:
		b.generation, b.spec = ended.Generation, request.Write.Spec
	case ended.State != api.OperationFailed || ended.Problem.Type != api.ProblemInterrupted:
		t.Errorf("killed before %q the operation ended as %s: %v", name, ended.State, ended.Problem)
	}
	t.Run(fmt.Sprintf("%02d before %s", step, name), func(t *testing.T) {
		if b.Forward {
			b.apply(t, b.spec)
		}
		b.inForce(t)
	})
}

// take notes what an operation applied.
func (b *bench) take(t *testing.T, id string, spec []byte) {
	t.Helper()
	op, err := b.runner.Operation(t.Context(), id)
	if err != nil || op.State != api.OperationApplied {
		t.Fatalf("the operation ended as %s: %v, %v", op.State, op.Problem, err)
	}
	b.generation, b.spec = op.Generation, spec
}

func (b *bench) startsRecorded(t *testing.T) {
	for _, u := range b.state(t, b.spec).Units {
		if err := b.Units.Stop(t.Context(), u.Name); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.runner.StartRecorded(t.Context(), "another boot"); err != nil {
		t.Fatal(err)
	}
	for unit, status := range b.pids(t, b.spec) {
		if status == 0 {
			t.Errorf("%s was not started", unit)
		}
	}
}

func (b *bench) deleteLeavesNothing(t *testing.T) {
	states := []string{}
	for _, state := range b.states(t) {
		for _, d := range state.Dirs {
			states = append(states, d.Path)
		}
		for _, tree := range state.Trees {
			states = append(states, tree.Path)
		}
	}
	op, err := b.runner.Delete(t.Context(), b.request(b.generation, nil))
	if err != nil {
		t.Fatal(err)
	}
	if op = b.await(t.Context(), t, op); op.State != api.OperationApplied {
		t.Fatalf("the deletion failed: %v", op.Problem)
	}
	for key, found := range b.snapshot(t) {
		if found != "nothing" && found != "not-found inactive " {
			t.Errorf("%s is left: %s", key, found)
		}
	}
	for _, path := range states {
		if describe(b.path(path)) != "nothing" {
			t.Errorf("%s is left", path)
		}
	}
	if _, err := b.runner.Get(t.Context(), b.id()); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("it is still found: %v", err)
	}
}
