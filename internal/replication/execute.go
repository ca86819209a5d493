package replication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Operation is a plan on its way. The same id means the same operation, also
// after a crash.
type Operation struct {
	ID string `json:"id"`
	// Epoch is the one that the operation acts in, see [Order.Admit].
	Epoch uint64 `json:"epoch"`
	Steps Steps  `json:"steps"`
}

// NewOperation makes an operation of a plan and the snapshot that it was made from.
func NewOperation(id string, s Snapshot, steps Steps) Operation {
	epoch := s.Epoch()
	for _, step := range steps {
		if step.Do.Record != nil {
			epoch = max(epoch, step.Do.Record.Epoch)
		}
	}
	return Operation{ID: id, Epoch: epoch, Steps: steps}
}

// Entry is an operation in the journal. It names exactly one next step.
type Entry struct {
	Operation Operation `json:"operation"`
	// Next is the index of the step that is being done, or, while undoing, the
	// one after the step that is being undone.
	Next int `json:"next"`
	// Committed tells that a point of no return was reached: nothing is undone.
	Committed bool `json:"committed,omitempty"`
	// Undoing says why the steps are being taken back, "" if they are not.
	Undoing string `json:"undoing,omitempty"`
	// Ended tells that nothing is left to do.
	Ended bool `json:"ended,omitempty"`
}

// Journal keeps the coordinator's entry durably. Save returns once it would
// survive a power loss. Load returns nil if there is none.
type Journal interface {
	Load(ctx context.Context) (*Entry, error)
	Save(ctx context.Context, entry Entry) error
}

// Locks gives the operation lock of one node: one operation at a time has it,
// and has it again after a crash. The release has to be called.
type Locks interface {
	Lock(ctx context.Context, node NodeID, operation string) (release func(), err error)
}

// Node is a member or witness, here or behind its agent's API.
type Node interface {
	Observer
	// Do carries out an order; it can be given twice. The node refuses one of
	// an epoch that is over.
	Do(ctx context.Context, order Order) error
}

// Order is one action for one node.
type Order struct {
	Operation string `json:"operation"`
	Epoch     uint64 `json:"epoch"`
	Step      string `json:"step"`
	Action    Action `json:"action"`
}

// Admit says why a node of that record must not carry out the order; nil if it
// may. Orders of an epoch that is over come from a plan that is, too.
func (o Order) Admit(id NodeID, record Record) error {
	switch {
	case o.Action.Verb == DoRecord:
		return record.Accept(*o.Action.Record)
	case record.Epoch > o.Epoch:
		return fmt.Errorf("the order is of epoch %d, and epoch %d has begun: take a new look and plan again", o.Epoch, record.Epoch)
	case o.Action.Verb == DoOpen && (record.Primary != id || record.Epoch != o.Epoch):
		return fmt.Errorf("%s has not recorded itself as primary of epoch %d, but %q of epoch %d", id, o.Epoch, record.Primary, record.Epoch)
	}
	return nil
}

// Clock tells and spends time.
type Clock interface {
	Now() time.Time
	// Sleep returns after d, or with ctx's error.
	Sleep(ctx context.Context, d time.Duration) error
}

// Progress is called for each step: err is nil when it begins.
type Progress func(step Step, message string)

// Executor carries out operations, one at a time, from one member's agent.
type Executor struct {
	Journal  Journal
	Locks    Locks
	Nodes    map[NodeID]Node
	Clock    Clock
	Progress Progress
}

// Times of the executor: how often a predicate is looked at, and how long
// taking back may last, which has a deadline of its own.
const (
	pollInterval = 250 * time.Millisecond
	undoDeadline = time.Minute
)

// Unsettled is the error of a Run while another operation has not ended.
type Unsettled struct {
	// Entry is the operation that has to be settled first.
	Entry Entry
}

// Error names the operation.
func (u *Unsettled) Error() string {
	return fmt.Sprintf("operation %s has not ended: settle it, take a new look and plan again", u.Entry.Operation.ID)
}

// StepFailed is the error of an operation that ended, or stands, at a step.
type StepFailed struct {
	Step Step
	// Undone tells that all that was done before was taken back. Otherwise what
	// cannot be taken back stands, and the next plan, or Settle from a point of
	// no return, goes on from there.
	Undone bool
	Err    error
}

// Error says which step failed, on which node, and what that means.
func (f *StepFailed) Error() string {
	state := "steps before it stand"
	if f.Undone {
		state = "the steps before were taken back"
	}
	return fmt.Sprintf("%s: %s: %s (%s)", f.Step.Node, f.Step.Do, f.Err, state)
}

// Unwrap returns the cause.
func (f *StepFailed) Unwrap() error { return f.Err }

// Run carries out op, or what is left of it if it was begun before. It returns
// when all steps hold, or with a [StepFailed]. A ctx that ends leaves
// the journal as it is: the next Run or [Executor.Settle] goes on from there.
func (e *Executor) Run(ctx context.Context, op Operation) error {
	locks, err := e.lock(ctx, op)
	if err != nil {
		return err
	}
	defer locks.release()
	entry, err := e.Journal.Load(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read the journal: %w", err)
	case entry == nil || entry.Ended && entry.Operation.ID != op.ID:
		entry = &Entry{Operation: op}
	case entry.Operation.ID != op.ID:
		return &Unsettled{Entry: *entry}
	case entry.Ended && entry.Undoing == "":
		return nil
	case entry.Ended:
		entry = &Entry{Operation: op} // it was taken back: the same plan may be tried again
	}
	return e.proceed(ctx, entry, locks)
}

// Settle ends what an earlier life left in the journal: forward from a point
// of no return, back before it. It does nothing if all has ended.
func (e *Executor) Settle(ctx context.Context) error {
	entry, err := e.Journal.Load(ctx)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if entry == nil || entry.Ended {
		return nil
	}
	locks, err := e.lock(ctx, entry.Operation)
	if err != nil {
		return err
	}
	defer locks.release()
	if !entry.Committed && entry.Undoing == "" {
		entry.Undoing = "its agent stopped in the middle"
		entry.Next = min(entry.Next+1, len(entry.Operation.Steps)) // the step there may be half done
	}
	if entry.Undoing != "" {
		return e.undo(ctx, entry)
	}
	return e.proceed(ctx, entry, locks)
}

// held are the locks of an operation, by node.
type held map[NodeID]func()

// release gives back the locks of all nodes, but for those of the steps left.
func (h held) release(left ...Step) {
	for _, node := range slices.Backward(slices.Sorted(maps.Keys(h))) {
		if !slices.ContainsFunc(left, func(s Step) bool { return s.Node == node }) {
			h[node]()
			delete(h, node)
		}
	}
}

// lock takes the locks of all nodes of an operation in the order of their
// names, so that two operations cannot wait for each other.
func (e *Executor) lock(ctx context.Context, op Operation) (held, error) {
	nodes := map[NodeID]bool{}
	for _, step := range op.Steps {
		nodes[step.Node] = true
	}
	locks := held{}
	for _, node := range slices.Sorted(maps.Keys(nodes)) {
		free, err := e.Locks.Lock(ctx, node, op.ID)
		if err != nil {
			locks.release()
			return nil, fmt.Errorf("lock %s: %w", node, err)
		}
		locks[node] = free
	}
	return locks, nil
}

// proceed does the steps that are left. From a point of no return a node is
// free once its last step is done: a primary that restarts while another member
// is seeded, which may take hours, has to open again.
func (e *Executor) proceed(ctx context.Context, entry *Entry, locks held) error {
	if entry.Undoing != "" {
		return e.undo(ctx, entry)
	}
	for entry.Next < len(entry.Operation.Steps) {
		step := entry.Operation.Steps[entry.Next]
		entry.Committed = entry.Committed || step.PointOfNoReturn
		if err := e.save(ctx, entry); err != nil { // before the effect
			return err
		}
		if entry.Committed {
			locks.release(entry.Operation.Steps[entry.Next:]...)
		}
		if err := e.step(ctx, entry.Operation, step); err != nil {
			return e.failed(ctx, entry, step, err)
		}
		entry.Next++
	}
	entry.Ended = true
	return e.save(ctx, entry)
}

// failed decides on the way after a step that failed: back if that may be.
func (e *Executor) failed(ctx context.Context, entry *Entry, step Step, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %s: %w", step.Node, step.Do, err) // whoever comes next reads the journal
	}
	if entry.Committed {
		return &StepFailed{Step: step, Err: err}
	}
	stands := slices.ContainsFunc(entry.Operation.Steps[:entry.Next], func(s Step) bool { return s.Undo == nil })
	entry.Undoing = err.Error()
	entry.Next++ // the step may be half done
	undone := e.undo(ctx, entry)
	return &StepFailed{Step: step, Undone: undone == nil && !stands, Err: errors.Join(err, undone)}
}

// step does one step and waits until its predicate holds.
func (e *Executor) step(ctx context.Context, op Operation, step Step) error {
	node, ok := e.Nodes[step.Node]
	if !ok {
		return fmt.Errorf("no way to reach %s", step.Node)
	}
	e.tell(step, step.Do.String())
	ctx, cancel := context.WithTimeoutCause(ctx, step.Deadline, fmt.Errorf("not done in %s", step.Deadline))
	defer cancel()
	if err := node.Do(ctx, Order{Operation: op.ID, Epoch: op.Epoch, Step: step.ID, Action: step.Do}); err != nil {
		return err
	}
	for {
		unmet := ""
		view, err := node.Observe(ctx)
		if err != nil {
			unmet = err.Error()
		} else if unmet = step.Verify.Unmet(view); unmet == "" {
			return nil
		}
		if err := e.Clock.Sleep(ctx, pollInterval); err != nil {
			return fmt.Errorf("%s: %w", unmet, cmp.Or(context.Cause(ctx), err))
		}
	}
}

// undo takes back the steps before entry.Next, the last first. It goes on
// although the operation's own time is over.
func (e *Executor) undo(ctx context.Context, entry *Entry) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), undoDeadline, fmt.Errorf("not taken back in %s", undoDeadline))
	defer cancel()
	for ; entry.Next > 0; entry.Next-- {
		if err := e.save(ctx, entry); err != nil {
			return err
		}
		step := entry.Operation.Steps[entry.Next-1]
		node, ok := e.Nodes[step.Node]
		if step.Undo == nil || !ok {
			continue
		}
		e.tell(step, "take back: "+step.Undo.String())
		order := Order{Operation: entry.Operation.ID, Epoch: entry.Operation.Epoch, Step: step.ID + "-undo", Action: *step.Undo}
		if err := node.Do(ctx, order); err != nil {
			return fmt.Errorf("take back %q on %s: %w", step.Do, step.Node, err)
		}
	}
	entry.Ended = true
	return e.save(ctx, entry)
}

func (e *Executor) save(ctx context.Context, entry *Entry) error {
	if err := e.Journal.Save(ctx, *entry); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

func (e *Executor) tell(step Step, message string) {
	if e.Progress != nil {
		e.Progress(step, message)
	}
}
