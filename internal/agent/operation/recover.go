package operation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Recover ends what an earlier life of the agent left in the middle. What was not
// committed is undone. What was is finished in the background: until then the
// component is one that an operation is at work on. It is called once, before
// anything else. An error is about what could not be recovered; the agent serves all
// the same, so that it can be repaired.
func (r *Runner) Recover(ctx context.Context) error {
	ended, err := r.Engine.Recover(ctx, r.followInterrupted)
	failures := []error{err}
	if err := r.clearChecks(); err != nil { // which concerns no component
		r.Logger.Warn("what was being checked when the agent was killed cannot be removed, and may hold secrets", "dir", r.Runtime, "error", err)
	}
	undo := map[string]error{}
	for _, i := range ended {
		r.Logger.Warn("an operation was interrupted", "kind", i.Component.Kind, "name", i.Component.Name, "committed", i.Committed)
		r.finish(i.Component) //nolint:contextcheck // it outlives the start
		if i.Err != nil {
			undo[readNote(i).Operation] = i.Err
			failures = append(failures, fmt.Errorf("undo the interrupted operation on %s: %w", i.Component, i.Err))
		}
	}
	for _, op := range r.log.unended() {
		record := r.store.read(op.Component)
		failure := undo[op.ID]
		if damage := r.Engine.Unsure(op.Component); damage != "" && failure == nil {
			failure = fmt.Errorf("its undo journal was damaged (%s)", damage)
		}
		r.log.end(op.ID, func(o *api.Operation) { decide(o, record, failure) })
		if op.Verb == api.VerbDelete && record == nil {
			r.forgetAnswers(op.Component)
		}
	}
	r.collect()
	r.noteReserve(r.reserve.Keep())
	r.running.Go(r.keepReserve)
	failures = append(failures, r.superviseAll()) //nolint:contextcheck // it lasts as long as the agent
	return errors.Join(failures...)
}

// clearChecks removes what was being checked when the agent was killed: it may
// hold secrets.
func (r *Runner) clearChecks() error {
	left, err := filepath.Glob(filepath.Join(r.Runtime, checkPrefix+"*"))
	failures := []error{err}
	for _, path := range left {
		failures = append(failures, os.RemoveAll(path))
	}
	return errors.Join(failures...)
}

// decide decides how an operation ended that nobody saw the end of. The record
// knows: it changes as the last thing before the commit.
func decide(op *api.Operation, record *Record, undo error) {
	if op.State == api.OperationRunning && isLast(*op, record) {
		op.State = api.OperationApplied
		if record != nil {
			op.Generation = record.Generation
		}
		return
	}
	op.State = api.OperationFailed
	op.Problem = &api.Problem{
		Type: api.ProblemInterrupted, Title: "The agent or the machine stopped in the middle",
		Detail: "its files and units are as they were before; apply again",
	}
	if undo != nil {
		op.Problem.Detail = fmt.Sprintf("the change could not be undone completely: %v; apply again", undo)
	}
}

// finish ends in the background, in the component's turn, what a committed operation
// has replaced, if something of that is left. It ends with the agent, whose next life
// does it again.
func (r *Runner) finish(id api.ID) {
	open, found := r.Engine.Open(id)
	if !found || !open.Committed {
		return
	}
	leave, free := r.occupy(id)
	if !free { // an operation is at work, which does it first
		return
	}
	r.running.Go(func() {
		defer leave()
		if err := r.Engine.Complete(r.Ctx, id, r.followInterrupted); err != nil && r.Ctx.Err() == nil {
			r.noteUnfinished(id, readNote(open).Operation, err, "The agent tries again before the next change, and when it starts")
		}
	})
}

// noteUnfinished tells what of a committed operation is not finished, and what the agent
// does about that.
func (r *Runner) noteUnfinished(id api.ID, operation string, err error, next string) {
	r.Logger.Warn("what an operation has replaced is not ended yet", "op", operation, "kind", id.Kind, "name", id.Name, "error", err)
	r.progress(operation)(api.PhaseCommit, "the change is in force. What it replaced is not ended yet: %v. %s", err, next)
}

// goesOn says what becomes of an operation that is not finished when its context is over.
func (r *Runner) goesOn(ctx context.Context) string {
	switch {
	case r.Ctx.Err() != nil:
		return "The agent goes on with that when it starts"
	case ctx.Err() != nil:
		return "The agent goes on with that in the background, and the next change waits for it"
	}
	return "The agent tries again at once"
}

// completeLast ends the last transaction of a component, should it still be open. What
// cannot be ended must not be forgotten, so no other one begins. It takes the time that
// it needs, and none of the operation that waits for it.
func (r *Runner) completeLast(j job) error {
	ctx, id := r.Ctx, j.ID
	if _, found := r.Engine.Open(id); found {
		r.log.event(j.Operation, api.PhaseQueue, "wait for what the last change of %s has left to end", id)
	}
	err := r.Engine.Complete(ctx, id, r.followInterrupted)
	unfinished, ok := errors.AsType[*converge.UnfinishedError](err)
	if !ok {
		return err
	}
	what, do := "what the last change has replaced", "Remove the cause on the machine"
	if unit, ok := errors.AsType[*converge.UnitError](err); ok {
		what = fmt.Sprintf("the unit %s, which the last change has replaced,", unit.Unit)
		do = fmt.Sprintf("End it on the machine (systemctl kill --signal=KILL %s)", unit.Unit)
	}
	problem := &api.Problem{
		Type: api.ProblemRolledBack, Title: "The last change is not finished",
		Detail: fmt.Sprintf("%s could not be ended: %v. That change is in force, and nothing else was changed. %s, and apply again", what, unfinished.Err, do),
	}
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), problem)
	}
	return problem
}

// followInterrupted returns what has the engine of an interrupted operation go back,
// or drain what the operation has replaced.
func (r *Runner) followInterrupted(i converge.Interrupted) converge.Follow {
	kind := r.kinds[i.Component.Kind]
	if kind == nil {
		unknown := fmt.Errorf("this agent knows no kind %q", i.Component.Kind)
		return converge.Follow{
			Activate: func(context.Context, map[string]api.ChangeAction, bool) error { return unknown },
			Drained:  func(context.Context, time.Time, bool) error { return unknown },
		}
	}
	n := readNote(i)
	change := n.change(kind, i.Component.Name)
	held, _ := r.store.secrets(i.Component) // damaged ones are not known
	held.give(change.From)
	held.give(change.To)
	return follow(kind, i.Component, i.Existed, change, r.progress(n.Operation))
}

// StartRecorded starts the units of all components that do not run, once in
// each boot of the machine: what was stopped by hand since then stays so. It
// writes no file of a component; what was edited stays a drift.
func (r *Runner) StartRecorded(ctx context.Context, bootID string) error {
	path := filepath.Join(r.Engine.Root, r.Dir, "boot-id")
	last, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(last)) == bootID {
		return nil
	}
	records, err := r.store.list()
	failures := []error{err}
	for _, record := range records {
		if err := r.startComponent(ctx, record.ID); err != nil {
			failures = append(failures, fmt.Errorf("start %s after the boot: %w", record.ID, err))
		}
	}
	if ctx.Err() == nil { // else some were left out, and the next agent starts them
		failures = append(failures, replaceFile(path, []byte(bootID+"\n")))
	}
	return errors.Join(failures...)
}

// startComponent takes its turn with the operations on the component, which
// may have changed or removed it by then.
func (r *Runner) startComponent(ctx context.Context, id api.ID) error {
	r.mu.Lock()
	c := r.component(id)
	r.mu.Unlock()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	record := r.store.read(id)
	if record == nil {
		return nil
	}
	if record.lost != nil {
		return record.lost
	}
	var failures []error
	for _, unit := range record.Applied.State.Units {
		failures = append(failures, r.start(ctx, unit.Name))
	}
	return errors.Join(failures...)
}

func (r *Runner) start(ctx context.Context, unit string) error {
	status, err := r.Units.Status(ctx, unit)
	if err != nil || status.Active() {
		return err
	}
	// A unit that failed too often while its network was not there yet may
	// try again.
	return errors.Join(r.Units.ResetFailed(ctx, unit), r.Units.Start(ctx, unit))
}
