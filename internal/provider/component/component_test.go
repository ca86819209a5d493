package component

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// value returns a resource of texts; the name comes from its first argument,
// further ones are pairs of attribute and text.
func value(name string, rest ...string) tftypes.Value {
	texts := map[string]string{"name": name, "machine": "web1", "timeouts": "", "generation": "1", "impact": "none", "drift": "", "source": "a", "port": "80"}
	for i := 0; i < len(rest); i += 2 {
		texts[rest[i]] = rest[i+1]
	}
	attributeTypes, attributes := map[string]tftypes.Type{}, map[string]tftypes.Value{}
	for key, text := range texts {
		attributeTypes[key] = tftypes.String
		attributes[key] = tftypes.NewValue(tftypes.String, text)
		switch text {
		case "unknown":
			attributes[key] = tftypes.NewValue(tftypes.String, tftypes.UnknownValue)
		case "null":
			attributes[key] = tftypes.NewValue(tftypes.String, nil)
		}
	}
	return tftypes.NewValue(tftypes.Object{AttributeTypes: attributeTypes}, attributes)
}

func TestHowFarAChangeReaches(t *testing.T) {
	r := &Resource[struct{}, Spec]{kind: Kind[struct{}, Spec]{Local: []string{"source"}}}
	state := value("shop")
	for name, c := range map[string]struct {
		plan, state tftypes.Value
		want        change
	}{
		"nothing before":              {value("shop"), tftypes.NewValue(state.Type(), nil), changeCreate},
		"the same":                    {value("shop"), state, changeNothing},
		"what the provider computes":  {value("shop", "generation", "unknown", "impact", "unknown"), state, changeNothing},
		"patience":                    {value("shop", "timeouts", "10m"), state, changeLocal},
		"where a file lies":           {value("shop", "source", "b"), state, changeLocal},
		"a value":                     {value("shop", "port", "81"), state, changeRemote},
		"a value and patience":        {value("shop", "port", "81", "timeouts", "10m"), state, changeRemote},
		"a value to be known":         {value("shop", "port", "unknown"), state, changeRemote},
		"another way to the machine":  {value("shop", "machine", "web1 at another address"), state, changeRemote},
		"patience and where it lies":  {value("shop", "timeouts", "10m", "source", "b"), state, changeLocal},
		"a value and where it lies":   {value("shop", "source", "b", "port", "81"), state, changeRemote},
		"drift alone is not a change": {value("shop", "drift", "unknown"), state, changeNothing},
	} {
		if got := r.compare(c.plan, c.state); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestSpecIsKnownWithoutWhatTheProviderComputes(t *testing.T) {
	r := &Resource[struct{}, Spec]{}
	for name, c := range map[string]struct {
		plan tftypes.Value
		want bool
	}{
		"all known":             {value("shop"), true},
		"computed to come":      {value("shop", "generation", "unknown", "impact", "unknown", "drift", "unknown"), true},
		"a value to come":       {value("shop", "port", "unknown"), false},
		"no machine known even": {value("shop", "machine", "unknown"), false},
	} {
		if got := r.specKnown(c.plan); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func on(incarnation types.Int64, generation int64) *Model {
	return &Model{
		Machine:    tfutil.Machine{Name: types.StringValue("web1"), Address: types.StringValue("10.0.0.1"), Incarnation: incarnation},
		Generation: types.Int64Value(generation),
	}
}

func TestWritesAreBasedOnTheStateOfTheSameVMOnly(t *testing.T) {
	for name, c := range map[string]struct {
		after types.Int64
		want  int64
	}{
		"the same VM":   {types.Int64Value(1), 7},
		"a rebuilt one": {types.Int64Value(2), 0},
		"not known yet": {types.Int64Unknown(), 0},
	} {
		if got := base(on(types.Int64Value(1), 7), on(c.after, 0)); got != c.want {
			t.Errorf("%s: generation %d, want %d", name, got, c.want)
		}
	}
}

func TestOnlyWhatMayGoOnIsSavedAfterAFailure(t *testing.T) {
	running := api.Operation{ID: "abc"}
	for name, c := range map[string]struct {
		operation api.Operation
		err       error
		want      bool
	}{
		"applied":                {running, nil, false},
		"refused":                {api.Operation{}, &api.Problem{Type: api.ProblemInvalid}, false},
		"undone":                 {running, &api.Problem{Type: api.ProblemRolledBack}, false},
		"never reached":          {api.Operation{}, &client.Unreachable{}, false},
		"lost after the request": {api.Operation{}, fmt.Errorf("apply: %w", &client.Unreachable{Sent: true}), true},
		"watched no longer":      {running, context.Canceled, true},
	} {
		if got := begun(c.operation, c.err); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestDriftShowsTheAttributesThatItCameFrom(t *testing.T) {
	paths := tfutil.Paths{Type: types.ObjectType{AttrTypes: map[string]attr.Type{
		"port": types.Int64Type, "servers": types.MapType{ElemType: types.StringType},
	}}}
	got := driftValue(map[string]api.Drift{
		"/etc/x.cfg": {Detail: "edited by hand: line 3", Pointers: []api.Pointer{"/servers/web1", "/port", "/servers/web1/deeper"}},
		"x.service":  {Detail: "is stopped"},
	}, paths)
	want := types.MapValueMust(driftType, map[string]attr.Value{
		"/etc/x.cfg": types.ObjectValueMust(driftType.AttrTypes, map[string]attr.Value{
			"detail": types.StringValue("edited by hand: line 3"),
			"attributes": types.ListValueMust(types.StringType, []attr.Value{
				types.StringValue(`servers["web1"]`), types.StringValue("port"),
			}),
		}),
		"x.service": types.ObjectValueMust(driftType.AttrTypes, map[string]attr.Value{
			"detail": types.StringValue("is stopped"), "attributes": types.ListValueMust(types.StringType, []attr.Value{}),
		}),
	})
	if !got.Equal(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !hasDrift(got) || hasDrift(noDrift()) {
		t.Error("there is drift where there is some, and none where there is none")
	}
}

func TestShortTimeoutsDoNotBecomeNone(t *testing.T) {
	for d, want := range map[time.Duration]int{time.Millisecond: 1, time.Second: 1, 90 * time.Second: 90, 1500 * time.Millisecond: 2} {
		if got := seconds(d); got != want {
			t.Errorf("%s is %d s, want %d", d, got, want)
		}
	}
}

func TestForeseenImpactIsTheLeast(t *testing.T) {
	for name, c := range map[string]struct{ shown, foreseen, want api.Impact }{
		"nothing foreseen":           {api.ImpactReload, "", api.ImpactReload},
		"less foreseen":              {api.ImpactRestart, api.ImpactRuntime, api.ImpactRestart},
		"more foreseen":              {api.ImpactNone, api.ImpactRuntime, api.ImpactRuntime},
		"reported by a newer agent":  {"switchover", api.ImpactRestart, "switchover"},
		"reported and foreseen none": {api.ImpactNone, api.ImpactNone, api.ImpactNone},
	} {
		if got := costlier(c.shown, c.foreseen); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestADestroyForgetsOnlyWhoHasAPartAndIsGone(t *testing.T) {
	r := &Resource[struct{}, Spec]{data: &tfutil.Data{Forget: map[string]bool{"web2": true, "web9": true}}}
	if got := r.forgotten(struct{}{}); got != nil {
		t.Errorf("without others %v are forgotten", got)
	}
	r.kind.Others = func(struct{}) []string { return []string{"lb1", "web2"} }
	if got := r.forgotten(struct{}{}); !slices.Equal(got, []string{"web2"}) {
		t.Errorf("%v are forgotten", got)
	}
}

func TestWhatMovesIsNoChangeByItself(t *testing.T) {
	r := &Resource[struct{}, Spec]{kind: Kind[struct{}, Spec]{Moving: []string{"source"}}}
	state := value("shop")
	if got := r.compare(value("shop", "source", "unknown"), state); got != changeNothing {
		t.Errorf("what moves is a change: %d", got)
	}
	if !r.specKnown(value("shop", "source", "unknown")) {
		t.Error("what moves is taken for a part of the spec")
	}
	plan := tfsdk.Plan{Raw: value("shop", "source", "unknown", "port", "81", "drift", "unknown")}
	r.keepComputed(tfsdk.State{Raw: state}, &plan)
	if want := value("shop", "port", "81"); !plan.Raw.Equal(want) {
		t.Errorf("the plan is %s, not %s", plan.Raw, want)
	}
	r.moves(&plan, state, false)
	if want := value("shop", "source", "unknown", "port", "81"); !plan.Raw.Equal(want) {
		t.Errorf("the plan is %s, not %s", plan.Raw, want)
	}
}

func TestWhatMovesStaysWhereTheChangeLeavesItAlone(t *testing.T) {
	r := &Resource[struct{}, Spec]{kind: Kind[struct{}, Spec]{Moving: []string{"source"}, Steady: []string{"port"}}}
	for name, c := range map[string]struct {
		state  []string
		edit   []string
		drifts bool
		stays  bool
	}{
		"a change of what is steady":    {[]string{"source", "a"}, []string{"port", "81"}, false, true},
		"one of something else, too":    {[]string{"source", "a"}, []string{"port", "81", "name", "other"}, false, false},
		"a repair":                      {[]string{"source", "a"}, []string{"port", "81"}, true, false},
		"one whose state knows nothing": {[]string{"source", "null"}, []string{"port", "81"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			state := value("shop", c.state...)
			plan := tfsdk.Plan{Raw: value("shop", append([]string{"source", "unknown"}, c.edit...)...)}
			r.moves(&plan, state, c.drifts)
			if stays := r.keepsMoving(plan.Raw); stays != c.stays {
				t.Errorf("the plan is %s", plan.Raw)
			}
		})
	}
}
