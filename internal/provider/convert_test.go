package provider_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// mishaps are what the framework says where it cannot convert a value.
func mishaps() []string {
	return []string{"error in the provider", "Value Conversion Error", "Read Error", "provider developer"}
}

// odd returns values that Terraform lets through and few would think of.
func odd(v tftypes.Value) map[string]tftypes.Value {
	t := v.Type()
	all := map[string]tftypes.Value{
		"null":    tftypes.NewValue(t, nil),
		"unknown": tftypes.NewValue(t, tftypes.UnknownValue),
	}
	switch {
	case t.Is(tftypes.Number):
		huge, _ := new(big.Float).SetString("1e1000")
		all["a fraction"] = tftypes.NewValue(t, big.NewFloat(8500.5))
		all["a huge number"] = tftypes.NewValue(t, huge)
		all["more than 32 bits"] = tftypes.NewValue(t, big.NewFloat(1<<40))
		all["a negative number"] = tftypes.NewValue(t, big.NewFloat(-1))
	case t.Is(tftypes.String):
		all["nothing"] = tftypes.NewValue(t, "")
	case t.Is(tftypes.List{}), t.Is(tftypes.Set{}):
		all["no element"] = tftypes.NewValue(t, []tftypes.Value{})
	case t.Is(tftypes.Map{}):
		all["no element"] = tftypes.NewValue(t, map[string]tftypes.Value{})
	}
	return all
}

// TestNoValueIsCalledABugOfTheProvider puts odd values in the place of every
// value of every block, one at a time, and has the result checked and planned.
func TestNoValueIsCalledABugOfTheProvider(t *testing.T) {
	planner := planning(t)
	for _, b := range blocks(t, server(t)) {
		t.Run(b.name, func(t *testing.T) {
			for _, at := range places(t, b.base) {
				given, _, err := tftypes.WalkAttributePath(b.base, at)
				if err != nil {
					t.Fatal(err)
				}
				v, ok := given.(tftypes.Value)
				if !ok {
					t.Fatalf("there is no value at %s", at)
				}
				for what, value := range odd(v) {
					config := with(t, b.base, at, func(tftypes.Value) tftypes.Value { return value })
					found := b.validate(t, config)
					if len(found) == 0 {
						found = plan(t, planner, b, config)
					}
					for _, d := range found {
						if text := mishap(d); text != "" {
							t.Errorf("%s at %s: %s", what, at, text)
						}
					}
				}
			}
		})
	}
}

func mishap(d *tfprotov6.Diagnostic) string {
	text := d.Summary + ": " + d.Detail
	for _, m := range mishaps() {
		if strings.Contains(text, m) {
			return text
		}
	}
	return ""
}

// planning returns a server that reaches machines in memory.
func planning(t *testing.T) tfprotov6.ProviderServer {
	t.Helper()
	p := provider.New("test")()
	make := providertest.New("web1", "web2", "lb1").Factories(p.Resources(t.Context()))
	s, err := make["foobar"]()
	if err != nil {
		t.Fatal(err)
	}
	nothing, err := tfprotov6.NewDynamicValue(tftypes.Object{}, tftypes.NewValue(tftypes.Object{}, map[string]tftypes.Value{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: &nothing}); err != nil {
		t.Fatal(err)
	}
	return s
}

// plan plans the creation of a resource, as Terraform proposes it.
func plan(t *testing.T, s tfprotov6.ProviderServer, b block, config tftypes.Value) []*tfprotov6.Diagnostic {
	t.Helper()
	if !strings.HasPrefix(b.name, "foobar_") {
		return nil
	}
	proposed, err := tftypes.Transform(config, func(at *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		if _, attribute := attributeOf(b.schema, at); attribute != nil && attribute.WriteOnly {
			return tftypes.NewValue(v.Type(), nil), nil
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	of := b.schema.ValueType()
	resp, err := s.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: b.name, PriorState: dynamic(t, of, tftypes.NewValue(of, nil)), ProposedNewState: dynamic(t, of, proposed), Config: dynamic(t, of, config),
		ProviderMeta: nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Diagnostics
}

func dynamic(t *testing.T, of tftypes.Type, v tftypes.Value) *tfprotov6.DynamicValue {
	t.Helper()
	d, err := tfprotov6.NewDynamicValue(of, v)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}
