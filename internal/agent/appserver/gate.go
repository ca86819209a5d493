package appserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// How often a program that starts may end by itself before it is given up. An
// app does so once or twice in a race with something else that starts; three
// times is a reason. nginx tries for some seconds by itself.
const (
	appPatience   = 3
	nginxPatience = 1
)

// gate lets an app pass once it answered its health check so many times in a
// row, within the time it has to start, and went on to do so.
type gate struct {
	clock Clock
	// ask tries once and says what it got.
	ask func(ctx context.Context) (said string, healthy bool)
	// alive returns why there is nothing to wait for any more.
	alive func(ctx context.Context) error
	// failures is how many bad answers in a row end the waiting, 0 for as many as there
	// is time for.
	failures int
	// hold is how long the app has to stay healthy: from since on if that is set, and alive
	// tells whether it has ended since then. Else steady begins that time, and returns what
	// tells so.
	hold   time.Duration
	since  time.Time
	steady func(ctx context.Context) (alive func(ctx context.Context) error, err error)
}

// unhealthy is why an app did not pass.
type unhealthy struct {
	// Reason is what ended the waiting, Said the last bad answer, a clause
	// without its subject.
	Reason, Said string
	// Cause is the end of the context or of a unit, nil if it was neither.
	Cause error
}

func (u *unhealthy) Error() string {
	if u.Said == "" {
		return u.Reason
	}
	return u.Reason + "; last it " + u.Said
}

// Unwrap returns the cause.
func (u *unhealthy) Unwrap() error { return u.Cause }

// endedError tells that a unit has ended by itself.
type endedError struct{ Unit, Text string }

func (e *endedError) Error() string { return e.Unit + " " + e.Text }

// wait returns nil once the app passed, and an [unhealthy] if it will not. An
// end of the context is the context's error.
func (g gate) wait(ctx context.Context, h api.AppHealthCheck) error {
	deadline := g.clock.Now().Add(time.Duration(h.StartTimeout))
	inRow, failed, last := 0, 0, ""
	var healthy time.Time // since when it is, once it answered often enough
	for {
		said, good := g.ask(ctx)
		if err := context.Cause(ctx); err != nil {
			return &unhealthy{Reason: "it was not healthy yet", Said: last, Cause: err}
		}
		now := g.clock.Now()
		if begun := cmp.Or(g.since, healthy); good && !begun.IsZero() { // it may have ended between two answers, or another program answers in its place
			if err := g.alive(ctx); err != nil {
				return &unhealthy{Reason: fmt.Sprintf("it was healthy, and after %s %s", now.Sub(begun).Round(time.Millisecond), err), Cause: err}
			}
		}
		switch {
		case !good && !healthy.IsZero():
			return &unhealthy{Reason: fmt.Sprintf("it was healthy for %s and did not stay so for %s (health_check.min_healthy_time)", now.Sub(healthy).Round(time.Millisecond), api.Duration(g.hold)), Said: said}
		case !good:
			inRow, last = 0, said
			if err := g.alive(ctx); err != nil {
				if strings.HasPrefix(last, noAnswer) { // it cannot, as it has ended
					last = ""
				}
				return &unhealthy{Reason: err.Error(), Said: last, Cause: err}
			}
			if failed++; failed == g.failures {
				return &unhealthy{Reason: fmt.Sprintf("%d answers in a row were bad", failed), Said: last}
			}
		case healthy.IsZero():
			failed = 0
			if inRow++; inRow >= h.Successes {
				if healthy = now; !g.since.IsZero() {
					healthy = g.since
				} else if g.hold > 0 {
					var err error
					if g.alive, err = g.steady(ctx); err != nil {
						return err
					}
				}
			}
		}
		if !healthy.IsZero() && now.Sub(healthy) >= g.hold {
			return nil
		}
		if healthy.IsZero() && now.Add(time.Duration(h.Interval)).After(deadline) {
			return &unhealthy{Reason: fmt.Sprintf("%s (health_check.successes) were not reached within %s (health_check.start_timeout)", goodAnswers(h.Successes), h.StartTimeout), Said: last}
		}
		if err := g.clock.Sleep(ctx, time.Duration(h.Interval)); err != nil {
			return &unhealthy{Reason: "it was not healthy yet", Said: last, Cause: err}
		}
	}
}

// asking is one wait at the gate.
type asking struct {
	endpoint Endpoint
	// path is what the endpoint is asked for, "" for that of the health check.
	path string
	// where is said of the endpoint; nginx tells that nginx passes the question on.
	where string
	nginx bool
	check api.AppHealthCheck
	// hold is that of the gate, healthy what is known of the app's health already.
	hold    api.Duration
	healthy health
	// failures is that of the gate; ends is how often one of the units may end by itself,
	// of an app of which no health is known.
	failures, ends int
	units          []string
}

// pass waits at the gate until the app answers at the endpoint, and has done so
// for the time of hold.
func (r rollout) pass(ctx context.Context, a asking) error {
	asked := a.check
	if a.path != "" {
		asked.Path = a.path
	}
	alive := a.healthy.alive
	ended, err := r.kind.watch(ctx, 1, r.appUnit()) // also once or twice, should the time be up before it is given up
	if err != nil {
		return err
	}
	if alive == nil {
		var err error
		if alive, err = r.kind.watch(ctx, a.ends, a.units...); err != nil {
			return err
		}
	}
	err = gate{
		clock: r.kind.clock,
		ask: func(ctx context.Context) (string, bool) {
			said, good := r.kind.check(ctx, asked, a.endpoint, r.kind.show(r.layout, r.secrets()...))
			if !good {
				return said, false
			}
			said = r.notItself()
			return said, said == ""
		},
		alive:    r.unlessInVain(alive),
		failures: a.failures,
		hold:     time.Duration(a.hold),
		since:    a.healthy.since,
		steady: func(ctx context.Context) (func(ctx context.Context) error, error) {
			alive, err := r.kind.watch(ctx, 1, a.units...)
			return r.unlessInVain(alive), err
		},
	}.wait(ctx, a.check)
	if err == nil {
		return nil
	}
	detail := fmt.Errorf("release %s, asked for %s %s: %w", path.Base(r.release()), a.check.Path, a.where, err)
	if a.nginx && !r.layout.shims(r.spec) {
		if closed := r.kind.machine.closedToGroup(r.layout.appSocket(r.slot)); closed != "" {
			detail = fmt.Errorf("%w; nginx, which is in the group %s, cannot open the app's socket: %s", detail, r.layout.user(), closed)
		}
	}
	if r.spec.StaticSite() {
		if lacks := r.kind.machine.lacksIndex(r.spec.Static, r.release(), a.check.Path); lacks != "" {
			detail = fmt.Errorf("%w; %s", detail, lacks)
		}
		return r.failed(ctx, "The site did not become healthy", at("/health_check", detail), r.layout.nginxUnit())
	}
	if stands := r.insteadOfSocket(); stands != "" {
		detail = fmt.Errorf("%w; %s", detail, stands)
	} else if u, ok := errors.AsType[*unhealthy](err); ok && !a.nginx {
		detail = fmt.Errorf("%w%s", detail, r.elsewhere(ctx, u.Said))
	}
	place := api.Pointer("/health_check")
	if end, ok := errors.AsType[*endedError](err); ok && end.Unit == r.appUnit() {
		place = "/command"
	} else if end := r.endedMeanwhile(ctx, ended); end != nil {
		place, detail = "/command", fmt.Errorf("%w; meanwhile %w", detail, end)
	}
	return r.failed(ctx, "The app did not become healthy", at(place, detail), r.appUnit())
}

// endedMeanwhile returns that the app has ended by itself, nil if it has not, also after the
// operation's time is up.
func (r rollout) endedMeanwhile(ctx context.Context, ended func(ctx context.Context) error) *endedError {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	end, _ := errors.AsType[*endedError](ended(ctx))
	return end
}

// placed is an error of one place of the spec.
type placed struct {
	error
	pointer api.Pointer
}

func at(place api.Pointer, err error) error { return &placed{err, place} }

func (p *placed) Unwrap() error { return p.error }

func goodAnswers(n int) string {
	if n == 1 {
		return "1 good answer"
	}
	return fmt.Sprintf("%d good answers in a row", n)
}

// unlessInVain returns alive for an app that has not done what no patience mends: neither
// nginx nor the agent goes through a link that an app has made.
func (r rollout) unlessInVain(alive func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if port := r.intrudes(); port != 0 {
			return fmt.Errorf("it listens on port %d too, beside the release that serves there, whose requests it gets; an app has to listen on $PORT alone", port)
		}
		if !r.layout.shims(r.spec) && r.kind.machine.insteadOfSocket(r.layout.appSocket(r.slot)) == aLink {
			return errors.New("it made a link instead of a socket")
		}
		return alive(ctx)
	}
}

// insteadOfSocket says what the app has made instead of its socket, "" if nothing.
func (r rollout) insteadOfSocket() string {
	if r.layout.shims(r.spec) {
		return ""
	}
	socket := r.layout.appSocket(r.slot)
	if stands := r.kind.machine.insteadOfSocket(socket); stands != "" {
		return fmt.Sprintf("%s is %s and no socket; the app has to bind $SOCKET itself", socket, stands)
	}
	return ""
}

// watch returns what tells whether units still have a chance: they run, and
// have not ended by themselves as often as patience allows since now.
func (k *Kind) watch(ctx context.Context, patience int, units ...string) (alive func(ctx context.Context) error, err error) {
	before := map[string]int{}
	for _, unit := range units {
		status, err := k.systemd.Status(ctx, unit)
		if err != nil {
			return nil, err
		}
		before[unit] = ends(status)
	}
	return func(ctx context.Context) error {
		for _, unit := range units {
			status, err := k.systemd.Status(ctx, unit)
			if err != nil {
				return err
			}
			since := ends(status) - before[unit]
			switch {
			case status.ActiveState == "failed" || status.ActiveState == "inactive":
				return &endedError{unit, fmt.Sprintf("is %s (%s)", status.ActiveState, status.Result)}
			case since == 1 && since >= patience:
				return &endedError{unit, "ended by itself"}
			case since >= patience:
				return &endedError{unit, fmt.Sprintf("ended %d times by itself", since)}
			}
		}
		return nil
	}, nil
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
