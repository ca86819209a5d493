package dbserver

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// serverID returns the server id of a database server that is given none. It
// is the same for one name on one machine of one deployment, always.
func serverID(deployment, machine, name string) uint32 {
	// A slash is in none of the three.
	sum := sha256.Sum256([]byte(strings.Join([]string{"server-id", deployment, machine, name}, "/")))
	return max(binary.BigEndian.Uint32(sum[:]), 1) // 0 is no server id
}

// resolve plans the server id where the configuration gives none and there is
// none in the state yet.
func resolve(ctx context.Context, data *tfutil.Data, req resource.ModifyPlanRequest, plan *tfsdk.Plan) diag.Diagnostics {
	deployment := data.Credentials.Deployment
	at := path.Root("server_id")
	var given, planned types.Int64
	var machine, name types.String
	diags := req.Config.GetAttribute(ctx, at, &given)
	diags.Append(plan.GetAttribute(ctx, at, &planned)...)
	diags.Append(plan.GetAttribute(ctx, path.Root("machine").AtName("name"), &machine)...)
	diags.Append(plan.GetAttribute(ctx, path.Root("name"), &name)...)
	open := given.IsNull() && planned.IsUnknown()
	named := deployment != "" && machine.ValueString() != "" && name.ValueString() != "" // neither null nor unknown
	if open && named && !diags.HasError() {
		id := serverID(deployment, machine.ValueString(), name.ValueString())
		diags.Append(plan.SetAttribute(ctx, at, int64(id))...)
	}
	return diags
}

// guess stands in for resolve where a configuration is checked by itself.
func guess(config *model) {
	if config.ServerID == nil {
		config.ServerID = new(uint32(1))
	}
}

// certify sees to the server's certificate before the write that needs it.
func certify(ctx context.Context, data *tfutil.Data, planned, _ model) (diag.Diagnostics, error) {
	agent, err := data.Agents.Agent(planned.Machine)
	if err != nil {
		return nil, err
	}
	id := api.ID{Kind: api.KindDBServer, Name: planned.Name.ValueString()}
	addresses := leafAddresses(planned.spec().ListenAddresses, planned.Machine.Address.ValueString())
	return nil, agent.EnsureLeaf(ctx, id.LeafName(), pki.ServiceNames{IP: addresses})
}

// leafAddresses returns the addresses by which clients may know a server that
// listens there: on every address, that is the one its agent is reached at.
func leafAddresses(listen []string, agent string) []net.IP {
	var addresses []net.IP
	for _, text := range listen {
		if text == "*" {
			text, _, _ = tfutil.SplitAddress(agent) // the schema refuses what is none
		}
		if ip := net.ParseIP(text); ip != nil {
			addresses = append(addresses, ip)
		}
	}
	return addresses
}
