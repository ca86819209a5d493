package operation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// retryInterval is how long the agent waits before it tries again to end a change;
	// it doubles with each try in vain, up to maxRetryInterval.
	retryInterval    = time.Minute
	maxRetryInterval = 5 * time.Minute
	// triesAgain says so.
	triesAgain = "The agent tries again every few minutes, and before the next change"
)

// retryAfter returns how long the agent waits after so many further tries in vain.
func retryAfter(tries int) time.Duration {
	wait := retryInterval
	for range tries {
		if wait = min(2*wait, maxRetryInterval); wait == maxRetryInterval {
			break
		}
	}
	return wait
}

// finish ends in the background, in the component's turn, the last change of a
// component, if it is still open: what a committed one has replaced at once, what could
// not be undone after a while, as that was just tried. It tries until it succeeds, and
// ends with the agent, whose next life does it again.
func (r *Runner) finish(id api.ID) {
	open, found := r.Engine.Open(id)
	if !found {
		return
	}
	leave, free := func() {}, false
	if open.Committed {
		leave, free = r.occupy(id)
	}
	ctx, cancel := r.onlyRetry(id)
	r.running.Go(func() {
		defer cancel()
		for tries := 0; ; tries++ {
			if free && r.completed(id, leave) { //nolint:contextcheck // it lasts as long as the agent
				return
			}
			select {
			case <-r.after(retryAfter(tries)):
			case <-ctx.Done():
				return
			}
			leave, free = r.occupy(id) // else an operation is at work, which does it first
		}
	})
}

// onlyRetry returns the context of a component's retries, and ends those that wait.
func (r *Runner) onlyRetry(id api.ID) (context.Context, context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.component(id)
	if c.endRetry != nil {
		c.endRetry()
	}
	ctx, cancel := context.WithCancel(r.Ctx)
	c.endRetry = cancel
	return ctx, cancel
}

func (r *Runner) after(wait time.Duration) <-chan time.Time {
	if r.After == nil {
		return time.After(wait)
	}
	return r.After(wait)
}

// completed tries once to end a component's last change, in its turn, and reports
// whether nothing of that is left to try.
func (r *Runner) completed(id api.ID, leave func()) bool {
	defer leave()
	open, found := r.Engine.Open(id)
	if !found {
		return true
	}
	err := r.Engine.Complete(r.Ctx, id, r.followInterrupted)
	if err != nil && r.Ctx.Err() == nil {
		r.noteUnfinished(id, readNote(open).Operation, err, triesAgain)
		return false
	}
	if err == nil {
		r.noteEnded(id)
		r.supervise(id) // the traffic may go elsewhere now
	}
	return true
}

// noteEnded forgets what noteUnfinished told.
func (r *Runner) noteEnded(id api.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.component(id)
	c.failure, c.noted = nil, ""
}

// noteUnfinished tells what of an operation has not ended, and what the agent does about
// that, unless it has said the same already, or does nothing: an engine that does not run
// on the files that are back would not run any better the next time.
func (r *Runner) noteUnfinished(id api.ID, operation string, err error, next string) {
	if _, open := r.Engine.Open(id); !open {
		return
	}
	message := fmt.Sprintf("%s. %s", strings.TrimSuffix(err.Error(), "."), next)
	r.mu.Lock()
	c := r.component(id)
	known := c.noted == message
	c.failure, c.noted = err, message
	r.mu.Unlock()
	if known {
		return
	}
	r.Logger.Warn("an operation has not ended yet", "op", operation, "kind", id.Kind, "name", id.Name, "error", err)
	if _, committed := errors.AsType[*converge.UnfinishedError](err); !committed {
		r.progress(operation)(api.PhaseRollback, "the change is not undone completely: %s", message)
		return
	}
	r.progress(operation)(api.PhaseCommit, "the change is in force. What it replaced is not ended yet: %s", message)
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

// Conditions report creations that failed and could not be undone: their components
// have no record that would.
func (r *Runner) Conditions() []api.Condition {
	var all []api.Condition
	ids, err := r.Engine.AllOpen()
	if err != nil {
		r.Logger.Error("the changes that have not ended are not known", "error", err)
	}
	for _, id := range ids {
		if r.failure(id) != nil && r.store.read(id) == nil {
			all = append(all, r.unfinished(id)...)
		}
	}
	return all
}

// failure is why the last change of a component could not be ended when that was tried
// last, nil if it was not tried.
func (r *Runner) failure(id api.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.components[id]; c != nil {
		return c.failure
	}
	return nil
}

// unfinished reports a change that has not ended.
func (r *Runner) unfinished(id api.ID) []api.Condition {
	open, found := r.Engine.Open(id)
	if !found {
		return nil
	}
	failure := r.failure(id)
	what := fmt.Sprintf("The last change of %s is in force, but what it replaced could not be stopped and removed", id)
	if !open.Committed {
		what = fmt.Sprintf("The last change of %s failed, and could not be undone completely", id)
	}
	if failure != nil {
		what += ": " + strings.TrimSuffix(strings.ReplaceAll(failure.Error(), "\n", "; "), ".") // a sentence ends it
	}
	return []api.Condition{{
		Type: "ChangeUnfinished", Severity: api.SeverityWarning,
		Message: fmt.Sprintf("%s. %s%s. %s on the machine; no apply is needed then.", what, r.serves(open), triesAgain, remedy(failure)),
	}}
}

// serves says what gets the traffic while a change is not undone.
func (r *Runner) serves(open converge.Interrupted) string {
	_, switches := r.kinds[open.Component.Kind].(Switcher)
	switch {
	case open.Committed || !switches || !open.Existed:
		return ""
	case open.Switched:
		return "The traffic goes to the version that failed, until it can go back. "
	}
	return "The traffic goes to what was applied before. "
}

// remedy says what ends a change that the agent cannot end.
func remedy(err error) string {
	if unit, ok := errors.AsType[*converge.UnitError](err); ok {
		return fmt.Sprintf("End %s (systemctl kill --signal=KILL %s)", unit.Unit, unit.Unit)
	}
	return "Remove the cause"
}

// completeLast ends the last transaction of a component, should it still be open. What
// cannot be ended must not be forgotten, so no other one begins. It takes the time that
// it needs, and none of the operation that waits for it. What cannot be undone since
// what served before does not run any more is no obstacle: the operation goes on from
// what serves, and leaves that undoing once it changes something.
func (r *Runner) completeLast(j job) error {
	ctx, id := r.Ctx, j.ID
	open, found := r.Engine.Open(id)
	if found {
		since := ""
		if !open.Draining.IsZero() {
			since = ", which drains since " + open.Draining.UTC().Format(time.TimeOnly) + " UTC"
		}
		r.log.event(j.Operation, api.PhaseQueue, "wait for what the last change of %s has left to end%s", id, since)
	}
	err := r.Engine.Complete(ctx, id, r.followInterrupted)
	if err == nil {
		r.noteEnded(id)
		return nil
	}
	if _, held := errors.AsType[*converge.HeldError](err); held && ctx.Err() == nil {
		r.log.event(j.Operation, api.PhaseQueue, "go on from what the last change of %s has left: %v", id, err)
		r.noteUnfinished(id, readNote(open).Operation, err, triesAgain)
		return nil
	}
	problem := &api.Problem{Type: api.ProblemRolledBack, Title: "The last change is not finished"}
	if unfinished, ok := errors.AsType[*converge.UnfinishedError](err); ok {
		what := "what the last change has replaced"
		if unit, ok := errors.AsType[*converge.UnitError](err); ok {
			what = fmt.Sprintf("the unit %s, which the last change has replaced,", unit.Unit)
		}
		problem.Detail = fmt.Sprintf("%s could not be ended: %v. That change is in force, and nothing else was changed. ", what, unfinished.Err)
	} else {
		if !found { // a damaged journal that could not be set aside
			return err
		}
		problem.Title = "The last change is not undone"
		problem.Detail = fmt.Sprintf("%v. Nothing else was changed. %s", err, r.serves(open))
	}
	problem.Detail += remedy(err) + " on the machine, and apply again"
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), problem)
	}
	return problem
}

// undoHeld reports whether the last change of a component is not undone, since what served
// before does not run.
func (r *Runner) undoHeld(id api.ID) bool {
	_, held := errors.AsType[*converge.HeldError](r.failure(id))
	open, found := r.Engine.Open(id)
	return held && found && !open.Committed
}
