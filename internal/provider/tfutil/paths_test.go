package tfutil_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

func TestPointersLeadToAttributes(t *testing.T) {
	server := types.ObjectType{AttrTypes: map[string]attr.Type{"port": types.Int64Type, "weight_now": types.Int64Type}}
	paths := tfutil.Paths{
		Type: types.ObjectType{AttrTypes: map[string]attr.Type{
			"servers":   types.MapType{ElemType: server},
			"command":   types.ListType{ElemType: types.StringType},
			"networks":  types.SetType{ElemType: types.StringType},
			"patience":  types.ObjectType{AttrTypes: map[string]attr.Type{"connect": tfutil.DurationType{}}},
			"algorithm": types.StringType,
		}},
		Renamed: map[api.Pointer]api.Pointer{
			"/timeouts":         "/patience",
			"/servers/*/weight": "/servers/*/weight_now",
		},
	}
	for pointer, want := range map[api.Pointer]string{
		"":                        ``,
		"/algorithm":              `algorithm`,
		"/servers/web1/port":      `servers["web1"].port`,
		"/servers/a~1b/port":      `servers["a/b"].port`,
		"/servers/web1/weight":    `servers["web1"].weight_now`,
		"/servers/web1/colour":    `servers["web1"]`,
		"/command/2":              `command[2]`,
		"/command/last":           `command`,
		"/networks/0":             `networks`,
		"/timeouts/connect":       `patience.connect`,
		"/timeouts":               `patience`,
		"/algorithm/further/down": `algorithm`,
		"/unknown":                ``,
	} {
		if got := paths.Path(pointer).String(); got != want {
			t.Errorf("%q leads to %q, want %q", pointer, got, want)
		}
	}
}
