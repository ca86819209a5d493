package converge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Interrupted is a transaction that has not ended, of this or an earlier life of
// the agent.
type Interrupted struct {
	Component api.ID
	// Note is the one of the transaction.
	Note json.RawMessage
	// Existed tells that the component was there before.
	Existed bool
	// Committed tells that it is done, but for what it replaced. Otherwise it is
	// undone.
	Committed bool
	// Switched tells that the traffic does not go where it went before.
	Switched bool
	// Draining is when what the traffic has left began to drain, zero if it did not.
	Draining time.Time
	// Err is what of the undoing failed, nil if all is as it was before.
	Err error
}

func (e *Engine) interrupted(j *journal) Interrupted {
	return Interrupted{Component: j.Component, Note: j.Note, Existed: j.Existed, Committed: j.Committed, Switched: e.moved(j), Draining: j.Draining}
}

// moved reports whether the traffic does not go where it went before. What cannot be
// read may lead anywhere.
func (e *Engine) moved(j *journal) bool {
	return slices.ContainsFunc(j.Saved, func(s saved) bool {
		found, err := e.disk().look(s.Path)
		return s.Switch && (err != nil || found.Sort != s.Sort || found.Target != s.Target)
	})
}

// Open returns the transaction of a component that has not ended, if there is one.
func (e *Engine) Open(id api.ID) (open Interrupted, found bool) {
	j, err := e.readJournal(id)
	if err != nil || j == nil { // of a damaged one, nothing is known
		return Interrupted{}, false
	}
	return e.interrupted(j), true
}

// Recover undoes what an earlier life of the agent did not commit. It is called
// once, before the first transaction; follow gives what brings the engine of one
// of them back. What was committed is returned with it and left to
// [Engine.Complete], since to end what was replaced takes time. A journal that is
// damaged is set aside, see [Engine.Unsure]; an error means that not even that was
// possible. What could be recovered is returned with it.
func (e *Engine) Recover(ctx context.Context, follow func(Interrupted) Follow) ([]Interrupted, error) {
	ids, err := e.AllOpen()
	if err != nil {
		return nil, err
	}
	var all []Interrupted
	var failures []error
	for _, id := range ids {
		failures = append(failures, e.takeBack(id))
		j, err := e.readJournal(id)
		if err != nil { // what was under way is not known
			failures = append(failures, e.giveUp(id, damagedJournal))
			continue
		}
		if j == nil {
			continue
		}
		i := e.interrupted(j)
		if !i.Committed {
			i.Err = e.undo(ctx, j, follow(i))
		}
		all = append(all, i)
	}
	return all, errors.Join(failures...)
}

// Complete ends the last transaction of a component, should it still be open: it
// undoes one whose undoing failed, with the one that it has left, and finishes a committed
// one. Its error is an [UnfinishedError] if the latter fails; the journal stays then.
func (e *Engine) Complete(ctx context.Context, id api.ID, follow func(Interrupted) Follow) error {
	for range 2 { // it and the one that it has left
		if err := e.takeBack(id); err != nil {
			return err
		}
		j, err := e.readJournal(id)
		switch {
		case err != nil:
			return e.giveUp(id, damagedJournal)
		case j == nil:
			return nil
		case j.Committed:
			return e.finish(ctx, j, follow(e.interrupted(j)))
		}
		if err := e.undo(ctx, j, follow(e.interrupted(j))); err != nil {
			return fmt.Errorf("undo what the last operation left: %w", err)
		}
	}
	return nil
}

// undo brings back what the journal saved. It goes on after a failure: the more
// comes back the better. The journal stays if a file did not come back, so that
// the next start tries again; an engine that does not run on its old files is
// reported, and would not run any better then. An engine that nothing was
// swapped for yet is left alone.
//
// The way back overlaps as the way here did: what served before serves again,
// then the traffic is switched back, and only then what was new is drained and taken away.
// Once the traffic has moved, what it may depend on comes back only behind it: where it
// cannot go back, what was new serves on, with its files in place, and the journal stays.
// What was created goes as in any deletion: the engine first, then its units.
func (e *Engine) undo(ctx context.Context, j *journal, follow Follow) error {
	w := wayBack{engine: e, journal: j, restored: true, lost: true}
	switch {
	case !j.Begun:
		w.restore(ctx, everything)
	case !j.Existed:
		w.call(ctx, "activate", follow.Activate)
		w.retire(ctx)
		w.restore(ctx, everything)
	default:
		needed := j.serves
		if e.moved(j) {
			needed = j.apart
		}
		w.restore(ctx, needed)
		w.call(ctx, "activate", follow.Activate)
		if !w.switchBack(ctx) {
			w.restored, w.lost = false, false
			break
		}
		w.restore(ctx, func(s saved) bool { return j.serves(s) && !needed(s) })
		w.call(ctx, "switched", follow.Switched)
		w.drain(ctx, follow)
		w.retire(ctx)
		w.restore(ctx, func(s saved) bool { return !j.serves(s) && !switches(s) })
	}
	switch {
	case !w.restored && w.lost: // no later try has the copies either
		w.try(ctx, "give up", func(context.Context) error { return e.giveUp(j.Component, damagedJournal) })
	case w.restored:
		w.try(ctx, "close", func(context.Context) error { return e.closeJournal(j.Component) })
	}
	return errors.Join(w.failures...)
}

func everything(saved) bool { return true }

func switches(s saved) bool { return s.Switch }

// serves reports whether what served before needs a path as it was: all that
// stood, and of what did not, that which would amend one of its units.
func (j *journal) serves(s saved) bool {
	return !s.Switch && (s.Sort != nothing || slices.ContainsFunc(j.UnitsBefore, func(unit string) bool { return concernsUnit(s.Path, unit) }))
}

// apart reports whether what is new does without a path that what served before needs:
// it is a record, or of a unit of before alone.
func (j *journal) apart(s saved) bool {
	_, shared := j.Paths[s.Path]
	return j.serves(s) && (!shared || slices.ContainsFunc(without(j.UnitsBefore, j.UnitsAfter), func(unit string) bool { return concernsUnit(s.Path, unit) }))
}

// wayBack is one undoing.
type wayBack struct {
	engine  *Engine
	journal *journal
	// restored tells that all paths came back; lost, that those which did not are
	// only such whose copies are damaged.
	restored, lost bool
	// running are the units that should have ended.
	running  []string
	failures []error
}

// try takes one step, with a deadline of its own: the context of what failed may
// well be over, and what one step takes too long for must not keep the next
// from being tried.
func (w *wayBack) try(ctx context.Context, name string, run func(ctx context.Context) error) bool {
	return w.tryBounded(ctx, name, func(ctx context.Context) error { return w.engine.within(ctx, 0, run) })
}

// tryBounded is try for a step that bounds itself.
func (w *wayBack) tryBounded(ctx context.Context, name string, run func(ctx context.Context) error) bool {
	err := w.engine.hook("undo: " + name)
	if err == nil {
		err = run(context.WithoutCancel(ctx))
	}
	w.failures = append(w.failures, err)
	return err == nil
}

func (w *wayBack) call(ctx context.Context, name string, call Call) {
	if call != nil {
		w.try(ctx, name, func(ctx context.Context) error { return call(ctx, w.journal.Paths, true) })
	}
}

func (w *wayBack) drain(ctx context.Context, follow Follow) {
	if follow.Drained != nil {
		w.tryBounded(ctx, "drain", func(ctx context.Context) error { return w.engine.drain(ctx, w.journal, follow, true) })
	}
}

func (w *wayBack) retire(ctx context.Context) {
	for _, unit := range slices.Backward(without(w.journal.UnitsAfter, w.journal.UnitsBefore)) {
		if !w.tryBounded(ctx, "retire "+unit, func(ctx context.Context) error { return w.engine.retireUnit(ctx, unit, nil) }) {
			w.running = append(w.running, unit)
		}
	}
}

// defines reports whether a path was made for a unit that should have ended and may
// still run. It stays, and with it the journal: without its file, nobody would know of
// the unit any more.
func (w *wayBack) defines(s saved) bool {
	return s.Sort == nothing && slices.ContainsFunc(w.running, func(unit string) bool { return concernsUnit(s.Path, unit) })
}

// restore brings back the paths that are chosen and tells systemd, under the
// machine's lock.
func (w *wayBack) restore(ctx context.Context, chosen func(saved) bool) {
	e, j := w.engine, w.journal
	e.machine.Lock()
	defer e.machine.Unlock()
	w.paths(ctx, chosen)
	if !j.Begun || !j.Units {
		return
	}
	if len(j.UnitsBefore) > 0 {
		w.try(ctx, "enable", func(ctx context.Context) error { return e.Units.Enable(ctx, j.UnitsBefore...) })
	}
	w.try(ctx, "reload units", e.Units.DaemonReload)
}

// switchBack has the traffic go where it went before, if it can be served there, and
// reports whether it does.
func (w *wayBack) switchBack(ctx context.Context) bool {
	e, j := w.engine, w.journal
	if errors.Join(w.failures...) != nil && e.moved(j) { // the engine may have failed to follow, and serve all the same
		w.try(ctx, "see what served before", func(ctx context.Context) error { return e.runs(ctx, j.UnitsBefore) })
		if w.hold() {
			return false
		}
	}
	w.paths(ctx, switches)
	return !e.moved(j)
}

// hold reports whether something that served before does not run, and says of that that
// the traffic stays.
func (w *wayBack) hold() (held bool) {
	for i, err := range w.failures {
		if down, ok := errors.AsType[*DownError](err); ok {
			w.failures[i], held = &HeldError{down}, true
		}
	}
	return held
}

func (w *wayBack) paths(ctx context.Context, chosen func(saved) bool) {
	for _, s := range slices.Backward(w.journal.Saved) {
		if !chosen(s) {
			continue
		}
		if w.defines(s) {
			w.restored, w.lost = false, false
			continue
		}
		var err error
		ok := w.try(ctx, "restore "+s.Path, func(context.Context) error { err = w.engine.restore(w.journal, s); return err })
		w.restored, w.lost = w.restored && ok, w.lost && (ok || statefile.As(err) != nil)
	}
}

// DownError tells that a unit does not run any more that ran before. A [Call] that goes
// back returns it for one that was started and ends again and again.
type DownError struct{ Unit string }

func (e *DownError) Error() string { return e.Unit + ", which ran before, does not run any more" }

// HeldError tells that the traffic stays at what is being undone, since a unit that
// served before does not run.
type HeldError struct{ Down *DownError }

func (e *HeldError) Error() string {
	return e.Down.Error() + ", so the traffic stays where it is"
}

// Unwrap returns the cause.
func (e *HeldError) Unwrap() error { return e.Down }

// runs returns an error unless all units run.
func (e *Engine) runs(ctx context.Context, units []string) error {
	for _, unit := range units {
		status, err := e.Units.Status(ctx, unit)
		if err != nil {
			return err
		}
		if !status.Active() {
			return &DownError{unit}
		}
	}
	return nil
}

// restore brings one path back, whatever was done to it so far. Nothing is written where
// nothing was done: it may not be possible.
func (e *Engine) restore(j *journal, s saved) error {
	waiting := e.disk().path(sibling(s.Path))
	for _, left := range []string{waiting, blob.Leftover(waiting)} {
		if !exists(left) {
			continue
		}
		if err := os.RemoveAll(left); err != nil {
			return fmt.Errorf("restore %s: %w", s.Path, err)
		}
	}
	if e.stands(s) {
		return nil
	}
	if s.Tree {
		return e.restoreTree(s)
	}
	if !j.Begun && s.Sort != nothing && s.Sort != aDir {
		return nil // only directories are made before
	}
	switch s.Sort {
	case nothing:
		return e.restoreNothing(s.Path)
	case aFile:
		content, err := e.copyOf(j, s)
		if err != nil {
			return err
		}
		return e.disk().replace(s.Path, content, s.standing)
	case aLink:
		return e.disk().link(s.Path, s.Target)
	case aDir:
		return e.disk().makeDir(s.Path, s.standing)
	case otherSort:
	}
	return fmt.Errorf("restore %s: it was %s, which cannot be made again", s.Path, s.Sort)
}

// stands reports whether a path is as it was saved, also after a power failure. Of a
// tree that was there, what was moved aside tells.
func (e *Engine) stands(s saved) bool {
	found, err := e.disk().look(s.Path)
	if err != nil || found != s.standing || s.Tree && s.Sort != nothing {
		return false
	}
	if s.Sort == aFile {
		if content, err := e.disk().read(s.Path); err != nil || sum(content) != s.Sum {
			return false
		}
	}
	if s.Sort == aFile || s.Sort == aDir {
		err = e.disk().sync(s.Path)
	}
	return errors.Join(err, e.disk().syncDir(filepath.Dir(s.Path))) == nil
}

// restoreNothing removes what was made. A directory stays if somebody else
// put something into it.
func (e *Engine) restoreNothing(path string) error {
	found, err := e.disk().look(path)
	if err != nil {
		return err
	}
	if found.Sort == aDir {
		return e.disk().removeEmpty(path)
	}
	return e.disk().remove(path)
}

// restoreTree brings back what was moved aside, if it was.
func (e *Engine) restoreTree(s saved) error {
	name, old := e.disk().path(s.Path), e.disk().path(aside(s.Path))
	moved := exists(old)
	if s.Sort != nothing && !moved {
		return nil // not touched yet, or back already
	}
	if err := os.RemoveAll(name); err != nil {
		return fmt.Errorf("restore %s: %w", s.Path, err)
	}
	if moved {
		if err := os.Rename(old, name); err != nil {
			return fmt.Errorf("restore %s: %w", s.Path, err)
		}
	}
	return e.disk().syncDir(filepath.Dir(s.Path))
}
