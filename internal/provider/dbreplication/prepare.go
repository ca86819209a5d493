package dbreplication

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// enlist tells every machine which machines it takes part in the replication
// with, and which of them are members, that may have the data and command: it
// takes the CA's seed to say so, which no machine has. One that does
// not answer is passed over; the coordinator decides what can be done without
// it, and the next apply tells it.
func enlist(ctx context.Context, data *tfutil.Data, planned, _ model) (diag.Diagnostics, error) {
	spec, err := planned.spec()
	if err != nil {
		return nil, err
	}
	membership, machines := spec.Membership(), participants(planned)
	errs := make(map[string]error, len(machines))
	var mu sync.Mutex
	var all sync.WaitGroup
	for name, machine := range machines {
		all.Go(func() {
			err := enlistOne(ctx, data.Agents, machine, planned.Name.ValueString(), membership)
			mu.Lock()
			defer mu.Unlock()
			errs[name] = err
		})
	}
	all.Wait()
	var diags diag.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		if err := errs[name]; err != nil && name != planned.Primary {
			call := tfutil.Call{Machine: machines[name], Place: placeOf(planned, name)}
			call.PassedOver(err, "It is passed over: the next apply that reaches it tells it of the replication.", &diags)
		}
	}
	return diags, errs[planned.Primary]
}

func enlistOne(ctx context.Context, agents tfutil.Agents, machine tfutil.Machine, replication string, membership api.DBMembership) error {
	agent, err := agents.Agent(machine)
	if err != nil {
		return err
	}
	return agent.Enlist(ctx, replication, membership)
}

// left takes from machines that take part no more what only that had given them.
func left(ctx context.Context, data *tfutil.Data, before model, after *model) diag.Diagnostics {
	diags := trimLeaves(ctx, data, before, after)
	diags.Append(leave(ctx, data, before, after)...)
	return diags
}

// leave ends the membership of machines that take part no more, which would let
// the others look at their part for good. A machine that is given up, or does not
// answer, is left as it is, and warns of that itself.
func leave(ctx context.Context, data *tfutil.Data, before model, after *model) diag.Diagnostics {
	var diags diag.Diagnostics
	machines := participants(before)
	if after != nil {
		for name := range participants(*after) {
			delete(machines, name)
		}
	}
	replication := before.Name.ValueString()
	for _, name := range slices.Sorted(maps.Keys(machines)) {
		if data.Forget[name] {
			continue
		}
		agent, err := data.Agents.Agent(machines[name])
		if err == nil {
			err = agent.Leave(ctx, replication)
		}
		if err != nil {
			tfutil.Warning(&diags, path.Empty(), "A machine keeps its membership",
				"The membership of machine %q in replication %q could not be ended: %v. The machines of the replication may still look at what it has recorded. "+
					"To end that, run as root on %[1]s: foobar-agent replication leave %[2]s", name, replication, err)
		}
	}
	return diags
}

// trimLeaves has the certificates of servers that are members no more name their
// machine alone. The provider signs no more than that, so it changes what was
// signed elsewhere with the CA's seed: the servers' own resources are not written
// when a replication changes. A machine that is given up, or does not answer, is
// left as it is.
func trimLeaves(ctx context.Context, data *tfutil.Data, before model, after *model) diag.Diagnostics {
	var diags diag.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(before.Members)) {
		left := before.Members[name]
		if left.Server == nil || left.Server.Name == nil || data.Forget[name] || after != nil && sameServer(left, after.Members[name]) {
			continue
		}
		leaf := api.ID{Kind: api.KindDBServer, Name: *left.Server.Name}.LeafName()
		agent, err := data.Agents.Agent(left.machine())
		if err == nil {
			err = agent.TrimLeaf(ctx, leaf)
		}
		if err != nil {
			tfutil.Warning(&diags, path.Empty(), "A former member keeps its certificate",
				"The certificate of database server %q on machine %q may still name the replication: %v. The next change of that foobar_db_server signs it again.",
				*left.Server.Name, name, err)
		}
	}
	return diags
}

// sameServer reports whether a member is on the server that it was on.
func sameServer(before, after member) bool {
	return after.Server != nil && after.Server.Name != nil && *after.Server.Name == *before.Server.Name
}

// participants returns the machines of members and witnesses, by name; the
// coordinator as it was met.
func participants(m model) map[string]tfutil.Machine {
	machines := maps.Clone(m.Witnesses)
	if machines == nil {
		machines = map[string]tfutil.Machine{}
	}
	for name, member := range m.Members {
		machines[name] = member.machine()
	}
	machines[m.Primary] = m.Machine
	return machines
}

// placeOf returns the attribute of a machine that takes part.
func placeOf(m model, name string) path.Path {
	if _, member := m.Members[name]; member {
		return memberPath(name)
	}
	return path.Root("witnesses").AtMapKey(name)
}
