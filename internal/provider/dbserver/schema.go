package dbserver

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// attributes returns the schema of [settings].
func attributes() map[string]schema.Attribute {
	defaults := api.DefaultDBServer()
	return map[string]schema.Attribute{
		"engine": schema.StringAttribute{
			MarkdownDescription: "The program that holds the data: " + tfutil.Choices(api.DBEngines()) + ".",
			Required:            true,
		},
		"server_id": schema.Int64Attribute{
			MarkdownDescription: "Tells the members of a replication apart, " + api.ServerIDBounds().String() + ". " +
				"Default: a number that follows from the names of deployment, machine and server. A change restarts the server.",
			Optional:      true,
			Computed:      true,
			Validators:    []validator.Int64{tfutil.Within(api.ServerIDBounds())}, // a spec can hold no other
			PlanModifiers: []planmodifier.Int64{int64planmodifier.UseStateForUnknown()},
		},
		"listen_addresses": schema.SetAttribute{
			MarkdownDescription: fmt.Sprintf("Addresses to listen on: each is %s; `[]` is only the Unix socket. %s addresses, default `%q`.",
				api.ListenRule, api.ListenBounds(), defaults.ListenAddresses),
			ElementType: types.StringType,
			Optional:    true,
			Computed:    true,
			Default:     setdefault.StaticValue(textSet(defaults.ListenAddresses)),
		},
		"port": tfutil.NumberAttribute("TCP port to listen on. "+tfutil.ListenText(), int64(defaults.Port), api.PortBounds()),
		"allowed_clients": schema.SetAttribute{
			MarkdownDescription: "Who may connect: machines, as `foobar_machine.web1.address`, other IP addresses, and networks (CIDR). " +
				"All others are cut off before the engine sees them. " + api.ClientBounds().String() + " networks, default: nobody.",
			ElementType:   types.StringType,
			Optional:      true,
			Computed:      true,
			Default:       setdefault.StaticValue(textSet(defaults.AllowedClients)),
			PlanModifiers: []planmodifier.Set{keepClients{}},
		},
		"settings": schema.MapAttribute{
			MarkdownDescription: settingsText(),
			ElementType:         types.StringType,
			Optional:            true,
			Computed:            true,
			Default:             mapdefault.StaticValue(types.MapValueMust(types.StringType, nil)),
			PlanModifiers:       []planmodifier.Map{keepSettings{}},
		},
	}
}

// settingsText describes the settings, and names those whose change is a restart.
func settingsText() string {
	var text strings.Builder
	text.WriteString("The engine's own variables, by name with underscores; the guide *Settings of a database server* lists them. " +
		"Sizes may have a suffix: `512M`. Default: none.")
	for _, engine := range api.DBEngines() {
		var restarting []string
		for _, setting := range api.DBSettings(engine) {
			if !setting.Runtime {
				restarting = append(restarting, "`"+setting.Name+"`")
			}
		}
		fmt.Fprintf(&text, " Of `%s`, these are read at a start only, so that a change restarts the server: %s.",
			engine, strings.Join(restarting, ", "))
	}
	return text.String()
}

func textSet(texts []string) types.Set {
	values := make([]attr.Value, 0, len(texts))
	for _, text := range texts {
		values = append(values, types.StringValue(text))
	}
	return types.SetValueMust(types.StringType, values)
}
