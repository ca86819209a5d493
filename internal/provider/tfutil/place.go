package tfutil

import (
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// configuration is what is written in a resource, a data source or a provider
// block. The zero value is one of which nothing is known.
type configuration struct {
	// value is the whole; null where nothing is known.
	value tftypes.Value
	// fitting is value as the framework is given it, see [fit].
	fitting *tfprotov6.DynamicValue
	// misfits are the errors of [fit].
	misfits []*tfprotov6.Diagnostic
}

// read reads a configuration of a type, nil if that is not known.
func read(t tftypes.Type, config *tfprotov6.DynamicValue) configuration {
	c := configuration{fitting: config}
	if t == nil || config == nil {
		return c
	}
	value, err := config.Unmarshal(t)
	if err != nil {
		return c // the framework says so
	}
	c.value = value
	fitting, misfits := fit(value)
	if len(misfits) == 0 && fitting.Equal(value) {
		return c
	}
	dynamic, err := tfprotov6.NewDynamicValue(t, fitting)
	if err != nil {
		return c
	}
	c.fitting, c.misfits = &dynamic, misfits
	return c
}

// placed returns diagnostics as Terraform is given them: those of misfits
// first, each once, at places that it can find, with texts that name the
// attribute where the line alone does not.
func (c configuration) placed(diags []*tfprotov6.Diagnostic) []*tfprotov6.Diagnostic {
	all := distinct(append(c.misfits, diags...))
	for i, d := range all {
		steps := d.Attribute.Steps()
		if len(steps) == 0 {
			continue
		}
		moved := *d
		moved.Attribute = placeable(steps)
		if d.Summary == requiredSummary {
			moved.Summary, moved.Detail = "Attribute missing", "The attribute is required. Give it a value."
		}
		if name := attributeName(steps); len(steps) > 1 && !names(moved.Detail, name) || len(steps) == 1 && c.leavesOut(steps[0]) {
			moved.Detail = name + ": " + moved.Detail
		} else if len(steps) == 1 {
			moved.Detail = api.Capital(moved.Detail)
		}
		all[i] = &moved
	}
	return all
}

// requiredSummary is what the framework calls a required attribute that is
// null. Its detail sends the reader to the developers.
const requiredSummary = "Missing Configuration for Required Attribute"

// names reports whether a text names an attribute, and not just a longer one.
func names(text, name string) bool {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, name)
		if !found {
			return false
		}
		if after == "" || !strings.ContainsAny(after[:1], "_.[abcdefghijklmnopqrstuvwxyz0123456789") {
			return true
		}
		rest = after
	}
}

// leavesOut reports whether the configuration is known not to have an
// attribute, so that Terraform shows the first line of the whole block for it.
func (c configuration) leavesOut(step tftypes.AttributePathStep) bool {
	name, ok := step.(tftypes.AttributeName)
	attributes := map[string]tftypes.Value{}
	if !ok || c.value.IsNull() || c.value.As(&attributes) != nil {
		return false
	}
	value, ok := attributes[string(name)]
	return ok && value.IsNull()
}

// placeable returns the longest beginning of a path whose line Terraform finds.
//
// Terraform (up to 1.15, and OpenTofu) looks the last name of a path up among
// the top-level attributes of the block, whatever is in front of it: for
// `health_check.path` it shows the line of a top-level `path`, or the block's
// first line where there is none. It finds an attribute, and one index of it:
// the element of a list and the key of a map, if these are written there as
// such. An object is written like a map, so that its attributes are found when
// they are passed as keys. An element of a set has no place.
func placeable(steps []tftypes.AttributePathStep) *tftypes.AttributePath {
	found := []tftypes.AttributePathStep{steps[0]}
	if len(steps) > 1 {
		switch step := steps[1].(type) {
		case tftypes.AttributeName:
			found = append(found, tftypes.ElementKeyString(step))
		case tftypes.ElementKeyString, tftypes.ElementKeyInt:
			found = append(found, step)
		}
	}
	return tftypes.NewAttributePathWithSteps(found)
}

// attributeName names a place as it is referred to in a configuration:
// `backends["web"].servers["web1"].port`. It ends at the elements of a set.
func attributeName(steps []tftypes.AttributePathStep) string {
	var b strings.Builder
	for i, step := range steps {
		switch s := step.(type) {
		case tftypes.AttributeName:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(string(s))
		case tftypes.ElementKeyString:
			b.WriteString("[" + strconv.Quote(string(s)) + "]")
		case tftypes.ElementKeyInt:
			b.WriteString("[" + strconv.FormatInt(int64(s), 10) + "]")
		default:
			return b.String()
		}
	}
	return b.String()
}

// distinct leaves out what is said already: the same of the same place, or of
// one that contains it or lies within it, as the key of a map and a name in its
// value do.
func distinct(diags []*tfprotov6.Diagnostic) []*tfprotov6.Diagnostic {
	kept := make([]*tfprotov6.Diagnostic, 0, len(diags))
	for _, d := range diags {
		said := false
		for _, earlier := range kept {
			said = said || d.Severity == earlier.Severity && d.Detail == earlier.Detail &&
				related(keysOf(d.Attribute), keysOf(earlier.Attribute))
		}
		if !said {
			kept = append(kept, d)
		}
	}
	return kept
}

// keysOf returns the steps of a path as texts that tell all places apart.
func keysOf(at *tftypes.AttributePath) []string {
	var keys []string
	for _, step := range at.Steps() {
		switch s := step.(type) {
		case tftypes.AttributeName:
			keys = append(keys, string(s))
		case tftypes.ElementKeyString:
			keys = append(keys, string(s))
		case tftypes.ElementKeyInt:
			keys = append(keys, strconv.FormatInt(int64(s), 10))
		case tftypes.ElementKeyValue:
			keys = append(keys, tftypes.Value(s).String())
		}
	}
	return keys
}
