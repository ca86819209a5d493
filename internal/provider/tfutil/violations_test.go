package tfutil

import (
	"context"
	"reflect"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// checked is a small model with every sort of reference: two ports that must
// differ, a name that must be a key, and a wait that must be within bounds.
type checked struct {
	Port  *int            `tfsdk:"port"`
	Other *int            `tfsdk:"other"`
	Use   *string         `tfsdk:"use"`
	Wait  *string         `tfsdk:"wait"`
	Parts map[string]*int `tfsdk:"parts"`
	Nets  []string        `tfsdk:"nets"`
}

func (j checked) violations() api.Violations {
	var v api.Violations
	if Or(j.Port, 1) == Or(j.Other, 2) {
		v.Add("/other", "%d is the other port too", Or(j.Other, 2))
	}
	if Or(j.Port, 1) > 65535 {
		v.Add("/port", "is no port")
	}
	if _, ok := j.Parts[Or(j.Use, "a")]; !ok {
		v.Add("/use", "is no part")
	}
	if d, err := api.ParseDuration(Or(j.Wait, "1s")); err != nil || d == 0 {
		v.Add("/delay", "is no wait")
	}
	for i, network := range j.Nets {
		if network == "bad" {
			v.Add(api.Pointer("/nets").At(i), "is no network")
		}
	}
	return v
}

func judgedSchema() schema.Schema {
	return schema.Schema{Attributes: map[string]schema.Attribute{
		"port":  schema.Int64Attribute{Optional: true},
		"other": schema.Int64Attribute{Optional: true},
		"use":   schema.StringAttribute{Optional: true},
		"wait":  schema.StringAttribute{Optional: true, CustomType: DurationType{}},
		"parts": schema.MapAttribute{Optional: true, ElementType: types.Int64Type},
		"nets":  schema.SetAttribute{Optional: true, ElementType: types.StringType},
	}}
}

func TestJudgeFindsOnlyWhatNoUnknownValueCanMend(t *testing.T) {
	number := func(n int) tftypes.Value { return tftypes.NewValue(tftypes.Number, n) }
	text := func(s string) tftypes.Value { return tftypes.NewValue(tftypes.String, s) }
	part := tftypes.NewValue(tftypes.Map{ElementType: tftypes.Number}, map[string]tftypes.Value{"a": number(1)})
	set := tftypes.Set{ElementType: tftypes.String}
	for name, c := range map[string]struct {
		values map[string]tftypes.Value
		want   []api.Pointer
	}{
		"all known and right":      {map[string]tftypes.Value{"parts": part}, nil},
		"known and wrong":          {map[string]tftypes.Value{"port": number(70000), "other": number(70000)}, []api.Pointer{"/other", "/port", "/use"}},
		"wrong beside an unknown":  {map[string]tftypes.Value{"parts": part, "port": number(70000), "use": tftypes.NewValue(tftypes.String, tftypes.UnknownValue)}, []api.Pointer{"/port"}},
		"unknown number":           {map[string]tftypes.Value{"parts": part, "port": tftypes.NewValue(tftypes.Number, tftypes.UnknownValue), "other": number(50001)}, nil},
		"two unknown numbers":      {map[string]tftypes.Value{"parts": part, "port": tftypes.NewValue(tftypes.Number, tftypes.UnknownValue), "other": tftypes.NewValue(tftypes.Number, tftypes.UnknownValue)}, nil},
		"unknown text":             {map[string]tftypes.Value{"parts": part, "use": tftypes.NewValue(tftypes.String, tftypes.UnknownValue)}, nil},
		"unknown, renamed":         {map[string]tftypes.Value{"parts": part, "wait": tftypes.NewValue(tftypes.String, tftypes.UnknownValue)}, nil},
		"wrong, renamed":           {map[string]tftypes.Value{"parts": part, "wait": text("soon")}, []api.Pointer{"/delay"}},
		"keys of a map unknown":    {map[string]tftypes.Value{"port": number(70000), "parts": tftypes.NewValue(tftypes.Map{ElementType: tftypes.Number}, tftypes.UnknownValue)}, nil},
		"value in a map unknown":   {map[string]tftypes.Value{"parts": tftypes.NewValue(tftypes.Map{ElementType: tftypes.Number}, map[string]tftypes.Value{"b": tftypes.NewValue(tftypes.Number, tftypes.UnknownValue)})}, []api.Pointer{"/use"}},
		"set unknown":              {map[string]tftypes.Value{"parts": part, "nets": tftypes.NewValue(set, tftypes.UnknownValue)}, nil},
		"wrong in a set":           {map[string]tftypes.Value{"parts": part, "nets": tftypes.NewValue(set, []tftypes.Value{text("bad")})}, []api.Pointer{"/nets/0"}},
		"unknown element in a set": {map[string]tftypes.Value{"parts": part, "nets": tftypes.NewValue(set, []tftypes.Value{tftypes.NewValue(tftypes.String, tftypes.UnknownValue)})}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := violationsOf(t, c.values)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("found %v, not %v", got, c.want)
			}
		})
	}
}

func violationsOf(t *testing.T, values map[string]tftypes.Value) []api.Pointer {
	t.Helper()
	s := judgedSchema()
	paths := Paths{Type: s.Type(), Renamed: map[api.Pointer]api.Pointer{"/delay": "/wait"}}
	found, err := Violations(t.Context(), configOf(t.Context(), s, values), paths, func(config tfsdk.Config) api.Violations {
		var j checked
		if diags := config.Get(t.Context(), &j); diags.HasError() {
			t.Fatal(diags)
		}
		return j.violations()
	})
	if err != nil {
		t.Fatal(err)
	}
	var pointers []api.Pointer
	for _, v := range found {
		pointers = append(pointers, v.Pointer)
	}
	return pointers
}

// configOf returns a configuration of some values, in which the others are null.
func configOf(ctx context.Context, s schema.Schema, values map[string]tftypes.Value) tfsdk.Config {
	all := map[string]tftypes.Value{}
	for name, attribute := range s.Attributes {
		all[name] = tftypes.NewValue(attribute.GetType().TerraformType(ctx), nil)
	}
	for name, value := range values {
		all[name] = value
	}
	return tfsdk.Config{Schema: s, Raw: tftypes.NewValue(s.Type().TerraformType(ctx), all)}
}
