package server

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Replications are the machine's parts of replications. Which machines a
// replication has, and which of them are members, is set by an administrator
// alone, in Enlist; every other call is refused to a machine that is not one of
// them, and to a witness all but View and Record. Errors that the caller can act
// on are problems.
type Replications interface {
	// Enlist makes m, by whose word is kept, the machines that may talk about a
	// replication; Leave ends that.
	Enlist(ctx context.Context, name, by string, m api.DBMembership) error
	Leave(ctx context.Context, name string) error
	// Applied tells whether the machine has the replication as a component.
	Applied(ctx context.Context, name string, by api.DBCaller) (bool, error)
	// View looks at the part, Record reads what it has recorded, which needs no
	// database.
	View(ctx context.Context, name string, by api.DBCaller) (replication.NodeView, error)
	Record(ctx context.Context, name string, by api.DBCaller) (replication.Record, error)
	// UpdateConfig keeps what the replication is to be.
	UpdateConfig(ctx context.Context, name string, by api.DBCaller, config api.DBConfig) error
	// Order starts the order or joins it, waits at most wait; done tells whether
	// it has ended. A ctx that ends ends the wait, not the order.
	Order(ctx context.Context, name string, by api.DBCaller, order replication.Order, wait time.Duration) (done bool, err error)
	// Lock gives the part to one operation, which may have it already; Unlock
	// takes it back.
	Lock(ctx context.Context, name string, by api.DBCaller, operation string) error
	Unlock(ctx context.Context, name string, by api.DBCaller, operation string) error
	// Copy writes a copy of the part's data.
	Copy(ctx context.Context, name string, by api.DBCaller, to io.Writer) error
}

// replication returns the name of the replication in the path.
func (c *call) replication() (string, error) {
	name := c.params["name"]
	if err := api.CheckName(name); err != nil {
		return "", invalid("the replication's name: %v", err)
	}
	return name, nil
}

func (s *Server) enlist(c *call) (answer, error) {
	name, err := c.replication()
	if err != nil {
		return answer{}, err
	}
	var membership api.DBMembership
	if err := c.decode(&membership); err != nil {
		return answer{}, err
	}
	if err := membership.Validate().Problem(); err != nil {
		return answer{}, err
	}
	c.detail = aboutMembership(membership)
	return done(s.Replications.Enlist(c.Context(), name, api.Short(c.caller.Actor, maxText), membership))
}

func (s *Server) leave(c *call) (answer, error) {
	name, err := c.replication()
	if err != nil {
		return answer{}, err
	}
	return done(s.Replications.Leave(c.Context(), name))
}

func (s *Server) applied(c *call) (answer, error) {
	name, err := c.replication()
	if err != nil {
		return answer{}, err
	}
	applied, err := s.Replications.Applied(c.Context(), name, c.caller.Machine)
	return ok(api.DBApplied{Applied: applied}), err
}

func (s *Server) updateConfig(c *call) (answer, error) {
	name, err := c.replication()
	if err != nil {
		return answer{}, err
	}
	var config api.DBConfig
	if err := c.decode(&config); err != nil {
		return answer{}, err
	}
	return done(s.Replications.UpdateConfig(c.Context(), name, c.caller.Machine, config))
}

func (s *Server) view(c *call) (answer, error) {
	name, err := c.replication()
	if err != nil {
		return answer{}, err
	}
	view, err := s.Replications.View(c.Context(), name, c.caller.Machine)
	return ok(view), err
}

func (s *Server) ballot(c *call) (answer, error) {
	name, err := c.replication()
	if err != nil {
		return answer{}, err
	}
	record, err := s.Replications.Record(c.Context(), name, c.caller.Machine)
	return ok(record), err
}

// order answers 202 while the order has still to end: the caller gives it again.
func (s *Server) order(c *call) (answer, error) {
	name, err := c.replication()
	if err != nil {
		return answer{}, err
	}
	var order replication.Order
	if err := c.decode(&order); err != nil {
		return answer{}, err
	}
	if err := checkOrder(order); err != nil {
		return answer{}, err
	}
	ctx, cancel := s.untilStopped(c.Context())
	defer cancel()
	ended, err := s.Replications.Order(ctx, name, c.caller.Machine, order, api.MaxOrderWait)
	if err != nil && s.stopping.Err() != nil && errors.Is(err, context.Canceled) {
		ended, err = false, nil // only the wait was broken off
	}
	a := answer{status: http.StatusOK, operation: order.Operation}
	if !ended {
		a.status = http.StatusAccepted
	}
	return a, err
}

// checkOrder refuses an order that lacks what its verb needs: what decodes is
// not therefore whole.
func checkOrder(o replication.Order) error {
	switch {
	case o.Operation == "" || o.Step == "":
		return invalid("the order has no operation or no step: both are needed to tell it from others")
	case o.Action.Verb == "":
		return violation("/action/verb", "is missing")
	case o.Action.Verb == replication.DoRecord && o.Action.Record == nil:
		return violation("/action/record", "is missing: there is nothing to record")
	case o.Action.Verb == replication.DoFollow && o.Action.At == nil:
		return violation("/action/at", "is missing: it tells where the source is found")
	}
	return nil
}

func (s *Server) lock(c *call) (answer, error) { return s.locking(c, s.Replications.Lock) }

func (s *Server) unlock(c *call) (answer, error) { return s.locking(c, s.Replications.Unlock) }

func (s *Server) locking(c *call, do func(ctx context.Context, name string, by api.DBCaller, operation string) error) (answer, error) {
	name, err := c.replication()
	if err != nil {
		return answer{}, err
	}
	var lock api.DBLock
	if err := c.decode(&lock); err != nil {
		return answer{}, err
	}
	if lock.Operation == "" {
		return answer{}, violation("/operation", "is missing: a lock belongs to an operation")
	}
	a, err := done(do(c.Context(), name, c.caller.Machine, lock.Operation))
	a.operation = lock.Operation
	return a, err
}

// copy answers with a stream, which a stop of the server breaks off.
func (s *Server) copy(c *call) (answer, error) {
	name, err := c.replication()
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, stream: func(to io.Writer) error {
		ctx, cancel := s.untilStopped(c.Context())
		defer cancel()
		return s.Replications.Copy(ctx, name, c.caller.Machine, to)
	}}, nil
}

// untilStopped returns a context that ends when the server stops, too.
func (s *Server) untilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.stopping, cancel)
	return ctx, func() { stop(); cancel() }
}

// done answers a call of which only the success is of interest.
func done(err error) (answer, error) { return answer{status: http.StatusOK}, err }

// aboutMembership tells the audit log who may take part from now on, by name
// and key: a machine that was slipped in could go on copying the data.
func aboutMembership(m api.DBMembership) string {
	peers := make([]string, 0, len(m.Peers))
	for _, name := range slices.Sorted(maps.Keys(m.Peers)) {
		role, key := "witness", m.Peers[name].Key
		if m.Member(name) {
			role = "member"
		}
		if key == "" {
			key = "any key"
		}
		peers = append(peers, name+" ("+role+", "+key+")")
	}
	return "to take part: " + strings.Join(peers, ", ")
}
