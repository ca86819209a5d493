package operation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// admission is what may be done for a job, given what is recorded.
type admission int

const (
	refused admission = iota
	// change: the job goes on from what is recorded.
	change
	// adopt: the component is there already with the wanted spec.
	adopt
)

// admit compares what a job is based on with what is recorded. Its error tells
// who was there first.
func (r *Runner) admit(j job, record *Record) (admission, error) {
	switch {
	case record != nil && record.lost != nil && j.verb == api.VerbDelete: // its files and units are not known
		return refused, recordLost(record)
	case record != nil && record.lost != nil && j.creates() && !j.Write.Held: // whose it is, is not known: it may be another's
		return refused, recordLost(record)
	case record != nil && record.lost != nil:
		return change, nil //nolint:nilerr // what is lost is replaced
	case record == nil && j.verb == api.VerbDelete:
		return refused, notFound("component %s", j.ID)
	case record == nil && j.Base == 0:
		return change, nil
	case record == nil:
		return refused, &api.Problem{Type: api.ProblemGeneration, Title: "The component was changed by somebody else",
			Detail: fmt.Sprintf("generation %d of %s is expected, but there is none on this machine: it was removed, or the machine was rebuilt", j.Base, j.ID)}
	case j.creates() && !j.Write.Held && !sameSpec(j.kind, j.spec, record.Spec):
		return refused, exists(j.ID, record)
	case !j.mayWrite(record.Ownership.Owner):
		return refused, owned(j.ID, record)
	case j.Base == record.Generation && j.verb == api.VerbDelete:
		return change, nil
	case j.verb == api.VerbApply && sameSpec(j.kind, j.spec, record.Spec) && (j.Base == 0 || j.Base == record.Generation):
		return adopt, nil
	case j.Base == record.Generation || j.changesOwn(record):
		return change, nil
	case j.creates():
		return refused, exists(j.ID, record)
	}
	return refused, &api.Problem{Type: api.ProblemGeneration, Title: "The component was changed by somebody else",
		Detail: fmt.Sprintf("generation %d of %s is expected, but generation %d was applied by %s; plan again", j.Base, j.ID, record.Generation, record.by())}
}

// exists is the problem of a create of what stands with another spec.
func exists(id api.ID, record *Record) error {
	return &api.Problem{Type: api.ProblemExists, Title: "The component exists with another configuration",
		Detail: fmt.Sprintf("%s is on this machine already, as applied by %s", id, record.by())}
}

func (r *Record) by() string {
	return fmt.Sprintf("%s at %s", r.Actor, r.AppliedAt.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// sameSpec compares a spec with a recorded one as this agent understands it.
func sameSpec(kind Kind, spec Spec, recorded json.RawMessage) bool {
	before, err := kind.Validate(recorded)
	return err == nil && string(api.Encode(before)) == string(api.Encode(spec))
}

// execute does what a job asks for and returns the component's generation
// after it.
func (r *Runner) execute(ctx context.Context, j job) (int64, error) {
	record := r.record(j)
	j, err := r.aim(j, record)
	if err != nil {
		return 0, err
	}
	how, err := r.admit(j, record)
	if err != nil {
		return 0, err
	}
	if j.verb == api.VerbDelete {
		from, err := r.basis(ctx, j, record)
		if err != nil {
			return 0, err
		}
		return 0, r.converge(ctx, j, record, from, nil)
	}
	r.log.event(j.Operation, api.PhaseValidate, "the spec is valid")
	if how == adopt && j.order == "" {
		intact, err := r.intact(ctx, j, record)
		if err != nil {
			return 0, err
		}
		if intact {
			if err := r.adopted(record, j.Write.Owner, j.Actor); err != nil {
				return 0, err
			}
			r.log.event(j.Operation, api.PhaseCommit, "nothing to do: everything is as it was applied")
			return record.Generation, nil
		}
	}
	from, to, err := r.prepare(ctx, j, record)
	if err != nil {
		return 0, err
	}
	if err := r.converge(ctx, j, record, from, to); err != nil {
		return 0, err
	}
	return next(record), nil
}

func next(record *Record) int64 {
	if record == nil {
		return 1
	}
	return record.Generation + 1
}

// intact reports whether a component stands as it was recorded, on the disk
// and in the running engine, and with the secrets that its spec asks for.
func (r *Runner) intact(ctx context.Context, j job, record *Record) (bool, error) {
	seen, err := r.inspect(ctx, j.kind, record)
	if err != nil {
		return false, err
	}
	held, _ := r.store.secrets(j.ID)
	return len(seen.drift) == 0 && string(seen.observed) == string(seen.spec) && held.Version == secretsVersion(j.spec), nil
}

// converge brings the machine to a target, nil for none, with the records.
func (r *Runner) converge(ctx context.Context, j job, record *Record, from basis, to *target) error {
	t := converge.Transaction{
		Component: j.ID,
		From:      from.applied,
		Beside:    from.beside,
		Leave:     r.undoHeld(j.ID),
		Committed: func() { r.supervise(j.ID) }, //nolint:contextcheck // it lasts as long as the agent
		Progress:  r.progress(j.Operation),
	}
	var after *converge.Version
	if to != nil {
		after = &to.version
		t.To = &to.version.State
	}
	t.Books = r.books(j, record, from, to)
	edited, err := r.edited(from.applied, r.unsure(j.ID, record))
	if err != nil {
		return err
	}
	change := converge.Change{Name: j.ID.Name, From: from.stands(), To: after, Edited: edited, Forget: j.Write.Forget, Restart: j.order == orderRestart, Warned: r.warned(j.Operation)}
	t.Note = api.Encode(noteOf(j.Operation, change, from.applied))
	t.Follow = r.follow(j.kind, j.ID, record != nil, change, t.Progress)
	activate, impacts := t.Follow.Activate, understood(change)
	t.Follow.Activate = func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error {
		if impacts.Paths = paths; !undo {
			r.log.update(j.Operation, func(op *api.Operation) { op.Impact = j.kind.Impact(impacts) })
		}
		return activate(ctx, paths, undo)
	}
	err = r.Engine.Apply(ctx, t)
	if err == nil {
		r.noteEnded(j.ID)
	}
	if unfinished, ok := errors.AsType[*converge.UnfinishedError](err); ok {
		r.noteUnfinished(j.ID, j.Operation, unfinished, r.goesOn(ctx))
		for _, left := range r.unfinished(j.ID) {
			change.Warn(left.Type, "", "%s", left.Message)
		}
		err = nil
	}
	if undone, ok := errors.AsType[*converge.UndoneError](err); ok && undone.Undo != nil {
		r.noteUnfinished(j.ID, j.Operation, undone.Undo, triesAgain)
	}
	if err != nil {
		return err
	}
	r.collect()
	return nil
}

// progress returns what adds events to an operation, as long as it is remembered.
func (r *Runner) progress(operation string) converge.Progress {
	return func(phase api.Phase, format string, args ...any) {
		r.log.event(operation, phase, format, args...)
	}
}

// warned returns what adds warnings to an operation. They are logged as well: of what an
// operation has replaced, it may come to light after the operation has ended.
func (r *Runner) warned(operation string) func(api.Condition) {
	return func(w api.Condition) {
		r.Logger.Warn("operation has a warning", "op", operation, "type", w.Type, "warning", w.Message)
		r.log.update(operation, func(op *api.Operation) {
			others := slices.DeleteFunc(slices.Clone(op.Warnings), func(other api.Condition) bool { return other.Type == w.Type })
			op.Warnings = append(others, w)
		})
	}
}

// serving returns what the traffic of a component goes to, as the engine and as the kind
// see it: what is recorded, unless a change that cannot be undone has moved the traffic.
// The latter is nil for a spec that this version of the agent does not understand.
func (r *Runner) serving(kind Kind, record *Record) (*converge.Applied, *converge.Version) {
	applied, version := r.version(kind, record)
	if record == nil || record.lost != nil {
		return applied, version
	}
	open, found := r.Engine.Open(record.ID)
	if !found || open.Committed || !open.Existed {
		return applied, version
	}
	n := readNote(open)
	at := n.Before
	if open.Switched {
		at = n.After
	}
	if at == nil { // of another version of the agent
		return applied, version
	}
	held, _ := r.store.secrets(record.ID) // damaged ones are not known
	version = at.version(kind)
	held.give(version)
	return &at.Applied, onlyUnderstood(version)
}

// version returns what is recorded, as the engine and as the kind see it. The
// latter is nil for a spec of an older agent that this one does not understand.
func (r *Runner) version(kind Kind, record *Record) (*converge.Applied, *converge.Version) {
	if record == nil {
		return nil, nil
	}
	spec, err := kind.Validate(record.Spec)
	if err != nil || record.lost != nil {
		return &record.Applied, nil
	}
	held, _ := r.store.secrets(record.ID) // damaged ones are not known
	return &record.Applied, &converge.Version{Spec: spec, State: record.Applied.State, Secrets: held.Values}
}

// edited returns the files whose content is not as it was applied. If it is
// not known what was applied, all are.
func (r *Runner) edited(applied *converge.Applied, unsure bool) (map[string]bool, error) {
	if applied == nil {
		return nil, nil
	}
	if unsure {
		edited := map[string]bool{}
		for _, f := range applied.State.Files {
			edited[f.Path] = true
		}
		return edited, nil
	}
	return r.Engine.Edited(*applied)
}

// follow returns what has a kind follow a change or its undoing. Existed tells that
// the component was there before the change. A version whose spec is not understood has
// its state alone, which is enough to drain it.
func (r *Runner) follow(kind Kind, id api.ID, existed bool, change converge.Change, progress converge.Progress) converge.Follow {
	directed := func(undo bool) converge.Change {
		c := change
		if c.Undo = undo; undo {
			c.From, c.To = change.To, change.From
		}
		return c
	}
	call := func(of func(context.Context, converge.Change, converge.Progress) error, unknown error) converge.Call {
		return func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error {
			c := understood(directed(undo))
			c.Paths = paths
			if undo && existed && c.To == nil { // to the kind it would look like a deletion
				return unknown
			}
			return of(ctx, c, progress)
		}
	}
	f := converge.Follow{Activate: call(kind.Apply,
		fmt.Errorf("the spec that %s had before is not understood by this version of the agent; its files are back, apply it again", id))}
	if switcher, ok := kind.(Switcher); ok {
		f.Switched = call(switcher.Switched, nil)
		f.Drained = func(ctx context.Context, since time.Time, undo bool) error {
			drained := func() error { return switcher.Drained(ctx, directed(undo), since, progress) }
			if undo {
				return drained()
			}
			return r.lend(id, drained)
		}
		f.Killed = func(unit string, timeout time.Duration) { switcher.Killed(change, unit, timeout) }
	}
	return f
}

// books returns the records of a component as they will be.
func (r *Runner) books(j job, record *Record, from basis, to *target) []converge.Book {
	paths := []string{r.store.secretsPath(j.ID), r.store.recordPath(j.ID)}
	if to == nil {
		return []converge.Book{{Path: paths[0]}, {Path: paths[1]}}
	}
	spec := api.Encode(j.spec)
	hash := sha256.Sum256(spec)
	updated := Record{
		ID: j.ID, Generation: next(record), Spec: spec, Hash: hex.EncodeToString(hash[:]),
		AppliedAt: r.Clock().UTC(), Actor: j.Actor, Operation: j.Operation, Run: j.run, SecretsVersion: to.secrets.Version,
		Ownership: r.ownership(record, j.Write.Owner, j.Actor),
	}
	updated.Earlier, updated.RolledBack = j.earlier(record, spec), j.rolledBack(record, updated.AppliedAt)
	updated.Applied = converge.NewApplied(from.applied, to.version.State)
	_, damaged := r.store.secrets(j.ID)
	kept := converge.Book{Path: paths[0], Damaged: damaged != nil}
	if to.secrets.Version != 0 {
		kept.Content = api.Encode(to.secrets)
	}
	return []converge.Book{kept, {Path: paths[1], Content: api.Encode(updated), Damaged: record != nil && record.lost != nil}}
}

// collect removes the artifacts that no component refers to any more. Those of
// earlier releases stay as long as their trees do, so that going back needs no
// upload, whatever happened to the tree.
func (r *Runner) collect() { r.collectBut(true) }

// makeRoom is collect for a machine that has no room for an upload: artifacts of
// earlier releases go too. Their trees stay.
func (r *Runner) makeRoom() { r.collectBut(false) }

func (r *Runner) collectBut(earlier bool) {
	records, err := r.store.list()
	if err != nil {
		r.Logger.Warn("unused artifacts are not removed", "error", err)
		return
	}
	blobs, trees := map[string]bool{}, map[string]bool{}
	for _, record := range records {
		if record.lost != nil {
			r.Logger.Warn("unused artifacts are not removed", "error", record.lost)
			return
		}
		for _, t := range record.Applied.State.Trees {
			blobs[t.SHA256] = true
		}
		for _, t := range record.Applied.Kept {
			trees[t.SHA256] = true
			blobs[t.SHA256] = blobs[t.SHA256] || earlier
		}
	}
	if err := r.Blobs.Collect(blobs, trees); err != nil {
		r.Logger.Warn("unused artifacts are not removed", "error", err)
	}
}
