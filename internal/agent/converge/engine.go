package converge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// Units is what the engine needs of the service manager; see
// [systemd.Manager], which has it.
type Units interface {
	Stop(ctx context.Context, unit string) error
	Enable(ctx context.Context, units ...string) error
	Disable(ctx context.Context, units ...string) error
	ResetFailed(ctx context.Context, unit string) error
	DaemonReload(ctx context.Context) error
	Status(ctx context.Context, unit string) (systemd.Status, error)
}

// Accounts makes and looks up system accounts; see [SystemAccounts].
type Accounts interface {
	Ensure(ctx context.Context, users []User) error
	Lookup(owner, group string) (uid, gid int, err error)
}

// Trees is what the engine needs of the artifacts; see [blob.Store].
type Trees interface {
	Unpack(ctx context.Context, sum, dir string, limits blob.Limits) error
	Manifest(sum string) (blob.Manifest, error)
}

// Engine carries out transactions, those of different components at the same
// time. All fields but Hook are required, unless they say otherwise.
type Engine struct {
	// Root is the directory that all paths of states lie below; empty is "/".
	Root string
	// Dir is where transactions are journalled, below Root.
	Dir      string
	Units    Units
	Accounts Accounts
	Trees    Trees
	// UndoTimeout bounds each step of the way back, and what ends a unit beyond the
	// unit's own stop timeout; zero means [DefaultUndoTimeout].
	UndoTimeout time.Duration
	// Clock tells the time; nil means [time.Now].
	Clock func() time.Time
	// Hook, if set, is called before each step with its name. It is the seam
	// for faults: an error fails the step, and a hook that ends the process or
	// its goroutine does so between two steps.
	Hook func(step string) error

	// machine is held while files are swapped and systemd is notified: the part
	// of a transaction in which another must not see things half done.
	machine sync.Mutex
}

// DefaultUndoTimeout is enough to restart the slowest engine once.
const DefaultUndoTimeout = 2 * time.Minute

func (e *Engine) disk() disk { return disk{e.Root} }

// Follow has the running engine of a component follow a transaction.
type Follow struct {
	// Activate makes it run what is in place, and returns once that is healthy:
	// from then on traffic may be switched to it.
	Activate Call
	// Switched is called once the links that move traffic are switched, and
	// verifies that what is in place serves through them. Nil for an engine that
	// has no such links.
	Switched Call
	// Drained returns when nothing needs what served before, which is stopped then, and
	// bounds itself. On the way here it is called after the commit, and possibly again by
	// a later life of the agent; since is when it was called first. With undo it is what
	// was new that is stopped then. Nil as Switched.
	Drained func(ctx context.Context, since time.Time, undo bool) error
	// Killed is called for a unit of what was replaced that did not end within its stop
	// timeout, which systemd has killed then. Nil if nobody wants to know.
	Killed func(unit string, timeout time.Duration)
}

// Call is one call of a running engine. Paths is what is done to each file,
// link and tree. With undo the transaction goes back: the paths are as they
// were before.
type Call func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error

// StandsError is returned by a [Call] that did not come to its end, and
// that has done what going back does not take back: it stands, and the next
// change goes on from there.
type StandsError struct{ Err error }

func (e *StandsError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StandsError) Unwrap() error { return e.Err }

// Transaction is one change of one component.
type Transaction struct {
	Component api.ID
	// From is what was applied last, nil if nothing was; To is what is
	// wanted, nil if nothing is.
	From *Applied
	To   *State
	// Beside is what else stands of the component, though From has nothing of it. It
	// goes with what is wanted no more.
	Beside State
	// Leave tells that the last transaction could not be undone, see [HeldError], and that
	// this one goes on from what that has left. Should this one be undone itself, that
	// undoing is open again.
	Leave bool
	// Books are the caller's records of the component. They change with the
	// transaction: as the last thing before the commit, or not at all.
	Books []Book
	// Note comes back from [Engine.Recover] if the transaction is interrupted.
	// It must hold no secret.
	Note   json.RawMessage
	Follow Follow
	// Committed, if set, is called once the transaction is committed, before what it
	// replaced is ended, which takes time.
	Committed func()
	Progress  Progress
}

// Book is a root-only file that is written, or with nil Content removed, as
// part of a transaction.
type Book struct {
	Path    string
	Content []byte
	// Damaged tells that what stands there is damaged: it is set aside.
	Damaged bool
}

// UndoneError tells that a transaction failed and that the machine was brought
// back.
type UndoneError struct {
	// Cause is why it failed.
	Cause error
	// Undo is what of the way back failed, nil if all is as it was before.
	Undo error
}

func (e *UndoneError) Error() string {
	if e.Undo != nil {
		return fmt.Sprintf("%v; and going back failed too: %v", e.Cause, e.Undo)
	}
	return e.Cause.Error()
}

// Unwrap returns both errors.
func (e *UndoneError) Unwrap() []error {
	if e.Undo == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Undo}
}

// step is one thing that a transaction does. Each can be run twice.
type step struct {
	name string
	run  func(ctx context.Context) error
}

// Apply carries out a transaction. When a step before the commit fails, or the
// context ends, the machine is brought back under a context of its own, and the
// error is an [UndoneError]. An [UnfinishedError] is about what comes after the
// commit; any other error means that nothing was touched. A component must have
// only one transaction at a time: call [Engine.Complete] first.
func (e *Engine) Apply(ctx context.Context, t Transaction) error {
	if t.Progress == nil {
		t.Progress = func(api.Phase, string, ...any) {}
	}
	if open, err := e.readJournal(t.Component); err != nil || open != nil && !t.Leave {
		return errors.Join(err, fmt.Errorf("the last transaction of %s has not ended", t.Component))
	}
	p, err := e.makePlan(ctx, t.From, t.To, t.Beside)
	if err != nil {
		return err
	}
	if t.Leave {
		leave := step{"leave", func(context.Context) error { return e.leave(t.Component) }}
		if err := e.run(ctx, []step{leave}); err != nil {
			return errors.Join(err, e.takeBack(t.Component))
		}
	}
	if err := e.hook("journal"); err != nil {
		return errors.Join(err, e.takeBack(t.Component))
	}
	j, err := e.openJournal(t, p)
	if err != nil {
		return errors.Join(err, e.closeJournal(t.Component))
	}
	// A commit that was reported as failed may be on the disk.
	if err := e.carryOut(ctx, t, p, j); err != nil && !e.isCommitted(t.Component) {
		t.Progress(api.PhaseRollback, "go back to what stood before: %v", err)
		return &UndoneError{Cause: err, Undo: e.undo(ctx, j, t.Follow)}
	}
	j.Committed = true
	if t.Committed != nil {
		t.Committed()
	}
	return e.finish(ctx, j, t.Follow)
}

// carryOut runs all steps up to the commit.
func (e *Engine) carryOut(ctx context.Context, t Transaction, p *plan, j *journal) error {
	if len(p.trees)+len(p.files)+len(p.dirs) > 0 {
		t.Progress(api.PhaseStage, "stage %s", p.describe())
	}
	begin := step{"begin", func(context.Context) error {
		j.Begun = true
		return e.writeJournal(j)
	}}
	if err := e.run(ctx, append(e.stageSteps(p), begin)); err != nil {
		return err
	}
	if err := e.swap(ctx, t, p); err != nil {
		return err
	}
	t.Progress(api.PhaseActivate, "have the running engine follow")
	if err := e.run(ctx, e.followSteps(t, p)); err != nil {
		return err
	}
	t.Progress(api.PhaseCommit, "record what was applied")
	return e.run(ctx, e.commitSteps(t, j))
}

func (e *Engine) swap(ctx context.Context, t Transaction, p *plan) error {
	steps := e.swapSteps(p)
	if len(steps) == 0 {
		return nil
	}
	e.machine.Lock()
	defer e.machine.Unlock()
	t.Progress(api.PhaseSwap, "put %s in place", p.describe())
	return e.run(ctx, steps)
}

func (e *Engine) run(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped before the step %q: %w", s.name, context.Cause(ctx))
		}
		if err := e.hook(s.name); err != nil {
			return err
		}
		if err := s.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) hook(name string) error {
	if e.Hook == nil {
		return nil
	}
	return e.Hook(name)
}

// stageSteps make all that touches nothing which is in use.
func (e *Engine) stageSteps(p *plan) []step {
	var steps []step
	add := func(name string, run func(ctx context.Context) error) { steps = append(steps, step{name, run}) }
	if len(p.users) > 0 {
		add("users", func(ctx context.Context) error { return e.Accounts.Ensure(ctx, p.users) })
	}
	for _, d := range p.dirs {
		add("directory "+d.what.Path, func(context.Context) error { return e.makeDir(d.what) })
	}
	for _, t := range p.trees {
		add("unpack "+t.Path, func(ctx context.Context) error { return e.unpack(ctx, t) })
	}
	for _, f := range p.files {
		add("stage "+f.what.Path, func(context.Context) error { return e.stageFile(f.what) })
	}
	return steps
}

func (e *Engine) makeDir(d Dir) error {
	uid, gid, err := e.Accounts.Lookup(d.Owner, d.Group)
	if err != nil {
		return fmt.Errorf("make the directory %s: %w", d.Path, err)
	}
	return e.disk().makeDir(d.Path, standing{Mode: d.Mode, UID: uid, GID: gid})
}

func (e *Engine) stageFile(f File) error {
	uid, gid, err := e.Accounts.Lookup(f.Owner, f.Group)
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Path, err)
	}
	return e.disk().write(f.Path, f.Content, standing{Mode: f.Mode, UID: uid, GID: gid})
}

func (e *Engine) setAttributes(f File) error {
	uid, gid, err := e.Accounts.Lookup(f.Owner, f.Group)
	if err != nil {
		return fmt.Errorf("set the owner of %s: %w", f.Path, err)
	}
	return e.disk().setAttributes(f.Path, standing{Mode: f.Mode, UID: uid, GID: gid})
}

// unpack makes the sibling of a tree. What is wrong with the artifact is an
// error at the place in the spec that names it.
func (e *Engine) unpack(ctx context.Context, t Tree) error {
	name := e.disk().path(sibling(t.Path))
	if err := os.RemoveAll(name); err != nil {
		return fmt.Errorf("unpack %s: %w", t.Path, err)
	}
	err := e.Trees.Unpack(ctx, t.SHA256, name, blob.Limits{Bytes: t.MaxBytes})
	if bad, ok := errors.AsType[*artifact.Error](err); ok {
		var found api.Violations
		found.Add(t.Source, "%s", bad.Error())
		return found.Problem()
	}
	if missing, ok := errors.AsType[*api.Problem](err); ok && missing.Type == api.ProblemBlobMissing {
		missing.Violations, missing.Detail = []api.Violation{{Pointer: t.Source, Detail: missing.Detail}}, ""
		return missing
	}
	return err
}

// swapSteps put in place what was staged. Trees come before the links and
// files that name them.
func (e *Engine) swapSteps(p *plan) []step {
	var steps []step
	add := func(name string, run func(ctx context.Context) error) { steps = append(steps, step{name, run}) }
	for _, t := range p.trees {
		add("move aside "+t.Path, func(context.Context) error { return e.disk().moveAside(t.Path) })
		add("swap "+t.Path, func(context.Context) error { return e.disk().swap(t.Path) })
	}
	for _, f := range p.files {
		add("swap "+f.what.Path, func(context.Context) error {
			return errors.Join(e.disk().clearForFile(f.what.Path), e.disk().swap(f.what.Path))
		})
	}
	for _, f := range p.fixed {
		add("set "+f.Path, func(context.Context) error { return e.setAttributes(f) })
	}
	for _, l := range p.links {
		if !l.Switch {
			add("link "+l.Path, func(context.Context) error { return e.disk().link(l.Path, l.Target) })
		}
	}
	for _, path := range slices.Concat(p.dropIns, p.unrecorded) {
		add("remove "+path, func(context.Context) error { return e.disk().remove(path) })
	}
	if len(p.enable) > 0 {
		add("enable", func(ctx context.Context) error { return e.Units.Enable(ctx, p.enable...) })
	}
	if len(p.enable) > 0 || p.reload || p.touchesUnits() {
		add("reload units", e.Units.DaemonReload)
	}
	return steps
}

// followSteps have the engine follow and move the traffic. What served before is
// left alone until the commit, so that a release that serves does not depend on
// how long the old one takes to end. Where nothing takes over, as in a deletion,
// what does not end fails the transaction: it must not be forgotten.
func (e *Engine) followSteps(t Transaction, p *plan) []step {
	steps := []step{{"activate", func(ctx context.Context) error { return t.Follow.Activate(ctx, p.paths, false) }}}
	if t.To == nil {
		return append(steps, e.retireSteps(p.retired, p.gone, nil)...)
	}
	for _, l := range p.links {
		if l.Switch {
			steps = append(steps, step{"switch " + l.Path, func(context.Context) error { return e.disk().link(l.Path, l.Target) }})
		}
	}
	if t.Follow.Switched != nil {
		steps = append(steps, step{"switched", func(ctx context.Context) error { return t.Follow.Switched(ctx, p.paths, false) }})
	}
	return steps
}

// within bounds a call that takes a time of its own by that and the undo timeout.
func (e *Engine) within(ctx context.Context, own time.Duration, call func(ctx context.Context) error) error {
	timeout := e.UndoTimeout
	if timeout == 0 {
		timeout = DefaultUndoTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, own+timeout)
	defer cancel()
	return call(ctx)
}

// commitSteps change the books and then declare the transaction done.
func (e *Engine) commitSteps(t Transaction, j *journal) []step {
	var steps []step
	for _, b := range t.Books {
		steps = append(steps, step{"record " + filepath.Base(b.Path), func(context.Context) error { return e.writeBook(b) }})
	}
	return append(steps, step{"commit", func(context.Context) error {
		committed := *j
		committed.Committed = true
		return e.writeJournal(&committed)
	}})
}

func (e *Engine) writeBook(b Book) error {
	if b.Damaged && exists(e.disk().path(b.Path)) {
		if _, err := statefile.Keep(e.state(), e.disk().path(b.Path)); err != nil {
			return fmt.Errorf("record %s: %w", b.Path, err)
		}
	}
	if b.Content == nil {
		return e.disk().remove(b.Path)
	}
	if err := os.MkdirAll(e.disk().path(filepath.Dir(b.Path)), 0o700); err != nil {
		return fmt.Errorf("record %s: %w", b.Path, err)
	}
	return e.disk().replace(b.Path, b.Content, rootOnly())
}

func (e *Engine) now() time.Time {
	if e.Clock == nil {
		return time.Now()
	}
	return e.Clock()
}
