package dbreplication

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// A slip in the name of a database would show only in the app.
func TestGrantOnAnUndeclaredDatabaseIsAWarning(t *testing.T) {
	text, list := tftypes.String, tftypes.Set{ElementType: tftypes.String}
	grants := tftypes.Map{ElementType: list}
	user := tftypes.Object{AttributeTypes: map[string]tftypes.Type{"grants": grants}}
	database := tftypes.Object{AttributeTypes: map[string]tftypes.Type{"charset": text}}
	root := tftypes.Object{AttributeTypes: map[string]tftypes.Type{"databases": tftypes.Map{ElementType: database}, "users": tftypes.Map{ElementType: user}}}
	users, ok := attributes()["users"].(schema.MapNestedAttribute)
	if !ok {
		t.Fatal("users are no map of objects")
	}
	s := schema.Schema{Attributes: map[string]schema.Attribute{
		"databases": schema.MapNestedAttribute{NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{"charset": schema.StringAttribute{}}}},
		"users": schema.MapNestedAttribute{NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"grants": users.NestedObject.Attributes["grants"],
		}}},
	}}
	none := tftypes.NewValue(text, nil)
	declared := func(names ...string) tftypes.Value {
		all := map[string]tftypes.Value{}
		for _, name := range names {
			all[name] = tftypes.NewValue(database, map[string]tftypes.Value{"charset": none})
		}
		return tftypes.NewValue(tftypes.Map{ElementType: database}, all)
	}
	granted := func(names ...string) tftypes.Value {
		on := map[string]tftypes.Value{}
		for _, name := range names {
			on[name] = tftypes.NewValue(list, tftypes.UnknownValue)
		}
		one := tftypes.NewValue(user, map[string]tftypes.Value{"grants": tftypes.NewValue(grants, on)})
		return tftypes.NewValue(tftypes.Map{ElementType: user}, map[string]tftypes.Value{"app": one})
	}
	unknown := func(of tftypes.Type) tftypes.Value {
		return tftypes.NewValue(tftypes.Map{ElementType: of}, tftypes.UnknownValue)
	}
	for name, test := range map[string]struct {
		databases, users tftypes.Value
		says             string
	}{
		"declared":               {declared("shop", "notes"), granted("shop"), ""},
		"a slip":                 {declared("shop", "notes"), granted("shpo"), `"shpo" is not in databases; the nearest is "shop". The grant is made, but an apply creates no such database`},
		"none are declared":      {declared(), granted("shop"), `"shop" is not in databases; there are none`},
		"databases are open yet": {unknown(database), granted("shop"), ""},
		"users are open yet":     {declared("shop"), unknown(user), ""},
		"nobody":                 {declared("shop"), tftypes.NewValue(tftypes.Map{ElementType: user}, nil), ""},
	} {
		config := tfsdk.Config{Schema: s, Raw: tftypes.NewValue(root, map[string]tftypes.Value{"databases": test.databases, "users": test.users})}
		found := warnOfGrants(t.Context(), config)
		switch {
		case found.HasError():
			t.Errorf("%s: %v", name, found)
		case test.says == "" && len(found) > 0, test.says != "" && (len(found) != 1 || !strings.Contains(found[0].Detail(), test.says)):
			t.Errorf("%s: got %v, want %q", name, found, test.says)
		}
	}
}
