package converge

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// journal is what is needed to undo a transaction, or to finish it once it is
// committed. It is on the disk before the first touch of anything else.
type journal struct {
	Component api.ID `json:"component"`
	// Note is the caller's own, see [Transaction].
	Note json.RawMessage `json:"note,omitempty"`
	// Committed separates what is to be undone from what is to be finished.
	Committed bool `json:"committed,omitempty"`
	// Saved is what stood before on each path that is touched, in the order
	// in which they are touched.
	Saved []saved `json:"saved"`
	// Existed tells that the component was there before.
	Existed bool `json:"existed"`
	// UnitsBefore and UnitsAfter are the units of either state.
	UnitsBefore []string `json:"units_before,omitempty"`
	UnitsAfter  []string `json:"units_after,omitempty"`
	// Begun tells that the swapping has begun: up to then nothing is touched
	// that is in use. Units tells that systemd hears of the transaction.
	Begun bool `json:"begun,omitempty"`
	Units bool `json:"units,omitempty"`
	// Draining is when the traffic had left what it left, and that began to drain.
	Draining time.Time `json:"draining,omitzero"`
	// Paths is what the transaction did, by path.
	Paths  map[string]api.ChangeAction `json:"paths,omitempty"`
	Finish finish                      `json:"finish"`
}

// saved is what stood on a path before it was touched.
type saved struct {
	Path string `json:"path"`
	standing
	// Copy names the copy of a file's content within the journal, Sum is its SHA-256.
	Copy string `json:"copy,omitempty"`
	Sum  string `json:"sum,omitempty"`
	// Tree tells that a whole directory was there, which is moved aside; Switch,
	// that the link moves traffic.
	Tree   bool `json:"tree,omitempty"`
	Switch bool `json:"switch,omitempty"`
}

const journalFile = "journal.json"

func (e *Engine) journalDir(id api.ID) string {
	return filepath.Join(e.Dir, string(id.Kind), id.Name)
}

// openJournal saves what a plan will touch and writes the journal. Until it is
// there whole, a copy that a killed run left counts for nothing.
func (e *Engine) openJournal(t Transaction, p *plan) (*journal, error) {
	j := &journal{Component: t.Component, Note: t.Note, Units: p.tellsSystemd(), UnitsAfter: p.units, Paths: p.paths, Finish: p.finish}
	if t.From != nil {
		j.Existed = true
		j.UnitsBefore = t.From.State.units()
	}
	dir := e.journalDir(t.Component)
	if err := os.RemoveAll(e.disk().path(dir)); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	if err := os.MkdirAll(e.disk().path(dir), 0o700); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	for parent := dir; parent != filepath.Dir(e.Dir); parent = filepath.Dir(parent) {
		if err := e.disk().syncDir(filepath.Dir(parent)); err != nil {
			return nil, fmt.Errorf("open the journal: %w", err)
		}
	}
	for _, path := range p.touched(t.Books, t.To == nil) {
		s, err := e.save(dir, len(j.Saved), path)
		if err != nil {
			return nil, err
		}
		j.Saved = append(j.Saved, s)
	}
	for _, tree := range p.trees {
		for i := range j.Saved {
			j.Saved[i].Tree = j.Saved[i].Tree || j.Saved[i].Path == tree.Path
		}
	}
	for _, link := range p.links {
		for i := range j.Saved {
			j.Saved[i].Switch = j.Saved[i].Switch || link.Switch && !link.InPlace && j.Saved[i].Path == link.Path
		}
	}
	return j, e.writeJournal(j)
}

// touched lists the paths that a plan changes before the commit, in order.
func (p *plan) touched(books []Book, deletes bool) []string {
	var paths []string
	for _, d := range p.dirs {
		paths = append(paths, d.what.Path)
	}
	for _, t := range p.trees {
		paths = append(paths, t.Path)
	}
	for _, f := range p.files {
		paths = append(paths, f.what.Path)
	}
	for _, f := range p.fixed {
		paths = append(paths, f.Path)
	}
	for _, l := range p.links {
		paths = append(paths, l.Path)
	}
	paths = append(paths, p.dropIns...)
	paths = append(paths, p.unrecorded...)
	if deletes {
		paths = append(paths, p.gone...)
	}
	for _, b := range books {
		paths = append(paths, b.Path)
	}
	return paths
}

// save notes what stands on a path, with a root-only copy if it is a file.
func (e *Engine) save(dir string, number int, path string) (saved, error) {
	s := saved{Path: path}
	var err error
	if s.standing, err = e.disk().look(path); err != nil || s.Sort != aFile {
		return s, err
	}
	s.Copy = strconv.Itoa(number)
	content, err := e.disk().read(path)
	if err != nil {
		return s, err
	}
	s.Sum = sum(content)
	return s, e.disk().replace(filepath.Join(dir, s.Copy), content, rootOnly())
}

func (e *Engine) writeJournal(j *journal) error {
	path := filepath.Join(e.journalDir(j.Component), journalFile)
	if err := e.disk().replace(path, api.Encode(j), rootOnly()); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// readJournal returns the journal of a component's unfinished transaction, nil
// if there is none.
func (e *Engine) readJournal(id api.ID) (*journal, error) {
	var j journal
	found, err := statefile.ReadJSON(e.disk().path(filepath.Join(e.journalDir(id), journalFile)), &j, func() error {
		if j.Component != id {
			return errors.New("it is not the journal of the component that it is named for")
		}
		return nil
	})
	if err != nil || !found {
		return nil, err
	}
	return &j, nil
}

func (e *Engine) isCommitted(id api.ID) bool {
	j, err := e.readJournal(id)
	return err == nil && j != nil && j.Committed
}

// closeJournal forgets a transaction, and opens again the one that it has left. The
// journal goes first, its copies after.
func (e *Engine) closeJournal(id api.ID) error {
	dir := e.journalDir(id)
	if err := e.disk().remove(filepath.Join(dir, journalFile)); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	if err := os.RemoveAll(e.disk().path(dir)); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return e.takeBack(id)
}

// leftSuffix ends the name of the journal of a transaction that another one goes on from.
const leftSuffix = ".left"

func (e *Engine) leftDir(id api.ID) string { return e.journalDir(id) + leftSuffix }

// leave puts the journal of a component aside, for a transaction that goes on from what
// it has left. One that stands there already is what that one itself went on from: back
// there nobody can go any more.
func (e *Engine) leave(id api.ID) error {
	left := e.leftDir(id)
	if exists(e.disk().path(left)) {
		if err := e.markUnsure(id, leftUndoing); err != nil {
			return err
		}
	}
	if err := e.forgetLeft(id); err != nil {
		return err
	}
	if err := os.Rename(e.disk().path(e.journalDir(id)), e.disk().path(left)); err != nil {
		return fmt.Errorf("put the last journal aside: %w", err)
	}
	return e.disk().syncDir(filepath.Dir(left))
}

// takeBack opens again the journal that was put aside, if there is one and no other is
// open. It ends what a kill has left of either.
func (e *Engine) takeBack(id api.ID) error {
	dir, left := e.journalDir(id), e.leftDir(id)
	if !exists(e.disk().path(left)) || exists(e.disk().path(filepath.Join(dir, journalFile))) {
		return nil
	}
	if err := errors.Join(os.RemoveAll(e.disk().path(dir)), os.Rename(e.disk().path(left), e.disk().path(dir))); err != nil {
		return fmt.Errorf("open the last journal again: %w", err)
	}
	return e.disk().syncDir(filepath.Dir(dir))
}

// forgetLeft removes the journal that was put aside, if there is one.
func (e *Engine) forgetLeft(id api.ID) error {
	left := e.leftDir(id)
	if !exists(e.disk().path(left)) {
		return nil
	}
	if err := os.RemoveAll(e.disk().path(left)); err != nil {
		return fmt.Errorf("forget the last journal: %w", err)
	}
	return e.disk().syncDir(filepath.Dir(left))
}

// AllOpen lists the components whose last transaction has not ended.
func (e *Engine) AllOpen() ([]api.ID, error) {
	found, err := filepath.Glob(filepath.Join(e.disk().path(e.Dir), "*", "*", journalFile))
	if err != nil {
		return nil, fmt.Errorf("look for journals: %w", err)
	}
	var ids []api.ID
	for _, path := range found {
		if id := journalOf(path); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// journalOf returns the component that a journal is named for, also one that was put aside.
func journalOf(path string) api.ID {
	dir := filepath.Dir(path)
	return api.ID{Kind: api.Kind(filepath.Base(filepath.Dir(dir))), Name: strings.TrimSuffix(filepath.Base(dir), leftSuffix)}
}
