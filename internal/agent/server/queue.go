package server

import (
	"context"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// maxWaiting is how many dry runs of readers wait at a time. Terraform asks for
// ten at once by default.
const maxWaiting = 16

// queue lets one call in at a time, and a bounded number wait. A dry run costs
// the machine work, and a reader's certificate is the least guarded of all; so
// readers share one place, and whoever may change the machine never waits for them.
type queue struct {
	turn    chan struct{}
	waiting chan struct{}
}

func newQueue() *queue {
	return &queue{turn: make(chan struct{}, 1), waiting: make(chan struct{}, maxWaiting+1)}
}

// enter waits for the turn of a call; leave has to be called at its end. The
// error is an [api.Problem] if too many wait.
func (q *queue) enter(ctx context.Context) (leave func(), err error) {
	select {
	case q.waiting <- struct{}{}:
	default:
		return nil, &api.Problem{
			Type: api.ProblemBusy, Title: "The agent is busy with dry runs",
			Detail: fmt.Sprintf("one dry run of a reader runs at a time and %d wait already; plan again in a moment, or with a lower -parallelism", maxWaiting),
		}
	}
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn; <-q.waiting }, nil
	case <-ctx.Done():
		<-q.waiting
		return nil, context.Cause(ctx)
	}
}
