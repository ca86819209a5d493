package operation

import (
	"context"
	"errors"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Attendant is a [Kind] that looks after its components while the agent runs.
type Attendant interface {
	// Attend looks after one component, in a goroutine of its own, until ctx ends. The
	// cause is [ErrRemoved] where the component is being removed; the removal waits for
	// Attend to return.
	Attend(ctx context.Context, c Attended)
}

// ErrRemoved is why a component is attended no more.
var ErrRemoved = errors.New("the component is being removed")

// Attended is a component that is looked after.
type Attended struct {
	Name string
	// Applied gets what is applied: at once, and after each operation.
	Applied <-chan converge.Version
	// Between has do run while no operation is at work on the component; one that
	// comes meanwhile waits. Where one is at work or waits, do is not called and ran
	// is false: whoever attends tries again later.
	Between func(ctx context.Context, do func(ctx context.Context) error) (ran bool, err error)
	Log     hclog.Logger
}

// attendance is one call of Attend.
type attendance struct {
	applied chan converge.Version
	cancel  context.CancelCauseFunc
	ended   chan struct{}
}

// attendAll begins to look after all components.
func (r *Runner) attendAll() error {
	records, err := r.store.list()
	for _, record := range records {
		r.attend(record.ID)
	}
	return err
}

// attend has a component looked after as it is recorded now.
func (r *Runner) attend(id api.ID) {
	attendant, ok := r.kinds[id.Kind].(Attendant)
	if !ok || r.Ctx.Err() != nil {
		return
	}
	record := r.store.read(id)
	_, version := r.version(r.kinds[id.Kind], record)
	if version == nil { // of what cannot be read, the last one stays
		if record == nil {
			r.leaveAlone(id)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attended[id]
	if a == nil {
		ctx, cancel := context.WithCancelCause(r.Ctx)
		a = &attendance{applied: make(chan converge.Version, 1), cancel: cancel, ended: make(chan struct{})}
		r.attended[id] = a
		c := Attended{Name: id.Name, Applied: a.applied, Between: r.between(id), Log: r.Logger.With("kind", id.Kind, "name", id.Name)}
		r.running.Go(func() {
			defer close(a.ended)
			attendant.Attend(ctx, c)
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
	a := r.attended[id]
	delete(r.attended, id)
	r.mu.Unlock()
	if a != nil {
		a.cancel(ErrRemoved)
		<-a.ended
	}
}

// between returns [Attended.Between] of a component. What is done there is no drift,
// so readers see the component as one that an operation is at work on.
func (r *Runner) between(id api.ID) func(ctx context.Context, do func(ctx context.Context) error) (bool, error) {
	return func(ctx context.Context, do func(ctx context.Context) error) (bool, error) {
		leave, free := r.occupy(id)
		if !free {
			return false, nil
		}
		defer leave()
		return true, do(ctx)
	}
}

// occupy takes a component's turn without an operation, until leave is called. Where
// an operation is at work or waits, or the component is being started after a boot,
// it is not free.
func (r *Runner) occupy(id api.ID) (leave func(), free bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.component(id)
	if c.pending > 0 {
		return nil, false
	}
	select {
	case c.turn <- struct{}{}:
	default:
		return nil, false
	}
	c.epoch++
	return func() {
		r.advance(c)
		<-c.turn
	}, true
}
