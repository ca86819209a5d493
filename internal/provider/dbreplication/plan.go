package dbreplication

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

func memberPath(name string) path.Path  { return path.Root("members").AtMapKey(name) }
func machinePath(name string) path.Path { return memberPath(name).AtName("server").AtName("machine") }

// coordinator returns where a configuration holds the machine of the primary,
// whose agent coordinates.
func coordinator(ctx context.Context, config tfsdk.Config) (path.Path, diag.Diagnostics) {
	var primary types.String
	diags := config.GetAttribute(ctx, path.Root("primary"), &primary)
	if primary.IsNull() || primary.IsUnknown() {
		return path.Empty(), diags
	}
	return machinePath(primary.ValueString()), diags
}

// resolve plans the members' addresses where the configuration gives none, those at
// which their agents are reached, and says what is to be known of grants and data.
func resolve(ctx context.Context, data *tfutil.Data, req resource.ModifyPlanRequest, plan *tfsdk.Plan) diag.Diagnostics {
	var members types.Map
	diags := plan.GetAttribute(ctx, path.Root("members"), &members)
	diags.Append(warnOfGrants(ctx, req.Config)...)
	diags.Append(newcomers(ctx, data, req, plan)...)
	for name := range members.Elements() {
		at := memberPath(name).AtName("address")
		var given, agent types.String
		diags.Append(req.Config.GetAttribute(ctx, at, &given)...)
		diags.Append(plan.GetAttribute(ctx, machinePath(name).AtName("address"), &agent)...)
		if given.IsNull() && agent.ValueString() != "" { // neither null nor unknown
			diags.Append(plan.SetAttribute(ctx, at, hostOf(tfutil.Machine{Address: agent}))...)
		} else if given.IsNull() && !members.Elements()[name].IsUnknown() {
			diags.Append(plan.SetAttribute(ctx, at, types.StringUnknown())...)
		}
	}
	return diags
}

// warnOfGrants warns of grants on databases that the configuration does not
// have: the server takes them, and a slip of the name would show only in the app.
func warnOfGrants(ctx context.Context, config tfsdk.Config) diag.Diagnostics {
	var databases, users types.Map
	diags := config.GetAttribute(ctx, path.Root("databases"), &databases)
	diags.Append(config.GetAttribute(ctx, path.Root("users"), &users)...)
	if databases.IsUnknown() || users.IsUnknown() || diags.HasError() {
		return diags
	}
	declared := slices.Sorted(maps.Keys(databases.Elements()))
	for _, name := range slices.Sorted(maps.Keys(users.Elements())) {
		at := path.Root("users").AtMapKey(name).AtName("grants")
		var grants types.Map
		if found := config.GetAttribute(ctx, at, &grants); found.HasError() {
			continue // a value that is none of its type, which the type's own validation shows
		}
		for _, database := range slices.Sorted(maps.Keys(grants.Elements())) {
			if slices.Contains(declared, database) {
				continue
			}
			hint := "there are none"
			if nearest := api.Quoted(api.Nearest(database, declared)); len(nearest) > 0 {
				hint = "the nearest is " + nearest[0]
			} else if len(declared) > 0 {
				hint = "none is like it"
			}
			tfutil.Warning(&diags, at.AtMapKey(database), "Grant on an undeclared database",
				"%q is not in databases; %s. The grant is made, but an apply creates no such database: without one that is there already it serves nobody. Add it to databases, or correct the name.", database, hint)
		}
	}
	return diags
}

// foresee tells what a repair costs: with the same specification again the
// agent finds less to do, or nothing, once the servers below have been applied,
// which may have been what was wrong. The plan of an apply has to say then what
// the one that was approved said.
func foresee(before, after api.DBReplication) api.Plan {
	if string(api.Encode(before)) == string(api.Encode(after)) {
		return api.Plan{Impact: api.ImpactRuntime}
	}
	return api.Plan{Impact: api.ImpactNone, Conditions: kept(before, after)}
}

// kept warns of the databases and users that a change takes out and does not
// drop: they stay on the servers, and no later plan knows of them.
func kept(before, after api.DBReplication) []api.Condition {
	var dropped api.DBDrop
	used := ""
	if after.Drop != nil {
		dropped = *after.Drop
		if before.Drop != nil && before.Drop.Token == dropped.Token {
			used = fmt.Sprintf(" The token is %q as before, and each counts once: write another.", dropped.Token)
			dropped = api.DBDrop{}
		}
	}
	var conditions []api.Condition
	warn := func(kind string, in api.Pointer, names []string, stays string) {
		if len(names) == 0 {
			return
		}
		list, be, verb := quoted(names), "is", "s"
		if len(names) > 1 {
			be, verb = "are", ""
		}
		conditions = append(conditions, api.Condition{
			Type: kind, Severity: api.SeverityWarning, Pointer: in,
			Message: fmt.Sprintf("%s %s no longer in %s, and stay%s on the servers %s. To drop, write drop = { %s = [%s], token = \"<new text>\" }.%s",
				list, be, in.Steps()[0], verb, stays, in.Steps()[0], list, used),
		})
	}
	warn("DatabaseKept", "/databases", takenOut(before.Databases, after.Databases, dropped.Databases), "with all data")
	warn("UserKept", "/users", takenOut(before.Users, after.Users, dropped.Users), "with password and grants, so that apps can still log in")
	return conditions
}

// lost names the databases of a replication all of whose members are on rebuilt
// machines, and who still has those of a primary that was rebuilt alone. As long as
// the apply refuses that one, nothing of the new machine is in the state, and each
// plan comes here.
func lost(before, after model) string {
	var rebuilt, kept []string
	for _, name := range slices.Sorted(maps.Keys(before.Members)) {
		m, stays := after.Members[name]
		switch {
		case stays && m.machine().Rebuilt(before.Members[name].machine()):
			rebuilt = append(rebuilt, name)
		case stays:
			kept = append(kept, name)
		}
	}
	switch {
	case len(kept) > 0 && slices.Contains(rebuilt, before.Primary):
		return fmt.Sprintf("The primary %q of the replication %q is another VM now, without its data, and %s may still have them. As long as that is so, the apply refuses to make the new VM the primary (PrimaryLost) and replaces no data: "+
			"\"A primary without its data\" in the guide on plans says how to go on.", before.Primary, after.Name.ValueString(), quoted(kept))
	case len(rebuilt) == 0, len(kept) > 0:
		return "" // the agents decide about other members, and a replica is copied again
	}
	databases := "It has no declared databases; others"
	if len(before.Databases) > 0 {
		databases = fmt.Sprintf("Its databases (%s)", quoted(slices.Sorted(maps.Keys(before.Databases))))
	}
	return fmt.Sprintf("Every member of the replication %q is another VM now: %s. %s were on the former VMs alone and are not moved. "+
		"The apply makes those that are declared again, empty: restore the data from a backup after it.", after.Name.ValueString(), quoted(rebuilt), databases)
}

// takenOut returns the names that are not there any more and are not dropped.
func takenOut[V any](before, after map[string]V, dropped []string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, still := after[name]; !still && !slices.Contains(dropped, name) {
			names = append(names, name)
		}
	}
	return names
}

func quoted(names []string) string {
	all := make([]string, 0, len(names))
	for _, name := range names {
		all = append(all, strconv.Quote(name))
	}
	return strings.Join(all, ", ")
}

// samePrimary is a plan modifier that refuses another primary.
type samePrimary struct{}

// Description implements [planmodifier.String].
func (samePrimary) Description(context.Context) string {
	return "another primary is refused, as that takes a switchover"
}

// MarkdownDescription implements [planmodifier.String].
func (p samePrimary) MarkdownDescription(ctx context.Context) string { return p.Description(ctx) }

// PlanModifyString implements [planmodifier.String].
func (samePrimary) PlanModifyString(_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	before, after := req.StateValue.ValueString(), req.PlanValue.ValueString()
	if before == "" || after == "" || before == after { // or not known yet
		return
	}
	tfutil.Error(&resp.Diagnostics, req.Path, "The primary cannot be changed",
		"Found %q, and the primary is %q. Making another member the primary is a switchover, which this version of the provider cannot do; "+
			"it never replaces a replication for it, either. Write primary = %q again.", after, before, before)
}
