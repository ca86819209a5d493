package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// queue lets a few calls in at a time, and a bounded number wait for a bounded time.
// Whatever a reader asks for costs the machine work, and a reader's certificate is
// the least guarded of all; so readers share few places, and other
// roles never wait for them.
type queue struct {
	// calls names what the queue is for.
	calls    string
	patience time.Duration // 0 waits as long as the caller does
	turn     chan struct{}
	waiting  chan struct{}
}

// newQueue returns a queue that lets in so many calls at once, and has so many wait.
func newQueue(calls string, atOnce, waiting int, patience time.Duration) *queue {
	return &queue{calls: calls, patience: patience, turn: make(chan struct{}, atOnce), waiting: make(chan struct{}, atOnce+waiting)}
}

// dryRuns are readers' dry runs, which run the engines' checkers: one at a time.
// Terraform asks for ten at once by default.
func dryRuns() *queue { return newQueue("dry runs", 1, 16, 0) }

// reads are all else that readers ask for: four at a time. A component that asks
// machines which do not answer takes some seconds.
func reads() *queue { return newQueue("reads", 4, 48, 20*time.Second) }

// enter waits for the turn of a call; leave has to be called at its end. The
// error is a busy [api.Problem] if too many wait, or this one has waited too long.
func (q *queue) enter(ctx context.Context) (leave func(), err error) {
	select {
	case q.waiting <- struct{}{}:
	default:
		return nil, q.busy("%d run and %d wait already", cap(q.turn), cap(q.waiting)-cap(q.turn))
	}
	leave = func() { <-q.turn; <-q.waiting }
	select {
	case q.turn <- struct{}{}:
		return leave, nil // whatever ctx says
	default:
	}
	if q.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, q.patience, q.busy("this one has waited for %s", q.patience))
		defer cancel()
	}
	select {
	case q.turn <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		<-q.waiting
		return nil, context.Cause(ctx)
	}
}

func (q *queue) busy(format string, args ...any) error {
	return &api.Problem{
		Type: api.ProblemBusy, Title: "The agent is busy with " + q.calls + " of readers",
		Detail: fmt.Sprintf("all readers together have %d at a time, and ", cap(q.turn)) + fmt.Sprintf(format, args...) + "; try again in a moment, or with a lower -parallelism",
	}
}

// queued has a reader's call wait for its turn. A dry run waits where it runs, after
// its body was read.
func (s *Server) queued(ctx context.Context, c *call) (leave func(), err error) {
	if c.caller.Role != api.RoleReader || c.Method == http.MethodPost {
		return func() {}, nil
	}
	return s.reads.enter(ctx)
}
