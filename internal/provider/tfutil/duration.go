package tfutil

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/attr/xattr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Duration is a string attribute that holds an [api.Duration]: "60s" and "1m"
// are the same value.
type Duration struct{ basetypes.StringValue }

var (
	_ basetypes.StringValuableWithSemanticEquals = Duration{}
	_ xattr.ValidateableAttribute                = Duration{}
)

// NewDuration returns the attribute value of d in its shortest spelling.
func NewDuration(d api.Duration) Duration {
	return Duration{StringValue: basetypes.NewStringValue(d.String())}
}

// DurationOf returns what a valid, known attribute value holds; 0 for a null
// or unknown one, or one that validation has refused.
func DurationOf(value Duration) api.Duration {
	d, err := api.ParseDuration(value.ValueString())
	if err != nil {
		return 0
	}
	return d
}

// DurationAttribute returns an optional attribute for a duration within bounds
// that is fallback where the configuration names none. Spelling a duration in
// another way plans no change.
func DurationAttribute(description string, fallback api.Duration, bounds api.DurationBounds) schema.StringAttribute {
	return schema.StringAttribute{
		MarkdownDescription: fmt.Sprintf("%s `%s` to `%s`, default `%s`.", description, bounds.Low, bounds.High, fallback),
		CustomType:          DurationType{},
		Optional:            true,
		Computed:            true,
		Default:             stringdefault.StaticString(fallback.String()),
		PlanModifiers:       []planmodifier.String{keepSpelling{}},
	}
}

// Type implements [attr.Value].
func (Duration) Type(context.Context) attr.Type { return DurationType{} }

// Equal implements [attr.Value]: it compares spellings.
func (d Duration) Equal(other attr.Value) bool {
	o, ok := other.(Duration)
	return ok && d.StringValue.Equal(o.StringValue)
}

// StringSemanticEquals reports whether both mean the same, so that what a
// machine answers does not replace the user's own spelling in the state.
func (d Duration) StringSemanticEquals(_ context.Context, other basetypes.StringValuable) (bool, diag.Diagnostics) {
	o, ok := other.(Duration)
	return ok && sameDuration(d.ValueString(), o.ValueString()), nil
}

// ValidateAttribute refuses what is no duration.
func (d Duration) ValidateAttribute(_ context.Context, req xattr.ValidateAttributeRequest, resp *xattr.ValidateAttributeResponse) {
	if d.IsNull() || d.IsUnknown() {
		return
	}
	if _, err := api.ParseDuration(d.ValueString()); err != nil {
		Error(&resp.Diagnostics, req.Path, "Invalid duration", "%s", sentence(err.Error()))
	}
}

func sameDuration(a, b string) bool {
	left, err := api.ParseDuration(a)
	if err != nil {
		return a == b
	}
	right, err := api.ParseDuration(b)
	return err == nil && left == right
}

// DurationType is the type of a [Duration].
type DurationType struct{ basetypes.StringType }

var _ basetypes.StringTypable = DurationType{}

// Equal implements [attr.Type].
func (DurationType) Equal(other attr.Type) bool {
	_, ok := other.(DurationType)
	return ok
}

// String implements [attr.Type].
func (DurationType) String() string { return "duration" }

// ValueType implements [attr.Type].
func (DurationType) ValueType(context.Context) attr.Value { return Duration{} }

// ValueFromString implements [basetypes.StringTypable].
func (DurationType) ValueFromString(_ context.Context, in basetypes.StringValue) (basetypes.StringValuable, diag.Diagnostics) {
	return Duration{StringValue: in}, nil
}

// ValueFromTerraform implements [attr.Type].
func (t DurationType) ValueFromTerraform(ctx context.Context, in tftypes.Value) (attr.Value, error) {
	value, err := t.StringType.ValueFromTerraform(ctx, in)
	if err != nil {
		return nil, err
	}
	text, ok := value.(basetypes.StringValue)
	if !ok {
		return nil, fmt.Errorf("a %s is a string, not a %T", t, value)
	}
	return Duration{StringValue: text}, nil
}

// keepSpelling plans no change where the state holds another spelling of the
// planned value. (Terraform itself compares configurations with plans letter
// by letter, but lets a provider keep the prior value.)
type keepSpelling struct{}

// Description implements [planmodifier.String].
func (keepSpelling) Description(context.Context) string {
	return "another spelling of the same duration is no change"
}

// MarkdownDescription implements [planmodifier.String].
func (m keepSpelling) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

// PlanModifyString implements [planmodifier.String].
func (keepSpelling) PlanModifyString(_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	if req.StateValue.IsNull() || req.PlanValue.IsNull() || req.PlanValue.IsUnknown() {
		return
	}
	if sameDuration(req.StateValue.ValueString(), req.PlanValue.ValueString()) {
		resp.PlanValue = req.StateValue
	}
}
