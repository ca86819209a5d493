package dbreplication

import (
	"context"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Wall is the machine's clock.
type Wall struct{}

var _ replication.Clock = Wall{}

// Now implements [replication.Clock].
func (Wall) Now() time.Time { return time.Now() }

// Sleep implements [replication.Clock].
func (Wall) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
