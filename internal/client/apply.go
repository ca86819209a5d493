package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Change is one write of one component.
type Change struct {
	ID api.ID
	// Base is the generation that the change is based on; 0 creates or adopts.
	Base int64
	// Write is what is wanted. For a deletion only its timeout counts, and whom it forgets.
	Write api.Write
}

// maxReruns bounds how often an operation is started again that the machine
// lost or broke off because its agent or the machine itself stopped.
const maxReruns = 3

// Apply makes a component what the change says, and returns once the
// operation is done. The same change asked for again joins the operation that
// runs. progress is called with each event, one after the other; it may be nil.
//
// An operation that failed is its [api.Problem]. A machine that cannot be
// reached at first is an [Unreachable]; one that goes away in between, because
// it or its agent starts anew, is waited for until ctx ends. Then the error
// wraps the context's, and the operation goes on without a watcher.
func (m *Machine) Apply(ctx context.Context, c Change, progress func(api.Event)) (api.Operation, error) {
	c.Write.Spec = api.Encode(c.Write.Spec) // the one form of the text, which the id is made of
	return m.change(ctx, api.VerbApply, c, progress)
}

// Delete removes a component; see [Machine.Apply].
func (m *Machine) Delete(ctx context.Context, c Change, progress func(api.Event)) (api.Operation, error) {
	c.Write.Spec, c.Write.Secrets = nil, nil
	return m.change(ctx, api.VerbDelete, c, progress)
}

func (m *Machine) change(ctx context.Context, verb api.Verb, c Change, progress func(api.Event)) (api.Operation, error) {
	if err := m.renewIfDue(ctx); err != nil {
		return api.Operation{}, err
	}
	request := changeCall(verb, c)
	w := watcher{machine: m, progress: progress}
	for rerun := 0; ; rerun++ {
		op, err := w.start(ctx, request, rerun > 0)
		if err != nil {
			return op, err
		}
		op, err = w.follow(ctx, op)
		if brokenOff(op, err) && rerun < maxReruns {
			continue
		}
		if err != nil {
			return op, &GoesOnError{Verb: verb, ID: c.ID, Machine: m.target.Name, Err: err}
		}
		if op.State == api.OperationFailed {
			return op, failure(op)
		}
		return op, nil
	}
}

// brokenOff reports whether an operation ended only because the agent or its
// machine stopped, or was lost with them.
func brokenOff(op api.Operation, err error) bool {
	return api.IsProblem(err, api.ProblemNotFound) ||
		err == nil && op.Problem != nil && op.Problem.Type == api.ProblemInterrupted
}

// failure returns the problem of a failed operation.
func failure(op api.Operation) error {
	if op.Problem == nil {
		return &api.Problem{Type: api.ProblemInternal, Title: "The operation failed", Detail: "the agent gives no reason"}
	}
	return op.Problem
}

// changeCall returns the request of a change. That of a deletion says only how
// long it may take, who owns the component and whom it forgets.
func changeCall(verb api.Verb, c Change) call {
	request := call{
		method: http.MethodPut, path: componentPath(c.ID), body: api.Encode(c.Write),
		header: http.Header{
			api.HeaderOperation:  {api.OperationID(verb, c.ID, c.Base, c.Write.Spec, c.Write.Owner)},
			api.HeaderGeneration: {strconv.FormatInt(c.Base, 10)},
		},
	}
	if verb == api.VerbDelete {
		request.method = http.MethodDelete
		request.body = api.Encode(struct {
			TimeoutSeconds int      `json:"timeout_seconds,omitempty"`
			Owner          string   `json:"owner,omitempty"`
			TakesOver      string   `json:"takes_over,omitempty"`
			Forget         []string `json:"forget,omitempty"`
		}{c.Write.TimeoutSeconds, c.Write.Owner, c.Write.TakesOver, c.Write.Forget})
	}
	return request
}

// watcher follows one operation from its start to its end, over lost
// connections.
type watcher struct {
	machine  *Machine
	progress func(api.Event)
	seen     int64 // the number of the last event
}

// start asks for the operation. If patient, or once the request may have
// arrived, a machine that does not answer is asked again: the operation's id
// makes that harmless.
func (w *watcher) start(ctx context.Context, request call, patient bool) (api.Operation, error) {
	pause := newBackoff()
	for {
		var op api.Operation
		_, err := w.machine.do(ctx, request, &op)
		lost, ok := errors.AsType[*Unreachable](err)
		if !ok || !patient && !lost.Sent {
			return op, err
		}
		patient = true
		if pause.wait(ctx) != nil {
			return op, err
		}
	}
}

// follow returns the operation once it is done. Beside a long poll for events
// it looks at the operation itself, after each poll and at every tick: neither
// a missed event nor a hanging poll can hide the end.
func (w *watcher) follow(ctx context.Context, op api.Operation) (api.Operation, error) {
	polling, cancel := context.WithCancel(ctx)
	var events <-chan []api.Event
	defer func() {
		cancel()
		w.finish(ctx, op.ID, events)
	}()
	ticker := time.NewTicker(w.machine.options.PollInterval)
	defer ticker.Stop()
	for due := true; !op.State.Done(); {
		if events == nil && due {
			events = w.poll(polling, op.ID)
		}
		select {
		case <-ctx.Done():
			return op, context.Cause(ctx)
		case batch := <-events:
			events, due = nil, w.tell(batch) // without news it failed or waited in vain: not again before the tick
		case <-ticker.C:
			due = true
		}
		now, err := w.machine.Operation(ctx, op.ID)
		if _, lost := errors.AsType[*Unreachable](err); lost {
			continue // it may be starting anew; ctx bounds the patience
		}
		if err != nil {
			return op, err
		}
		op = now
	}
	return op, nil
}

// poll asks once for new events and waits for some. A poll that fails sends none.
func (w *watcher) poll(ctx context.Context, id string) <-chan []api.Event {
	after, events := w.seen, make(chan []api.Event, 1)
	go func() {
		batch, err := w.machine.events(ctx, id, after, eventWait)
		if err != nil {
			batch = nil
		}
		events <- batch
	}()
	return events
}

// finish waits for a poll that was cancelled, if there is one, and tells the
// events that came since.
func (w *watcher) finish(ctx context.Context, id string, events <-chan []api.Event) {
	if events != nil {
		w.tell(<-events)
	}
	if w.progress == nil || ctx.Err() != nil {
		return
	}
	if batch, err := w.machine.events(ctx, id, w.seen, 0); err == nil {
		w.tell(batch)
	}
}

// tell passes on the events that were not passed on yet, and reports whether
// there were any.
func (w *watcher) tell(batch []api.Event) bool {
	before := w.seen
	for _, event := range batch {
		if event.Seq <= w.seen {
			continue
		}
		w.seen = event.Seq
		if w.progress != nil {
			w.progress(event)
		}
	}
	return w.seen > before
}

// eventWait is how long one poll for events is held open; eventSlack what the
// way may take on top of it.
const (
	eventWait  = 20 * time.Second
	eventSlack = 10 * time.Second
)

// events returns the events of an operation after a number, and waits for some
// if there are none and the operation is not done.
func (m *Machine) events(ctx context.Context, id string, after int64, wait time.Duration) ([]api.Event, error) {
	var out api.Events
	_, err := m.do(ctx, call{
		method: http.MethodGet, path: operationPath(id) + "/events",
		query: url.Values{
			"after": {strconv.FormatInt(after, 10)},
			"wait":  {strconv.Itoa(int(wait / time.Second))},
		},
		timeout: wait + eventSlack,
	}, &out)
	return out.Events, err
}

// GoesOnError is returned where the client stops to watch an operation that the
// machine's agent carries on with.
type GoesOnError struct {
	Verb    api.Verb
	ID      api.ID
	Machine string
	// Err is why it stops.
	Err error
}

func (e *GoesOnError) Error() string {
	return fmt.Sprintf("watch %s of %s, which goes on on machine %s: %v", e.Verb, e.ID, e.Machine, e.Err)
}

// Unwrap returns why the client stops.
func (e *GoesOnError) Unwrap() error { return e.Err }
