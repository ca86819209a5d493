package client

import (
	"context"
	"time"
)

// The pauses between tries of a machine that does not answer: short at first,
// as an agent restarts in a moment, then as long as a booting machine is worth.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// backoff is a growing pause.
type backoff struct{ next time.Duration }

func newBackoff() *backoff { return &backoff{next: firstPause} }

// wait pauses, and returns the context's error if it ends before.
func (b *backoff) wait(ctx context.Context) error {
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	b.next = min(2*b.next, lastPause)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
