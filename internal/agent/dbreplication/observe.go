package dbreplication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// observePatience is how long a machine is waited for when nothing depends on
// it but what a person sees: a dead one must not make everybody wait.
const observePatience = 2500 * time.Millisecond

// Observe looks at all machines. One that does not answer is an observation.
func (k *Kind) Observe(ctx context.Context, name string, applied converge.Version) (operation.Observation, error) {
	spec, err := specOf(applied.Spec)
	if err != nil {
		return operation.Observation{}, err
	}
	c, err := k.coordinator(converge.Change{Name: name, To: &applied}, func(api.Phase, string, ...any) {})
	if err != nil {
		return operation.Observation{}, err
	}
	s := c.look(ctx, observePatience)
	if ctx.Err() != nil {
		return operation.Observation{}, fmt.Errorf("observe the replication %s: %w", name, context.Cause(ctx))
	}
	seen := operation.Observation{Status: statusOf(s)}
	seen.Drift, seen.Conditions = report(spec, replication.Analyze(s))
	c.misled(s, seen.Drift)
	c.forgotten(s, seen.Drift)
	if err := c.unfinished(ctx, seen.Drift); err != nil {
		return operation.Observation{}, err
	}
	return seen, nil
}

// The drift of the coordinator's own books. What a machine was given is also drift
// of each other machine.
const (
	driftConfig     = "Configuration"
	driftUnfinished = "OperationUnfinished"
	driftConsents   = "ConsentsUnknown"
)

// unfinished adds what an apply that failed has left: its machines may have
// been given another spec, and its operation stands in the journal.
func (c *coordinator) unfinished(ctx context.Context, drift map[string]api.Drift) error {
	config, ok := c.Parts.Config(c.name)
	switch {
	case !ok:
		drift[driftConfig] = api.Drift{Detail: "this machine does not have the replication's configuration; the next apply sends it"}
	case string(api.Encode(config.Spec)) != string(api.Encode(c.spec)):
		drift[driftConfig] = api.Drift{Detail: "the machines have another configuration, from an apply that failed; the next apply sends them this one"}
	}
	if damage := c.consents.damaged(); damage != nil {
		drift[driftConsents] = api.Drift{Detail: fmt.Sprintf("which consents were used up is not known: %v; the next apply takes those that are given now as used up", damage)}
	}
	entry, err := c.journal.Load(ctx)
	if damage := statefile.As(err); damage != nil {
		drift[driftUnfinished] = api.Drift{Detail: fmt.Sprintf("whether an operation was broken off is not known: %v; the next apply observes all machines again", damage)}
		return nil
	}
	if err != nil {
		return err
	}
	if entry != nil && !entry.Ended {
		drift[driftUnfinished] = api.Drift{Detail: fmt.Sprintf("the operation %s was interrupted; the next apply finishes it", entry.Operation.ID)}
	}
	return nil
}

// The conditions of a dry run.
const (
	conditionStep    = "ReplicationStep"
	conditionUnknown = "ReplicationUnknown"
)

// Preview tells which steps an apply would take, and refuses what it would
// refuse. A machine that does not answer yet may do so by then: it may not even
// be made.
func (k *Kind) Preview(ctx context.Context, name string, change converge.Change) (api.Plan, error) {
	c, err := k.coordinator(change, func(api.Phase, string, ...any) {})
	if err != nil {
		return api.Plan{}, err
	}
	if err := c.impossible(); err != nil {
		return api.Plan{}, err
	}
	config, ok := k.Parts.Config(name)
	if !ok {
		return api.Plan{Conditions: []api.Condition{{
			Type: conditionUnknown, Severity: api.SeverityInfo,
			Message: "The replication's machines do not have its configuration yet, so the steps of the apply are not known. It replaces no data without a consent.",
		}}}, nil
	}
	goal, err := c.consents.goal(c.spec)
	if err != nil {
		return api.Plan{}, err
	}
	s := c.look(ctx, observePatience)
	foresee(&s, topologyOf(name, k.Deployment, config.Spec))
	steps, err := replication.Plan(s, goal)
	if err != nil && fleeting(err) {
		return api.Plan{Conditions: []api.Condition{undecided(k.Parts.Self(), config.Spec, s, err)}}, nil
	}
	return api.Plan{Conditions: foretell(c.spec, steps)}, problemOf(c.spec, err)
}

// undecided says that the steps of an apply are not known, as machines do not
// answer. Of one that takes no part yet, or no longer, that is no surprise: the
// apply gives it the replication's configuration, and may even make its server.
func undecided(self replication.NodeID, config api.DBReplication, s replication.Snapshot, err error) api.Condition {
	unknown := api.Condition{
		Type: conditionUnknown, Severity: api.SeverityWarning,
		Message: fmt.Sprintf("The steps of an apply are not known, because %v.", err),
	}
	refusal, ok := errors.AsType[*replication.Refusal](err)
	if !ok || len(refusal.Nodes) == 0 {
		return unknown
	}
	for _, node := range refusal.Nodes {
		if placeOf(config, node) != "" && !excludes(self, cmp.Or(s.Nodes[node].Membership, s.Witnesses[node].Membership)) {
			return unknown
		}
	}
	unknown.Severity = api.SeverityInfo
	take, get := "takes", "gets"
	if len(refusal.Nodes) > 1 {
		take, get = "take", "get"
	}
	unknown.Message = fmt.Sprintf("The steps of an apply are not known yet: %s %s no part in the replication yet and %s its configuration from the apply.", joined(refusal.Nodes), take, get)
	if slices.ContainsFunc(refusal.Nodes, func(id replication.NodeID) bool { _, member := s.Desired.Members[id]; return member }) {
		unknown.Message += " A member without data gets a copy of the primary's; data of its own are replaced only with reseed."
	}
	return unknown
}

// excludes reports whether a membership, nil if none was shown, lacks a machine.
func excludes(self replication.NodeID, shown *api.DBMembership) bool {
	if shown == nil {
		return false
	}
	_, listed := shown.Peers[string(self)]
	return !listed
}

func joined(nodes []replication.NodeID) string {
	names := make([]string, 0, len(nodes))
	for _, node := range nodes {
		names = append(names, string(node))
	}
	return strings.Join(names, ", ")
}

// foresee has a snapshot say what another catalog than the one that was sent
// will show: a primary compares with its configuration.
func foresee(s *replication.Snapshot, config replication.Topology) {
	primary, ok := s.Nodes[s.Desired.Primary]
	if !ok || string(api.Encode(config.Catalog)) == string(api.Encode(s.Desired.Catalog)) {
		return
	}
	primary.CatalogDiffers = append(primary.CatalogDiffers, "another catalog is asked for")
	s.Nodes[s.Desired.Primary] = primary
}

// foretell makes conditions of steps, on the consent that a step rests on or
// else on its machine. Those side by side that do the same on
// several machines become one.
func foretell(spec api.DBReplication, steps replication.Steps) []api.Condition {
	var conditions []api.Condition
	for len(steps) > 0 {
		first := steps[0]
		end := slices.IndexFunc(steps, func(s replication.Step) bool { return s.Do.String() != first.Do.String() })
		if end < 0 {
			end = len(steps)
		}
		var nodes []string
		for _, step := range steps[:end] {
			nodes = append(nodes, string(step.Node))
		}
		c := api.Condition{
			Type: conditionStep, Severity: api.SeverityInfo,
			Message: fmt.Sprintf("An apply will: %s: %s.", strings.Join(nodes, ", "), first.Do),
		}
		if first.Do.Verb == replication.DoSeed || !first.Do.Drop.Empty() {
			c.Severity = api.SeverityWarning // data go
		}
		if end == 1 {
			c.Machine = string(first.Node)
		}
		switch {
		case !first.Do.Drop.Empty():
			c.Pointer = "/drop"
		case first.Do.Consent != "":
			c.Pointer = "/reseed"
		case end == 1:
			c.Pointer = placeOf(spec, first.Node)
		}
		conditions, steps = append(conditions, c), steps[end:]
	}
	return conditions
}
