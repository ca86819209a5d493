package dbserver

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Impact tells what a change costs the clients. Making a server costs nothing,
// as there were none; removing one ends them all. A file edited by hand counts
// as a restart, since nobody knows whether the server was started with it.
func (*Kind) Impact(change converge.Change) api.Impact {
	switch {
	case change.To == nil:
		return api.ImpactRestart
	case change.From == nil:
		return api.ImpactNone
	}
	p := PathsOf(change.Name)
	if change.Edited[p.Config] {
		return api.ImpactRestart
	}
	return impact(change, p)
}

// The compiler says it first if the kind and its contract part.
var _ operation.Previewer = (*Kind)(nil)

// Preview adds to the impact of a change what the running server needs beyond
// it: one that is down is started, a variable that somebody has set is set back,
// with a restart where the server takes it at a start only, and a packet filter or a
// certificate that it does not have is loaded. It warns of settings that leave the
// machine too little memory.
func (k *Kind) Preview(ctx context.Context, name string, change converge.Change) (api.Plan, error) {
	if change.To == nil {
		return api.Plan{}, nil
	}
	spec, err := specOf(change.To.Spec)
	if err != nil {
		return api.Plan{}, err
	}
	plan := api.Plan{}
	if change.From != nil {
		if plan, err = k.repair(ctx, name, spec, change.To.State); err != nil {
			return api.Plan{}, err
		}
	}
	plan.Conditions, err = k.tight(spec)
	return plan, err
}

// repair returns what the running server needs to be as it is recorded.
func (k *Kind) repair(ctx context.Context, name string, spec api.DBServer, state converge.State) (api.Plan, error) {
	p := PathsOf(name)
	status, err := k.Units.Status(ctx, p.Unit)
	if err != nil {
		return api.Plan{}, fmt.Errorf("look at %s: %w", p.Unit, err)
	}
	if !status.Active() {
		return api.Plan{Impact: api.ImpactRestart}, nil
	}
	variables, _, err := k.connect(k.root + p.Socket).Show(ctx)
	if err != nil {
		return api.Plan{}, ctx.Err() //nolint:nilerr // that MariaDB does not answer is a condition
	}
	plan := api.Plan{Impact: api.ImpactNone}
	run := runner{Kind: k, name: name, p: p, spec: spec, state: state}
	if run.strangeClients(ctx) != "" || run.formerCertificate() {
		plan.Impact = api.ImpactRuntime
	}
	for _, d := range compare(name, spec, variables) {
		if !d.Runtime {
			return api.Plan{Impact: api.ImpactRestart}, nil
		}
		plan.Impact = api.ImpactRuntime
	}
	return plan, nil
}

// impact is Impact for a change of what stands, where the running server can
// still be asked what it has read.
func impact(change converge.Change, p Paths) api.Impact {
	from, to := change.Before(), change.To.State
	changed := changedVariables(from.File(p.Config).Content, to.File(p.Config).Content)
	for _, name := range changed {
		if !takenAtRuntime(name) {
			return api.ImpactRestart
		}
	}
	switch {
	case change.ChangesUnit(p.Unit, p.UnitFile):
		return api.ImpactRestart
	case len(changed) > 0, change.Changed(p.Clients), !bytes.Equal(from.File(p.Clients).Content, to.File(p.Clients).Content):
		return api.ImpactRuntime
	}
	return api.ImpactNone
}

// changedVariables returns the variables whose lines differ.
func changedVariables(from, to []byte) []string {
	before, after := parseConfig(from), parseConfig(to)
	all := maps.Clone(before)
	maps.Copy(all, after)
	var changed []string
	for name := range all {
		was, had := before[name]
		is, has := after[name]
		if had != has || was != is {
			changed = append(changed, name)
		}
	}
	return changed
}
