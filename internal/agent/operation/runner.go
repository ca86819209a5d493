package operation

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// DefaultTimeout bounds an operation that names no timeout: an app's slowest
// start and a stop, with room to spare.
const DefaultTimeout = 300 * time.Second

// reserveInterval is how often the agent looks whether the room for deletions is
// kept, which is one look at a file.
const reserveInterval = 5 * time.Second

// Config is what a [Runner] works with. All fields are required, but for
// Reserved and After.
type Config struct {
	// Dir holds what outlives the agent, below the engine's root:
	// /var/lib/foobar on a machine.
	Dir string
	// Runtime is an existing directory that root alone writes to, for what is
	// checked before it is put in place, and for what was answered to dry runs:
	// /run/foobar on a machine. It is in memory and outlives the agent.
	Runtime string
	// Kinds are the kinds of components that this agent knows.
	Kinds  []Kind
	Engine *converge.Engine
	Units  Units
	// Journal holds the log of the components' units.
	Journal Journal
	Blobs   *blob.Store
	// Reserved are the ports that the agent itself listens on.
	Reserved []api.Claim
	Clock    func() time.Time
	// After tells when a while is over; nil means [time.After].
	After  func(time.Duration) <-chan time.Time
	Logger hclog.Logger
	// Ctx is the agent's own: operations run under it, whatever becomes of
	// those who asked for them.
	Ctx context.Context //nolint:containedctx // see above
}

// Units is what the runner needs of the service manager; see [systemd.Manager].
type Units interface {
	Start(ctx context.Context, unit string) error
	ResetFailed(ctx context.Context, unit string) error
	Status(ctx context.Context, unit string) (systemd.Status, error)
}

// Runner carries out operations and answers for what they made. Its methods
// may be called at the same time; their errors are [api.Problem]s where a
// caller can act on them.
type Runner struct {
	Config
	kinds map[api.Kind]Kind
	store store
	log   *journal
	// reserve is lent to deletions.
	reserve *host.Reserve
	// answered are the answers to dry runs, readers those to readers.
	answered, readers answers
	running           sync.WaitGroup

	// mu guards what follows.
	mu sync.Mutex
	// components holds what is going on with each component, see [Runner.release].
	components map[api.ID]*component
	// epochs is the highest epoch of those that were released.
	epochs int
	// supervised are the components that are looked after.
	supervised map[api.ID]*supervision
}

// component is what goes on with one component.
type component struct {
	// turn is held by the operation that runs; waiters get it in the order in
	// which they came.
	turn chan struct{}
	// pending counts the operations that run or wait, users who else holds the turn or
	// waits for it.
	pending, users int
	// epoch changes whenever an operation begins or ends, so that a reader
	// notices that one was at work meanwhile.
	epoch int
	// failure is why the last change did not end, and noted what was said of that.
	failure error
	noted   string
	// lent tells that whoever has the turn only waits, and lends it to who supervises the
	// component; borrowed are those who have it so.
	lent     bool
	borrowed sync.WaitGroup
	// endRetry ends the retries that wait, nil if there never were any.
	endRetry context.CancelFunc
	// claims are those of the spec that is being applied.
	claims []api.Claim
}

// Request asks for an operation.
type Request struct {
	ID api.ID
	// Operation is the id of the operation, see [api.OperationID].
	Operation string
	// Base is the generation that the request is based on; 0 creates.
	Base int64
	// Write is what to apply; a deletion uses its timeout and whom it forgets alone.
	Write api.Write
	// Actor is who asks, for the record.
	Actor string
}

// New returns a runner with the operations of its earlier lives. Call
// [Runner.Recover] before anything else.
func New(c Config) (*Runner, error) {
	r := &Runner{
		Config:     c,
		kinds:      map[api.Kind]Kind{},
		store:      store{root: c.Engine.Root, dir: c.Dir},
		reserve:    host.NewReserve(filepath.Join(c.Engine.Root, c.Dir, reserveFile)),
		components: map[api.ID]*component{},
		supervised: map[api.ID]*supervision{},
		answered:   answers{dir: filepath.Join(c.Runtime, answersDir)},
		readers:    answers{dir: filepath.Join(c.Runtime, readersDir)},
	}
	for _, k := range c.Kinds {
		r.kinds[k.Kind()] = k
	}
	c.Blobs.WhenFull(r.makeRoom)
	var err error
	r.log, err = openJournal(filepath.Join(c.Engine.Root, c.Dir, "operations"), c.Clock)
	return r, err
}

// Wait returns when no operation is running any more. It is called once the
// agent's context is cancelled, which ends them.
func (r *Runner) Wait() { r.running.Wait() }

// kind checks that id can name a component of this agent.
func (r *Runner) kind(id api.ID) (Kind, error) {
	k, ok := r.kinds[id.Kind]
	if !ok {
		return nil, &api.Problem{Type: api.ProblemNotFound, Title: "There is no such kind", Detail: fmt.Sprintf("this agent knows no %q; a newer image may", id.Kind)}
	}
	if err := api.CheckName(id.Name); err != nil {
		return nil, &api.Problem{Type: api.ProblemInvalid, Title: "The name is not valid", Detail: err.Error()}
	}
	return k, nil
}

// component returns what goes on with id. The caller holds r.mu.
func (r *Runner) component(id api.ID) *component {
	c := r.components[id]
	if c == nil {
		c = &component{turn: make(chan struct{}, 1), epoch: r.epochs}
		r.components[id] = c
	}
	return c
}

// use is component for who takes or awaits its turn without an operation, until done is called.
func (r *Runner) use(id api.ID) (c *component, done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c = r.component(id)
	c.users++
	return c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		c.users--
		r.release(id, c)
	}
}

// release forgets what goes on with id if nothing does and there is no such component:
// callers can name any number. The next epoch goes on from the last one, by which a reader
// notices that an operation has come and gone. The caller holds r.mu.
func (r *Runner) release(id api.ID, c *component) {
	idle := c.pending == 0 && c.users == 0 && c.endRetry == nil && c.failure == nil && len(c.claims) == 0
	if idle && r.store.read(id) == nil {
		delete(r.components, id)
		r.epochs = max(r.epochs, c.epoch)
	}
}

// Operation returns an operation by its id.
func (r *Runner) Operation(_ context.Context, id string) (api.Operation, error) {
	if op, ok := r.log.get(id); ok {
		return op, nil
	}
	return api.Operation{}, notFound("operation %s", id)
}

// Events returns the events of an operation that came after the given one. If
// there is none yet it waits, but not longer than wait and not beyond the end
// of the operation.
func (r *Runner) Events(ctx context.Context, id string, after int64, wait time.Duration) ([]api.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		events, done, changed, ok := r.log.after(id, after)
		if !ok {
			return nil, notFound("operation %s", id)
		}
		if len(events) > 0 || done {
			return events, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil
		case <-r.Ctx.Done():
			return nil, nil
		}
	}
}

func notFound(format string, args ...any) error {
	return &api.Problem{Type: api.ProblemNotFound, Title: "Not found", Detail: fmt.Sprintf("there is no "+format, args...)}
}

// Apply starts an operation that brings a component to a spec, or joins the
// one with the same id, and returns at once.
func (r *Runner) Apply(ctx context.Context, req Request) (api.Operation, error) {
	kind, err := r.kind(req.ID)
	if err != nil {
		return api.Operation{}, err
	}
	spec, err := kind.Validate(req.Write.Spec)
	if err != nil {
		return api.Operation{}, err
	}
	j := job{Request: req, verb: api.VerbApply, kind: kind, spec: spec}
	if op, repeated := r.repeated(ctx, j); repeated {
		return op, nil
	}
	return r.submit(j) //nolint:contextcheck // it outlives the caller
}

// repeated returns the operation that has carried out a create already, if
// what it made still stands as it was applied. Whether it does only a look at
// the machine tells; where that fails, the operation's next run says why.
func (r *Runner) repeated(ctx context.Context, j job) (api.Operation, bool) {
	epoch, busy := r.epoch(j.ID)
	earlier, known := r.log.get(j.Operation)
	record := r.store.read(j.ID)
	if busy || !j.creates() || !known || !j.is(earlier) || !made(earlier, record) {
		return api.Operation{}, false
	}
	intact, err := r.intact(ctx, j, record)
	now, _ := r.epoch(j.ID)
	return earlier, err == nil && intact && now == epoch
}

// Delete starts an operation that removes a component, or joins the one with
// the same id, and returns at once.
func (r *Runner) Delete(_ context.Context, req Request) (api.Operation, error) {
	kind, err := r.kind(req.ID)
	if err != nil {
		return api.Operation{}, err
	}
	return r.submit(job{Request: req, verb: api.VerbDelete, kind: kind}) //nolint:contextcheck // it outlives the caller
}

// job is an operation that was asked for.
type job struct {
	Request
	verb api.Verb
	kind Kind
	spec Spec // nil for a deletion
	run  int  // of its operation, from 1
	// order is what an operator on the machine asked for, "" for what the request says, and to
	// the generation that a rollback has to go back to, 0 for the last one.
	order order
	to    int64
}

// is reports whether an operation is one of the same verb and component.
func (j job) is(op api.Operation) bool { return op.Component == j.ID && op.Verb == j.verb }

// creates reports whether the job makes a component, or adopts one that stands.
func (j job) creates() bool { return j.verb == api.VerbApply && j.Base == 0 }

func (j job) timeout() time.Duration {
	if j.Write.TimeoutSeconds > 0 {
		return time.Duration(j.Write.TimeoutSeconds) * time.Second
	}
	return DefaultTimeout
}

// operationPattern keeps an id, which comes from outside, a plain file name.
var operationPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (r *Runner) submit(j job) (api.Operation, error) {
	if !operationPattern.MatchString(j.Operation) {
		return api.Operation{}, &api.Problem{Type: api.ProblemInvalid, Title: "The operation's id is not valid",
			Detail: fmt.Sprintf("%q is given in %s; 1 to 64 letters, digits, dashes and underscores are expected", j.Operation, api.HeaderOperation)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Ctx.Err() != nil {
		return api.Operation{}, &api.Problem{Type: api.ProblemInterrupted, Title: "The agent is stopping", Detail: "nothing was changed; try again"}
	}
	record := r.record(j)
	earlier, known := r.log.get(j.Operation)
	if known && !j.is(earlier) {
		return api.Operation{}, &api.Problem{Type: api.ProblemInvalid, Title: "The operation's id is taken",
			Detail: fmt.Sprintf("the operation %s was a %s of %s", j.Operation, earlier.Verb, earlier.Component)}
	}
	if known && (!earlier.State.Done() || !j.creates() && made(earlier, record)) {
		return earlier, nil
	}
	c := r.component(j.ID)
	if c.pending == 0 { // else the record may be another one by the time it is this one's turn
		if _, err := r.admit(j, record); err != nil {
			r.release(j.ID, c)
			return api.Operation{}, err
		}
	}
	giveBack := r.reserve.Keep
	if j.verb == api.VerbDelete {
		giveBack = r.reserve.Lend()
	}
	op, err := r.log.begin(j.operation(earlier, r.Clock()))
	if err != nil {
		_ = giveBack() // the disk is full, of which err tells
		r.release(j.ID, c)
		return api.Operation{}, err
	}
	c.pending++
	j.run = op.Runs
	r.running.Go(func() {
		r.run(j, c)
		r.noteReserve(giveBack())
	})
	return op, nil
}

// noteReserve logs that no room is kept for deletions, which [Runner.keepReserve]
// tries again.
func (r *Runner) noteReserve(err error) {
	if err != nil {
		r.Logger.Warn("no room is kept for deletions on a full disk", "error", err)
	}
}

// keepReserve takes the room for deletions back as soon as the disk has it: what a
// deletion borrows on a full disk may go to somebody else.
func (r *Runner) keepReserve() {
	every := time.NewTicker(reserveInterval)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			_ = r.reserve.Keep() // the condition of a full disk says so
		case <-r.Ctx.Done():
			return
		}
	}
}

// operation returns the operation in its queued state; earlier is its last run,
// if there was one.
func (j job) operation(earlier api.Operation, now time.Time) api.Operation {
	op := api.Operation{
		ID: j.Operation, Verb: j.verb, Component: j.ID, State: api.OperationQueued,
		BaseGeneration: j.Base, Runs: earlier.Runs + 1, Actor: j.Actor, Order: string(j.order), Owner: j.Write.Owner, Created: now,
	}
	if earlier.Runs > 0 {
		op.Created = earlier.Created
	}
	return op
}

// made reports whether an operation is applied, and what made the component as
// it is recorded.
func made(op api.Operation, record *Record) bool {
	return op.State == api.OperationApplied && isLast(op, record)
}

// isLast reports whether the present run of an operation is what made the
// component as it is recorded.
func isLast(op api.Operation, record *Record) bool {
	if op.Verb == api.VerbDelete {
		return record == nil
	}
	return record != nil && record.Operation == op.ID && record.Run == op.Runs
}

// run takes a job from the queue to its end.
func (r *Runner) run(j job, c *component) {
	select {
	case c.turn <- struct{}{}:
	default:
		r.log.event(j.Operation, api.PhaseQueue, "wait for %s", r.turnOf(j.ID))
		select {
		case c.turn <- struct{}{}:
		case <-r.Ctx.Done():
		}
	}
	if r.Ctx.Err() != nil {
		r.end(j, 0, conclude(context.Cause(r.Ctx), context.Cause(r.Ctx), ""), 0)
		r.leave(j.ID, c)
		return
	}
	r.advance(c)
	started := r.Clock()
	generation, over, err := r.carryOut(j)
	if host.IsFull(err) { // its problem says what to do, and not what failed
		r.Logger.Error("a disk is full", "op", j.Operation, "error", err)
	}
	if err != nil {
		record := r.store.read(j.ID)
		unsure := r.unsure(j.ID, record) && (record == nil || record.lost == nil)
		err = conclude(err, over, restored(j.ID, record, unsure, logged(err)))
		r.supervise(j.ID) // as before: a deletion had ended it
	}
	// What is over for whoever asks is over for whoever is next, in this order.
	r.advance(c)
	r.end(j, generation, err, r.Clock().Sub(started))
	<-c.turn
	r.leave(j.ID, c)
	r.finish(j.ID) // what its time was too short for
}

// carryOut ends what the last change has left, and then does what a job asks for, in the
// time that it has. Over is why that ended early, nil if it did not.
func (r *Runner) carryOut(j job) (generation int64, over, err error) {
	if err := r.completeLast(j); err != nil {
		return 0, context.Cause(r.Ctx), err
	}
	r.log.update(j.Operation, func(op *api.Operation) { op.State, op.Started = api.OperationRunning, r.Clock() })
	if j.verb == api.VerbDelete {
		r.leaveAlone(j.ID)
	}
	ctx, cancel := context.WithTimeoutCause(r.Ctx, j.timeout(), timedOut(j.timeout()))
	defer cancel()
	generation, err = r.execute(ctx, j)
	return generation, context.Cause(ctx), err
}

func (r *Runner) advance(c *component) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.epoch++
	c.claims = nil
}

func (r *Runner) leave(id api.ID, c *component) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.pending--
	r.release(id, c)
}
