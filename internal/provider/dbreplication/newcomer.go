package dbreplication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// newcomers refuses new members with data of their own that nobody allowed to
// discard, and warns of those whose data go. The primary's machine cannot ask
// them: they learn of it from the apply.
func newcomers(ctx context.Context, data *tfutil.Data, req resource.ModifyPlanRequest, plan *tfsdk.Plan) diag.Diagnostics {
	var primary types.String
	var members types.Map
	diags := plan.GetAttribute(ctx, path.Root("primary"), &primary)
	diags.Append(plan.GetAttribute(ctx, path.Root("members"), &members)...)
	if req.ClientCapabilities.DeferralAllowed { // an apply, whose plan has said it, and which the agents check
		return diags
	}
	var origin string
	var known, asked bool
	for _, name := range slices.Sorted(maps.Keys(members.Elements())) {
		if name == primary.ValueString() || primary.IsUnknown() {
			continue
		}
		server, ok := serverOf(ctx, plan, name)
		if !ok || took(ctx, req.State, name, server.machine) || server.unmet() && data.Walk.IsSilent(name) {
			continue
		}
		held, err := server.data(ctx, data.Agents)
		if err != nil && server.unmet() {
			continue // a machine that is still to be created
		}
		if !asked {
			origin, known = primaryOrigin(ctx, data.Agents, plan, primary.ValueString())
			asked = true
		}
		n := newcomer{
			name: name, server: server.name, consent: consented(ctx, req.State, plan, name),
			databases: held.Databases, more: held.MoreDatabases, related: held.Origin != "" && (held.Origin == origin || !known),
		}
		n.tell(err, &diags)
	}
	return diags
}

// newcomer is a member that the replication does not have yet.
type newcomer struct {
	name, server string
	// consent tells that its data may be discarded.
	consent   bool
	databases []string
	// more is how many databases there are beside those.
	more int
	// related tells that its data are, or may be, an earlier state of the primary's.
	related bool
}

// tell says what becomes of the newcomer's data; err is why they are not known.
func (n newcomer) tell(err error, diags *diag.Diagnostics) {
	at, becomes := memberPath(n.name), fmt.Sprintf("the apply refuses it, as there is no reseed for %q", n.name)
	if n.consent {
		at, becomes = path.Root("reseed"), "the apply replaces all its data by a copy of the primary's"
	}
	switch {
	case api.IsProblem(err, api.ProblemNotFound) && !n.consent: // the apply makes the server
	case api.IsProblem(err, api.ProblemNotFound):
		tfutil.Warning(diags, at, "A new member's data are not known", "Machine %q does not have the database server %q yet. If one of that name has left data there, %s.", n.name, n.server, becomes)
	case err != nil:
		tfutil.Warning(diags, at, "A new member's data are not known", "It is not known whether database server %q on machine %q holds data of its own: %v. If it does, %s.", n.server, n.name, err, becomes)
	case len(n.databases) == 0 || n.related && !n.consent:
	case n.related:
		tfutil.Warning(diags, at, "A new member's data may be replaced", "Database server %q on machine %q has taken part before (databases: %s). If it holds writes that the primary does not have, or needs some that the primary has purged, %s.",
			n.server, n.name, n.listed(), becomes)
	case n.consent:
		tfutil.Warning(diags, at, "A new member's data are replaced", "Database server %q on machine %q holds data of its own (databases: %s): %s. They are lost then.", n.server, n.name, n.listed(), becomes)
	default:
		tfutil.Error(diags, at, "Data would be lost", "Database server %q on machine %q holds data that are not the primary's (databases: %s), and a member gets a copy of the primary's. "+
			"To discard them, write reseed = { node = %[2]q, token = \"<new text>\" }. If they are the right ones, declare %[2]q the primary of a new replication.", n.server, n.name, n.listed())
	}
}

// listed names the databases.
func (n newcomer) listed() string {
	if n.more > 0 {
		return fmt.Sprintf("%s and %d more", quoted(n.databases), n.more)
	}
	return quoted(n.databases)
}

// plannedServer is a database server of a plan.
type plannedServer struct {
	machine tfutil.Machine
	name    string
}

// serverOf returns a member's server, if it is known where that is.
func serverOf(ctx context.Context, plan *tfsdk.Plan, member string) (plannedServer, bool) {
	var s plannedServer
	var name types.String
	found := plan.GetAttribute(ctx, machinePath(member), &s.machine)
	found.Append(plan.GetAttribute(ctx, memberPath(member).AtName("server").AtName("name"), &name)...)
	s.name = name.ValueString()
	return s, !found.HasError() && s.name != "" && s.machine.Known()
}

// unmet reports whether the machine may still have to be created.
func (s plannedServer) unmet() bool {
	return s.machine.Key.IsUnknown() || s.machine.Incarnation.IsUnknown()
}

// data asks the machine for what the server holds.
func (s plannedServer) data(ctx context.Context, agents tfutil.Agents) (api.DBServerStatus, error) {
	var status api.DBServerStatus
	agent, err := agents.Agent(s.machine)
	if err != nil {
		return status, err
	}
	component, err := agent.Get(ctx, api.ID{Kind: api.KindDBServer, Name: s.name})
	if err != nil {
		return status, err
	}
	if len(component.Status) > 0 {
		err = json.Unmarshal(component.Status, &status)
	}
	switch {
	case err != nil:
	case status.Version == "":
		err = errors.New("it does not run or does not answer")
	case status.Databases == nil:
		err = errors.New("the machine does not say which databases it has: the database does not answer that, or the agent is older than this provider")
	}
	return status, err
}

// primaryOrigin returns the origin of the primary's data, "" if they have none yet,
// and whether that is known.
func primaryOrigin(ctx context.Context, agents tfutil.Agents, plan *tfsdk.Plan, primary string) (origin string, known bool) {
	server, ok := serverOf(ctx, plan, primary)
	if !ok {
		return "", false
	}
	held, err := server.data(ctx, agents)
	return held.Origin, err == nil || api.IsProblem(err, api.ProblemNotFound)
}

// took reports whether a member was one before, on the same VM.
func took(ctx context.Context, state tfsdk.State, name string, machine tfutil.Machine) bool {
	var before types.Map
	if state.Raw.IsNull() || state.GetAttribute(ctx, path.Root("members"), &before).HasError() {
		return false
	}
	var former tfutil.Machine
	_, was := before.Elements()[name]
	return was && !state.GetAttribute(ctx, machinePath(name), &former).HasError() && !machine.Rebuilt(former)
}

// consented reports whether a plan has a consent to discard a member's data that
// the state does not have: each counts once.
func consented(ctx context.Context, state tfsdk.State, plan *tfsdk.Plan, name string) bool {
	var before, after *reseed
	if plan.GetAttribute(ctx, path.Root("reseed"), &after).HasError() || after == nil || after.Node != name {
		return false
	}
	return state.Raw.IsNull() || state.GetAttribute(ctx, path.Root("reseed"), &before).HasError() || before == nil || *before != *after
}
