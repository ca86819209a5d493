package operation_test

import (
	"context"
	"errors"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestAPlanHoldsWhatTheKindForesees(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	var asked []converge.Change
	m.kind.Foresee = func(c converge.Change) (api.Plan, error) {
		asked = append(asked, c)
		return api.Plan{Impact: api.ImpactRuntime, Conditions: []api.Condition{{Type: "Step"}}}, nil
	}
	plan := func(s operationtest.Spec) api.Plan {
		t.Helper()
		plan, err := m.Plan(t.Context(), id("edge"), 1, api.Write{Spec: api.Encode(s)})
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	if p := plan(spec(80, "one")); len(p.Conditions) != 0 || p.Impact != api.ImpactNone || len(asked) != 0 {
		t.Errorf("of a component that stands as it is asked for: %+v, asked %v", p, asked)
	}
	if p := plan(spec(80, "two")); len(p.Conditions) != 1 || p.Impact != api.ImpactRestart {
		t.Errorf("of a change: %+v", p)
	}
	if err := m.units.Stop(t.Context(), operationtest.Unit("edge")); err != nil {
		t.Fatal(err)
	}
	if p := plan(spec(80, "one")); len(p.Conditions) != 1 || p.Impact != api.ImpactRuntime {
		t.Errorf("of a drift: %+v", p)
	}
	for i, c := range asked {
		if c.Name != "edge" || c.From == nil || c.To == nil || c.Undo {
			t.Errorf("it was asked about %+v", c)
		}
		if changed := len(c.Paths) > 0; changed != (i == 0) {
			t.Errorf("question %d names the paths %v", i, c.Paths)
		}
	}
	m.kind.Foresee = func(converge.Change) (api.Plan, error) { return api.Plan{}, errors.New("it must not be") }
	if _, err := m.Plan(t.Context(), id("edge"), 1, api.Write{Spec: api.Encode(spec(80, "two"))}); err == nil {
		t.Error("what the kind refuses is planned")
	}
}

func TestADeletionNamesWhomItForgets(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	var forgotten []string
	m.kind.Gate = func(_ context.Context, c converge.Change) error {
		forgotten = append(forgotten, c.Forget...)
		return nil
	}
	request := deletion("edge", 1)
	request.Write.Forget = []string{"web3"}
	if op := m.remove(t, request); op.State != api.OperationApplied || len(forgotten) != 1 || forgotten[0] != "web3" {
		t.Errorf("%+v, forgotten %v", op, forgotten)
	}
}
