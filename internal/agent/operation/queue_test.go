package operation_test

import (
	"context"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestComponentsDoNotWaitForEachOther(t *testing.T) {
	m := start(t, t.TempDir())
	release := make(chan struct{})
	m.kind.Gate = func(_ context.Context, c converge.Change) error {
		if c.Name == "slow" {
			<-release
		}
		return nil
	}
	slow := request("slow", 0, spec(80, "one"))
	if _, err := m.Apply(t.Context(), slow); err != nil {
		t.Fatal(err)
	}
	m.must(t, request("quick", 0, spec(81, "one")))
	close(release)
	m.await(t, slow.Operation)
}

func TestOperationsOnOneComponentQueueInOrder(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "zero")))
	entered, release := make(chan struct{}), make(chan struct{})
	m.kind.Gate = func(ctx context.Context, c converge.Change) error {
		if s, ok := c.To.Spec.(operationtest.Spec); ok && s.Text == "one" {
			close(entered)
			<-release
		}
		return ctx.Err()
	}
	first := request("edge", 1, spec(80, "one"))
	if _, err := m.Apply(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	<-entered
	var waiting []operation.Request
	for base, text := range []string{"two", "three"} {
		r := request("edge", int64(base)+2, spec(80, text))
		waiting = append(waiting, r)
		op, err := m.Apply(t.Context(), r)
		if err != nil || op.State != api.OperationQueued {
			t.Fatalf("the waiting operation is %+v, %v", op, err)
		}
		// Only once it waits may the next one come: the order is that of coming.
		if events, err := m.Events(t.Context(), r.Operation, 0, time.Minute); err != nil || events[0].Phase != api.PhaseQueue {
			t.Fatalf("the events are %v, %v", events, err)
		}
	}
	lost := request("edge", 1, spec(80, "lost"))
	if _, err := m.Apply(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	if c := m.get(t, "edge"); c.Generation != 1 || len(c.Conditions) != 1 || c.Conditions[0].Type != "OperationRunning" || len(c.Drift) > 0 {
		t.Errorf("in the middle of an operation the component is %+v", c)
	}
	close(release)
	for i, r := range append([]operation.Request{first}, waiting...) {
		if op := m.await(t, r.Operation); op.Generation != int64(i)+2 {
			t.Errorf("operation %d ended as %+v", i, op)
		}
	}
	wantProblem(t, m.await(t, lost.Operation), api.ProblemGeneration)
}

func TestAnOperationOutOfTimeIsUndone(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	m.kind.Gate = func(ctx context.Context, c converge.Change) error {
		if c.Undo {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	r := request("edge", 1, spec(80, "two"))
	r.Write.TimeoutSeconds = 1
	wantProblem(t, m.do(t, r), api.ProblemTimeout, "timeout of 1s", "the change was undone")
	if c := m.get(t, "edge"); c.Generation != 1 || len(c.Drift) > 0 {
		t.Errorf("the component is %+v", c)
	}
}

func TestAnOperationOutOfTimeSaysWhatStands(t *testing.T) {
	m := start(t, t.TempDir())
	m.kind.Gate = func(ctx context.Context, c converge.Change) error {
		if c.Undo {
			return nil
		}
		<-ctx.Done()
		return &converge.StandsError{Err: ctx.Err()}
	}
	r := request("edge", 0, spec(80, "one"))
	r.Write.TimeoutSeconds = 1
	wantProblem(t, m.do(t, r), api.ProblemTimeout, "timeout of 1s", "the next apply goes on from there")
}

func TestTheAgentsEndUndoesWhatRuns(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	m.kind.Gate = func(ctx context.Context, c converge.Change) error {
		if c.Undo {
			return nil
		}
		m.stop()
		<-ctx.Done()
		return ctx.Err()
	}
	r := request("edge", 1, spec(80, "two"))
	if _, err := m.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	m.Wait()
	op, err := m.Operation(t.Context(), r.Operation)
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, op, api.ProblemInterrupted, "the change was undone")
	if _, err := m.Apply(t.Context(), r); !api.IsProblem(err, api.ProblemInterrupted) {
		t.Errorf("an agent that stops accepts operations: %v", err)
	}
	next := start(t, m.root)
	if c := next.get(t, "edge"); c.Generation != 1 || len(c.Drift) > 0 {
		t.Errorf("the component is %+v", c)
	}
	if op := next.must(t, r); op.Runs != 2 || op.Generation != 2 {
		t.Errorf("the second run ended as %+v", op)
	}
}
