package appserver

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// maxExits is how often a starting app may end before it is given up: once or
// twice is a race with something else that starts, three times is a reason.
const maxExits = 3

// gate lets an app pass once it answered its health check so many times in a
// row, within the time it has to start.
type gate struct {
	clock Clock
	// ask tries once and says what it got.
	ask func(ctx context.Context) (said string, healthy bool)
	// alive returns why there is nothing to wait for any more.
	alive func(ctx context.Context) error
}

// unhealthy is why an app did not pass.
type unhealthy struct {
	// Reason is what ended the waiting, Said the last bad answer, a clause
	// without its subject.
	Reason, Said string
}

func (u *unhealthy) Error() string {
	if u.Said == "" {
		return u.Reason
	}
	return u.Reason + "; last it " + u.Said
}

// wait returns nil once the app passed, and an [unhealthy] if it will not. An
// end of the context is the context's error.
func (g gate) wait(ctx context.Context, h api.AppHealthCheck) error {
	deadline := g.clock.Now().Add(time.Duration(h.StartTimeout))
	inRow, last := 0, ""
	for {
		said, healthy := g.ask(ctx)
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if !healthy {
			inRow, last = 0, said
			if err := g.alive(ctx); err != nil {
				return &unhealthy{Reason: err.Error(), Said: last}
			}
		} else if inRow++; inRow >= h.Successes {
			return nil
		}
		if g.clock.Now().Add(time.Duration(h.Interval)).After(deadline) {
			return &unhealthy{Reason: fmt.Sprintf("%d good answers in a row were not reached within %s", h.Successes, h.StartTimeout), Said: last}
		}
		if err := g.clock.Sleep(ctx, time.Duration(h.Interval)); err != nil {
			return err
		}
	}
}

// alive tells whether the units that a gate waits for still have a chance.
func (k *Kind) alive(units ...string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for _, unit := range units {
			status, err := k.systemd.Status(ctx, unit)
			switch {
			case err != nil:
				return err
			case status.ActiveState == "failed" || status.ActiveState == "inactive":
				return fmt.Errorf("%s is %s (%s)", unit, status.ActiveState, status.Result)
			case ends(status) >= maxExits:
				return fmt.Errorf("%s ended %d times while it started", unit, ends(status))
			}
		}
		return nil
	}
}

// ends counts how often a unit's process ended by itself since the unit was
// started: once more than it was restarted while it waits for the next time.
func ends(status systemd.Status) int {
	if strings.HasPrefix(status.SubState, "auto-restart") {
		return status.NRestarts + 1
	}
	return status.NRestarts
}

func timeout(h api.AppHealthCheck) time.Duration { return time.Duration(h.Timeout) }
