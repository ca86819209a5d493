package tfutil

import (
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// fit looks for values of a configuration that no model can hold, although
// Terraform lets them through: numbers that are not whole, as every number of
// this provider is, and nulls among the elements of a list, a set or a map. The
// framework would fail to convert them, say that this "is always an error in
// the provider", and check nothing else of the attribute.
//
// It returns an error for each, and the configuration with unknown values in
// their places, so that everything else is checked in the same run. An element
// that is an unknown object gets unknown attributes, see [unknown].
func fit(config tftypes.Value) (tftypes.Value, []*tfprotov6.Diagnostic) {
	f := &fitter{}
	return f.value(tftypes.NewAttributePath(), config), f.misfits
}

type fitter struct {
	misfits []*tfprotov6.Diagnostic
}

func (f *fitter) refuse(at *tftypes.AttributePath, summary, format string, args ...any) {
	f.misfits = append(f.misfits, &tfprotov6.Diagnostic{
		Severity: tfprotov6.DiagnosticSeverityError, Summary: summary, Detail: fmt.Sprintf(format, args...), Attribute: at,
	})
}

func (f *fitter) value(at *tftypes.AttributePath, v tftypes.Value) tftypes.Value {
	if !v.IsKnown() || v.IsNull() {
		return v
	}
	switch t := v.Type(); {
	case t.Is(tftypes.Number):
		return f.number(at, v)
	case t.Is(tftypes.Object{}):
		return f.named(v, at.WithAttributeName)
	case t.Is(tftypes.Map{}):
		return f.named(v, at.WithElementKeyString)
	case t.Is(tftypes.List{}):
		return f.listed(v, func(i int, _ tftypes.Value) *tftypes.AttributePath { return at.WithElementKeyInt(i) })
	case t.Is(tftypes.Set{}):
		return f.listed(v, func(_ int, element tftypes.Value) *tftypes.AttributePath { return at.WithElementKeyValue(element) })
	}
	return v
}

func (f *fitter) number(at *tftypes.AttributePath, v tftypes.Value) tftypes.Value {
	var n big.Float
	if v.As(&n) != nil {
		return v
	}
	nearest, accuracy := n.Int64()
	switch {
	case !n.IsInt():
		f.refuse(at, "Not a whole number", "%s is not a whole number. Write it without decimals.", n.Text('g', -1))
	case accuracy != big.Exact:
		f.refuse(at, "Number out of range", "%s is out of range. The nearest number that can be given is %d.", n.Text('g', 30), nearest)
	default:
		return v
	}
	return tftypes.NewValue(v.Type(), tftypes.UnknownValue)
}

// named fits the attributes of an object or the elements of a map.
func (f *fitter) named(v tftypes.Value, in func(string) *tftypes.AttributePath) tftypes.Value {
	elements := map[string]tftypes.Value{}
	if v.As(&elements) != nil {
		return v
	}
	isMap := v.Type().Is(tftypes.Map{})
	for _, name := range slices.Sorted(maps.Keys(elements)) {
		element := elements[name]
		if isMap && !element.IsKnown() {
			elements[name] = unknown(element.Type())
			continue
		}
		if isMap && element.IsNull() {
			f.refuse(in(name), "Value missing", "The value is null. Give it one, or take the key out of the map.")
			elements[name] = unknown(element.Type())
			continue
		}
		elements[name] = f.value(in(name), element)
	}
	return tftypes.NewValue(v.Type(), elements)
}

// listed fits the elements of a list or a set.
func (f *fitter) listed(v tftypes.Value, in func(int, tftypes.Value) *tftypes.AttributePath) tftypes.Value {
	var elements []tftypes.Value
	if v.As(&elements) != nil {
		return v
	}
	elements = slices.Clone(elements)
	for i, element := range elements {
		at := in(i, element)
		if element.IsNull() {
			f.refuse(at, "Value missing", "An element is null. Give it a value, or take it out.")
			elements[i] = unknown(element.Type())
			continue
		}
		elements[i] = f.value(at, element)
	}
	return tftypes.NewValue(v.Type(), elements)
}

// unknown returns an unknown value. An object is one whose attributes are
// unknown: of one that is unknown as a whole the framework would say that it
// lacks the attributes that are required.
func unknown(t tftypes.Type) tftypes.Value {
	object, ok := t.(tftypes.Object)
	if !ok {
		return tftypes.NewValue(t, tftypes.UnknownValue)
	}
	attributes := make(map[string]tftypes.Value, len(object.AttributeTypes))
	for name, of := range object.AttributeTypes {
		attributes[name] = unknown(of)
	}
	return tftypes.NewValue(t, attributes)
}
