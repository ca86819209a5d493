package component

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// Model is the part that the models of all components share. They embed it.
type Model struct {
	Machine    tfutil.Machine `tfsdk:"machine"`
	Name       types.String   `tfsdk:"name"`
	Generation types.Int64    `tfsdk:"generation"`
	Impact     types.String   `tfsdk:"impact"`
	Drift      types.Map      `tfsdk:"drift"`
	Timeouts   timeouts.Value `tfsdk:"timeouts"`
}

var driftType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"detail":     types.StringType,
	"attributes": types.ListType{ElemType: types.StringType},
}}

// noDrift is the drift that every plan aims at.
func noDrift() types.Map { return types.MapValueMust(driftType, map[string]attr.Value{}) }

// driftValue returns drift as the attribute shows it: pointers into the spec
// become the attributes that they lead to.
func driftValue(drift map[string]api.Drift, paths tfutil.Paths) types.Map {
	values := make(map[string]attr.Value, len(drift))
	for place, d := range drift {
		attributes := make([]attr.Value, 0, len(d.Pointers))
		for _, pointer := range d.Pointers {
			if text := types.StringValue(paths.Path(pointer).String()); !slices.Contains(attributes, attr.Value(text)) {
				attributes = append(attributes, text)
			}
		}
		values[place] = types.ObjectValueMust(driftType.AttrTypes, map[string]attr.Value{
			"detail":     types.StringValue(d.Detail),
			"attributes": types.ListValueMust(types.StringType, attributes),
		})
	}
	return types.MapValueMust(driftType, values)
}

// hasDrift reports whether there is something to repair.
func hasDrift(drift types.Map) bool { return len(drift.Elements()) > 0 }

// identity is the model of a component's identity: what stays true of it
// wherever its machine is found.
type identity struct {
	Machine types.String `tfsdk:"machine"`
	Name    types.String `tfsdk:"name"`
}

// setIdentity stores whose identity it is. Terraform before 1.12 has no
// place for it, but the framework demands it all the same.
func (m *Model) setIdentity(ctx context.Context, to *tfsdk.ResourceIdentity) diag.Diagnostics {
	if to == nil {
		return nil
	}
	return to.Set(ctx, identity{Machine: m.Machine.Name, Name: m.Name})
}

// timeout returns how long an operation may run, by one of the methods of
// [timeouts.Value].
func timeout(ctx context.Context, of func(context.Context, time.Duration) (time.Duration, diag.Diagnostics), diags *diag.Diagnostics) time.Duration {
	d, found := of(ctx, DefaultTimeout)
	diags.Append(found...)
	return d
}

// Timeout returns how long an operation, "create" or "update", may run, and whether the
// model says so itself; 0 if that is not known, or is no duration. An object without
// values may be one that is not known yet.
func (m *Model) Timeout(operation string) (limit api.Duration, given bool) {
	attributes := slices.Collect(maps.Values(m.Timeouts.Attributes()))
	if !m.Timeouts.IsNull() && !slices.ContainsFunc(attributes, func(v attr.Value) bool { return !v.IsNull() }) {
		return 0, false
	}
	text, _ := m.Timeouts.Attributes()[operation].(types.String)
	if text.IsNull() {
		return api.Duration(DefaultTimeout), false
	}
	limit, err := api.ParseDuration(text.ValueString())
	if err != nil {
		return 0, true // the schema refuses it
	}
	return limit, true
}

// machineAt reads the attribute "machine" of a plan, state or configuration.
// Where it is unknown as a whole, so are its parts.
func machineAt(ctx context.Context, from getter, diags *diag.Diagnostics) tfutil.Machine {
	return machineIn(ctx, from, machinePath, diags)
}

// machineIn reads a machine at another place.
func machineIn(ctx context.Context, from getter, at path.Path, diags *diag.Diagnostics) tfutil.Machine {
	var object types.Object
	if len(at.Steps()) > 0 {
		diags.Append(from.GetAttribute(ctx, at, &object)...)
	}
	machine := tfutil.Machine{
		Name: types.StringUnknown(), Address: types.StringUnknown(),
		Incarnation: types.Int64Unknown(), Key: types.StringUnknown(),
	}
	if !object.IsUnknown() && !object.IsNull() {
		diags.Append(from.GetAttribute(ctx, at, &machine)...)
	}
	return machine
}

// getter is a plan, a state or a configuration.
type getter interface {
	GetAttribute(ctx context.Context, at path.Path, target any) diag.Diagnostics
}
