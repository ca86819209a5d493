package converge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
)

// finish ends what a committed transaction has replaced, once nothing needs it,
// and removes it. Each of its steps bounds itself. A failure changes nothing of the
// outcome: the journal stays, and all of it is done again.
func (e *Engine) finish(ctx context.Context, j *journal, follow Follow) error {
	if err := e.run(ctx, e.finishSteps(j, follow)); err != nil {
		return &UnfinishedError{err}
	}
	return nil
}

func (e *Engine) finishSteps(j *journal, follow Follow) []step {
	var steps []step
	add := func(name string, run func(ctx context.Context) error) { steps = append(steps, step{name, run}) }
	if mark, _ := e.Unsure(j.Component); mark != "" {
		add("make sure", func(context.Context) error { return e.makeSure(j.Component) })
	}
	if j.Finish.Drain && follow.Drained != nil {
		add("drain", func(ctx context.Context) error { return e.drain(ctx, j, follow, false) })
	}
	steps = append(steps, e.retireSteps(j.Finish.Units, j.Finish.Paths, follow.Killed)...)
	for _, s := range j.Saved {
		if s.Tree {
			add("remove what was "+s.Path, func(context.Context) error { return os.RemoveAll(e.disk().path(aside(s.Path))) })
		}
	}
	for _, tree := range j.Finish.Trees {
		add("remove "+tree, func(context.Context) error { return e.disk().removeTree(tree) })
	}
	for _, dir := range j.Finish.Dirs {
		add("remove "+dir, func(context.Context) error { return e.disk().removeEmpty(dir) })
	}
	if exists(e.disk().path(e.leftDir(j.Component))) {
		add("forget the last journal", func(context.Context) error { return e.forgetLeft(j.Component) })
	}
	add("close", func(context.Context) error { return e.closeJournal(j.Component) })
	return steps
}

// drain waits until nothing needs what the traffic has left. The journal holds when that
// began, so that a later life of the agent goes on with it and does not begin again. Where
// the disk is too full for that, it does: what was replaced has to end all the same.
func (e *Engine) drain(ctx context.Context, j *journal, follow Follow, undo bool) error {
	if j.Draining.IsZero() {
		j.Draining = e.now()
		_ = e.writeJournal(j)
	}
	return follow.Drained(ctx, j.Draining, undo)
}

// retireSteps take away units and paths. Units end in the reverse of the order in
// which their state lists them: who passes requests on before who answers them.
func (e *Engine) retireSteps(units, paths []string, killed func(unit string, timeout time.Duration)) []step {
	var steps []step
	for _, unit := range slices.Backward(units) {
		steps = append(steps, step{"retire " + unit, func(ctx context.Context) error { return e.retireUnit(ctx, unit, killed) }})
	}
	for _, path := range paths {
		steps = append(steps, step{"remove " + path, func(context.Context) error { return e.disk().remove(path) }})
	}
	if len(units) > 0 || slices.ContainsFunc(paths, isUnitFile) {
		steps = append(steps, step{"reload units again", func(ctx context.Context) error { return e.within(ctx, 0, e.Units.DaemonReload) }})
	}
	return steps
}

// retireUnit stops and disables a unit, and leaves no trace of a failure. It takes as
// long as the unit may take to end. One that does not end is disabled all the same.
// Killed is that of [Follow].
func (e *Engine) retireUnit(ctx context.Context, unit string, killed func(unit string, timeout time.Duration)) error {
	var status systemd.Status
	err := e.within(ctx, 0, func(ctx context.Context) (err error) {
		status, err = e.Units.Status(ctx, unit)
		return err
	})
	if err == nil && !status.Missing() {
		err = e.within(ctx, status.StopTimeout, func(ctx context.Context) error { return e.Units.Stop(ctx, unit) })
		if killed != nil && err == nil && status.Active() && e.wasKilled(ctx, unit) {
			killed(unit, status.StopTimeout)
		}
	}
	if ctx.Err() == nil { // else all of it is done again
		err = errors.Join(err, e.within(ctx, 0, func(ctx context.Context) error {
			return errors.Join(e.Units.ResetFailed(ctx, unit), e.Units.Disable(ctx, unit))
		}))
	}
	if err != nil && ctx.Err() == nil { // the steps end here, and systemd is to know what was disabled
		err = errors.Join(err, e.within(ctx, 0, e.Units.DaemonReload))
	}
	if err != nil {
		return &UnitError{unit, err}
	}
	return nil
}

// wasKilled reports whether a unit that ran and was stopped had to be killed.
func (e *Engine) wasKilled(ctx context.Context, unit string) bool {
	var status systemd.Status
	err := e.within(ctx, 0, func(ctx context.Context) (err error) {
		status, err = e.Units.Status(ctx, unit)
		return err
	})
	return err == nil && status.Result == "timeout"
}

// UnfinishedError tells that a transaction is committed, and that what it replaced
// could not be stopped and removed. [Engine.Complete] goes on with that.
type UnfinishedError struct{ Err error }

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("end what was replaced: %v", e.Err)
}

// Unwrap returns the cause.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// UnitError is an error of the service manager, about a unit that should end.
type UnitError struct {
	Unit string
	Err  error
}

func (e *UnitError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UnitError) Unwrap() error { return e.Err }
