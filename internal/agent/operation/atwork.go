package operation

import (
	"fmt"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// named says which operation one is, for whoever looks for it: whose, and which order.
func named(op api.Operation) string { return fmt.Sprintf("operation %s of %s", op.ID, op.Actor) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// ends names what has replaced something that is being ended, and since when that drains.
func (r *Runner) ends(id api.ID) (what, since string, found bool) {
	open, found := r.Engine.Open(id)
	what = "the last change"
	if op, known := r.log.get(readNote(open).Operation); known {
		what += ", " + named(op) + ","
	}
	if !open.Draining.IsZero() {
		since = "drains since " + stamp(open.Draining)
	}
	return what, since, found && open.Committed
}

// atWork says what is at work on a component, and what a reader gets meanwhile.
func (r *Runner) atWork(id api.ID) string {
	if what, drains, ends := r.ends(id); ends {
		if drains == "" {
			drains = "is being ended"
		}
		return fmt.Sprintf("%s is in force. What it replaced %s, and until that has ended drift is not looked for.", api.Capital(what), drains)
	}
	const meanwhile = "this is what was applied before, and drift is not looked for."
	if op, running := r.log.runningOf(id); running {
		return fmt.Sprintf("%s is at work on it since %s: %s", api.Capital(named(op)), stamp(op.Started), meanwhile)
	}
	return "The agent itself is at work on it: " + meanwhile
}

// turnOf says whom or what an operation that waits for its turn waits for.
func (r *Runner) turnOf(id api.ID) string {
	if what, drains, ends := r.ends(id); ends {
		if drains != "" {
			drains = ", which " + drains
		}
		return fmt.Sprintf("what %s has replaced to end%s", what, drains)
	}
	if op, running := r.log.runningOf(id); running {
		return fmt.Sprintf("%s, which is at work on %s since %s", named(op), id, stamp(op.Started))
	}
	return fmt.Sprintf("what is at work on %s", id)
}

// maxFailure bounds the error of a failed change that is shown with its component, in bytes.
const maxFailure = 300

// lastFailed returns the last change of a component, if that has failed: what is recorded is
// from before it.
func (r *Runner) lastFailed(record *Record) *api.FailedChange {
	op, found := r.log.lastOf(record.ID)
	if !found || op.State != api.OperationFailed || op.Problem == nil || op.Ended.Before(record.AppliedAt) {
		return nil
	}
	text := strings.Join(strings.Fields(op.Problem.Error()), " ")
	if len(text) > maxFailure {
		text = strings.ToValidUTF8(text[:maxFailure], "") + "…"
	}
	return &api.FailedChange{Operation: op.ID, Actor: op.Actor, At: op.Ended, Error: text}
}
