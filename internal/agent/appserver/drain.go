package appserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/unixdiag"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// drainPause is how often it is looked whether a slot has ended its requests.
	drainPause = 100 * time.Millisecond
	// drainLooks in a row have to see none.
	drainLooks = 2
	// undoDrain bounds the draining of a release that failed. The agent may have to do
	// that before it answers anybody, when it starts.
	undoDrain = api.Duration(time.Minute)
)

// Drained waits until the slot that the traffic has left has no connection any
// more, for the drain timeout at most: what is left then, such as a stream, ends
// with the app. nginx makes a connection for each request, so a connection is a
// request in flight. Only the end of ctx is an error: what cannot be counted may be
// there until the time is over, and is stopped like the rest.
func (k *Kind) Drained(ctx context.Context, change converge.Change, since time.Time, progress converge.Progress) error {
	l := layout{name: change.Name}
	slot := liveSlot(l, change.Before())
	if slot == "" || change.To != nil && slot == liveSlot(l, change.To.State) {
		return nil
	}
	return drain{
		clock: k.clock, slot: slot, timeout: drainTimeout(change), since: since,
		stop:     stopText(change),
		count:    func() (int, error) { return k.openOf(l, slot, change.Before()) },
		progress: progress,
		cut:      func(open int, err error) { warnCut(change, drainTimeout(change), open, err) },
	}.wait(ctx)
}

// warnCut warns of the requests that the end of the drain timeout has cut. The failure of
// a release that is undone says enough.
func warnCut(change converge.Change, timeout time.Duration, open int, err error) {
	if change.Undo {
		return
	}
	const advice = "Raise drain_timeout if requests take longer than that. Clients of streams and WebSockets have to reconnect"
	limit := api.Duration(timeout)
	switch {
	case err != nil:
		change.Warn("RequestsCut", "/drain_timeout", "The old release was stopped after drain_timeout (%s), and whether it had requests open is not known: they cannot be counted (%v). %s.", limit, err, advice)
	case open == 1:
		change.Warn("RequestsCut", "/drain_timeout", "1 request was still open after drain_timeout (%s), when the old release was told to stop. %s.", limit, advice)
	default:
		change.Warn("RequestsCut", "/drain_timeout", "%d requests were still open after drain_timeout (%s), when the old release was told to stop. %s.", open, limit, advice)
	}
}

// Killed warns of an app that does not end when it is told to.
func (k *Kind) Killed(change converge.Change, _ string, timeout time.Duration) {
	change.Warn("AppKilled", "/stop_timeout", "The old release had not ended stop_timeout (%s) after SIGTERM, and was killed: what it had in hand is lost. Have the app end on SIGTERM, or raise stop_timeout if it needs longer.", api.Duration(timeout))
}

// drainTimeout is that of the version which the traffic has left; where this version of
// the agent does not understand its spec, that of the other one.
func drainTimeout(change converge.Change) time.Duration {
	timeout := api.DefaultAppServer().DrainTimeout
	for _, v := range []*converge.Version{change.To, change.From} {
		if v == nil {
			continue
		}
		if s, err := specOf(v.Spec); err == nil {
			timeout = s.DrainTimeout
		}
	}
	if change.Undo {
		timeout = min(timeout, undoDrain)
	}
	return time.Duration(timeout)
}

// stopText says how the app that the traffic has left is stopped, and how long that may
// take; nothing of a site of files, or where its spec is not understood.
func stopText(change converge.Change) string {
	if change.From == nil {
		return ""
	}
	s, err := specOf(change.From.Spec)
	if err != nil || s.StaticSite() {
		return ""
	}
	return fmt.Sprintf("; it gets SIGTERM now, and SIGKILL if it has not ended after stop_timeout (%s)", s.StopTimeout)
}

// errNoTarget is why the requests of a slot without a socket cannot be counted.
var errNoTarget = errors.New("its link to a socket is not recorded")

// openOf counts what the traffic still has open in a slot, where the slot's own link
// says that it goes. An app that has ended has none: systemd removes its socket with it.
func (k *Kind) openOf(l layout, slot string, state converge.State) (int, error) {
	socket := state.Link(slotSocket(l.slot(slot)))
	if socket == "" {
		return 0, errNoTarget
	}
	open, err := k.connections(k.machine.path(socket))
	if errors.Is(err, unixdiag.ErrNoSocket) {
		return 0, nil
	}
	return open, err
}

// drain is the wait for the end of the requests in a slot.
type drain struct {
	clock   Clock
	slot    string
	timeout time.Duration
	// stop says how the app is stopped afterwards.
	stop string
	// since is when it began, maybe in an earlier life of the agent.
	since time.Time
	// count returns how many are in flight.
	count    func() (int, error)
	progress converge.Progress
	// cut is told what was still open when the time was over.
	cut func(open int, err error)
}

// remaining is what is left of the timeout, whatever was done to the clock since.
func (d drain) remaining() time.Duration {
	return d.timeout - max(0, min(d.timeout, d.clock.Now().Sub(d.since)))
}

func (d drain) wait(ctx context.Context) error {
	deadline, idle, told := d.clock.Now().Add(d.remaining()), 0, map[bool]bool{}
	for {
		open, err := d.count()
		if idle++; open > 0 || err != nil {
			idle = 0
		}
		what, over := d.requests(open, err), !d.clock.Now().Before(deadline)
		switch {
		case idle >= drainLooks || over && idle > 0:
			d.progress(api.PhaseSwitch, "the release in slot %s has no request left%s", d.slot, d.stop)
			return nil
		case over:
			d.progress(api.PhaseSwitch, "after %s of draining, the app is stopped with %s%s", api.Duration(d.timeout), what, d.stop)
			d.cut(open, err)
			return nil
		case idle == 0 && !told[err == nil]:
			d.progress(api.PhaseSwitch, "the traffic goes to slot %s; waiting for %s, at most %s", other(d.slot), what, api.Duration(d.remaining()))
			told[err == nil] = true
		}
		if err := d.clock.Sleep(ctx, drainPause); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
}

// requests says what is in flight.
func (d drain) requests(open int, err error) string {
	switch {
	case err != nil:
		return fmt.Sprintf("the requests of slot %s, which cannot be counted (%v)", d.slot, err)
	case open == 1:
		return fmt.Sprintf("1 request of slot %s", d.slot)
	}
	return fmt.Sprintf("%d requests of slot %s", open, d.slot)
}
