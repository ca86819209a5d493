package tfutil_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr/xattr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

func duration(text string) tfutil.Duration {
	return tfutil.Duration{StringValue: basetypes.NewStringValue(text)}
}

func TestSpellingsOfOneDurationAreTheSame(t *testing.T) {
	for _, c := range []struct {
		a, b tfutil.Duration
		same bool
	}{
		{duration("1m"), duration("60s"), true},
		{duration("1m"), duration("1m30s"), false},
		{duration("1m"), duration("soon"), false},
		{duration("soon"), duration("soon"), true},
	} {
		same, diags := c.a.StringSemanticEquals(t.Context(), c.b)
		if diags.HasError() || same != c.same {
			t.Errorf("%s and %s are the same: %t, want %t", c.a, c.b, same, c.same)
		}
	}
}

func TestWhatIsNoDurationIsRefusedWithAWayOut(t *testing.T) {
	for name, c := range map[string]struct {
		value tfutil.Duration
		want  string
	}{
		"a duration":          {duration("1m30s"), ""},
		"no value":            {tfutil.Duration{StringValue: types.StringNull()}, ""},
		"a value to be known": {tfutil.Duration{StringValue: types.StringUnknown()}, ""},
		"a number":            {duration("30"), `"30" is not a duration: write a number with a unit, such as "500ms", "30s" or "2m".`},
	} {
		t.Run(name, func(t *testing.T) {
			var resp xattr.ValidateAttributeResponse
			c.value.ValidateAttribute(t.Context(), xattr.ValidateAttributeRequest{Path: path.Root("x")}, &resp)
			got := ""
			for _, d := range resp.Diagnostics {
				got = d.Detail()
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestAnotherSpellingPlansNoChange(t *testing.T) {
	attribute := tfutil.DurationAttribute("How long.", api.Duration(60e9), api.AppStartBounds())
	for _, c := range []struct{ state, plan, want types.String }{
		{types.StringValue("60s"), types.StringValue("1m"), types.StringValue("60s")},
		{types.StringValue("60s"), types.StringValue("2m"), types.StringValue("2m")},
		{types.StringNull(), types.StringValue("1m"), types.StringValue("1m")},
		{types.StringValue("60s"), types.StringUnknown(), types.StringUnknown()},
		{types.StringValue("60s"), types.StringNull(), types.StringNull()},
	} {
		resp := planmodifier.StringResponse{PlanValue: c.plan}
		for _, m := range attribute.PlanModifiers {
			m.PlanModifyString(t.Context(), planmodifier.StringRequest{StateValue: c.state, PlanValue: c.plan}, &resp)
		}
		if !resp.PlanValue.Equal(c.want) {
			t.Errorf("from %s to %s plans %s, want %s", c.state, c.plan, resp.PlanValue, c.want)
		}
	}
}

// What passes the validation has to mean the same again when a machine answers it.
func FuzzDuration(f *testing.F) {
	f.Add("1m30s")
	f.Add("500ms")
	f.Add("-1s")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := api.ParseDuration(text)
		if err != nil {
			return
		}
		if same, _ := duration(text).StringSemanticEquals(t.Context(), tfutil.NewDuration(parsed)); !same {
			t.Errorf("%q comes back as %s, which is something else", text, parsed)
		}
	})
}
