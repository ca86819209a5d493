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
			r.noteUnfinished(i.Component, readNote(i).Operation, i.Err, triesAgain)
			if _, open := r.Engine.Open(i.Component); !open { // else it is tried again, and reported as long as that is
				failures = append(failures, fmt.Errorf("undo the interrupted operation on %s: %w", i.Component, i.Err))
			}
		}
	}
	for _, op := range r.log.unended() {
		record := r.store.read(op.Component)
		failure := undo[op.ID]
		if mark, why := r.Engine.Unsure(op.Component); mark != "" && failure == nil {
			failure = fmt.Errorf("%s (%s)", why, mark)
		}
		r.log.end(op.ID, func(o *api.Operation) {
			if decide(o, record, failure); o.Problem != nil {
				r.Logger.Warn("an operation was cut off by the last end of the agent", "op", o.ID, "verb", o.Verb, "order", o.Order,
					"kind", o.Component.Kind, "name", o.Component.Name, "actor", o.Actor, "problem", o.Problem.Error())
			}
		})
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
	stands := "its files and units are as they were before"
	if undo != nil {
		stands = fmt.Sprintf("the change could not be undone completely: %v", undo)
	}
	op.Problem = interrupted(*op, stands)
	op.State = api.OperationFailed
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
	change.Warned = r.warned(n.Operation)
	held, _ := r.store.secrets(i.Component) // damaged ones are not known
	held.give(change.From)
	held.give(change.To)
	return r.follow(kind, i.Component, i.Existed, change, r.progress(n.Operation))
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
	c, done := r.use(id)
	defer done()
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
