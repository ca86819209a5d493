package operation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// keepOperations is how many operations are remembered after their end.
	// Terraform runs some ten at a time; 256 reach back days.
	keepOperations = 256
	// keepEvents is how many events of one operation are remembered.
	keepEvents = 1024
)

// journal remembers operations and their events, in memory and on the disk:
// one file each for an operation and for its events, one event in a line. A
// newline comes before an event and not after it, so that one that a kill or a
// full disk cut short does not spoil the next.
type journal struct {
	dir   string
	clock func() time.Time

	mu    sync.Mutex
	tasks map[string]*task
}

// task is an operation with its events.
type task struct {
	api.Operation
	events []api.Event
	seq    int64
	// changed is closed, and replaced, when there is something new.
	changed chan struct{}
}

func openJournal(dir string, clock func() time.Time) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the journal of operations: %w", err)
	}
	j := &journal{dir: dir, clock: clock, tasks: map[string]*task{}}
	found, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("open the journal of operations: %w", err)
	}
	for _, path := range found {
		t := &task{changed: make(chan struct{})}
		if _, err := statefile.ReadJSON(path, &t.Operation, func() error { return checkOperation(path, t.Operation) }); err != nil {
			continue // one that could not be set aside; the machine's conditions name those that were
		}
		j.loadEvents(t)
		j.tasks[t.ID] = t
	}
	return j, nil
}

// loadEvents reads the events of an operation. What cannot be read is left
// out: they are for onlookers. It writes nothing: the agent has to start on a
// full disk too.
func (j *journal) loadEvents(t *task) {
	data, err := statefile.Read(j.eventsPath(t.ID))
	if err != nil {
		return
	}
	for text := range bytes.Lines(data) {
		var e api.Event
		if json.Unmarshal(text, &e) == nil && e.Seq > t.seq {
			t.events, t.seq = append(t.events, e), e.Seq
		}
	}
}

func (j *journal) path(id string) string       { return filepath.Join(j.dir, id+".json") }
func (j *journal) eventsPath(id string) string { return filepath.Join(j.dir, id+".events") }

func (j *journal) get(id string) (api.Operation, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, ok := j.tasks[id]
	if !ok {
		return api.Operation{}, false
	}
	return t.Operation, true
}

// unended lists the operations that an earlier life of the agent did not end.
func (j *journal) unended() []api.Operation {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []api.Operation
	for _, t := range j.tasks {
		if !t.State.Done() {
			out = append(out, t.Operation)
		}
	}
	slices.SortFunc(out, func(a, b api.Operation) int { return a.Created.Compare(b.Created) })
	return out
}

// unendedOf returns the operation that creates a component, or the one that
// deletes it, if one waits or runs.
func (j *journal) unendedOf(id api.ID, verb api.Verb) (api.Operation, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, t := range j.tasks {
		if t.Component == id && t.Verb == verb && !t.State.Done() && (verb == api.VerbDelete || t.BaseGeneration == 0) {
			return t.Operation, true
		}
	}
	return api.Operation{}, false
}

// runningOf returns the operation that is at work on a component, if one is.
func (j *journal) runningOf(id api.ID) (api.Operation, bool) {
	return j.latest(func(op api.Operation) bool { return op.Component == id && op.State == api.OperationRunning })
}

// lastOf returns the operation on a component that ended last, if one did that is remembered.
func (j *journal) lastOf(id api.ID) (api.Operation, bool) {
	return j.latest(func(op api.Operation) bool { return op.Component == id && op.State.Done() })
}

// latest returns that of some operations which ended, or else started, last.
func (j *journal) latest(of func(api.Operation) bool) (last api.Operation, found bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, t := range j.tasks {
		if of(t.Operation) && (!found || cmp.Or(t.Ended.Compare(last.Ended), t.Started.Compare(last.Started)) > 0) {
			last, found = t.Operation, true
		}
	}
	return last, found
}

// after returns the events after a number, whether the operation is done, and
// what is closed when there is more.
func (j *journal) after(id string, seq int64) (events []api.Event, done bool, changed <-chan struct{}, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, ok := j.tasks[id]
	if !ok {
		return nil, false, nil, false
	}
	i, _ := slices.BinarySearchFunc(t.events, seq+1, func(e api.Event, n int64) int { return int(e.Seq - n) })
	return slices.Clone(t.events[i:]), t.State.Done(), t.changed, true
}

// begin writes down an operation before it is started, for the first time or
// again. One that cannot be written down must not run, and is remembered as it
// was: nobody may join, or wait for, what never starts.
func (j *journal) begin(op api.Operation) (api.Operation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.tasks[op.ID]
	if t == nil {
		t = &task{changed: make(chan struct{})}
	}
	if err := j.write(op); err != nil {
		return op, err
	}
	t.Operation = op
	j.tasks[op.ID] = t
	j.prune()
	return op, nil
}

// prune forgets the operations that ended longest ago.
func (j *journal) prune() {
	var done []*task
	for _, t := range j.tasks {
		if t.State.Done() {
			done = append(done, t)
		}
	}
	slices.SortFunc(done, func(a, b *task) int { return a.Ended.Compare(b.Ended) })
	for _, t := range done[:max(0, len(done)-keepOperations)] {
		delete(j.tasks, t.ID)
		_ = errors.Join(os.Remove(j.path(t.ID)), os.Remove(j.eventsPath(t.ID))) // what stays is pruned after the next start
	}
}

// update changes an operation. That it is written down matters less than that
// it goes on: after a crash the component's record tells how it ended. One that ended
// long ago and is forgotten stays so: what it has replaced may end later than that.
func (j *journal) update(id string, change func(*api.Operation)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, ok := j.tasks[id]
	if !ok {
		return
	}
	change(&t.Operation)
	_ = j.write(t.Operation)
	t.notify()
}

// end changes an operation for the last time.
func (j *journal) end(id string, change func(*api.Operation)) {
	j.update(id, func(op *api.Operation) {
		op.Ended = j.clock()
		change(op)
	})
}

func (t *task) notify() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// event adds an event to an operation, unless that is forgotten.
func (j *journal) event(id string, phase api.Phase, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, ok := j.tasks[id]
	if !ok {
		return
	}
	t.seq++
	t.events = append(t.events, api.Event{Seq: t.seq, Time: j.clock(), Phase: phase, Message: fmt.Sprintf(format, args...)})
	if len(t.events) > keepEvents {
		t.events = slices.Clone(t.events[len(t.events)-keepEvents/2:])
		_ = j.writeEvents(t) // events are for onlookers; losing one loses no state
	} else {
		_ = j.appendEvent(id, t.events[len(t.events)-1])
	}
	t.notify()
}

func (j *journal) appendEvent(id string, e api.Event) error {
	f, err := os.OpenFile(j.eventsPath(id), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line(e))
	return errors.Join(err, f.Close())
}

func line(e api.Event) []byte { return append([]byte("\n"), api.Encode(e)...) }

func (j *journal) writeEvents(t *task) error {
	var text strings.Builder
	for _, e := range t.events {
		text.Write(line(e))
	}
	return replaceFile(j.eventsPath(t.ID), []byte(text.String()))
}

func (j *journal) write(op api.Operation) error { return replaceFile(j.path(op.ID), api.Encode(op)) }

// replaceFile writes a root-only file so that either its old or its new
// content survives a crash.
func replaceFile(path string, data []byte) error {
	name := path + ".new"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
