package operation_test

import (
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// step is what somebody does with the component of state a, or with another state.
type step func(t *testing.T, m *machine)

// creates is the plan of a create by actor, or the dry run that begins its apply.
func creates(actor string, approved bool) step {
	return func(t *testing.T, m *machine) {
		t.Helper()
		if _, err := m.PlanFor(t.Context(), operation.Asker{Actor: actor}, id("edge"), 0, create(approved)); err != nil {
			t.Fatal(err)
		}
	}
}

// replaces is the plan of the second half of a replacement in state a.
func replaces(who operation.Asker) step {
	return func(t *testing.T, m *machine) {
		t.Helper()
		w := create(false)
		w.Owner, w.Held = "a", true
		if p, err := m.PlanFor(t.Context(), who, id("edge"), 0, w); err != nil || p.Adopts != nil {
			t.Fatalf("the plan of a replacement is %+v, %v", p, err)
		}
	}
}

func made(t *testing.T, m *machine) {
	t.Helper()
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
}

// TestWhoseReplacementItIs: the dry run that begins an apply does not tell whose it
// is. What a plan was informed of a create, and may still be applied, decides.
func TestWhoseReplacementItIs(t *testing.T) {
	const a, b = "a's run", "b's run"
	adminA, readerA := operation.Asker{Actor: a}, operation.Asker{Actor: a, Reader: true}
	readerCreates := func(t *testing.T, m *machine) { t.Helper(); m.plans(t, reader, false) }
	for name, test := range map[string]struct {
		steps []step
		want  string // of the refusal
		// forgotten or replaced is the answer where none is refused.
		forgotten, replaced bool
	}{
		"b plans a create, a creates and replaces":               {steps: []step{creates(b, false), made, replaces(adminA)}, want: "Another state was faster"},
		"the same, and one person applies both":                  {steps: []step{creates(a, false), made, replaces(adminA)}, want: "Another state was faster"},
		"b plans a create, a plans, creates and replaces":        {steps: []step{creates(b, false), creates(a, false), creates(a, true), made, replaces(adminA)}, want: "Another state was faster"},
		"a plans, b plans, a creates and replaces":               {steps: []step{creates(a, false), creates(b, false), creates(a, true), made, replaces(adminA)}, want: "Another state was faster"},
		"a plans, creates and replaces":                          {steps: []step{creates(a, false), creates(a, true), made, replaces(adminA)}, replaced: true},
		"a plans twice, creates and replaces: it is informed":    {steps: []step{creates(a, false), creates(a, false), creates(a, true), made, replaces(adminA)}},
		"a replaces what no plan knew":                           {steps: []step{creates(a, true), made, replaces(adminA)}, replaced: true},
		"a reader's plan creates, and a reader says it replaces": {steps: []step{readerCreates, made, replaces(readerA)}, want: "Another state was faster"},
		"a reader says that it replaces":                         {steps: []step{made, replaces(readerA)}, want: "A reader cannot approve"},
		"a plans and creates, and a reader plans a replacement":  {steps: []step{creates(a, false), creates(a, true), made, replaces(readerA)}, want: "A reader cannot approve"},
		"a plans and creates, and loses its state":               {steps: []step{creates(a, false), creates(a, true), made}, forgotten: true},
		"a plans and creates, and b has planned":                 {steps: []step{creates(b, false), creates(a, false), creates(a, true), made}, want: "Another state was faster"},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			for _, s := range test.steps {
				s(t, m)
			}
			p, err := m.PlanFor(t.Context(), operation.Asker{Actor: b}, id("edge"), 0, create(true))
			if test.want != "" {
				wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemOwned, test.want)
				return
			}
			if err != nil || p.Adopts == nil || p.Forgotten != test.forgotten || p.Adopts.Replaced != test.replaced {
				t.Errorf("it is answered %+v, %v; adopts %+v", p, err, p.Adopts)
			}
		})
	}
}

// TestTheNewerPlanOfAnUpdateIsApproved, whoever made it.
func TestTheNewerPlanOfAnUpdateIsApproved(t *testing.T) {
	m := start(t, t.TempDir())
	made(t, m)
	now := api.ImpactReload
	m.kind.Foresee = func(converge.Change) (api.Plan, error) { return api.Plan{Impact: now}, nil }
	update := api.Write{Spec: api.Encode(operationtest.Spec{Port: 80, Text: "one", Weight: 7}), Owner: "a"}
	plan := func(reader, approved bool, want api.Impact) {
		t.Helper()
		update.Approved = approved
		if p, err := m.PlanFor(t.Context(), operation.Asker{Reader: reader}, id("edge"), 1, update); err != nil || p.Impact != want {
			t.Errorf("the plan is %+v, %v; want %s", p, err, want)
		}
	}
	plan(false, false, api.ImpactReload)
	now = api.ImpactRestart
	plan(true, false, api.ImpactRestart)
	now = api.ImpactNone
	plan(false, true, api.ImpactRestart)
}
