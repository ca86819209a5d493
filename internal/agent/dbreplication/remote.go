package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Times of calls to other machines: how long one that is answered at once may
// take, and the pause before an order is given again.
const (
	callTimeout   = 5 * time.Second
	retryInterval = time.Second
)

// Caller calls the agent of another machine; see [client.Machine].
type Caller interface {
	ReplicationCall(ctx context.Context, method, replication, part string, in, out any) (status int, err error)
	ReplicationCopy(ctx context.Context, replication string) (io.ReadCloser, error)
}

// Dial returns the way to a machine's agent. It connects to nobody.
type Dial func(machine replication.NodeID, peer api.DBPeer) (Caller, error)

// Over returns the way that goes over a pool.
func Over(pool *client.Pool) Dial {
	return func(machine replication.NodeID, peer api.DBPeer) (Caller, error) {
		return pool.Machine(client.Target{Name: string(machine), Address: peer.Address, Incarnation: peer.Incarnation, Key: peer.Key})
	}
}

// remote is another machine's part of a replication, behind its agent.
type remote struct {
	replication string
	id          replication.NodeID
	peer        api.DBPeer
	dial        Dial
	clock       replication.Clock
	// waits is called whenever an order is still being carried out.
	waits func(ctx context.Context, r *remote, order replication.Order)
}

var _ replication.Node = (*remote)(nil)

// call makes a call that is answered at once.
func (r *remote) call(ctx context.Context, method, part string, in, out any) error {
	caller, err := r.dial(r.id, r.peer)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, fmt.Errorf("no answer in %s", callTimeout))
	defer cancel()
	_, err = caller.ReplicationCall(ctx, method, r.replication, part, in, out)
	return err
}

// Observe implements [replication.Observer].
func (r *remote) Observe(ctx context.Context) (replication.NodeView, error) {
	var view replication.NodeView
	err := r.call(ctx, http.MethodGet, "view", nil, &view)
	if api.IsProblem(err, api.ProblemForbidden) { // it was informed that this machine takes no part
		return replication.NodeView{
			Unobservable: &replication.Unobservable{Since: r.clock.Now(), Reason: api.AsProblem(err).Detail, Unconfigured: true},
			Membership:   &api.DBMembership{},
		}, nil
	}
	return view, err
}

// Applied tells whether the machine has the replication as a component.
func (r *remote) Applied(ctx context.Context) (bool, error) {
	var applied api.DBApplied
	err := r.call(ctx, http.MethodGet, "component", nil, &applied)
	return applied.Applied, err
}

// Record returns what the machine has recorded, which it knows without its database.
func (r *remote) Record(ctx context.Context) (replication.Record, error) {
	var record replication.Record
	err := r.call(ctx, http.MethodGet, "record", nil, &record)
	return record, err
}

// UpdateConfig tells the machine what the replication is to be.
func (r *remote) UpdateConfig(ctx context.Context, config api.DBConfig) error {
	return r.call(ctx, http.MethodPut, "", config, nil)
}

// Lock gives the machine's part to an operation, Unlock takes it back.
func (r *remote) Lock(ctx context.Context, operation string) error {
	return r.call(ctx, http.MethodPut, "lock", api.DBLock{Operation: operation}, nil)
}

// Unlock takes back what Lock gave.
func (r *remote) Unlock(ctx context.Context, operation string) error {
	return r.call(ctx, http.MethodDelete, "lock", api.DBLock{Operation: operation}, nil)
}

// Copy opens the stream of the machine's data.
func (r *remote) Copy(ctx context.Context) (io.ReadCloser, error) {
	caller, err := r.dial(r.id, r.peer)
	if err != nil {
		return nil, err
	}
	return caller.ReplicationCopy(ctx, r.replication)
}

// Do gives an order until it is carried out, whatever becomes of the line or of
// the agent meanwhile: the same order is joined there, or begun again.
func (r *remote) Do(ctx context.Context, order replication.Order) error {
	caller, err := r.dial(r.id, r.peer)
	if err != nil {
		return err
	}
	for {
		status, err := caller.ReplicationCall(ctx, http.MethodPost, r.replication, "orders", order, nil)
		switch {
		case err == nil && status != http.StatusAccepted:
			return nil
		case err == nil:
			r.waits(ctx, r, order)
		case answered(err) && !api.IsProblem(err, api.ProblemInterrupted), ctx.Err() != nil:
			return err
		}
		if late := r.clock.Sleep(ctx, retryInterval); late != nil {
			if err == nil {
				err = errors.New("it is still at it")
			}
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// answered reports whether an error is what the machine itself said. Any other
// leaves open what it did.
func answered(err error) bool {
	_, ok := errors.AsType[*api.Problem](err)
	return ok
}

// own is this machine's part. It is asked for each time, because it is another
// one once the machine was given something else.
type own struct {
	parts Parts
	name  string
}

var _ replication.Node = own{}

// Observe implements [replication.Observer].
func (o own) Observe(ctx context.Context) (replication.NodeView, error) {
	local, err := o.parts.Local(o.name)
	if err != nil {
		return replication.NodeView{}, err
	}
	o.parts.AwaitReconciled(ctx, o.name)
	view, err := local.Observe(ctx)
	if enlisted, ok := o.parts.Enlisted(o.name); ok {
		view.Membership = &enlisted
	}
	if _, known := o.parts.Config(o.name); err == nil && !known { // it does not know yet that it has a database
		view.Unobservable = &replication.Unobservable{Since: view.Taken, Reason: noConfig, Unconfigured: true}
	}
	return view, err
}

// Do implements [replication.Node].
func (o own) Do(ctx context.Context, order replication.Order) error {
	local, err := o.parts.Local(o.name)
	if err != nil {
		return err
	}
	return local.Do(ctx, order)
}

// hasty is an observer that is waited for only so long.
type hasty struct {
	replication.Observer

	limit time.Duration
}

// Observe implements [replication.Observer].
func (h hasty) Observe(ctx context.Context) (replication.NodeView, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.limit, fmt.Errorf("no answer in %s", h.limit))
	defer cancel()
	return h.Observer.Observe(ctx)
}

// locks are the operation locks of a replication's machines.
type locks struct {
	parts Parts
	name  string
	nodes map[replication.NodeID]replication.Node
	// former returns the operation that had the locks before, "" if none: one
	// machine gives all orders, so that it is over.
	former func(ctx context.Context) string
}

var _ replication.Locks = locks{}

// Lock implements [replication.Locks]. A machine that went away before the
// former operation gave its lock back gets it back now.
func (l locks) Lock(ctx context.Context, node replication.NodeID, operation string) (func(), error) {
	lock, unlock := l.of(node)
	if lock == nil {
		return nil, fmt.Errorf("there is no way to reach %s", node)
	}
	err := lock(ctx, operation)
	if former := l.former(ctx); api.IsProblem(err, api.ProblemExists) && former != "" && former != operation {
		if err = unlock(ctx, former); err == nil {
			err = lock(ctx, operation)
		}
	}
	if err != nil {
		return nil, err
	}
	release := context.WithoutCancel(ctx)
	return func() { _ = unlock(release, operation) }, nil //nolint:contextcheck // it is given back although the operation's time is over
}

// of returns how a node is locked and unlocked, nil for one that is not known.
func (l locks) of(node replication.NodeID) (lock, unlock func(ctx context.Context, operation string) error) {
	switch known := l.nodes[node].(type) {
	case own:
		return func(ctx context.Context, operation string) error { return l.parts.LockOwn(ctx, l.name, operation) },
			func(ctx context.Context, operation string) error { return l.parts.UnlockOwn(ctx, l.name, operation) }
	case *remote:
		return known.Lock, known.Unlock
	}
	return nil, nil
}
