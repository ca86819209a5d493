package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Times of orders and locks.
const (
	// handsPatience is how long one waits for what is under way here to end; the
	// calls that do are given 5 s.
	handsPatience = 4 * time.Second
	// resultLife is for how long the end of an order is kept for a caller who
	// does not know of it. Whoever asks later wants it done again.
	resultLife = 30 * time.Second
	// orderLife and seedLife bound an order that nobody waits for any more.
	orderLife = 10 * time.Minute
	seedLife  = 24 * time.Hour
	// lockLife is how long a lock holds after its operation was last renewed: a
	// coordinator that was rebuilt does not know what it had locked.
	lockLife = 10 * time.Minute
)

// job is an order on its way.
type job struct {
	key, operation string
	cancel         context.CancelCauseFunc
	done           chan struct{}
	// err and ended count once done is closed.
	err   error
	ended time.Time
}

func (j *job) running() bool {
	select {
	case <-j.done:
		return false
	default:
		return true
	}
}

// lock is the operation lock. That of this machine's own operation ends with it
// or with the agent, a foreign one also by itself.
type lock struct {
	operation string
	own       bool
	by        string // the machine that coordinates it
	renewed   time.Time
}

// holder returns the operation that has the lock now, "" if none. The part is locked.
func (p *part) holder() string {
	l := &p.lock
	if l.operation != "" && !l.own && p.clock.Now().Sub(l.renewed) > lockLife && (p.job == nil || !p.job.running()) {
		*l = lock{}
	}
	return l.operation
}

// Order starts the order or joins it, and waits at most wait for its end.
func (n *Node) Order(ctx context.Context, name string, by api.DBCaller, order replication.Order, wait time.Duration) (done bool, err error) {
	p, err := n.admitMember(name, by)
	if err != nil {
		return false, err
	}
	if err := p.mayOrder(by, order); err != nil {
		return false, err
	}
	j, err := p.begin(order) //nolint:contextcheck // an order goes on when its caller has gone
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case <-j.done:
		p.forget(j)
		return true, j.err
	case <-ctx.Done():
		return false, nil
	}
}

// mayOrder refuses what is no order, or not the caller's to give. A machine
// that is not configured yet records, which its vote needs, and does nothing else.
func (p *part) mayOrder(by api.DBCaller, order replication.Order) error {
	action := order.Action
	switch {
	case order.Operation == "" || order.Step == "" || action.Verb == replication.DoRecord && action.Record == nil,
		action.Verb == replication.DoFollow && action.At == nil,
		(action.Verb == replication.DoFollow || action.Verb == replication.DoSeed) && action.Source == "":
		return &api.Problem{Type: api.ProblemInvalid, Title: "The order is not complete", Detail: fmt.Sprintf("%q of operation %q, step %q lacks something", action.Verb, order.Operation, order.Step)}
	}
	config := p.config()
	if config == nil && action.Verb == replication.DoRecord {
		return nil
	}
	if config == nil {
		return p.unconfigured()
	}
	return p.coordinates(by)
}

// coordinates refuses a caller that is not the coordinator, if that is known.
func (p *part) coordinates(by api.DBCaller) error {
	if config := p.config(); config != nil && by.Node != config.Spec.Primary {
		return forbidden("replication %s is coordinated by %s, and %s is not; the machine of a new primary sends the configuration first", p.name, config.Spec.Primary, by.Node)
	}
	return nil
}

// begin returns the job of an order: the one that runs or has just ended, or a
// new one. Another step of the same operation breaks off the one before, which
// its coordinator has given up.
func (p *part) begin(order replication.Order) (*job, error) {
	key := order.Operation + "/" + order.Step
	p.mu.Lock()
	defer p.mu.Unlock()
	if holder := p.holder(); holder != "" && holder != order.Operation {
		return nil, p.lockedBy(holder)
	}
	if p.lock.operation != "" {
		p.lock.renewed = p.clock.Now()
	}
	if j := p.job; j != nil {
		switch {
		case j.key == key && (j.running() || p.clock.Now().Sub(j.ended) <= resultLife):
			return j, nil
		case j.running() && j.operation != order.Operation:
			return nil, p.lockedBy(j.operation)
		}
		j.cancel(errors.New("the coordinator went on to another step"))
	}
	j := &job{key: key, operation: order.Operation, done: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(p.node.alive)
	j.cancel = cancel
	p.job = j
	if !p.node.start(func(context.Context) { p.run(ctx, j, order) }) {
		cancel(errStopping)
		p.job = nil
		return nil, interrupted()
	}
	return j, nil
}

// run carries an order out.
func (p *part) run(ctx context.Context, j *job, order replication.Order) {
	defer j.cancel(nil)
	limit := orderLife
	if order.Action.Verb == replication.DoSeed {
		limit = seedLife
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done in %s", limit))
	defer cancel()
	var err error
	serverLock := p.serverLock()
	select {
	case serverLock <- struct{}{}:
		p.log.Info("an order begins", "operation", order.Operation, "step", order.Step, "do", order.Action.String())
		if err = p.local().Do(limited, order); err == nil {
			p.repaired(order.Action.Verb)
		}
		<-serverLock
	case <-limited.Done():
		err = context.Cause(limited)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j.ended = p.clock.Now()
	if err != nil {
		p.log.Warn("an order failed", "operation", order.Operation, "step", order.Step, "do", order.Action.String(), "error", err)
		j.err = p.explain(err)
	}
	close(j.done)
}

// repaired takes back what was wrong before an order, before anybody looks at
// what it repaired. The keeper says again what is still the case.
func (p *part) repaired(verb replication.Verb) {
	switch verb {
	case replication.DoRecord, replication.DoOpen:
		p.fenced()
	case replication.DoFollow:
		p.fenced()
		p.condition(conditionNotFollowing, nil)
	default: // repairs nothing that is reported
	}
}

// explain makes a problem of why an order failed. One that only the agent's end
// broke off is to be given again.
func (p *part) explain(err error) error {
	if context.Cause(p.node.alive) != nil {
		return interrupted()
	}
	if problem, ok := errors.AsType[*api.Problem](err); ok {
		return problem
	}
	return &api.Problem{Type: api.ProblemInternal, Title: "The order was not carried out", Detail: err.Error()}
}

func interrupted() error {
	return &api.Problem{Type: api.ProblemInterrupted, Title: "The agent stops", Detail: "give the order again"}
}

// forget drops a job of which the end was reported.
func (p *part) forget(j *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.job == j {
		p.job = nil
	}
}

// Lock gives the part to one operation of the coordinator.
func (n *Node) Lock(ctx context.Context, name string, by api.DBCaller, operation string) error {
	p, err := n.admitMember(name, by)
	if err == nil {
		err = p.coordinates(by)
	}
	if err != nil {
		return err
	}
	return p.lockFor(ctx, lock{operation: operation, by: by.Node})
}

// Unlock takes the part back from an operation; another one's lock stays.
func (n *Node) Unlock(_ context.Context, name string, by api.DBCaller, operation string) error {
	p, err := n.admitMember(name, by)
	if err != nil {
		return err
	}
	p.unlock(operation)
	return nil
}

// LockOwn gives this machine's part to an operation that it coordinates.
func (n *Node) LockOwn(ctx context.Context, name, operation string) error {
	p := n.part(name)
	if p == nil {
		return notEnlisted(n.Deps.Self, name)
	}
	return p.lockFor(ctx, lock{operation: operation, by: n.Deps.Self, own: true})
}

// UnlockOwn takes it back.
func (n *Node) UnlockOwn(_ context.Context, name, operation string) error {
	if p := n.part(name); p != nil {
		p.unlock(operation)
	}
	return nil
}

// lockFor gives the lock to an operation, and waits until the keeper has ended
// what it is at. An order of the operation's earlier life may still be under
// way. A coordinator has one operation at a time, so another one of its own that
// is idle here is one that it has forgotten.
func (p *part) lockFor(ctx context.Context, wanted lock) error {
	if wanted.operation == "" {
		return &api.Problem{Type: api.ProblemInvalid, Title: "The lock is for nobody", Detail: "an operation is needed"}
	}
	p.mu.Lock()
	holder, former := p.holder(), p.lock
	working := p.job != nil && p.job.running()
	resumes := working && p.job.operation == wanted.operation
	forgotten := !working && !former.own && !wanted.own && former.by == wanted.by
	free := holder == "" || holder == wanted.operation || forgotten
	if free {
		wanted.renewed = p.clock.Now()
		p.lock = wanted
	}
	p.mu.Unlock()
	if !free {
		return p.lockedBy(holder)
	}
	if resumes {
		return nil
	}
	release, err := p.take(ctx)
	if err != nil {
		if holder != wanted.operation {
			p.unlock(wanted.operation)
		}
		return err
	}
	release()
	return nil
}

func (p *part) unlock(operation string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lock.operation == operation {
		p.lock = lock{}
	}
}

func (p *part) lockedBy(operation string) error {
	return &api.Problem{
		Type: api.ProblemExists, Title: "Another operation has the lock",
		Detail: fmt.Sprintf("operation %s is under way in replication %s on %s; apply again when it has ended", operation, p.name, p.node.Deps.Self),
	}
}
