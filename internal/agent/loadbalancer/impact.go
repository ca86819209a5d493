package loadbalancer

import (
	"bytes"
	"context"
	"fmt"
	"regexp"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Impact tells what a change costs the traffic. Making a load balancer costs
// nothing, as there was no traffic; removing one ends it all.
func (*Kind) Impact(change converge.Change) api.Impact {
	switch {
	case change.To == nil:
		return api.ImpactRestart
	case change.From == nil:
		return api.ImpactNone
	}
	return impact(change)
}

// The compiler says it first if the kind and its contract part.
var _ operation.Previewer = (*Kind)(nil)

// Preview adds to the impact of a change what the running HAProxy needs beyond
// it: weights and drains of its own are set back by commands, all else that
// differs goes with a reload, and a unit that is down is started. It asks what
// Apply asks, so that a repair costs what its plan says.
func (k *Kind) Preview(ctx context.Context, name string, change converge.Change) (api.Plan, error) {
	if change.From == nil || change.To == nil {
		return api.Plan{}, nil
	}
	spec, err := specOf(change.To.Spec)
	if err != nil {
		return api.Plan{}, err
	}
	p := pathsOf(name)
	status, err := k.units.Status(ctx, p.unit)
	if err != nil {
		return api.Plan{}, fmt.Errorf("look at %s: %w", p.unit, err)
	}
	if !status.Active() {
		return api.Plan{Impact: api.ImpactRestart}, nil
	}
	now, err := readRuntime(ctx, k.engine(name))
	if err != nil {
		return api.Plan{}, ctx.Err() //nolint:nilerr // that HAProxy does not answer is a condition
	}
	found := compare(spec, revisionOf(change.To.State.File(p.config).Content), now)
	switch {
	case !found.reload && len(found.commands) == 0:
		return api.Plan{Impact: api.ImpactNone}, nil
	case found.reload:
		return api.Plan{Impact: api.ImpactReload}, nil
	}
	return api.Plan{Impact: api.ImpactRuntime}, nil
}

// impact tells what a running HAProxy needs to follow a change. It compares the
// versions even where the disk is right already: after a crash in the middle
// the files may be back while the engine still runs with the others.
func impact(change converge.Change) api.Impact {
	p := pathsOf(change.Name)
	from, to := change.Before(), change.To.State
	config, configBefore := to.File(p.config).Content, from.File(p.config).Content
	switch {
	case change.ChangesUnit(p.unit, p.unitFile):
		return api.ImpactRestart
	case !bytes.Equal(withoutWeights(configBefore), withoutWeights(config)):
		return api.ImpactReload
	case change.Edited[p.config], change.Changed(p.config) && bytes.Equal(configBefore, config):
		// Edited by hand, and perhaps loaded since.
		return api.ImpactReload
	case !bytes.Equal(configBefore, config):
		return api.ImpactRuntime
	}
	return api.ImpactNone
}

// weightPattern finds the weight in a line of [serverLine].
var weightPattern = regexp.MustCompile(`(?m)^(    server \S+ \S+) weight \d+`)

// withoutWeights returns a configuration in which no server has a weight: what
// is equal then can be reached by commands to the running worker.
func withoutWeights(config []byte) []byte {
	return weightPattern.ReplaceAll(config, []byte("$1"))
}
