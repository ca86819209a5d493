package provider_test

import (
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider"
)

const pin = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// server returns a server of the provider as Terraform gets it.
func server(t *testing.T) tfprotov6.ProviderServer {
	t.Helper()
	s, err := provider.NewServer("test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bounds matches what an error says about the allowed values.
func bounds() *regexp.Regexp {
	return regexp.MustCompile(`[0-9][0-9a-z]* to [0-9][0-9a-z]*|at most [0-9]+`)
}

// rules are the texts that errors and docs have in common.
func rules() []string {
	return []string{api.NameRule, api.DBNameRule, api.ListenRule, api.PathRule, api.EnvironmentNameRule, api.ProgramRule}
}

// TestEveryLimitIsInTheDocs breaks every attribute in every way that its type
// allows, reads the limits in the errors, and wants each of them in the
// attribute's description. The golden file lists them.
func TestEveryLimitIsInTheDocs(t *testing.T) {
	var list strings.Builder
	for _, b := range blocks(t, providerserver.NewProtocol6(provider.New("test")())()) {
		limits := map[string]map[string]bool{}
		for _, at := range places(t, b.base) {
			for _, wrong := range probes(t, b, at) {
				for _, d := range b.validate(t, wrong) {
					note(limits, b.schema, d)
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(limits)) {
			fmt.Fprintf(&list, "%s %s: %s\n", b.name, name, strings.Join(slices.Sorted(maps.Keys(limits[name])), "; "))
			description := plain(describedBy(b.schema, name))
			for limit := range limits[name] {
				if !strings.Contains(description, limit) {
					t.Errorf("%s: errors of %s say %q, and its description does not: %s", b.name, name, limit, description)
				}
			}
		}
	}
	golden.Compare(t, "limits.txt", list.String())
}

// note notes the limits that an error tells of.
func note(limits map[string]map[string]bool, schema *tfprotov6.Schema, d *tfprotov6.Diagnostic) {
	name, attribute := attributeOf(schema, d.Attribute)
	if attribute == nil || name == "settings" { // a guide lists the limits of each
		return
	}
	found := bounds().FindAllString(d.Detail, -1)
	for _, rule := range rules() {
		if strings.Contains(d.Detail, rule) {
			found = append(found, rule)
		}
	}
	for _, limit := range found {
		if limits[name] == nil {
			limits[name] = map[string]bool{}
		}
		limits[name][limit] = true
	}
}

func describedBy(schema *tfprotov6.Schema, name string) string {
	at := tftypes.NewAttributePath()
	for step := range strings.SplitSeq(name, ".") {
		at = at.WithAttributeName(step)
	}
	_, attribute := attributeOf(schema, at)
	return attribute.Description
}

// plain takes the marks of Markdown out of a text.
func plain(text string) string { return strings.ReplaceAll(text, "`", "") }

// probes returns configurations that are wrong at a place.
func probes(t *testing.T, b block, at *tftypes.AttributePath) []tftypes.Value {
	t.Helper()
	var all []tftypes.Value
	try := func(value func(tftypes.Value) tftypes.Value) { all = append(all, with(t, b.base, at, value)) }
	given, _, err := tftypes.WalkAttributePath(b.base, at)
	if err != nil {
		t.Fatal(err)
	}
	v, ok := given.(tftypes.Value)
	if !ok {
		t.Fatalf("there is no value at %s", at)
	}
	switch of := v.Type(); {
	case of.Is(tftypes.Number):
		for _, n := range []int64{-1, 0, 1 << 62} {
			try(func(v tftypes.Value) tftypes.Value { return tftypes.NewValue(v.Type(), big.NewFloat(float64(n))) })
		}
	case of.Is(tftypes.String):
		for _, text := range []string{"", "0s", "1ms", "1000000h", "no\nsuch thing!", strings.Repeat("x", 100_000)} {
			try(func(v tftypes.Value) tftypes.Value { return tftypes.NewValue(v.Type(), text) })
		}
	case of.Is(tftypes.Map{}):
		for _, keys := range [][]string{{"Bad name!"}, {strings.Repeat("a", 300)}, many("a", b.many()), nil} {
			try(func(v tftypes.Value) tftypes.Value { return keyed(t, v, keys) })
		}
	case of.Is(tftypes.List{}), of.Is(tftypes.Set{}):
		try(func(v tftypes.Value) tftypes.Value { return elements(v, nil) })
		try(func(v tftypes.Value) tftypes.Value { return elements(v, many("10.1.0.", b.many())) })
	}
	return all
}

// many is more elements than anything of the block may have.
func (b block) many() int {
	if b.name == "foobar_db_replication" {
		return int(api.DBObjectBounds().High) + 1
	}
	return 300
}

func many(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(prefix, i)
	}
	return all
}

// keyed returns a map with the first element of another one under other keys.
func keyed(t *testing.T, v tftypes.Value, keys []string) tftypes.Value {
	t.Helper()
	given := map[string]tftypes.Value{}
	if err := v.As(&given); err != nil {
		t.Fatal(err)
	}
	all := map[string]tftypes.Value{}
	for _, key := range keys {
		all[key] = given[slices.Sorted(maps.Keys(given))[0]]
	}
	return tftypes.NewValue(v.Type(), all)
}

func elements(v tftypes.Value, texts []string) tftypes.Value {
	all := make([]tftypes.Value, 0, len(texts))
	list, isList := v.Type().(tftypes.List)
	for i, text := range texts {
		if isList && list.ElementType.Is(tftypes.Number) {
			all = append(all, tftypes.NewValue(tftypes.Number, i))
			continue
		}
		all = append(all, tftypes.NewValue(tftypes.String, text))
	}
	return tftypes.NewValue(v.Type(), all)
}
