package operation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// List returns all components of the machine.
func (r *Runner) List(context.Context) (api.Listing, error) {
	records, err := r.store.list()
	if err != nil {
		return api.Listing{}, err
	}
	listing := api.Listing{Components: []api.Listed{}}
	for _, record := range records {
		if record.lost != nil {
			listing.Components = append(listing.Components, api.Listed{ID: record.ID})
			continue
		}
		listed := api.Listed{ID: record.ID, Generation: record.Generation, AppliedAt: record.AppliedAt, Actor: record.Actor, Ownership: record.Ownership}
		if kind := r.kinds[record.Kind]; kind != nil {
			listed.Claims = claims(kind, record)
		}
		listing.Components = append(listing.Components, listed)
	}
	return listing, nil
}

// Get returns a component as it was applied and as it is now. While an
// operation is at work on it nothing is compared, since what differs then is
// no drift; a condition tells so.
func (r *Runner) Get(ctx context.Context, id api.ID) (api.Component, error) {
	kind, err := r.kind(id)
	if err != nil {
		return api.Component{}, err
	}
	const tries = 3 // an operation may begin or end while we look
	for range tries {
		epoch, busy := r.epoch(id)
		record, err := r.recorded(id)
		if err != nil {
			return api.Component{}, err
		}
		if busy {
			break
		}
		seen, err := r.inspect(ctx, kind, record)
		if err != nil {
			return api.Component{}, err
		}
		if now, _ := r.epoch(id); now == epoch {
			return r.shown(record, seen), nil
		}
	}
	return r.unsettled(ctx, kind, id)
}

// recorded returns the record of a component. While an operation creates or
// deletes it the error says so: whether there is a component is not known
// before that has ended.
func (r *Runner) recorded(id api.ID) (*Record, error) {
	// Both are asked first: once they have ended the record is what they made of it.
	creation, creating := r.log.unendedOf(id, api.VerbApply)
	deletion, deleting := r.log.unendedOf(id, api.VerbDelete)
	record := r.store.read(id)
	switch {
	case record != nil && record.lost != nil:
		return nil, recordLost(record)
	case record != nil && deleting && deletion.BaseGeneration == record.Generation:
		return nil, &api.Problem{Type: api.ProblemDeleting, Title: "The component is being removed",
			Detail: fmt.Sprintf("%s is removing %s since %s and has not ended; read it again once it has", named(deletion), id, stamp(deletion.Created))}
	case record != nil:
		return record, nil
	case creating:
		return nil, &api.Problem{Type: api.ProblemCreating, Title: "The component is being created",
			Detail: fmt.Sprintf("%s is creating %s since %s and has not ended; read it again once it has", named(creation), id, stamp(creation.Created))}
	}
	return nil, notFound("component %s", id)
}

// Has reports whether there is a component, or an operation at work on one, also
// if its record is damaged.
func (r *Runner) Has(id api.ID) bool {
	_, err := r.recorded(id)
	return !api.IsProblem(err, api.ProblemNotFound)
}

func (r *Runner) epoch(id api.ID) (epoch int, busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	epoch = r.epochs
	if c := r.components[id]; c != nil { // none is made here: readers may ask for any name
		epoch = c.epoch
	}
	return epoch, epoch%2 == 1
}

// unsettled returns a component that an operation is at work on. A version that
// starts or ends beside another one shows in its status.
func (r *Runner) unsettled(ctx context.Context, kind Kind, id api.ID) (api.Component, error) {
	record, err := r.recorded(id)
	if err != nil {
		return api.Component{}, err
	}
	seen := inspection{
		spec: record.Spec, observed: record.Spec,
		conditions: []api.Condition{{Type: "OperationRunning", Severity: api.SeverityInfo, Message: r.atWork(id)}},
	}
	if r.failure(id) != nil { // what is at work tries to end the last change, or waits for that
		seen.conditions = append(seen.conditions, r.unfinished(id)...)
	}
	if _, version := r.version(kind, record); version != nil {
		if _, switches := kind.(Switcher); switches {
			observation, err := r.observe(ctx, kind, id, *version)
			if err != nil {
				return api.Component{}, err
			}
			seen.status = api.Encode(observation.Status)
		}
	}
	return r.shown(record, seen), nil
}

// observe asks the running engine of a component what it does.
func (r *Runner) observe(ctx context.Context, kind Kind, id api.ID, applied converge.Version) (Observation, error) {
	observe := kind.Observe
	if switcher, ok := kind.(Switcher); ok {
		if open, found := r.Engine.Open(id); found {
			observe = func(ctx context.Context, name string, applied converge.Version) (Observation, error) {
				return switcher.ObserveDuring(ctx, name, applied, understood(readNote(open).change(kind, name)))
			}
		}
	}
	observation, err := observe(ctx, id.Name, applied)
	if err != nil {
		return observation, fmt.Errorf("observe %s: %w", id, err)
	}
	return observation, nil
}

// shown returns a component as readers get it.
func (r *Runner) shown(record *Record, seen inspection) api.Component {
	return api.Component{
		ID: record.ID, Generation: record.Generation, Spec: seen.spec, Observed: seen.observed,
		Drift: seen.drift, Conditions: seen.conditions, Status: seen.status,
		AppliedAt: record.AppliedAt, Actor: record.Actor, Ownership: record.Ownership, Failed: r.lastFailed(record),
	}
}

// inspection is what a look at the disk, the units and the engine shows.
type inspection struct {
	spec, observed, status json.RawMessage
	drift                  map[string]api.Drift
	conditions             []api.Condition
}

// inspect compares a component with its record.
func (r *Runner) inspect(ctx context.Context, kind Kind, record *Record) (inspection, error) {
	drift, err := r.Engine.Drift(ctx, record.Applied)
	if err != nil {
		return inspection{}, fmt.Errorf("compare %s with what was applied: %w", record.ID, err)
	}
	r.noteUnsure(record.ID, drift)
	seen := inspection{spec: record.Spec, observed: record.Spec, drift: drift}
	applied, err := kind.Validate(record.Spec)
	if err != nil {
		seen.conditions = []api.Condition{{
			Type: "SpecNotUnderstood", Severity: api.SeverityError,
			Message: fmt.Sprintf("Another version of the agent applied it, and this one cannot read the configuration that it recorded: %v. Run terraform apply again.", err),
		}}
		seen.conditions = append(seen.conditions, r.unfinished(record.ID)...)
		return seen, nil
	}
	held, _ := r.store.secrets(record.ID) // damaged ones are not known
	observation, err := r.observe(ctx, kind, record.ID, converge.Version{Spec: applied, State: record.Applied.State, Secrets: held.Values})
	if err != nil {
		return inspection{}, err
	}
	seen.spec = api.Encode(applied)
	seen.observed = seen.spec
	if observation.Spec != nil {
		seen.observed = api.Encode(observation.Spec)
	}
	leaveOut(seen.drift, observation.Restarting)
	for _, key := range slices.Sorted(maps.Keys(observation.Drift)) {
		seen.drift[key] = merge(seen.drift[key], observation.Drift[key])
	}
	seen.conditions = slices.Concat(observation.Conditions, r.losses(ctx, record), r.unfinished(record.ID), record.RolledBack.conditions(record.ID, api.SeverityInfo))
	if observation.Status != nil {
		seen.status = api.Encode(observation.Status)
	}
	return seen, nil
}

// leaveOut takes units that wait for their next start out of drift, and no unit with
// which something else is wrong.
func leaveOut(drift map[string]api.Drift, restarting []string) {
	for _, unit := range restarting {
		if drift[unit].Detail == converge.Activating {
			delete(drift, unit)
		}
	}
}

// merge joins what the disk and what the engine shows of one file or unit.
func merge(a, b api.Drift) api.Drift {
	if a.Detail == "" || a.Detail == b.Detail {
		return b
	}
	a.Detail += "; " + b.Detail
	for _, p := range b.Pointers {
		if !slices.Contains(a.Pointers, p) {
			a.Pointers = append(a.Pointers, p)
		}
	}
	return a
}

// Asker is who asks for a dry run.
type Asker struct {
	Actor string
	// Reader tells that it may only look.
	Reader bool
}

// Plan is [Runner.PlanFor] an administrator who is not named.
func (r *Runner) Plan(ctx context.Context, id api.ID, base int64, write api.Write) (api.Plan, error) {
	return r.PlanFor(ctx, Asker{}, id, base, write)
}

// PlanFor tells what an apply would do, and refuses what it would refuse. It
// leaves nothing behind on the disk; see [answers].
func (r *Runner) PlanFor(ctx context.Context, who Asker, id api.ID, base int64, write api.Write) (api.Plan, error) {
	plan, err := r.planOnce(ctx, who, id, base, write)
	if plan.Adopts == nil && !api.IsProblem(err, api.ProblemOwned) {
		return plan, err
	}
	_, creating := r.log.unendedOf(id, api.VerbApply) // what has no record is that one's
	if !creating && r.store.read(id) == nil {         // it was removed meanwhile
		return r.planOnce(ctx, who, id, base, write)
	}
	return plan, err
}

func (r *Runner) planOnce(ctx context.Context, who Asker, id api.ID, base int64, write api.Write) (api.Plan, error) {
	kind, err := r.kind(id)
	if err != nil {
		return api.Plan{}, err
	}
	spec, err := kind.Validate(write.Spec)
	if err != nil {
		return api.Plan{}, err
	}
	j := job{Request: Request{ID: id, Base: base, Write: write, Actor: who.Actor}, verb: api.VerbApply, kind: kind, spec: spec}
	record := r.record(j)
	if impact, begun := r.begun(j, record); begun {
		return api.Plan{Impact: impact}, nil
	}
	adopts := r.adopts(j, record)
	if j.creates() && adopts != nil { // what an apply has to say that it takes over, a plan shows
		j.Write.TakesOver = adopts.Owner
	}
	how, err := r.admit(j, record)
	if err != nil {
		return api.Plan{}, err
	}
	plan, err := r.foresee(ctx, j, record, how)
	if err != nil {
		return api.Plan{}, err
	}
	if record != nil && !sameSpec(kind, spec, record.Spec) {
		plan.Conditions = append(plan.Conditions, record.RolledBack.conditions(id, api.SeverityWarning)...)
	}
	plan.Adopts = adopts
	plan, kept, err := r.settle(j, record, plan, who.Reader)
	if kept != nil {
		r.Logger.Warn("the answer to a dry run is not kept", "error", kept)
	}
	return plan, err
}

// foresee returns what an apply that is admitted would do.
func (r *Runner) foresee(ctx context.Context, j job, record *Record, how admission) (api.Plan, error) {
	if how == adopt {
		if intact, err := r.intact(ctx, j, record); err != nil || intact {
			return api.Plan{Impact: api.ImpactNone}, err
		}
	}
	return r.dryRun(ctx, j, record)
}

// begun reports whether a write of the job would join an operation that is at
// work, or has just ended: whoever asked for it was killed, and plans again.
// What that costs was found when it began.
func (r *Runner) begun(j job, record *Record) (api.Impact, bool) {
	op, known := r.log.get(api.OperationID(j.verb, j.ID, j.Base, j.Write.Spec, j.Write.Owner))
	joins := known && (!op.State.Done() || made(op, record))
	return op.Impact, joins && j.Base > 0 && op.Impact != ""
}

// dryRun is prepare for a plan: a secret that is not there yet is taken as
// good, and an artifact is listed as missing.
func (r *Runner) dryRun(ctx context.Context, j job, record *Record) (api.Plan, error) {
	if err := r.claimable(j); err != nil {
		return api.Plan{}, err
	}
	values, err := r.chooseSecrets(j, false)
	if err != nil {
		return api.Plan{}, err
	}
	from, state, err := r.render(ctx, j, record, values)
	if err != nil {
		return api.Plan{}, err
	}
	to := converge.Version{Spec: j.spec, State: state}
	if err := r.check(ctx, j, to); err != nil {
		return api.Plan{}, err
	}
	missing, err := r.missing(ctx, state)
	if err != nil {
		return api.Plan{}, err
	}
	if err := r.authentic(ctx, state, missing); err != nil {
		return api.Plan{}, err
	}
	paths, changes, err := r.Engine.Preview(ctx, from.applied, &state, from.beside)
	if err != nil {
		return api.Plan{}, err
	}
	edited, err := r.edited(from.applied, r.unsure(j.ID, record))
	if err != nil {
		return api.Plan{}, err
	}
	change := converge.Change{Name: j.ID.Name, From: from.version, To: &to, Paths: paths, Edited: edited}
	plan := api.Plan{Impact: j.kind.Impact(change), Changes: changes}
	for _, t := range missing {
		plan.Missing = append(plan.Missing, t.SHA256)
	}
	return preview(ctx, j.kind, change, plan)
}

// preview adds to a plan what the kind foresees, if it can.
func preview(ctx context.Context, kind Kind, change converge.Change, plan api.Plan) (api.Plan, error) {
	previewer, ok := kind.(Previewer)
	if !ok {
		return plan, nil
	}
	foreseen, err := previewer.Preview(ctx, change.Name, change)
	if err != nil {
		return api.Plan{}, err
	}
	if slices.Index(api.Impacts(), foreseen.Impact) > slices.Index(api.Impacts(), plan.Impact) {
		plan.Impact = foreseen.Impact
	}
	plan.Changes = append(plan.Changes, foreseen.Changes...)
	plan.Conditions = append(plan.Conditions, foreseen.Conditions...)
	return plan, nil
}
