package operation_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// by returns a request as the resource with the lineage owner makes it, which
// takes over from another.
func by(r operation.Request, owner, from string) operation.Request {
	verb := api.VerbApply
	if r.Write.Spec == nil {
		verb = api.VerbDelete
	}
	r.Actor, r.Write.Owner, r.Write.TakesOver = owner+"'s run", owner, from
	r.Operation = api.OperationID(verb, r.ID, r.Base, r.Write.Spec, owner)
	return r
}

func (m *machine) ownedBy(t *testing.T, name, owner string) {
	t.Helper()
	if o := m.get(t, name).Ownership; o.Owner != owner || o.Actor != owner+"'s run" || o.Time.IsZero() {
		t.Errorf("the owner is %+v, not %s", o, owner)
	}
}

func TestOnlyTheOwnerWrites(t *testing.T) {
	m := start(t, t.TempDir())
	first := spec(80, "one")
	m.must(t, by(request("edge", 0, first), "a", ""))
	m.ownedBy(t, "edge", "a")

	for name, op := range map[string]api.Operation{
		"the same again":     m.do(t, by(request("edge", 0, first), "b", "")),
		"from somebody else": m.do(t, by(request("edge", 0, first), "b", "c")),
		"without a name":     m.do(t, request("edge", 1, spec(80, "two"))),
		"an update":          m.do(t, by(request("edge", 1, spec(80, "two")), "b", "")),
		"an outdated update": m.do(t, by(request("edge", 7, spec(80, "two")), "b", "")),
		"a deletion":         m.remove(t, by(deletion("edge", 1), "b", "")),
		"a deletion unnamed": m.remove(t, deletion("edge", 1)),
		"a foreign deletion": m.remove(t, by(deletion("edge", 1), "b", "c")),
	} {
		t.Log(name)
		wantProblem(t, op, api.ProblemOwned, "another Terraform state", "a's run at 20")
	}
	wantProblem(t, m.do(t, by(request("edge", 0, spec(80, "two")), "b", "")), api.ProblemExists, "a's run", "already")
	m.ownedBy(t, "edge", "a")

	if op := m.must(t, by(request("edge", 0, first), "b", "a")); op.Generation != 1 {
		t.Errorf("the takeover made generation %d", op.Generation)
	}
	m.ownedBy(t, "edge", "b")
	m.must(t, by(request("edge", 1, spec(80, "two")), "c", "b"))
	m.ownedBy(t, "edge", "c")
	wantProblem(t, m.do(t, by(request("edge", 2, first), "b", "")), api.ProblemOwned, "c's run")
	m.must(t, by(request("edge", 2, first), "c", ""))
	if op := m.remove(t, by(deletion("edge", 3), "d", "c")); op.State != api.OperationApplied {
		t.Errorf("a deletion that takes over failed: %v", op.Problem)
	}
}

func TestWhatNobodyOwnsIsAnybodys(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	if o := m.get(t, "edge").Ownership; o != (api.Ownership{}) {
		t.Errorf("it belongs to %+v", o)
	}
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	m.ownedBy(t, "edge", "a")
}

// A reset machine keeps its disk: an update of what its own state holds names
// no generation, and changes what stands. Nobody else gets in this way.
func TestAnUpdateOfAnotherIncarnationChangesItsOwn(t *testing.T) {
	m := start(t, t.TempDir())
	held := func(r operation.Request) operation.Request {
		r.Write.Held = true
		return r
	}
	first, second := spec(80, "one"), spec(80, "two")
	if op := m.must(t, held(by(request("edge", 0, first), "a", ""))); op.Generation != 1 {
		t.Errorf("on a rebuilt machine it made generation %d", op.Generation)
	}
	if op := m.must(t, held(by(request("edge", 0, first), "a", ""))); op.Generation != 1 {
		t.Errorf("the same again made generation %d", op.Generation)
	}
	if op := m.must(t, held(by(request("edge", 0, second), "a", ""))); op.Generation != 2 {
		t.Errorf("the change made generation %d", op.Generation)
	}
	// Whose run was killed, before the state knew, goes on.
	if op := m.must(t, held(by(request("edge", 0, spec(80, "three")), "a", ""))); op.Generation != 3 {
		t.Errorf("the next change made generation %d", op.Generation)
	}
	m.must(t, by(request("edge", 3, second), "a", ""))
	m.ownedBy(t, "edge", "a")
	for owner, refused := range map[string]bool{"a": false, "b": true} { // the dry run of a replacement
		replacement := held(by(request("edge", 0, first), owner, ""))
		if _, err := m.Plan(t.Context(), replacement.ID, 0, replacement.Write); api.IsProblem(err, api.ProblemExists) != refused {
			t.Errorf("a replacement by %s is planned with %v", owner, err)
		}
	}

	for name, r := range map[string]operation.Request{
		"a create, also as the owner whose operation it joins": by(request("edge", 0, first), "a", ""),
		"the create of a replacement":                          by(request("edge", 0, first), "c", "a"),
		"an update of another's that takes it over":            held(by(request("edge", 0, first), "b", "a")),
	} {
		t.Log(name)
		wantProblem(t, m.do(t, r), api.ProblemExists, "a's run", "already")
	}
	wantProblem(t, m.do(t, held(by(request("edge", 0, first), "b", ""))), api.ProblemOwned, "a's run")
	wantProblem(t, m.do(t, held(request("edge", 0, first))), api.ProblemOwned, "a's run")
	m.must(t, by(request("edge", 0, second), "b", "a"))
	wantProblem(t, m.do(t, held(by(request("edge", 0, first), "a", ""))), api.ProblemOwned, "b's run")
	m.must(t, request("free", 0, spec(81, "one")))
	wantProblem(t, m.do(t, held(by(request("free", 0, spec(81, "two")), "a", ""))), api.ProblemExists, "already")
	if op := m.remove(t, held(by(deletion("edge", 0), "b", ""))); op.State == api.OperationApplied {
		t.Error("a deletion needs no generation")
	}
}

func TestOwnershipIsHandedOverWithNothingElse(t *testing.T) {
	root := t.TempDir()
	m := start(t, root)
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	before := m.get(t, "edge")
	own := func(owner, from string) error {
		_, err := m.Own(t.Context(), id("edge"), api.Claiming{Owner: owner, TakesOver: from}, owner+"'s run")
		return err
	}
	if err := own("b", ""); !api.IsProblem(err, api.ProblemOwned) {
		t.Errorf("what belongs to another was passed on: %v", err)
	}
	if err := own("b", "a"); err != nil {
		t.Fatal(err)
	}
	if err := own("b", "a"); err != nil {
		t.Errorf("asked again: %v", err)
	}
	if _, err := m.Own(t.Context(), id("none"), api.Claiming{Owner: "b"}, "b"); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	m.ownedBy(t, "edge", "b")
	m.stop()
	m.Wait()
	after := start(t, root).get(t, "edge")
	if after.Ownership.Owner != "b" {
		t.Errorf("after a restart it belongs to %+v", after.Ownership)
	}
	if after.Ownership = before.Ownership; string(api.Encode(after)) != string(api.Encode(before)) {
		t.Errorf("it is %+v, and was %+v", after, before)
	}
}

func TestAPlanTellsWhatItWouldAdopt(t *testing.T) {
	m := start(t, t.TempDir())
	plan := func(w api.Write) (api.Plan, error) {
		w.Spec = api.Encode(spec(80, "one"))
		return m.Plan(t.Context(), id("edge"), 0, w)
	}
	adopts := func(want string) {
		t.Helper()
		p, err := plan(api.Write{})
		if err != nil || p.Adopts == nil || p.Adopts.Owner != want || p.Adopts.Actor != want+"'s run" || p.Adopts.Applied.Actor != "a's run" || p.Adopts.Time.IsZero() {
			t.Errorf("the plan is %+v, %v", p.Adopts, err)
		}
	}
	if p, err := plan(api.Write{}); err != nil || p.Adopts != nil {
		t.Errorf("of nothing: %+v, %v", p.Adopts, err)
	}
	gate := make(chan struct{})
	begun := make(chan struct{})
	m.kind.Gate = func(context.Context, converge.Change) error {
		close(begun)
		<-gate
		return nil
	}
	create := by(request("edge", 0, spec(80, "one")), "a", "")
	if _, err := m.Apply(t.Context(), create); err != nil {
		t.Fatal(err)
	}
	<-begun
	adopts("a") // while it is being created
	close(gate)
	m.kind.Gate = nil
	m.await(t, create.Operation)
	if p, err := plan(api.Write{Approved: true}); err != nil || p.Forgotten || p.Adopts == nil {
		t.Errorf("what the plan showed while it was being created: %+v, %v", p, err)
	}
	adopts("a")
	if _, err := m.Own(t.Context(), id("edge"), api.Claiming{Owner: "b", TakesOver: "a"}, "b's run"); err != nil { // somebody was faster
		t.Fatal(err)
	}
	_, err := plan(api.Write{Approved: true})
	wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemOwned, "b's run", "plan again")
	adopts("b")
	m.must(t, by(create, "b", ""))
	if p, err := plan(api.Write{Approved: true}); err != nil || p.Forgotten || p.Adopts == nil {
		t.Errorf("after another apply of its owner: %+v, %v", p, err)
	}
}

// What a damaged record says is not known, its owner neither: only a write of
// who has seen the component goes on from it.
func TestADamagedRecordMakesNobodyTheOwner(t *testing.T) {
	m := start(t, t.TempDir())
	first := spec(80, "one")
	m.must(t, by(request("edge", 0, first), "a", ""))
	path := filepath.Join(m.root, stateDir, "components/load-balancer/edge.json")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]operation.Request{
		"a create of the same":       by(request("edge", 0, first), "b", ""),
		"a create of something else": by(request("edge", 0, spec(80, "two")), "b", ""),
		"a takeover":                 by(request("edge", 0, first), "b", "a"),
	} {
		t.Log(name)
		wantProblem(t, m.do(t, r), api.ProblemDamaged, path, "the state that holds it", "move the file away")
		if _, err := m.Plan(t.Context(), r.ID, 0, r.Write); !api.IsProblem(err, api.ProblemDamaged) {
			t.Errorf("its plan is not refused: %v", err)
		}
	}
	m.must(t, by(request("edge", 1, spec(80, "two")), "a", ""))
	m.ownedBy(t, "edge", "a")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reset := by(request("edge", 0, spec(80, "three")), "a", "") // an update after a reset of the machine's identity
	reset.Write.Held = true
	m.must(t, reset)
	m.ownedBy(t, "edge", "a")
}

// A reader may ask for any name: none is kept.
func TestReadsKeepNoNames(t *testing.T) {
	m := start(t, t.TempDir())
	before := m.Known()
	for _, name := range []string{"one", "two", "three"} {
		if _, err := m.Get(t.Context(), id(name)); !api.IsProblem(err, api.ProblemNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := m.Plan(t.Context(), id(name), 0, request(name, 0, spec(80, "one")).Write); err != nil {
			t.Errorf("plan %s: %v", name, err)
		}
	}
	if after := m.Known(); after != before {
		t.Errorf("after reads the agent keeps %d names, before %d", after, before)
	}
}

// TestWhatDoesNotExistKeepsNoNames: whoever may write can ask for any name too. What exists
// is kept, and so is what somebody still waits for.
func TestWhatDoesNotExistKeepsNoNames(t *testing.T) {
	for name, c := range map[string]struct {
		ask  func(t *testing.T, m *machine)
		kept int
	}{
		"a change of nothing":  {func(t *testing.T, m *machine) { m.do(t, request("one", 3, spec(80, "one"))) }, 0},
		"a removal of nothing": {func(t *testing.T, m *machine) { m.remove(t, deletion("one", 3)) }, 0},
		"a new owner of nothing": {func(t *testing.T, m *machine) {
			if _, err := m.Own(t.Context(), id("one"), api.Claiming{Owner: "a"}, "tester"); !api.IsProblem(err, api.ProblemNotFound) {
				t.Error(err)
			}
		}, 0},
		"a purge of nothing": {func(t *testing.T, m *machine) {
			left := ""
			m.again(t, messy{m.kind, &left})
			if _, err := m.Purge(t.Context(), id("one"), "one"); err != nil {
				t.Error(err)
			}
		}, 0},
		"a create that fails": {func(t *testing.T, m *machine) {
			m.kind.Gate = func(_ context.Context, c converge.Change) error {
				if c.Undo {
					return nil
				}
				return errors.New("a passing fault")
			}
			m.do(t, request("one", 0, spec(80, "one")))
		}, 0},
		"a create": {func(t *testing.T, m *machine) { m.must(t, request("one", 0, spec(80, "one"))) }, 1},
		"a create and a removal": {func(t *testing.T, m *machine) {
			m.must(t, request("one", 0, spec(80, "one")))
			m.remove(t, deletion("one", 1))
		}, 0},
		"what waits behind what fails": {func(t *testing.T, m *machine) {
			var at, most atomic.Int32
			inside, leave := make(chan struct{}, 9), make(chan struct{})
			m.kind.Gate = func(_ context.Context, c converge.Change) error {
				most.Store(max(most.Load(), at.Add(1)))
				defer at.Add(-1)
				inside <- struct{}{}
				<-leave
				if c.Undo {
					return nil
				}
				return errors.New("a passing fault")
			}
			first, second := request("one", 0, spec(80, "one")), request("one", 0, spec(80, "two"))
			for _, r := range []operation.Request{first, second} {
				if _, err := m.Apply(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			<-inside
			close(leave)
			m.await(t, first.Operation)
			m.do(t, request("one", 0, spec(80, "three")))
			m.await(t, second.Operation)
			if most.Load() != 1 {
				t.Errorf("%d were at work at once", most.Load())
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			c.ask(t, m)
			m.stop()
			m.Wait()
			if kept := m.Known(); kept != c.kept {
				t.Errorf("the agent keeps %d names, not %d", kept, c.kept)
			}
		})
	}
}

// TestADestroyEndsTheConditionOfADamagedRecord damages a record, has an apply
// replace it and a destroy remove it: nothing is left to be reported.
func TestADestroyEndsTheConditionOfADamagedRecord(t *testing.T) {
	m := start(t, t.TempDir())
	dir := filepath.Join(m.root, stateDir)
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	if err := os.WriteFile(filepath.Join(dir, "components", string(id("edge").Kind), "edge.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.must(t, by(request("edge", 1, spec(80, "two")), "a", ""))
	if got := statefile.Conditions(dir, operation.Files()); got != nil {
		t.Errorf("after the apply: %+v", got)
	}
	if op := m.remove(t, by(deletion("edge", m.get(t, "edge").Generation), "a", "")); op.State != api.OperationApplied {
		t.Fatalf("%+v", op.Problem)
	}
	if got := statefile.Conditions(dir, operation.Files()); got != nil {
		t.Errorf("after the destroy: %+v", got)
	}
}
