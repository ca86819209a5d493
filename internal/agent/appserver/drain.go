package appserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/unixdiag"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// drainPause is how often it is looked whether a slot has ended its requests.
	drainPause = 100 * time.Millisecond
	// drainLooks in a row have to see none.
	drainLooks = 2
	// undoDrain bounds the draining of a release that failed.
	undoDrain = api.Duration(time.Minute)
	// stopSlack is what the stop of an app may take beyond the time that it has.
	stopSlack = 15 * time.Second
)

// drain waits until the slot that the traffic has left has no connection any
// more, for the drain timeout at most: what is left then, such as a stream, ends
// with the app. nginx makes a connection for each request, so a connection is a
// request in flight.
func (r rollout) drain(ctx context.Context) error {
	left := liveSlot(r.layout, r.change.Before())
	if left == "" || left == r.slot {
		return nil
	}
	before, err := specOf(r.change.From.Spec)
	if err != nil {
		return err
	}
	timeout := before.DrainTimeout
	if r.change.Undo {
		timeout = min(timeout, undoDrain)
	}
	clock := r.kind.clock
	if end, ok := ctx.Deadline(); ok { // a release that serves is not taken back because the old one is slow to leave
		left := end.Sub(clock.Now()) - time.Duration(before.StopTimeout) - stopSlack
		timeout = max(0, min(timeout, api.Duration(left.Round(time.Millisecond))))
	}
	deadline, idle, shown, unknown := clock.Now().Add(time.Duration(timeout)), 0, false, false
	for {
		open, err := r.connections(r.layout.socket(before, left))
		switch {
		case err == nil && open == 0:
			idle++
		default:
			idle = 0
		}
		if idle >= drainLooks {
			r.progress(api.PhaseSwitch, "the release in slot %s has no request left", left)
			return nil
		}
		if err != nil && !unknown {
			r.progress(api.PhaseSwitch, "the requests of the release in slot %s cannot be counted (%v): it gets all of its drain_timeout, %s", left, err, timeout)
			unknown = true
		}
		if !clock.Now().Before(deadline) {
			r.progress(api.PhaseSwitch, "after %s the release in slot %s still has %d open; they end with it", timeout, left, open)
			return nil
		}
		if open > 0 && !shown {
			r.progress(api.PhaseSwitch, "the traffic goes to slot %s; waiting for %s of slot %s, at most %s", r.slot, requests(open), left, timeout)
			shown = true
		}
		if err := clock.Sleep(ctx, drainPause); err != nil {
			return err
		}
	}
}

// connections counts what the traffic still has open in a slot. An app that has
// ended has none: systemd removes its socket with it.
func (r rollout) connections(socket string) (int, error) {
	open, err := r.kind.connections(r.kind.machine.path(socket))
	if errors.Is(err, unixdiag.ErrNoSocket) {
		return 0, nil
	}
	return open, err
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}
