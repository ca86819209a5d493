package tfutil

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// The attributes of a component's spec carry no validators of what the spec's
// own Validate checks: [Violations] shows that on the same attributes, and once.

// TextAttribute returns an optional text that is fallback where the
// configuration names none.
func TextAttribute(description, fallback string) schema.StringAttribute {
	return schema.StringAttribute{
		MarkdownDescription: fmt.Sprintf("%s Default `%s`.", description, fallback),
		Optional:            true,
		Computed:            true,
		Default:             stringdefault.StaticString(fallback),
	}
}

// OptionalText returns an optional text. It must not be empty: a spec does not
// tell that from none.
func OptionalText(description string) schema.StringAttribute {
	return schema.StringAttribute{
		MarkdownDescription: description,
		Optional:            true,
		Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
	}
}

// ChoiceAttribute returns an optional value of an enumeration of package api.
func ChoiceAttribute[T ~string](description string, fallback T, allowed []T) schema.StringAttribute {
	choice := fmt.Sprintf("One of %s; default `%s`.", Choices(allowed), fallback)
	if len(allowed) == 1 {
		choice = fmt.Sprintf("Only `%s` so far.", fallback)
	}
	return schema.StringAttribute{
		MarkdownDescription: description + " " + choice,
		Optional:            true,
		Computed:            true,
		Default:             stringdefault.StaticString(string(fallback)),
	}
}

// NumberAttribute returns an optional whole number within bounds.
func NumberAttribute(description string, fallback int64, bounds api.Bounds) schema.Int64Attribute {
	return schema.Int64Attribute{
		MarkdownDescription: fmt.Sprintf("%s %s, default `%d`.", description, bounds, fallback),
		Optional:            true,
		Computed:            true,
		Default:             int64default.StaticInt64(fallback),
	}
}

// PortAttribute returns a required TCP port.
func PortAttribute(description string) schema.Int64Attribute {
	return schema.Int64Attribute{
		MarkdownDescription: fmt.Sprintf("%s %s.", description, api.PortBounds()),
		Required:            true,
	}
}

// AgentCheckAttribute returns an optional TCP port at which an agent tells load
// balancers how its app is. A spec does not tell 0 from none, so it is refused.
func AgentCheckAttribute(description string) schema.Int64Attribute {
	return schema.Int64Attribute{
		MarkdownDescription: fmt.Sprintf("%s %s. Default: none.", description, api.PortBounds()),
		Optional:            true,
		Validators: []validator.Int64{CheckNumber("Invalid port", api.PortBounds().String(), func(n int64) error {
			if n == 0 {
				return fmt.Errorf("0 is not a port: %s. Without agent_check_port load balancers go by their health checks alone", api.PortBounds())
			}
			return nil
		})},
	}
}

// ListenText says in the docs what no component of a machine can listen on.
func ListenText() string {
	return fmt.Sprintf("No other component of the machine can use the same port; `%d` is the agent's own, and `%d` that of SSH.", api.DefaultPort, api.SSHPort)
}

// FlagAttribute returns an optional flag.
func FlagAttribute(description string, fallback bool) schema.BoolAttribute {
	return schema.BoolAttribute{
		MarkdownDescription: fmt.Sprintf("%s Default `%t`.", description, fallback),
		Optional:            true,
		Computed:            true,
		Default:             booldefault.StaticBool(fallback),
	}
}

// NetworksAttribute returns an optional set of networks that is empty where
// the configuration names none.
func NetworksAttribute(description string) schema.SetAttribute {
	return schema.SetAttribute{
		MarkdownDescription: description + " Default: none.",
		ElementType:         types.StringType,
		Optional:            true,
		Computed:            true,
		Default:             setdefault.StaticValue(types.SetValueMust(types.StringType, nil)),
	}
}

// DurationsObject returns the object of the named durations: the default of an
// attribute whose nested attributes are all made by [DurationAttribute].
func DurationsObject(durations map[string]api.Duration) types.Object {
	attributeTypes := make(map[string]attr.Type, len(durations))
	values := make(map[string]attr.Value, len(durations))
	for name, d := range durations {
		attributeTypes[name] = DurationType{}
		values[name] = NewDuration(d)
	}
	return types.ObjectValueMust(attributeTypes, values)
}

// PathText says in the docs what the path of a health check may be.
func PathText() string {
	return fmt.Sprintf("%s; at most %d characters", api.PathRule, api.MaxHealthPath)
}
