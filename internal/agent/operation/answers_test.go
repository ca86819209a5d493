package operation_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestAnApprovedPlanKeepsItsImpact(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	now := api.ImpactReload
	m.kind.Foresee = func(converge.Change) (api.Plan, error) { return api.Plan{Impact: now}, nil }
	plan := func(approved bool) api.Impact {
		t.Helper()
		p, err := m.Plan(t.Context(), id("edge"), 1, api.Write{Spec: api.Encode(operationtest.Spec{Port: 80, Text: "one", Weight: 7}), Owner: "a", Approved: approved})
		if err != nil {
			t.Fatal(err)
		}
		return p.Impact
	}
	if got := plan(true); got != api.ImpactReload {
		t.Errorf("without a plan before it: %s", got)
	}
	plan(false)
	now = api.ImpactRestart
	if got := plan(true); got != api.ImpactReload {
		t.Errorf("approved was reload, and it is %s", got)
	}
	if got := plan(false); got != api.ImpactRestart {
		t.Errorf("another plan shows %s", got)
	}
	if got := plan(true); got != api.ImpactRestart {
		t.Errorf("approved was restart, and it is %s", got)
	}
}

// Another plan that found another drift is shown what that costs, and takes
// nothing from the one that is approved; nor does a reader's.
func TestAnAnswerIsOfOnePlan(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	now := api.ImpactRestart
	m.kind.Foresee = func(converge.Change) (api.Plan, error) { return api.Plan{Impact: now}, nil }
	type planner func(context.Context, api.ID, int64, api.Write) (api.Plan, error)
	plan := func(ask planner, basis string, approved bool) api.Plan {
		t.Helper()
		p, err := ask(t.Context(), id("edge"), 1, api.Write{
			Spec: api.Encode(operationtest.Spec{Port: 80, Text: "one", Weight: 7}), Owner: "a", Basis: basis, Approved: approved,
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	plan(m.Plan, "edited", false)
	now = api.ImpactReload
	plan(m.Plan, "put back", false)
	now = api.ImpactRuntime
	for i := range 3 {
		plan(m.PlanForReader, fmt.Sprint(i), false)
		plan(m.PlanForReader, fmt.Sprint("approved ", i), true)
	}
	plan(m.PlanForReader, "a reader's", false)
	if kept, err := os.ReadDir(filepath.Join(m.root, "run", "foobar", "answers")); err != nil || len(kept) != 2 {
		t.Errorf("among the two answers to admins are those to readers: %v, %v", kept, err)
	}
	now = api.ImpactNone
	for basis, want := range map[string]api.Impact{"edited": api.ImpactRestart, "put back": api.ImpactReload, "a reader's": api.ImpactRuntime} {
		if p := plan(m.Plan, basis, true); p.Impact != want || p.Forgotten {
			t.Errorf("the plan that is based on %s is %+v, approved was %s", basis, p, want)
		}
	}
	if p := plan(m.Plan, "nothing", true); !p.Forgotten {
		t.Errorf("a plan that was never made is %+v", p)
	}
	if op := m.remove(t, by(deletion("edge", 1), "a", "")); op.Problem != nil {
		t.Fatal(op.Problem)
	}
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	if p := plan(m.Plan, "edited", true); !p.Forgotten {
		t.Errorf("a plan of the component that was removed is %+v", p)
	}
	if op := m.remove(t, by(deletion("edge", 1), "a", "")); op.Problem != nil {
		t.Fatal(op.Problem)
	}
	if left, err := os.ReadDir(filepath.Join(m.root, "run", "foobar")); err != nil || len(left) != 0 {
		t.Errorf("after a deletion there are %v, %v", left, err)
	}
}

// TestAReplacementOfWhatIsItsOwn: Terraform hands the plan of the second half what
// the first half knows, and the plan that begins the apply nothing.
func TestAReplacementOfWhatIsItsOwn(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	create := api.Write{Spec: api.Encode(spec(80, "one")), Owner: "a", Held: true}
	if p, err := m.Plan(t.Context(), id("edge"), 0, create); err != nil || p.Adopts != nil {
		t.Errorf("the plan: %+v, %v", p, err)
	}
	create.Owner, create.Held, create.Approved = "", false, true
	if p, err := m.Plan(t.Context(), id("edge"), 0, create); err != nil || p.Forgotten || p.Adopts == nil || p.Adopts.Owner != "a" {
		t.Errorf("the plan of the apply: %+v, %v", p, err)
	}
	if _, err := m.Own(t.Context(), id("edge"), api.Claiming{Owner: "b", TakesOver: "a"}, "b's run"); err != nil {
		t.Fatal(err)
	}
	_, err := m.Plan(t.Context(), id("edge"), 0, create)
	wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemOwned, "b's run", "plan again")
}

// TestADryRunSeesWhatARemovalLeaves removes the component while the create that
// begins an apply asks for it: a resource that was renamed is destroyed and
// created together, and the removal takes the answers with it.
func TestADryRunSeesWhatARemovalLeaves(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	create := api.Write{Spec: api.Encode(spec(80, "one"))}
	if p, err := m.Plan(t.Context(), id("edge"), 0, create); err != nil || p.Adopts == nil {
		t.Fatalf("the plan: %+v, %v", p, err)
	}
	if err := os.WriteFile(m.kind.Weight("edge"), []byte("3"), 0o600); err != nil { // so that there is something to be foreseen
		t.Fatal(err)
	}
	m.kind.Foresee = func(converge.Change) (api.Plan, error) {
		m.kind.Foresee = nil
		if op := m.remove(t, by(deletion("edge", 1), "a", "")); op.Problem != nil {
			t.Error(op.Problem)
		}
		return api.Plan{}, nil
	}
	create.Approved = true
	if p, err := m.Plan(t.Context(), id("edge"), 0, create); err != nil || p.Adopts != nil {
		t.Errorf("the plan of the apply: %+v, %v", p, err)
	}
}

// An agent restarts between a plan and its apply; its machine may boot.
func TestAnswersOutliveTheAgentAndNotTheBoot(t *testing.T) {
	root := t.TempDir()
	m := start(t, root)
	now := api.ImpactReload
	foresee := func() {
		m.kind.Foresee = func(converge.Change) (api.Plan, error) { return api.Plan{Impact: now}, nil }
	}
	restart := func() {
		m.stop()
		m.Wait()
		m = start(t, root)
		foresee()
	}
	foresee()
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	plan := func(name string, base int64, w api.Write) (api.Plan, error) {
		w.Spec = api.Encode(operationtest.Spec{Port: 81 - int(base), Text: "one", Weight: 7})
		return m.Plan(t.Context(), id(name), base, w)
	}
	want := func(name string, base int64, w api.Write, impact api.Impact, forgotten bool) {
		t.Helper()
		p, err := plan(name, base, w)
		if err != nil || p.Impact != impact || p.Forgotten != forgotten {
			t.Errorf("the plan is %+v, %v", p, err)
		}
	}
	own, approved := api.Write{Owner: "a"}, api.Write{Owner: "a", Approved: true}
	want("edge", 1, own, api.ImpactReload, false)
	want("new", 0, api.Write{}, api.ImpactReload, false)
	now = api.ImpactRestart
	restart()
	want("edge", 1, approved, api.ImpactReload, false)
	want("new", 0, api.Write{Approved: true}, api.ImpactReload, false)

	answers := filepath.Join(root, "run", "foobar", "answers")
	kept, err := os.ReadDir(answers)
	if err != nil || len(kept) != 2 {
		t.Fatalf("kept are %v, %v", kept, err)
	}
	if info, err := os.Stat(answers); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("their directory is %v, %v", info, err)
	}
	for _, content := range []string{"", `{"impact":"re`, `{"impact":"much"}`, `[]`} { // damaged is unknown
		for _, e := range kept {
			if err := os.WriteFile(filepath.Join(answers, e.Name()), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want("edge", 1, approved, api.ImpactRestart, true)
		want("edge", 1, approved, api.ImpactRestart, false) // which stands from then on
	}
	if err := os.RemoveAll(answers); err != nil { // a boot
		t.Fatal(err)
	}
	restart()
	want("edge", 1, approved, api.ImpactRestart, true)
	want("new", 0, api.Write{Approved: true}, api.ImpactRestart, true)
}

func TestAnswersAreBounded(t *testing.T) {
	root := t.TempDir()
	m := start(t, root)
	answers := filepath.Join(root, "run", "foobar", "answers")
	if err := os.MkdirAll(answers, 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	for i := range 1100 {
		path := filepath.Join(answers, fmt.Sprintf("%032d.json", i))
		if i%2 == 0 {
			path += ".new" // a kill left it
		}
		if err := errors.Join(os.WriteFile(path, []byte(`{"impact":"none"}`), 0o600), os.Chtimes(path, long, long.Add(time.Duration(i)*time.Second))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Plan(t.Context(), id("edge"), 0, api.Write{Spec: api.Encode(spec(80, "one"))}); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadDir(answers)
	if err != nil || len(kept) != 1024 {
		t.Fatalf("kept are %d, %v", len(kept), err)
	}
	for _, e := range kept { // ReadDir sorts by name, as they were written
		if e.Name() < fmt.Sprintf("%032d", 1100-1023) {
			t.Errorf("%s is kept, and is one of the oldest", e.Name())
			break
		}
	}
	if p, err := m.Plan(t.Context(), id("edge"), 0, api.Write{Spec: api.Encode(spec(80, "one")), Approved: true}); err != nil || p.Forgotten {
		t.Errorf("the newest is forgotten: %+v, %v", p, err)
	}
}

// TestARemovalThatAKillEndedTakesItsAnswersAlong: the agent was killed between its
// commit and the end of its operation.
func TestARemovalThatAKillEndedTakesItsAnswersAlong(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	update := api.Write{Spec: api.Encode(spec(80, "one")), Owner: "a"}
	if _, err := m.Plan(t.Context(), id("edge"), 1, update); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(m.root, "run", "foobar", "answers")
	kept, err := os.ReadDir(dir)
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept are %v, %v", kept, err)
	}
	answer := filepath.Join(dir, kept[0].Name())
	content, err := os.ReadFile(answer)
	if err != nil {
		t.Fatal(err)
	}
	op := m.remove(t, by(deletion("edge", 1), "a", ""))
	m.stop()
	m.Wait()
	op.State, op.Ended = api.OperationRunning, time.Time{}
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(answer, content, 0o600),
		os.WriteFile(filepath.Join(m.root, stateDir, "operations", op.ID+".json"), api.Encode(op), 0o600)); err != nil {
		t.Fatal(err)
	}
	m = start(t, m.root)
	if got := m.await(t, op.ID); got.State != api.OperationApplied {
		t.Errorf("the removal ended as %+v", got)
	}
	if _, err := os.Stat(answer); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the answer stays: %v", err)
	}
}
