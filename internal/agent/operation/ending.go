package operation

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// end records how an operation ended.
func (r *Runner) end(j job, generation int64, err error, took time.Duration) {
	fields := []any{"op", j.Operation, "verb", j.verb, "kind", j.ID.Kind, "name", j.ID.Name, "actor", j.Actor, "took", took}
	if err != nil {
		problem := api.AsProblem(err)
		r.log.end(j.Operation, func(op *api.Operation) {
			if problem.Type == api.ProblemInterrupted && r.Ctx.Err() != nil {
				problem = interrupted(*op, problem.Detail)
			}
			op.State, op.Problem = api.OperationFailed, problem
		})
		r.Logger.Error("operation failed", append(fields, "problem", problem.Error())...)
		return
	}
	if j.verb == api.VerbDelete {
		r.forgetAnswers(j.ID)
	}
	r.noteUse(j)
	r.log.end(j.Operation, func(op *api.Operation) { op.State, op.Generation = api.OperationApplied, generation })
	r.Logger.Info("operation applied", append(fields, "generation", generation)...)
}

// timedOut is the cause of an operation's end by its deadline, in words that a
// user can act on.
type timedOut time.Duration

func (t timedOut) Error() string {
	return fmt.Sprintf("the operation did not end within its timeout of %s", api.Duration(t))
}

// logged reports whether what an operation started has written something.
func logged(err error) bool {
	problem, ok := errors.AsType[*api.Problem](err)
	return ok && len(problem.Log) > 0
}

// restored says what a machine has of a component after a change of it was
// undone, and where its log is: of a new one that wrote nothing there is none. It is what
// is recorded, unless that is unsure.
func restored(id api.ID, record *Record, unsure, logged bool) string {
	now := "files and units are as before"
	switch {
	case record == nil:
		now = fmt.Sprintf("there is no %s, as before", id)
	case unsure:
		now += ", which is not generation " + strconv.FormatInt(record.Generation, 10) + " as it was applied: an earlier change is not undone either"
	case record.lost == nil:
		now = fmt.Sprintf("generation %d, applied by %s, runs again", record.Generation, record.by())
	}
	undone := "the change was undone: " + now
	if record == nil && !logged {
		return undone
	}
	return fmt.Sprintf("%s. On the machine, \"foobar-agent logs %s\" shows the log", undone, id)
}

// summary is what an error says of the whole: what a problem says of places of the spec goes
// on beside it.
func summary(err error) string {
	problem, ok := errors.AsType[*api.Problem](err)
	switch {
	case !ok:
		return err.Error()
	case problem.Detail == "":
		return problem.Title
	}
	return problem.Title + ": " + problem.Detail
}

// besides is what an error says beside why its context ended, between what comes before and
// after it.
func besides(before string, err, over error, after string) string {
	text := summary(err)
	for _, end := range []error{over, context.DeadlineExceeded, context.Canceled} {
		if cut, found := strings.CutSuffix(text, end.Error()); found {
			text = strings.TrimSuffix(cut, ": ")
		}
	}
	switch {
	case text == "":
		text = before
	case before != "":
		text = before + ": " + text
	}
	return strings.TrimPrefix(text+"; "+after, "; ")
}

// conclude turns the error of an operation into the problem that it ended with.
// Over is why its context ended, nil if it did not; back is what there is after
// the change was undone.
func conclude(err, over error, back string) error {
	problem, typed := errors.AsType[*api.Problem](err)
	undone, isUndone := errors.AsType[*converge.UndoneError](err)
	late, isLate := over.(timedOut) //nolint:errorlint // the cause of our own context, as it is
	stopped := over != nil && (errors.Is(err, over) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
	outcome := "nothing was changed"
	if _, stands := errors.AsType[*converge.StandsError](err); stands {
		outcome = "what was done stands, and the next apply goes on from there"
	} else if isUndone {
		outcome = back
	}
	end := &api.Problem{Detail: err.Error()}
	if typed { // what a kind reported about the cause stays
		end.Violations, end.Log = problem.Violations, problem.Log
	}
	switch {
	case isUndone && undone.Undo != nil:
		end.Type, end.Title = api.ProblemInternal, "The change failed, and it could not be undone completely"
		end.Detail = fmt.Sprintf("%s; and going back failed too: %v", summary(undone.Cause), undone.Undo)
		_, down := errors.AsType[*converge.DownError](undone.Undo)
		if _, held := errors.AsType[*converge.HeldError](undone.Undo); down && !held {
			end.Detail += "; its files are as before, and its log may say why it ends"
		}
	case !typed && host.IsFull(err):
		full := host.Full(err)
		full.Detail = fmt.Sprintf("%s; %s", full.Detail, outcome)
		return full
	case stopped && isLate:
		end.Type, end.Title = api.ProblemTimeout, "The operation ran out of time"
		end.Detail = besides(late.Error(), err, over, outcome)
	case stopped:
		end.Type, end.Title = api.ProblemInterrupted, "The agent or the machine stopped in the middle"
		end.Detail = besides("", err, over, outcome)
	case typed && isUndone:
		end.Type, end.Title = problem.Type, problem.Title
		end.Detail = api.Capital(outcome)
		if problem.Detail != "" { // else the violations are the reason
			end.Detail = strings.TrimSuffix(problem.Detail, ".") + ". " + end.Detail
		}
	case typed:
		return problem
	case isUndone:
		end.Type, end.Title = api.ProblemRolledBack, "The change was made, did not work, and was undone"
		end.Detail = fmt.Sprintf("%v. %s", err, api.Capital(outcome))
	default:
		return api.AsProblem(err)
	}
	return end
}
