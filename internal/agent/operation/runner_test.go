package operation_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestWritesGoByTheirGeneration(t *testing.T) {
	m := start(t, t.TempDir())
	wantProblem(t, m.do(t, request("edge", 3, spec(80, "one"))), api.ProblemGeneration, "none on this machine")
	if op := m.must(t, request("edge", 0, spec(80, "one"))); op.Generation != 1 {
		t.Errorf("the creation made generation %d", op.Generation)
	}
	if op := m.must(t, request("edge", 1, spec(80, "two"))); op.Generation != 2 {
		t.Errorf("the update made generation %d", op.Generation)
	}
	adoption := request("edge", 0, spec(80, "two"))
	if op := m.must(t, adoption); op.Generation != 2 {
		t.Errorf("the adoption made generation %d", op.Generation)
	}
	wantProblem(t, m.do(t, request("edge", 0, spec(80, "three"))), api.ProblemExists, "tester", "already")
	wantProblem(t, m.do(t, request("edge", 1, spec(80, "three"))), api.ProblemGeneration, "generation 2", "tester")
	wantProblem(t, m.do(t, request("edge", 7, spec(80, "two"))), api.ProblemGeneration)
	wantProblem(t, m.do(t, request("edge", 2, spec(0, "two"))), api.ProblemInvalid, "/port")
	if c := m.get(t, "edge"); c.Generation != 2 || !strings.Contains(string(c.Spec), "two") || c.Actor != "tester" {
		t.Errorf("the component is %+v", c)
	}
}

func TestAdoptionRepairsDrift(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	if err := m.units.Stop(t.Context(), operationtest.Unit("edge")); err != nil {
		t.Fatal(err)
	}
	if c := m.get(t, "edge"); len(c.Drift) != 1 {
		t.Errorf("the drift is %v", c.Drift)
	}
	for range 2 { // whoever lost the answer asks again
		if op := m.must(t, request("edge", 0, spec(80, "one"))); op.Generation != 2 || op.Runs != 2 {
			t.Errorf("the repair made generation %d in run %d", op.Generation, op.Runs)
		}
	}
	if c := m.get(t, "edge"); len(c.Drift) != 0 {
		t.Errorf("the drift is %v", c.Drift)
	}
}

func TestAKilledRepairIsNotTakenForTheCreation(t *testing.T) {
	m := start(t, t.TempDir())
	creation := request("edge", 0, spec(80, "one"))
	op := m.must(t, creation)
	if err := m.units.Stop(t.Context(), operationtest.Unit("edge")); err != nil {
		t.Fatal(err)
	}
	m.stop()
	m.Wait()
	op.State, op.Runs, op.Generation, op.Ended = api.OperationRunning, 2, 0, time.Time{}
	path := filepath.Join(m.root, stateDir, "operations", op.ID+".json")
	if err := os.WriteFile(path, api.Encode(op), 0o600); err != nil {
		t.Fatal(err)
	}
	next := start(t, m.root)
	wantProblem(t, next.await(t, op.ID), api.ProblemInterrupted, "apply again")
	if op := next.must(t, creation); op.Runs != 3 || op.Generation != 2 {
		t.Errorf("the next run ended as %+v", op)
	}
}

func TestAnOperationThatRunsIsJoined(t *testing.T) {
	m := start(t, t.TempDir())
	entered, release := make(chan struct{}, 2), make(chan struct{})
	m.kind.Gate = func(ctx context.Context, _ converge.Change) error {
		entered <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r := request("edge", 0, spec(80, "one"))
	for range 3 {
		op, err := m.Apply(t.Context(), r)
		if err != nil || op.State.Done() || op.Runs != 1 {
			t.Fatalf("the operation is %+v, %v", op, err)
		}
	}
	<-entered
	close(release)
	first := m.await(t, r.Operation)
	if again, err := m.Apply(t.Context(), r); err != nil || again.State != api.OperationApplied || again.Generation != 1 || again.Ended != first.Ended {
		t.Errorf("asked again, long done, it is %+v, %v", again, err)
	}
	if len(entered) != 0 {
		t.Error("it was carried out more than once")
	}
	m.must(t, request("edge", 1, spec(80, "two")))
	if op := m.do(t, r); op.Problem == nil || op.Problem.Type != api.ProblemExists {
		t.Errorf("once another one came after it, it is %+v", op)
	}
}

func TestAComponentThatIsBeingCreatedIsNotMissing(t *testing.T) {
	for name, fault := range map[string]error{"which works": nil, "which fails": errors.New("a passing fault")} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			entered, release := make(chan struct{}), make(chan struct{})
			m.kind.Gate = func(_ context.Context, c converge.Change) error {
				if c.Undo || c.To == nil {
					return nil
				}
				close(entered)
				<-release
				return fault
			}
			creation := request("edge", 0, spec(80, "one"))
			if _, err := m.Apply(t.Context(), creation); err != nil {
				t.Fatal(err)
			}
			<-entered
			_, err := m.Get(t.Context(), id("edge"))
			wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemCreating, creation.Operation, "tester")
			if _, err := m.Get(t.Context(), id("other")); !api.IsProblem(err, api.ProblemNotFound) {
				t.Errorf("another component is %v", err)
			}
			if _, err := m.Delete(t.Context(), deletion("edge", 0)); err != nil {
				t.Fatal(err)
			}
			close(release)
			m.await(t, creation.Operation)
			if op := m.await(t, deletion("edge", 0).Operation); op.State != api.OperationFailed {
				t.Errorf("the removal of what was not there yet ended as %+v", op)
			}
			if _, err = m.Get(t.Context(), id("edge")); (err != nil) != (fault != nil) || fault != nil && !api.IsProblem(err, api.ProblemNotFound) {
				t.Errorf("once the creation has ended it is %v", err)
			}
		})
	}
}

func TestAComponentThatIsBeingDeletedIsNotThere(t *testing.T) {
	for name, fault := range map[string]error{"which works": nil, "which fails": errors.New("a passing fault")} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			m.must(t, request("edge", 0, spec(80, "one")))
			m.must(t, request("other", 0, spec(81, "one")))
			entered, release := make(chan struct{}), make(chan struct{})
			m.kind.Gate = func(_ context.Context, c converge.Change) error {
				if c.Undo {
					return nil
				}
				close(entered)
				<-release
				return fault
			}
			removal := deletion("edge", 1)
			if _, err := m.Delete(t.Context(), removal); err != nil {
				t.Fatal(err)
			}
			<-entered
			_, err := m.Get(t.Context(), id("edge"))
			close(release)
			wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemDeleting, removal.Operation, "tester")
			m.get(t, "other")
			m.await(t, removal.Operation)
			if _, err = m.Get(t.Context(), id("edge")); (err != nil) != (fault == nil) || fault == nil && !api.IsProblem(err, api.ProblemNotFound) {
				t.Errorf("once the deletion has ended it is %v", err)
			}
		})
	}
}

// TestAnUndoneChangeSaysWhatRunsAgain, whatever class the failure has.
func TestAnUndoneChangeSaysWhatRunsAgain(t *testing.T) {
	for name, fault := range map[string]error{
		"plain":         errors.New("it crashed"),
		"of the kind":   &api.Problem{Type: api.ProblemRolledBack, Title: "The app did not start", Detail: "it crashed."},
		"out of time":   context.DeadlineExceeded,
		"of the engine": &api.Problem{Type: api.ProblemEngineRefused, Detail: "it crashed"},
		"at a place":    &api.Problem{Type: api.ProblemEngineRefused, Violations: []api.Violation{{Pointer: "/members/web2", Detail: "it crashed"}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			m.must(t, request("edge", 0, spec(80, "one")))
			m.kind.Gate = func(ctx context.Context, c converge.Change) error {
				if c.Undo {
					return nil
				}
				if errors.Is(fault, context.DeadlineExceeded) {
					<-ctx.Done()
				}
				return fault
			}
			r := request("edge", 1, spec(80, "two"))
			r.Write.TimeoutSeconds = 1
			op := m.do(t, r)
			if op.Problem == nil {
				t.Fatalf("it ended as %+v", op)
			}
			for _, want := range []string{"generation 1, applied by tester at ", ", runs again", `"foobar-agent logs ` + r.ID.String() + `"`} {
				if !strings.Contains(op.Problem.Detail, want) || strings.Contains(op.Problem.Detail, "..") {
					t.Errorf("%q does not say %q", op.Problem.Detail, want)
				}
			}
			text := op.Problem.Error()
			if reason, outcome := strings.Index(text, "crashed"), strings.Index(strings.ToLower(text), "the change was undone:"); strings.HasPrefix(op.Problem.Detail, ".") || reason > outcome {
				t.Errorf("%q does not give the reason first", text)
			}
		})
	}
}

func TestAFailedOperationRunsAgain(t *testing.T) {
	m := start(t, t.TempDir())
	fault := errors.New("a passing fault")
	m.kind.Gate = func(_ context.Context, c converge.Change) error {
		if c.Undo {
			return nil
		}
		return fault
	}
	r := request("edge", 0, spec(80, "one"))
	wantProblem(t, m.do(t, r), api.ProblemRolledBack, "a passing fault", "there is no "+r.ID.String()+", as before")
	m.kind.Gate = nil
	if op := m.must(t, r); op.Runs != 2 || op.Generation != 1 {
		t.Errorf("the second run ended as %+v", op)
	}
	events, err := m.Events(t.Context(), r.Operation, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	rolledBack := false
	for i, e := range events {
		rolledBack = rolledBack || e.Phase == api.PhaseRollback
		if e.Seq != int64(i+1) {
			t.Errorf("event %d has the number %d", i+1, e.Seq)
		}
	}
	if last := events[len(events)-1]; last.Phase != api.PhaseCommit || !rolledBack {
		t.Errorf("the events are %v", events)
	}
}

func TestClaims(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	for name, test := range map[string]struct {
		request operation.Request
		holder  string
		words   []string
	}{
		"another component's port": {request("other", 0, spec(80, "two")), "load-balancer/edge", []string{"/port", "load-balancer/edge", "tcp *:80"}},
		"the agent's own port":     {request("other", 0, spec(9443, "two")), "the agent itself", []string{"/port", "the agent itself"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, m.do(t, test.request), api.ProblemClaimed, test.words...)
			_, err := m.Plan(t.Context(), test.request.ID, 0, test.request.Write)
			wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemClaimed, test.words...)
			if got := api.AsProblem(err).Violations[0].Holder; got != test.holder {
				t.Errorf("the holder is %q", got)
			}
		})
	}
	m.must(t, request("edge", 1, spec(81, "moved")))
	m.must(t, request("other", 0, spec(80, "free now")))
}

func TestAPortIsClaimedWhileItIsBeingApplied(t *testing.T) {
	m := start(t, t.TempDir())
	entered, release := make(chan struct{}), make(chan struct{})
	m.kind.Gate = func(context.Context, converge.Change) error {
		close(entered)
		<-release
		return nil
	}
	first := request("one", 0, spec(80, "one"))
	if _, err := m.Apply(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	<-entered
	wantProblem(t, m.do(t, request("two", 0, spec(80, "two"))), api.ProblemClaimed, "load-balancer/one")
	close(release)
	m.await(t, first.Operation)
}

func TestDelete(t *testing.T) {
	m := start(t, t.TempDir())
	wantProblem(t, m.remove(t, deletion("edge", 1)), api.ProblemNotFound)
	create := request("edge", 0, spec(80, "one"))
	m.must(t, create)
	wantProblem(t, m.remove(t, deletion("edge", 2)), api.ProblemGeneration, "generation 1")
	wantProblem(t, m.remove(t, deletion("edge", 0)), api.ProblemGeneration)
	for range 2 { // the second time it is answered
		if op := m.remove(t, deletion("edge", 1)); op.State != api.OperationApplied || op.Generation != 0 || op.Runs != 1 {
			t.Errorf("the deletion ended as %+v", op)
		}
	}
	if _, err := m.Get(t.Context(), id("edge")); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("it is still found: %v", err)
	}
	if op := m.must(t, create); op.Runs != 2 || op.Generation != 1 {
		t.Errorf("the same creation again ended as %+v", op)
	}
	if op := m.remove(t, deletion("edge", 1)); op.State != api.OperationApplied || op.Runs != 2 {
		t.Errorf("the same deletion again ended as %+v", op)
	}
}

func TestAMissingArtifactIsReportedBeforeAnythingIsTouched(t *testing.T) {
	m := start(t, t.TempDir())
	s := spec(80, "one")
	s.SHA256 = strings.Repeat("0", 64)
	wantProblem(t, m.do(t, request("edge", 0, s)), api.ProblemBlobMissing, "/sha256")
	if _, err := os.Stat(filepath.Join(m.root, "etc")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	plan, err := m.Plan(t.Context(), id("edge"), 0, api.Write{Spec: api.Encode(s)})
	if err != nil || len(plan.Changes) == 0 || !slices.Equal(plan.Missing, []string{s.SHA256}) {
		t.Errorf("the plan is %+v, %v; it needs no artifact, and says that it is missing", plan, err)
	}
}

func TestUploadsThatNothingRefersToMakeRoom(t *testing.T) {
	root := t.TempDir()
	m := start(t, root)
	for name, trigger := range map[string]func(){
		"at the start": func() {
			m.stop()
			m.Wait()
			m = start(t, root)
		},
		"for an upload": func() {
			_, err := m.blobs.Append(t.Context(), strings.Repeat("b", 64), 0, blob.DefaultQuota+1, strings.NewReader("b"))
			wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemQuota)
		},
	} {
		t.Run(name, func(t *testing.T) {
			left := filepath.Join(root, stateDir, "blobs", strings.Repeat("a", 64)+".part")
			if err := os.WriteFile(left, []byte("given up"), 0o600); err != nil {
				t.Fatal(err)
			}
			longAgo := time.Now().Add(-2 * blob.Grace)
			if err := os.Chtimes(left, longAgo, longAgo); err != nil {
				t.Fatal(err)
			}
			trigger()
			if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
		})
	}
}

func TestList(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("b", 0, spec(81, "one")))
	m.must(t, request("a", 0, spec(80, "one")))
	listing, err := m.List(t.Context())
	if err != nil || len(listing.Components) != 2 {
		t.Fatalf("the listing is %+v, %v", listing, err)
	}
	first := listing.Components[0]
	if first.ID != id("a") || first.Generation != 1 || first.Actor != "tester" || len(first.Claims) != 1 || first.Claims[0].Port != 80 {
		t.Errorf("the first is %+v", first)
	}
}

func TestOnlyTheFirstStartInABootStartsUnits(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	unit := operationtest.Unit("edge")
	config := filepath.Join(m.root, operationtest.Config("edge"))
	if err := os.WriteFile(config, []byte("by hand"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false} {
		if err := m.units.Fail(t.Context(), unit); err != nil {
			t.Fatal(err)
		}
		if err := m.StartRecorded(t.Context(), "boot 1"); err != nil {
			t.Fatal(err)
		}
		if status, err := m.units.Status(t.Context(), unit); err != nil || status.Active() != want {
			t.Errorf("start %d: the unit is %+v, %v", i+1, status, err)
		}
	}
	if text, err := os.ReadFile(config); err != nil || string(text) != "by hand" {
		t.Errorf("the start wrote the file: %q, %v", text, err)
	}
}

func TestAStartThatWasBrokenOffIsMadeByTheNextAgent(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	over, end := context.WithCancel(t.Context())
	end()
	for _, ctx := range []context.Context{over, t.Context()} {
		if err := m.units.Fail(t.Context(), operationtest.Unit("edge")); err != nil {
			t.Fatal(err)
		}
		if err := m.StartRecorded(ctx, "boot 1"); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	if status, err := m.units.Status(t.Context(), operationtest.Unit("edge")); err != nil || !status.Active() {
		t.Errorf("the unit is %+v, %v", status, err)
	}
}

func TestASpecOfAnotherAgentCanBeReplaced(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	path := filepath.Join(m.root, stateDir, "components/load-balancer/edge.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"port"`, `"newer":1,"port"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := m.get(t, "edge"); len(c.Conditions) != 1 || c.Conditions[0].Type != "SpecNotUnderstood" || len(c.Drift) > 0 {
		t.Errorf("the component is %+v", c)
	}
	failed := m.do(t, request("edge", 1, spec(80, systemdtest.Broken)))
	wantProblem(t, failed, api.ProblemInternal, "not understood by this version")
	if op := m.must(t, request("edge", 1, spec(80, "two"))); op.Generation != 2 {
		t.Errorf("the replacement made generation %d", op.Generation)
	}
	if c := m.get(t, "edge"); len(c.Conditions) > 0 || len(c.Drift) > 0 {
		t.Errorf("the component is %+v", c)
	}
}

func TestAnIDIsOfOneOperationAlone(t *testing.T) {
	m := start(t, t.TempDir())
	r := request("edge", 0, spec(80, "one"))
	m.must(t, r)
	other := request("other", 0, spec(81, "one"))
	other.Operation = r.Operation
	wantProblem(t, m.do(t, other), api.ProblemInvalid, "load-balancer/edge")
	other.Operation = "../../etc/passwd"
	wantProblem(t, m.do(t, other), api.ProblemInvalid, api.HeaderOperation)
	if _, err := m.Operation(t.Context(), "unknown"); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("an unknown operation is %v", err)
	}
	if _, err := m.Events(t.Context(), "unknown", 0, time.Minute); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("the events of an unknown operation are %v", err)
	}
}
