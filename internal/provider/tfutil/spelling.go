package tfutil

import (
	"context"
	"fmt"
	"net/netip"

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
type Duration = Text[durationNotation]

// DurationType is the type of a [Duration].
type DurationType = TextType[durationNotation]

// CIDR is a string attribute that holds a network, "10.0.0.0/24": two
// spellings of one IPv6 network are the same value.
type CIDR = Text[cidrNotation]

// CIDRType is the type of a [CIDR].
type CIDRType = TextType[cidrNotation]

// NewDuration returns the attribute value of d in its shortest spelling.
func NewDuration(d api.Duration) Duration {
	return Duration{StringValue: basetypes.NewStringValue(d.String())}
}

// NewCIDR returns the attribute value of the network that text names.
func NewCIDR(text string) CIDR { return CIDR{StringValue: basetypes.NewStringValue(text)} }

// DurationOf returns what a valid, known attribute value holds; 0 for a null
// or unknown one, or one that validation has refused.
func DurationOf(value Duration) api.Duration {
	d, err := api.ParseDuration(value.ValueString())
	if err != nil {
		return 0
	}
	return d
}

// DurationAttribute returns an optional attribute for a duration that is
// fallback where the configuration names none. Spelling a duration in another
// way plans no change.
func DurationAttribute(description string, fallback api.Duration) schema.StringAttribute {
	return schema.StringAttribute{
		MarkdownDescription: fmt.Sprintf("%s Default `%s`.", description, fallback),
		CustomType:          DurationType{},
		Optional:            true,
		Computed:            true,
		Default:             stringdefault.StaticString(fallback.String()),
		PlanModifiers:       []planmodifier.String{KeepSpelling[durationNotation]()},
	}
}

// Notation is a way of writing values in which several texts mean the same.
type Notation interface {
	// Canonical returns the one spelling that stands for all of text's, or
	// says what is wrong with text and how to write it.
	Canonical(text string) (string, error)
	// Name is the attribute type's name.
	Name() string
}

type durationNotation struct{}

// Canonical implements [Notation].
func (durationNotation) Canonical(text string) (string, error) {
	d, err := api.ParseDuration(text)
	return d.String(), err
}

// Name implements [Notation].
func (durationNotation) Name() string { return "duration" }

type cidrNotation struct{}

// Canonical implements [Notation].
func (cidrNotation) Canonical(text string) (string, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		if address, err := netip.ParseAddr(text); err == nil {
			return "", fmt.Errorf("%q is an address, not a network: write \"%s/%d\" for this one address", text, address, address.BitLen())
		}
		return "", fmt.Errorf("%q is not a network: write it as \"10.0.0.0/24\" or \"2001:db8::/32\"", text)
	}
	if masked := prefix.Masked(); masked != prefix {
		return "", fmt.Errorf("%q is an address within a network: write the network itself, %q", text, masked)
	}
	return prefix.String(), nil
}

// Name implements [Notation].
func (cidrNotation) Name() string { return "CIDR" }

func sameMeaning[N Notation](a, b string) bool {
	var notation N
	left, err := notation.Canonical(a)
	if err != nil {
		return a == b
	}
	right, err := notation.Canonical(b)
	return err == nil && left == right
}

// TextType is the type of a [Text].
type TextType[N Notation] struct{ basetypes.StringType }

var _ basetypes.StringTypable = TextType[durationNotation]{}

// Equal implements [attr.Type].
func (t TextType[N]) Equal(other attr.Type) bool {
	_, ok := other.(TextType[N])
	return ok
}

// String implements [attr.Type].
func (t TextType[N]) String() string {
	var notation N
	return notation.Name()
}

// ValueType implements [attr.Type].
func (t TextType[N]) ValueType(context.Context) attr.Value { return Text[N]{} }

// ValueFromString implements [basetypes.StringTypable].
func (t TextType[N]) ValueFromString(_ context.Context, in basetypes.StringValue) (basetypes.StringValuable, diag.Diagnostics) {
	return Text[N]{StringValue: in}, nil
}

// ValueFromTerraform implements [attr.Type].
func (t TextType[N]) ValueFromTerraform(ctx context.Context, in tftypes.Value) (attr.Value, error) {
	value, err := t.StringType.ValueFromTerraform(ctx, in)
	if err != nil {
		return nil, err
	}
	text, ok := value.(basetypes.StringValue)
	if !ok {
		return nil, fmt.Errorf("a %s is a string, not a %T", t, value)
	}
	return Text[N]{StringValue: text}, nil
}

// Text is a string attribute whose value may be spelled in several ways.
type Text[N Notation] struct{ basetypes.StringValue }

var (
	_ basetypes.StringValuableWithSemanticEquals = Text[durationNotation]{}
	_ xattr.ValidateableAttribute                = Text[durationNotation]{}
)

// Type implements [attr.Value].
func (v Text[N]) Type(context.Context) attr.Type { return TextType[N]{} }

// Equal implements [attr.Value]: it compares spellings.
func (v Text[N]) Equal(other attr.Value) bool {
	o, ok := other.(Text[N])
	return ok && v.StringValue.Equal(o.StringValue)
}

// StringSemanticEquals reports whether both mean the same, so that what a
// machine answers does not replace the user's own spelling in the state.
func (v Text[N]) StringSemanticEquals(_ context.Context, other basetypes.StringValuable) (bool, diag.Diagnostics) {
	o, ok := other.(Text[N])
	return ok && sameMeaning[N](v.ValueString(), o.ValueString()), nil
}

// ValidateAttribute refuses what is not in the notation.
func (v Text[N]) ValidateAttribute(_ context.Context, req xattr.ValidateAttributeRequest, resp *xattr.ValidateAttributeResponse) {
	if v.IsNull() || v.IsUnknown() {
		return
	}
	var notation N
	if _, err := notation.Canonical(v.ValueString()); err != nil {
		Error(&resp.Diagnostics, req.Path, "Invalid "+notation.Name(), "%s", sentence(err.Error()))
	}
}

// KeepSpelling returns a plan modifier under which another spelling of the
// value in the state is no change. (Terraform itself compares configurations
// with plans letter by letter, but lets a provider keep the prior value.)
func KeepSpelling[N Notation]() planmodifier.String { return keepSpelling[N]{} }

type keepSpelling[N Notation] struct{}

func (keepSpelling[N]) Description(context.Context) string {
	return "another spelling of the same value is no change"
}

func (m keepSpelling[N]) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

// PlanModifyString implements [planmodifier.String].
func (keepSpelling[N]) PlanModifyString(_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	if req.StateValue.IsNull() || req.PlanValue.IsNull() || req.PlanValue.IsUnknown() {
		return
	}
	if sameMeaning[N](req.StateValue.ValueString(), req.PlanValue.ValueString()) {
		resp.PlanValue = req.StateValue
	}
}
