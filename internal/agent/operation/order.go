package operation

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Operable is a [Kind] whose components can be restarted, rolled back and drained by
// an operator on the machine. It heeds [converge.Change.Restart].
type Operable interface {
	// Drain takes a component out of the load balancers until Undrain is called. By is
	// the operator, for people who read about it later.
	Drain(name, by string) error
	// Undrain is no error for a component that is not drained.
	Undrain(name string) error
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

// Earlier is the spec that was applied to a component before the present one.
type Earlier struct {
	Spec json.RawMessage `json:"spec"`
	// Generation, AppliedAt and Actor are those of its last apply.
	Generation int64     `json:"generation"`
	AppliedAt  time.Time `json:"applied_at"`
	Actor      string    `json:"actor"`
}

// RolledBack is a rollback that an operator has ordered and no apply has followed.
type RolledBack struct {
	// Generation is the one that was left: that of the configuration.
	Generation int64     `json:"generation"`
	At         time.Time `json:"at"`
	Actor      string    `json:"actor"`
}

// Restart starts an operation that applies what is recorded of a component again,
// under new processes, and returns at once. Its owner stays.
func (r *Runner) Restart(_ context.Context, id api.ID, actor string) (api.Operation, error) {
	return r.order(id, orderRestart, actor) //nolint:contextcheck // it outlives the caller
}

// Rollback starts an operation that applies the spec before the present one, and
// returns at once. The owner stays, and so do the secrets: only one version of them
// is held. The next one goes forth again.
func (r *Runner) Rollback(_ context.Context, id api.ID, actor string) (api.Operation, error) {
	return r.order(id, orderRollback, actor) //nolint:contextcheck // it outlives the caller
}

func (r *Runner) order(id api.ID, what order, actor string) (api.Operation, error) {
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
		verb: api.VerbApply, kind: r.kinds[id.Kind], order: what,
	}
	if j, _, err = j.aim(record); err != nil {
		return api.Operation{}, err
	}
	return r.submit(j)
}

// Drain takes a component out of the load balancers, or puts it back.
func (r *Runner) Drain(_ context.Context, id api.ID, drained bool, by string) error {
	kind, err := r.operable(id)
	if err != nil {
		return err
	}
	if _, err := r.recorded(id); err != nil {
		return err
	}
	if drained {
		return kind.Drain(id.Name, by)
	}
	return kind.Undrain(id.Name)
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

// rolledBack returns the spec that a rollback applies, and what is to be said of it.
func rolledBack(j job, record *Record) (json.RawMessage, []string, error) {
	earlier := record.Earlier
	if earlier == nil {
		return nil, nil, &api.Problem{Type: api.ProblemInvalid, Title: "There is nothing to roll back to",
			Detail: fmt.Sprintf("%s has had no other configuration on this machine than the present one, which %s applied", j.ID, record.by())}
	}
	if j.Base != record.Generation {
		return nil, nil, &api.Problem{Type: api.ProblemGeneration, Title: "The component was changed meanwhile",
			Detail: fmt.Sprintf("the rollback of %s was meant for generation %d, but while it waited generation %d was applied by %s; look at \"foobar-agent status\", and roll back again if it still has to be", j.ID, j.Base, record.Generation, record.by())}
	}
	notes := []string{fmt.Sprintf("go back to generation %d, which %s applied at %s", earlier.Generation, earlier.Actor, earlier.AppliedAt.UTC().Format("2006-01-02 15:04:05 UTC"))}
	present := rawSecretsVersion(record.Spec)
	if before := rawSecretsVersion(earlier.Spec); before != present {
		notes = append(notes, fmt.Sprintf("the secrets stay those of version %d: those of version %d are not held any more", present, before))
	}
	return withSecretsVersion(earlier.Spec, present), notes, nil
}

// earlier returns what a record is to keep as the spec before spec. A change of the
// secrets alone is none that can be rolled back.
func (j job) earlier(record *Record, spec json.RawMessage) *Earlier {
	if record == nil || record.lost != nil {
		return nil
	}
	if sameSpec(j.kind, j.spec, withSecretsVersion(record.Spec, rawSecretsVersion(spec))) {
		return record.Earlier
	}
	return &Earlier{Spec: record.Spec, Generation: record.Generation, AppliedAt: record.AppliedAt, Actor: record.Actor}
}

// rolledBack returns what a record is to keep of a rollback, at a time. A restart
// leaves it, a second rollback goes forth again, and an apply ends it.
func (j job) rolledBack(record *Record, now time.Time) *RolledBack {
	switch {
	case record == nil || record.lost != nil:
		return nil
	case j.order == orderRestart:
		return record.RolledBack
	case j.order == orderRollback && record.RolledBack == nil:
		return &RolledBack{Generation: record.Generation, At: now.UTC(), Actor: strings.TrimSuffix(j.Actor, fmt.Sprintf(" (%s)", orderRollback))}
	}
	return nil
}

// conditions tell of a rollback: as information while nobody asks for a change, and as a
// warning in the plan of one, which may bring back what an operator has left.
func (b *RolledBack) conditions(id api.ID, severity api.Severity) []api.Condition {
	if b == nil {
		return nil
	}
	return []api.Condition{{
		Type: "RolledBack", Severity: severity,
		Message: fmt.Sprintf("%s was rolled back from generation %d at %s by %s. Where the configuration is still that of generation %[2]d, an apply brings it back, its release included: change the configuration first.",
			id, b.Generation, b.At.UTC().Format("2006-01-02 15:04:05 UTC"), b.Actor),
	}}
}

func rawSecretsVersion(spec json.RawMessage) int64 {
	var s struct {
		Version int64 `json:"secrets_version"`
	}
	if json.Unmarshal(spec, &s) != nil {
		return 0
	}
	return s.Version
}

// withSecretsVersion returns a spec with another version of its secrets.
func withSecretsVersion(spec json.RawMessage, version int64) json.RawMessage {
	var members map[string]json.RawMessage
	if rawSecretsVersion(spec) == version || json.Unmarshal(spec, &members) != nil {
		return spec
	}
	members[secretsMember] = api.Encode(version)
	return api.Encode(members)
}
