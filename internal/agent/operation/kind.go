// Package operation carries out changes of components one after the other:
// validate, render, check, converge, commit. It keeps what was applied, the
// journal of operations and their events, all of it on disk.
package operation

import (
	"context"
	"encoding/json"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Spec is a kind's own typed spec, decoded and valid. Its JSON is that of the
// kind's spec type of package api; two specs are the same if their JSON is.
// A kind with secrets has their version in the member "secrets_version", which
// is 0 for none.
type Spec interface {
	// Claims are the ports that a component of this spec listens on.
	Claims() []api.Claim
}

// Kind is what the agent has to know of one sort of component. All kinds have
// the same verbs, in the order in which an operation uses them. Validate and
// Render are pure; Check and Observe change nothing.
type Kind interface {
	// Kind returns which kind it is.
	Kind() api.Kind
	// Validate decodes a spec strictly and checks what holds on any machine.
	// Its error is an [api.Problem] that points at each offender.
	Validate(raw json.RawMessage) (Spec, error)
	// Render turns a valid spec into files and units that can stand beside what
	// is in place. Secrets are nil in a dry run that has none; the result then
	// differs in secret files only.
	Render(name string, spec Spec, secrets map[string]api.Secret, before converge.InPlace) (converge.State, error)
	// Check asks the engine's own checker about a staged state. A refusal is
	// an [api.Problem] of type engine-refused on the place in the spec that
	// the line in question came from.
	Check(ctx context.Context, staged converge.Staged) error
	// Impact tells what Apply of the change will cost the traffic. Pure.
	Impact(change converge.Change) api.Impact
	// Apply makes the running engine follow the files, which are in place
	// already (units are enabled, systemd has reloaded): it issues runtime
	// commands, reloads, starts or restarts, and returns once the component
	// is healthy. With change.Undo it goes back to what stood before, and does
	// not fail because that is not healthy. It can be run twice. For a deletion
	// (change.To is nil) it is called before the units are stopped, and so it
	// is to undo a creation.
	Apply(ctx context.Context, change converge.Change, progress converge.Progress) error
	// Observe asks the running engine what it does. It never fails because
	// the engine is down: that is an observation.
	Observe(ctx context.Context, name string, applied converge.Version) (Observation, error)
}

// Switcher is a [Kind] whose new version serves beside the old one before its
// traffic is switched, by the links that its state marks so. No method fails because
// the old version is not healthy.
type Switcher interface {
	// Sides returns what the versions of a component can consist of.
	Sides(name string) converge.Sides
	// ObserveDuring is [Kind.Observe] while a change has not ended: up to its commit
	// its To stands beside what was applied, afterwards its From does. Of a spec that
	// is not understood, either is nil.
	ObserveDuring(ctx context.Context, name string, applied converge.Version, change converge.Change) (Observation, error)
	// Switched is called once the links are switched, and verifies that the new
	// version serves through them. With change.Undo it is the old one that the
	// traffic is switched back to.
	Switched(ctx context.Context, change converge.Change, progress converge.Progress) error
	// Drained returns when nothing needs the version that the traffic has left, change.From,
	// which is stopped then: the old one once the change is committed, with
	// change.Undo the one that failed. Of a spec that is not understood, the version is
	// its state alone. It is called again if ctx or the agent ends meanwhile; since is when
	// it was called first, and its own bound counts from then.
	Drained(ctx context.Context, change converge.Change, since time.Time, progress converge.Progress) error
	// Killed is called for a unit of the version that was drained which did not end within
	// its stop timeout and was killed; it may warn of that.
	Killed(change converge.Change, unit string, timeout time.Duration)
}

// Previewer is a [Kind] that can tell before an apply what it would do beyond
// files and units. The dry run asks it for what a change would do, also where
// the spec stays and only a drift is repaired.
type Previewer interface {
	// Preview returns what is to be added to the answer of a dry run, or the
	// [api.Problem] for which an apply would refuse. It writes nothing anywhere.
	Preview(ctx context.Context, name string, change converge.Change) (api.Plan, error)
}

// Observation is what a running engine shows.
type Observation struct {
	// Spec is the applied spec with the engine's own values in it. Where it
	// differs from the applied spec, an apply repairs it.
	Spec Spec
	// Drift tells of what differs but maps to no value of the spec, by unit
	// or file, beyond the files and units that converge compares by itself.
	Drift map[string]api.Drift
	// Restarting are the units whose restarts a condition reports: that they wait for
	// their next start is no drift, as no apply would repair it.
	Restarting []string
	// Conditions are what an apply does not repair.
	Conditions []api.Condition
	// Status is the kind's status type of package api.
	Status any
}
