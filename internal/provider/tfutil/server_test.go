package tfutil

import (
	"math/big"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

func root(name string) *tftypes.AttributePath {
	return tftypes.NewAttributePath().WithAttributeName(name)
}

func text(s string) tftypes.Value { return tftypes.NewValue(tftypes.String, s) }

func TestPathsEndWhereTerraformFindsNoLine(t *testing.T) {
	for _, c := range []struct {
		name       string
		at         *tftypes.AttributePath
		placed     *tftypes.AttributePath
		text, want string
	}{
		{"an attribute", root("port"), root("port"), "the port is no port", "The port is no port"},
		{"an attribute that is left out", root("name"), root("name"), "is wrong", "name: is wrong"},
		{"a key", root("frontends").WithElementKeyString("http"), root("frontends").WithElementKeyString("http"), "is wrong", `frontends["http"]: is wrong`},
		{"an index", root("command").WithElementKeyInt(2), root("command").WithElementKeyInt(2), "is wrong", "command[2]: is wrong"},
		{"an object's attribute", root("release").WithAttributeName("sha256"), root("release").WithElementKeyString("sha256"), "is wrong", "release.sha256: is wrong"},
		{"an element of a set", root("nets").WithElementKeyValue(text("x")), root("nets"), "is wrong", "nets: is wrong"},
		{"an element of a set in a map", root("m").WithElementKeyString("a").WithElementKeyValue(text("x")), root("m").WithElementKeyString("a"), "is wrong", `m["a"]: is wrong`},
		{"deeper", root("backends").WithElementKeyString("web").WithAttributeName("servers").WithElementKeyString("a").WithAttributeName("port"),
			root("backends").WithElementKeyString("web"), "is wrong", `backends["web"].servers["a"].port: is wrong`},
		{"named already", root("frontends").WithElementKeyString("http"), root("frontends").WithElementKeyString("http"), `Attribute frontends["http"] is wrong`, `Attribute frontends["http"] is wrong`},
		{"a longer one is named", root("m").WithElementKeyString("a"), root("m").WithElementKeyString("a"), `m["a"].b and m["a"]["c"] are wrong`, `m["a"]: m["a"].b and m["a"]["c"] are wrong`},
		{"the whole", nil, nil, "is wrong", "is wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := configuration{value: tftypes.NewValue(tftypes.Object{AttributeTypes: map[string]tftypes.Type{"port": tftypes.String, "name": tftypes.String}},
				map[string]tftypes.Value{"port": text("1"), "name": tftypes.NewValue(tftypes.String, nil)})}
			got := config.placed([]*tfprotov6.Diagnostic{{Detail: c.text, Attribute: c.at}})[0]
			if !got.Attribute.Equal(c.placed) {
				t.Errorf("placed at %s, want %s", got.Attribute, c.placed)
			}
			if got.Detail != c.want {
				t.Errorf("says %q, want %q", got.Detail, c.want)
			}
		})
	}
}

func TestNothingIsSaidTwice(t *testing.T) {
	http := root("frontends").WithElementKeyString("http")
	said := func(detail string, at *tftypes.AttributePath) *tfprotov6.Diagnostic {
		return &tfprotov6.Diagnostic{Severity: tfprotov6.DiagnosticSeverityError, Summary: detail, Detail: detail, Attribute: at}
	}
	warned := said("is wrong", http)
	warned.Severity = tfprotov6.DiagnosticSeverityWarning
	all := []*tfprotov6.Diagnostic{
		said("is wrong", http),
		said("is wrong", http),                                            // again
		said("is wrong", http.WithAttributeName("name")),                  // the same of what is in it
		said("is wrong", root("frontends").WithElementKeyString("https")), // the same of another
		said("is bad", http),                                              // something else of the same
		warned,
	}
	if got, want := distinct(all), []*tfprotov6.Diagnostic{all[0], all[3], all[4], all[5]}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

func TestValuesThatNoModelHoldsAreRefused(t *testing.T) {
	number := func(s string) tftypes.Value {
		n, _, err := big.ParseFloat(s, 10, 512, big.ToNearestEven)
		if err != nil {
			t.Fatal(err)
		}
		return tftypes.NewValue(tftypes.Number, n)
	}
	object := tftypes.Object{AttributeTypes: map[string]tftypes.Type{"n": tftypes.Number}}
	null := func(of tftypes.Type) tftypes.Value { return tftypes.NewValue(of, nil) }
	mapOf := func(of tftypes.Type, v tftypes.Value) tftypes.Value {
		return tftypes.NewValue(tftypes.Map{ElementType: of}, map[string]tftypes.Value{"a": v})
	}
	listOf := func(v tftypes.Value) tftypes.Value {
		return tftypes.NewValue(tftypes.List{ElementType: tftypes.String}, []tftypes.Value{v})
	}
	setOf := func(v tftypes.Value) tftypes.Value {
		return tftypes.NewValue(tftypes.Set{ElementType: tftypes.String}, []tftypes.Value{v})
	}
	for name, c := range map[string]struct {
		given tftypes.Value
		want  string
	}{
		"whole":                {number("8500"), ""},
		"whole, as a fraction": {number("8500.0"), ""},
		"the largest":          {number("9223372036854775807"), ""},
		"unknown":              {tftypes.NewValue(tftypes.Number, tftypes.UnknownValue), ""},
		"null":                 {null(tftypes.Number), ""},
		"fraction":             {number("8500.5"), "x: 8500.5 is not a whole number. Write it without decimals."},
		"too large":            {number("9223372036854775808"), "x: 9223372036854775808 is out of range. The nearest number that can be given is 9223372036854775807."},
		"huge":                 {number("-1e300"), "x: -1e+300 is out of range. The nearest number that can be given is -9223372036854775808."},
		"fraction in a map":    {mapOf(object, tftypes.NewValue(object, map[string]tftypes.Value{"n": number("0.5")})), `x["a"].n: 0.5 is not a whole number. Write it without decimals.`},
		"null in a map":        {mapOf(object, null(object)), `x["a"]: The value is null. Give it one, or take the key out of the map.`},
		"null in a list":       {listOf(null(tftypes.String)), "x[0]: An element is null. Give it a value, or take it out."},
		"null in a set":        {setOf(null(tftypes.String)), "x: An element is null. Give it a value, or take it out."},
		"unknown in a list":    {listOf(tftypes.NewValue(tftypes.String, tftypes.UnknownValue)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			whole := tftypes.Object{AttributeTypes: map[string]tftypes.Type{"x": c.given.Type()}}
			config, err := tfprotov6.NewDynamicValue(whole, tftypes.NewValue(whole, map[string]tftypes.Value{"x": c.given}))
			if err != nil {
				t.Fatal(err)
			}
			found, got := read(whole, &config), ""
			for _, d := range found.misfits {
				got += attributeName(d.Attribute.Steps()) + ": " + d.Detail
			}
			if got != c.want {
				t.Errorf("refused with %q, want %q", got, c.want)
			}
			fitting, err := found.fitting.Unmarshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			if again, misfits := fit(fitting); len(misfits) > 0 || !again.Equal(fitting) {
				t.Errorf("what the framework is given is refused too: %v", misfits)
			}
		})
	}
}

// Every call with diagnostics that Terraform makes of this provider passes the
// edge. One that is only promoted from the framework's server does not.
func TestEveryDiagnosticPassesTheEdge(t *testing.T) {
	edge := reflect.TypeFor[*server]()
	// These describe the provider, or are not offered.
	passes := []string{"GetMetadata", "GetProviderSchema", "GetResourceIdentitySchemas", "GetFunctions", "GenerateResourceConfig"}
	of := reflect.TypeFor[tfprotov6.ProviderServer]()
	for i := range of.NumMethod() {
		method := of.Method(i)
		_, diagnoses := method.Type.Out(0).Elem().FieldByName("Diagnostics")
		own, _ := edge.MethodByName(method.Name)
		file, _ := runtime.FuncForPC(own.Func.Pointer()).FileLine(own.Func.Pointer())
		if promoted := filepath.Base(file) != "server.go"; diagnoses && promoted != slices.Contains(passes, method.Name) {
			t.Errorf("%s: promoted from the framework's server: %t", method.Name, promoted)
		}
	}
}
