package providertest

import (
	"bytes"
	"cmp"
	"context"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

// Plan implements [tfutil.Agent].
func (m *Machine) Plan(_ context.Context, id api.ID, base int64, write api.Write) (api.Plan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, exists := m.components[id]
	if exists && base == 0 {
		write.TakesOver = c.Ownership.Owner // a plan tells of it
	}
	if err := m.check(id, base, write); err != nil {
		return api.Plan{}, err
	}
	plan := api.Plan{Impact: api.ImpactNone, Conditions: m.foreseen}
	if exists {
		plan.Impact = m.impact
	}
	if exists && base == 0 {
		plan.Adopts = &api.Adoption{Ownership: c.Ownership, Applied: api.Ownership{Actor: c.Actor, Time: c.AppliedAt}}
	}
	sum, err := m.missing(write)
	if err != nil {
		return api.Plan{}, err
	}
	if sum != "" {
		plan.Missing = []string{sum}
	}
	settled, err := m.settle(plan, id, base, write)
	if exists && write.Owner != "" && write.Owner == c.Ownership.Owner {
		settled.Adopts = nil // what is its own anyway, no plan shows
	}
	return settled, err
}

// answerKey names the answers to the dry runs of one plan.
func answerKey(id api.ID, base int64, write api.Write) string {
	return id.String() + " " + api.OperationID(api.VerbApply, id, base, write.Spec, write.Basis)
}

// answered is what a dry run was answered, and whether a plan has shown it: else
// an apply was the first to ask.
type answered struct {
	api.Plan
	planned bool
	// replaced tells that the component is the asker's own.
	replaced bool
}

// settle has the plan of an apply answer as the one that was approved.
func (m *Machine) settle(plan api.Plan, id api.ID, base int64, write api.Write) (api.Plan, error) {
	key := answerKey(id, base, write)
	before, known := m.answered[key]
	if !write.Approved || !known || plan.Adopts != nil && !before.planned {
		m.answered[key] = answered{plan, !write.Approved, plan.Adopts != nil && write.Owner != "" && write.Owner == plan.Adopts.Owner}
		plan.Forgotten = write.Approved
		return plan, nil
	}
	if plan.Adopts != nil && (before.Adopts == nil || before.Adopts.Owner != plan.Adopts.Owner) {
		return api.Plan{}, &api.Problem{Type: api.ProblemOwned, Title: "Another state was faster", Detail: "By " + plan.Adopts.By() + "."}
	}
	if plan.Adopts != nil {
		plan.Adopts.Replaced = before.replaced
	}
	plan.Impact = before.Impact
	return plan, nil
}

// Apply implements [tfutil.Agent].
func (m *Machine) Apply(_ context.Context, change client.Change, progress func(api.Event)) (api.Operation, error) {
	id, base, write := change.ID, change.Base, change.Write
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(id, base, write); err != nil {
		return api.Operation{}, err
	}
	if sum, err := m.missing(write); err != nil || sum != "" {
		missing := &api.Problem{Type: api.ProblemBlobMissing, Title: "The machine lacks the artifact", Violations: api.Violations{
			{Pointer: "/release/sha256", Detail: "the machine does not have it"},
		}}
		return api.Operation{}, cmp.Or(err, error(missing))
	}
	generation, ownership := int64(1), m.ownership(write.Owner)
	if c, ok := m.components[id]; ok {
		generation = c.Generation
		if write.Owner == "" || write.Owner == c.Ownership.Owner {
			ownership = c.Ownership
		}
		if !bytes.Equal(c.Spec, write.Spec) || !bytes.Equal(c.Observed, write.Spec) || len(c.Drift) > 0 {
			generation++
		}
	}
	m.components[id] = &stored{
		Component: component(id, write.Spec, generation), secrets: write.Secrets, timeout: write.TimeoutSeconds,
	}
	m.components[id].Ownership = ownership
	m.applied++
	progress(api.Event{Seq: 1, Phase: api.PhaseCommit, Message: "applied"})
	return api.Operation{State: api.OperationApplied, Generation: generation, Warnings: m.warnings}, nil
}
