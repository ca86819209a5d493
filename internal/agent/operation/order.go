package operation

import (
	"context"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Operable is a [Kind] whose components can be restarted, rolled back and drained by
// an operator on the machine. It heeds [converge.Change.Restart].
type Operable interface {
	// Drain takes a component out of the load balancers until Undrain is called. By is
	// the operator, for people who read about it later. One that is drained already stays
	// so, and Drain returns that drain.
	Drain(name, by string) (before *api.Drain, err error)
	// Undrain returns the drain that it has ended, nil for a component that was not drained.
	Undrain(name string) (before *api.Drain, err error)
	// Release names what a spec has a component run, such as "release 0123456789ab".
	Release(spec Spec) string
}

// order is what an operator on the machine wants an operation to apply; "" is what
// its request holds.
type order string

const (
	// orderRestart applies the recorded spec again, under new processes.
	orderRestart order = "restart"
	// orderRollback applies the spec before the recorded one.
	orderRollback order = "rollback"
)

// Restart starts an operation that applies what is recorded of a component again,
// under new processes, and returns at once. Its owner stays.
func (r *Runner) Restart(_ context.Context, id api.ID, actor string) (api.Operation, error) {
	return r.order(id, orderRestart, 0, actor) //nolint:contextcheck // it outlives the caller
}

// Rollback starts an operation that applies the spec before the present one, and
// returns at once. The owner stays, and so do the secrets: only one version of them
// is held. The next one goes forth again. To is the generation that it has to go back to,
// 0 for what served before the last change; see [Earlier.choose].
func (r *Runner) Rollback(_ context.Context, id api.ID, to int64, actor string) (api.Operation, error) {
	return r.order(id, orderRollback, to, actor) //nolint:contextcheck // it outlives the caller
}

func (r *Runner) order(id api.ID, what order, to int64, actor string) (api.Operation, error) {
	if _, err := r.operable(id); err != nil {
		return api.Operation{}, err
	}
	record, err := r.recorded(id)
	if err != nil {
		return api.Operation{}, err
	}
	asked := fmt.Sprintf("%s %s %d", what, actor, r.Clock().UnixNano()) // one that is asked for again is another one
	j := job{
		Request: Request{
			ID: id, Base: record.Generation, Actor: fmt.Sprintf("%s (%s)", actor, what),
			Operation: api.OperationID(api.VerbApply, id, record.Generation, record.Spec, asked),
		},
		verb: api.VerbApply, kind: r.kinds[id.Kind], order: what, to: to,
	}
	if j, _, err = j.aim(record); err != nil {
		return api.Operation{}, err
	}
	return r.submit(j)
}

// Drain takes a component out of the load balancers, or puts it back. It returns the drain
// that was in force.
func (r *Runner) Drain(_ context.Context, id api.ID, drained bool, by string) (api.Drained, error) {
	kind, err := r.operable(id)
	if err != nil {
		return api.Drained{}, err
	}
	if _, err := r.recorded(id); err != nil {
		return api.Drained{}, err
	}
	var before *api.Drain
	if drained {
		before, err = kind.Drain(id.Name, by)
	} else {
		before, err = kind.Undrain(id.Name)
	}
	return api.Drained{Before: before}, err
}

// operable returns the kind of a component, if operators can give orders to it.
func (r *Runner) operable(id api.ID) (Operable, error) {
	kind, err := r.kind(id)
	if err != nil {
		return nil, err
	}
	operable, ok := kind.(Operable)
	if !ok {
		return nil, &api.Problem{Type: api.ProblemInvalid, Title: "This kind of component takes no such order",
			Detail: fmt.Sprintf("%s cannot be restarted, rolled back or drained on the machine; an app server can, such as %s/shop. Change %s with Terraform", id, api.KindAppServer, id)}
	}
	return operable, nil
}

// aim returns an ordered job with what its order says that it applies, given what is
// recorded now, and what is to be said about that.
func (j job) aim(record *Record) (aimed job, notes []string, err error) {
	spec := record.Spec
	if j.order == orderRestart {
		notes = []string{fmt.Sprintf("start generation %d, as %s applied it, again", record.Generation, record.by())}
		j.Base = record.Generation // it is as good for what was applied while it waited
	} else if spec, notes, err = rolledBack(j, record); err != nil {
		return j, nil, err
	}
	if j.spec, err = j.kind.Validate(spec); err != nil {
		problem := api.AsProblem(err)
		problem.Title = "What was applied is not understood by this version of the agent; run terraform apply"
		return j, nil, problem
	}
	j.Write.Spec, j.Write.Owner = spec, record.Ownership.Owner
	return j, notes, nil
}

// aim is [job.aim] for a job whose turn has come, and says it: the component may be
// gone. A job without an order stays as it is.
func (r *Runner) aim(j job, record *Record) (job, error) {
	switch {
	case j.order == "":
		return j, nil
	case record == nil:
		return j, notFound("component %s", j.ID)
	case record.lost != nil:
		return j, recordLost(record)
	}
	j, notes, err := j.aim(record)
	for _, note := range notes {
		r.log.event(j.Operation, api.PhaseValidate, "%s", note)
	}
	return j, err
}
