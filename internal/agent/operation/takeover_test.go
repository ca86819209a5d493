package operation_test

import (
	"context"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// create is what the plan of a create asks, of any state: none tells who asks.
func create(approved bool) api.Write {
	return api.Write{Spec: api.Encode(spec(80, "one")), Basis: "no state", Approved: approved}
}

// planner asks as an admin or as a reader does.
type planner func(m *machine) asks

// asks is [operation.Runner.Plan], or as it.
type asks func(context.Context, api.ID, int64, api.Write) (api.Plan, error)

func admin(m *machine) asks {
	return m.Plan
}

func reader(m *machine) asks {
	return m.PlanForReader
}

func (m *machine) plans(t *testing.T, ask planner, approved bool) api.Plan {
	t.Helper()
	p, err := ask(m)(t.Context(), id("edge"), 0, create(approved))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (m *machine) restarted(t *testing.T) *machine {
	t.Helper()
	m.stop()
	m.Wait()
	return start(t, m.root)
}

// TestAPlanThatCreatesTakesNothingOver has state b plan a create, and state a be
// faster, by every way. The plan of b is applied afterwards.
func TestAPlanThatCreatesTakesNothingOver(t *testing.T) {
	made := func(t *testing.T, m *machine, owner string) {
		t.Helper()
		m.must(t, by(request("edge", 0, spec(80, "one")), owner, ""))
	}
	removed := func(t *testing.T, m *machine, owner string) {
		t.Helper()
		if op := m.remove(t, by(deletion("edge", 1), owner, "")); op.Problem != nil {
			t.Fatal(op.Problem)
		}
	}
	for name, meanwhile := range map[string]func(t *testing.T, m *machine) *machine{
		"a create":                       func(t *testing.T, m *machine) *machine { made(t, m, "a"); return m },
		"a create that was planned, too": func(t *testing.T, m *machine) *machine { m.plans(t, admin, false); made(t, m, "a"); return m },
		"a create that began as one": func(t *testing.T, m *machine) *machine {
			m.plans(t, admin, true)
			made(t, m, "a")
			return m
		},
		"a create, and a restart": func(t *testing.T, m *machine) *machine { made(t, m, "a"); return m.restarted(t) },
		"a restart, and a create": func(t *testing.T, m *machine) *machine {
			m = m.restarted(t)
			made(t, m, "a")
			return m
		},
		"a create, and a reader's plan": func(t *testing.T, m *machine) *machine {
			made(t, m, "a")
			m.plans(t, reader, false)
			return m
		},
		"another component that was removed": func(t *testing.T, m *machine) *machine {
			made(t, m, "c")
			removed(t, m, "c")
			made(t, m, "a")
			return m
		},
		"a create of nobody, which is taken": func(t *testing.T, m *machine) *machine {
			m.must(t, request("edge", 0, spec(80, "one")))
			if _, err := m.Own(t.Context(), id("edge"), api.Claiming{Owner: "a"}, "a's run"); err != nil {
				t.Fatal(err)
			}
			return m
		},
		"a create, and two tries": func(t *testing.T, m *machine) *machine {
			made(t, m, "a")
			if p, err := m.Plan(t.Context(), id("edge"), 0, create(true)); err == nil {
				t.Errorf("the first try: %+v", p)
			}
			return m
		},
		"a create that is still under way": func(t *testing.T, m *machine) *machine {
			m.creating(t, by(request("edge", 0, spec(80, "one")), "a", ""))
			return m
		},
	} {
		for who, ask := range map[string]planner{"an admin": admin, "a reader": reader} {
			t.Run(name+" after the plan of "+who, func(t *testing.T) {
				m := start(t, t.TempDir())
				if p := m.plans(t, ask, false); p.Adopts != nil {
					t.Fatalf("the plan is %+v", p)
				}
				m = meanwhile(t, m)
				p, err := m.Plan(t.Context(), id("edge"), 0, create(true))
				if err == nil {
					t.Fatalf("its apply is answered %+v", p)
				}
				wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemOwned, "a's run", "plan again", "import")
				if p := m.plans(t, admin, false); p.Adopts == nil || p.Adopts.Owner != "a" {
					t.Errorf("another plan is %+v", p)
				}
				if p := m.plans(t, admin, true); p.Forgotten || p.Adopts == nil {
					t.Errorf("its apply is answered %+v", p)
				}
			})
		}
	}
}

// creating begins an operation that stays in its middle until the test ends.
func (m *machine) creating(t *testing.T, r operation.Request) {
	t.Helper()
	gate, begun := make(chan struct{}), make(chan struct{})
	m.kind.Gate = func(context.Context, converge.Change) error {
		close(begun)
		<-gate
		return nil
	}
	if _, err := m.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	<-begun
	t.Cleanup(func() { close(gate); m.await(t, r.Operation) })
}

// TestAReaderApprovesNoTakeover: an admin who applies a reader's plan may have been
// shown another one, and readers say themselves what it is that they replace.
func TestAReaderApprovesNoTakeover(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	if p := m.plans(t, reader, false); p.Adopts == nil {
		t.Fatalf("the plan of a reader is %+v", p)
	}
	_, err := m.Plan(t.Context(), id("edge"), 0, create(true))
	wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemOwned, "a's run", "role reader", "as an administrator", "import")

	replaces := create(false)
	replaces.Owner, replaces.Held = "a", true
	if p, err := m.PlanForReader(t.Context(), id("edge"), 0, replaces); err != nil || p.Adopts != nil {
		t.Fatalf("the plan of a replacement is %+v, %v", p, err)
	}
	_, err = m.Plan(t.Context(), id("edge"), 0, create(true))
	wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemOwned, "role reader", "as an administrator")
}

// TestAnApplyThatIsTheFirstToAsk: where no plan could ask, the apply learns that
// nobody has approved its answer, however often it is tried: it decides.
func TestAnApplyThatIsTheFirstToAsk(t *testing.T) {
	m := start(t, t.TempDir())
	if p := m.plans(t, admin, true); !p.Forgotten || p.Adopts != nil {
		t.Errorf("of nothing it learns %+v", p)
	}
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	for range 2 { // the state was lost since
		if p := m.plans(t, admin, true); !p.Forgotten || p.Adopts == nil {
			t.Errorf("of a component it learns %+v", p)
		}
	}
}

// TestAnUpdateKeepsItsAnswerThroughAnotherApply of nothing new.
func TestAnUpdateKeepsItsAnswerThroughAnotherApply(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	m.kind.Foresee = func(converge.Change) (api.Plan, error) { return api.Plan{Impact: api.ImpactReload}, nil }
	update := api.Write{Spec: api.Encode(operationtest.Spec{Port: 80, Text: "one", Weight: 7}), Owner: "a"}
	if _, err := m.Plan(t.Context(), id("edge"), 1, update); err != nil {
		t.Fatal(err)
	}
	m.kind.Foresee = nil
	if op := m.must(t, by(request("edge", 1, spec(80, "one")), "a", "")); op.Generation != 1 {
		t.Fatalf("generation %d", op.Generation)
	}
	update.Approved = true
	if p, err := m.Plan(t.Context(), id("edge"), 1, update); err != nil || p.Forgotten || p.Impact != api.ImpactReload {
		t.Errorf("the plan of the apply is %+v, %v", p, err)
	}
}

// TestADryRunRunsOnce while another state creates the component, which has no
// record then.
func TestADryRunRunsOnce(t *testing.T) {
	m := start(t, t.TempDir())
	m.creating(t, by(request("edge", 0, spec(80, "one")), "a", ""))
	times := 0
	m.kind.Foresee = func(converge.Change) (api.Plan, error) { times++; return api.Plan{}, nil }
	if p := m.plans(t, admin, false); p.Adopts == nil || times != 1 {
		t.Errorf("it was made %d times, and is %+v", times, p)
	}
}
