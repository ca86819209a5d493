package operation_test

import (
	"context"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestPlan(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	plan := func(base int64, s operationtest.Spec) (api.Plan, error) {
		return m.Plan(t.Context(), id("edge"), base, api.Write{Spec: api.Encode(s)})
	}
	if p, err := plan(1, spec(80, "one")); err != nil || p.Impact != api.ImpactNone || len(p.Changes) > 0 {
		t.Errorf("the plan of the same is %+v, %v", p, err)
	}
	p, err := plan(1, spec(80, "two"))
	if err != nil || p.Impact != api.ImpactRestart || len(p.Changes) != 2 || p.Changes[0] != (api.Change{Path: operationtest.Config("edge"), Action: api.ChangeUpdate}) {
		t.Errorf("the plan of an update is %+v, %v", p, err)
	}
	_, err = plan(1, spec(80, operationtest.Refused))
	if problem := api.AsProblem(err); problem.Type != api.ProblemEngineRefused || problem.Violations[0].Pointer != "/text" {
		t.Errorf("the engine's refusal is %v", err)
	}
	if _, err := plan(0, spec(80, "two")); !api.IsProblem(err, api.ProblemExists) {
		t.Errorf("a creation over what is there is %v", err)
	}
	if _, err := m.Plan(t.Context(), api.ID{Kind: "database", Name: "db"}, 0, api.Write{}); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("an unknown kind is %v", err)
	}
	if _, err := m.Plan(t.Context(), id("No Name"), 0, api.Write{}); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("a wrong name is %v", err)
	}
}

func TestAPlanOfWhatHasBegunSaysWhatItCosts(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	entered, release := make(chan struct{}), make(chan struct{})
	m.kind.Gate = func(context.Context, converge.Change) error {
		entered <- struct{}{}
		<-release
		return nil
	}
	update := request("edge", 1, spec(80, "two"))
	if _, err := m.Apply(t.Context(), update); err != nil {
		t.Fatal(err)
	}
	<-entered
	plan := func() {
		t.Helper()
		if p, err := m.Plan(t.Context(), id("edge"), 1, update.Write); err != nil || p.Impact != api.ImpactRestart {
			t.Errorf("the plan is %+v, %v", p, err)
		}
	}
	plan()
	close(release)
	m.await(t, update.Operation)
	plan() // the generation is 2 by now, and a write would be answered all the same
	if _, err := m.Plan(t.Context(), id("edge"), 1, api.Write{Spec: api.Encode(spec(80, "three"))}); !api.IsProblem(err, api.ProblemGeneration) {
		t.Errorf("another change of the old generation is %v", err)
	}
}
