package converge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Interrupted is a transaction that an earlier life of the agent did not end.
type Interrupted struct {
	Component api.ID
	// Note is the one of the transaction.
	Note json.RawMessage
	// Committed tells that it was done but for some cleaning up. Otherwise it
	// was undone.
	Committed bool
	// Err is what of the undoing failed, nil if all is as it was before.
	Err error
}

// Recover ends what an earlier life of the agent left unfinished. It is called
// once, before the first transaction; activate gives the function that brings
// the engine of one of them back. A journal that is damaged is set aside, see
// [Engine.Unsure]; an error means that not even that was possible. What could be
// recovered is returned with it.
func (e *Engine) Recover(ctx context.Context, activate func(Interrupted) Activate) ([]Interrupted, error) {
	ids, err := e.unfinished()
	if err != nil {
		return nil, err
	}
	var ended []Interrupted
	var failures []error
	for _, id := range ids {
		j, err := e.readJournal(id)
		if err != nil { // what was under way is not known
			failures = append(failures, e.giveUp(id))
			continue
		}
		if j == nil {
			continue
		}
		i := Interrupted{Component: id, Note: j.Note, Committed: j.Committed}
		if j.Committed {
			e.finish(j)
		} else {
			i.Err = e.undo(ctx, j, activate(i))
		}
		ended = append(ended, i)
	}
	return ended, errors.Join(failures...)
}

// settle ends the last transaction of a component, should it still be open:
// its undoing failed, or its cleaning up.
func (e *Engine) settle(ctx context.Context, id api.ID, activate Activate) error {
	j, err := e.readJournal(id)
	if err != nil {
		return e.giveUp(id)
	}
	if j == nil {
		return nil
	}
	if j.Committed {
		e.finish(j)
		return nil
	}
	if err := e.undo(ctx, j, activate); err != nil {
		return fmt.Errorf("undo what the last operation left: %w", err)
	}
	return nil
}

// undo brings back what the journal saved. It has a deadline of its own,
// because the context of what failed may well be over, and goes on after a
// failure: the more comes back the better. The journal stays if a file did
// not come back, so that the next start tries again; an engine that does not
// run on its old files is reported, and would not run any better then. An
// engine that nothing was swapped for yet is left alone.
func (e *Engine) undo(ctx context.Context, j *journal, activate Activate) error {
	timeout := e.UndoTimeout
	if timeout == 0 {
		timeout = DefaultUndoTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()

	var failures []error
	try := func(name string, run func() error) bool {
		err := e.hook("undo: " + name)
		if err == nil {
			err = run()
		}
		failures = append(failures, err)
		return err == nil
	}
	follow := func() { try("activate", func() error { return activate(ctx, j.Paths, true) }) }
	if j.Begun && !j.Existed { // as for any deletion: the engine first, then its units
		follow()
	}
	if j.Begun {
		for _, unit := range slices.Backward(without(j.UnitsAfter, j.UnitsBefore)) {
			try("retire "+unit, func() error { return e.retireUnit(ctx, unit) })
		}
	}
	restored, lost := e.restoreAll(ctx, j, try)
	if j.Begun && j.Existed {
		follow()
	}
	switch {
	case !restored && lost: // no later try has the copies either
		try("give up", func() error { return e.giveUp(j.Component) })
	case restored:
		try("close", func() error { return e.closeJournal(j.Component) })
	}
	return errors.Join(failures...)
}

// restoreAll brings the files back and tells systemd, under the machine's lock.
// Lost tells that what could not be restored is only that whose copy is damaged.
func (e *Engine) restoreAll(ctx context.Context, j *journal, try func(string, func() error) bool) (restored, lost bool) {
	e.machine.Lock()
	defer e.machine.Unlock()
	restored, lost = true, true
	for _, s := range slices.Backward(j.Saved) {
		var err error
		ok := try("restore "+s.Path, func() error { err = e.restore(j, s); return err })
		restored, lost = restored && ok, lost && (ok || statefile.As(err) != nil)
	}
	if !j.Begun || !j.Units {
		return restored, lost
	}
	if len(j.UnitsBefore) > 0 {
		try("enable", func() error { return e.Units.Enable(ctx, j.UnitsBefore...) })
	}
	try("reload units", func() error { return e.Units.DaemonReload(ctx) })
	return restored, lost
}

// restore brings one path back, whatever was done to it so far.
func (e *Engine) restore(j *journal, s saved) error {
	waiting := e.disk().path(sibling(s.Path))
	if err := errors.Join(os.RemoveAll(waiting), os.RemoveAll(blob.Leftover(waiting))); err != nil {
		return fmt.Errorf("restore %s: %w", s.Path, err)
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
