package operation

import (
	"context"
	"errors"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Supervisor is a [Kind] that looks after its components while the agent runs.
type Supervisor interface {
	// Supervise looks after one component, in a goroutine of its own, until ctx ends. The
	// cause is [ErrRemoved] where the component is being removed; the removal waits for
	// Supervise to return.
	Supervise(ctx context.Context, c Supervised)
}

// ErrRemoved is why a component is supervised no more.
var ErrRemoved = errors.New("the component is being removed")

// Supervised is a component that is looked after.
type Supervised struct {
	Name string
	// Applied gets what is applied: at once, and with the commit of each operation, while
	// the version before it may still drain.
	Applied <-chan converge.Version
	// Between has do run while no operation is at work on the component, or the one that
	// is only waits for what it has replaced to drain; one that comes meanwhile waits.
	// Where one is at work or waits, do is not called and ran is false: whoever supervises
	// tries again later.
	Between func(ctx context.Context, do func(ctx context.Context) error) (ran bool, err error)
	Log     hclog.Logger
}

// supervision is one call of Supervise.
type supervision struct {
	applied chan converge.Version
	cancel  context.CancelCauseFunc
	ended   chan struct{}
}

// superviseAll begins to look after all components.
func (r *Runner) superviseAll() error {
	records, err := r.store.list()
	for _, record := range records {
		r.supervise(record.ID)
	}
	return err
}

// supervise has a component looked after as it serves now.
func (r *Runner) supervise(id api.ID) {
	supervisor, ok := r.kinds[id.Kind].(Supervisor)
	if !ok || r.Ctx.Err() != nil {
		return
	}
	record := r.store.read(id)
	_, version := r.serving(r.kinds[id.Kind], record)
	if version == nil { // of what cannot be read, the last one stays
		if record == nil {
			r.leaveAlone(id)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.supervised[id]
	if a == nil {
		ctx, cancel := context.WithCancelCause(r.Ctx)
		a = &supervision{applied: make(chan converge.Version, 1), cancel: cancel, ended: make(chan struct{})}
		r.supervised[id] = a
		c := Supervised{Name: id.Name, Applied: a.applied, Between: r.between(id), Log: r.Logger.With("kind", id.Kind, "name", id.Name)}
		r.running.Go(func() {
			defer close(a.ended)
			supervisor.Supervise(ctx, c)
		})
	}
	select { // of two that were not seen yet, the newer counts
	case <-a.applied:
	default:
	}
	a.applied <- *version
}

// leaveAlone ends that a component is looked after, and returns once it has.
func (r *Runner) leaveAlone(id api.ID) {
	r.mu.Lock()
	a := r.supervised[id]
	delete(r.supervised, id)
	r.mu.Unlock()
	if a != nil {
		a.cancel(ErrRemoved)
		<-a.ended
	}
}

// between returns [Supervised.Between] of a component. What is done there is no drift,
// so readers see the component as one that an operation is at work on.
func (r *Runner) between(id api.ID) func(ctx context.Context, do func(ctx context.Context) error) (bool, error) {
	return func(ctx context.Context, do func(ctx context.Context) error) (bool, error) {
		leave, free := r.borrow(id)
		if !free {
			leave, free = r.occupy(id)
		}
		if !free {
			return false, nil
		}
		defer leave()
		return true, do(ctx)
	}
}

// lend lends a component's turn, which the caller has, to who supervises the component
// while wait runs.
func (r *Runner) lend(id api.ID, wait func() error) error {
	set := func(lent bool) *component {
		r.mu.Lock()
		defer r.mu.Unlock()
		c := r.component(id)
		c.lent = lent
		return c
	}
	set(true)
	err := wait()
	set(false).borrowed.Wait()
	return err
}

// borrow takes a component's turn from who lends it, until leave is called.
func (r *Runner) borrow(id api.ID) (leave func(), lent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.components[id]
	if c == nil || !c.lent {
		return nil, false
	}
	c.borrowed.Add(1)
	return c.borrowed.Done, true
}

// occupy takes a component's turn without an operation, until leave is called. Where
// an operation is at work or waits, or the component is being started after a boot,
// it is not free.
func (r *Runner) occupy(id api.ID) (leave func(), free bool) {
	c, done := r.use(id)
	r.mu.Lock()
	taken := false
	if c.pending == 0 {
		select {
		case c.turn <- struct{}{}:
			c.epoch++
			taken = true
		default:
		}
	}
	r.mu.Unlock()
	if !taken {
		done()
		return nil, false
	}
	return func() {
		r.advance(c)
		<-c.turn
		done()
	}, true
}
