package appserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/unixdiag"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// release returns the change of a version into the other slot.
func release(t *testing.T, from converge.Version, to api.AppServer) converge.Change {
	t.Helper()
	return change(from, renderBeside(t, "notes", to, converge.InPlace{State: from.State, Spec: from.Spec}))
}

// undone returns a change on its way back.
func undone(c converge.Change) converge.Change {
	c.Undo, c.From, c.To = true, c.To, c.From
	return c
}

// misunderstood returns a version with a spec that this version of the agent does not
// understand: its state is all that is known.
func misunderstood(v *converge.Version) *converge.Version {
	return &converge.Version{State: v.State}
}

func TestTheOldReleaseIsDrained(t *testing.T) {
	again := func(s *api.AppServer) { s.RestartTrigger = "again" }
	socket, ports := specs()["socket"], specs()["port"]
	blue, bluePort := render(t, "notes", socket), render(t, "notes", ports)
	good, inPlace := release(t, blue, edited(socket, again)), change(blue, blue)
	toPorts := release(t, blue, edited(ports, func(s *api.AppServer) { s.DrainTimeout = api.Duration(45 * time.Second) }))
	fromPorts := release(t, bluePort, edited(ports, again))
	slow := edited(socket, func(s *api.AppServer) {
		s.DrainTimeout, s.StopTimeout = api.Duration(10*time.Minute), api.Duration(5*time.Minute)
	})
	patient := release(t, render(t, "notes", slow), edited(slow, again))
	unknownOld, lost, unknownBack, noLink := toPorts, toPorts, undone(good), good
	unknownOld.From = misunderstood(toPorts.From)
	lost.From = &converge.Version{Spec: toPorts.To.Spec, State: toPorts.From.State} // as for a record that is lost
	unknownBack.To = misunderstood(good.From)
	noLink.From = &converge.Version{Spec: good.From.Spec, State: converge.State{Links: []converge.Link{{Path: layout{"notes"}.current(), Target: "slots/blue"}}}}
	const old, shim, next = "/run/foobar-app-notes-blue/app.sock", "/run/foobar-app-notes-nginx/blue.sock", "/run/foobar-app-notes-green/app.sock"
	one := func(socket string) map[string]int { return map[string]int{socket: 1} }
	for name, c := range map[string]struct {
		change converge.Change
		// open is what is open at first, openError why it cannot be counted, and until when.
		open      map[string]int
		openError error
		until     time.Duration
		// began is how long ago the drain began.
		began time.Duration
		took  time.Duration
		says  string
	}{
		"no request":                                 {change: good, took: drainPause, says: "slot blue has no request left; it gets SIGTERM now, and SIGKILL if it has not ended after stop_timeout (25s)"},
		"how long the stop may take":                 {change: patient, took: drainPause, says: "after stop_timeout (5m)"},
		"how long that of a failed one may take":     {change: undone(patient), took: drainPause, says: "slot green has no request left; it gets SIGTERM now, and SIGKILL if it has not ended after stop_timeout (5m)"},
		"requests that end":                          {change: good, open: map[string]int{old: 2}, until: 5 * time.Second, took: 5*time.Second + drainPause, says: "waiting for 2 requests of slot blue, at most 30s"},
		"a stream that does not":                     {change: good, open: one(old), until: time.Hour, took: 30 * time.Second, says: "after 30s of draining, the app is stopped with 1 request of slot blue"},
		"those of the new release":                   {change: good, open: one(next), until: time.Hour, took: drainPause, says: "has no request left"},
		"an app on a port":                           {change: fromPorts, open: one(shim), until: time.Second, took: time.Second + drainPause, says: "waiting for 1 request of slot blue"},
		"one that moves to a port":                   {change: toPorts, open: one(old), until: time.Second, took: time.Second + drainPause, says: "waiting for 1"},
		"with the timeout that it has itself":        {change: toPorts, open: one(old), until: time.Hour, took: 30 * time.Second, says: "after 30s"},
		"whatever the stop may take":                 {change: patient, open: one(old), until: time.Hour, took: 10 * time.Minute, says: "at most 10m"},
		"what began in an earlier life":              {change: patient, open: one(old), until: time.Hour, began: 8 * time.Minute, took: 2 * time.Minute, says: "at most 2m"},
		"what was over in an earlier life":           {change: patient, open: one(old), until: time.Hour, began: time.Hour, says: "after 10m of draining"},
		"a clock that was set back":                  {change: good, open: one(old), until: time.Hour, began: -time.Hour, took: 30 * time.Second, says: "after 30s"},
		"an app that has ended":                      {change: good, openError: unixdiag.ErrNoSocket, until: time.Hour, took: drainPause, says: "has no request left"},
		"a kernel that does not count":               {change: good, openError: syscall.ENOENT, until: time.Hour, took: 30 * time.Second, says: "waiting for the requests of slot blue, which cannot be counted (no such file or directory), at most 30s"},
		"a link in the socket's place":               {change: good, openError: syscall.ELOOP, until: time.Hour, took: 30 * time.Second, says: "the app is stopped with the requests of slot blue, which cannot be counted"},
		"what cannot be counted at first":            {change: good, openError: syscall.ELOOP, until: 5 * time.Second, took: 5*time.Second + drainPause, says: "has no request left"},
		"a slot without a link":                      {change: noLink, until: time.Hour, took: 30 * time.Second, says: "its link to a socket is not recorded"},
		"a spec that is not understood":              {change: unknownOld, open: one(old), until: time.Hour, took: 45 * time.Second, says: "after 45s of draining, the app is stopped with 1 request"},
		"a record that is lost":                      {change: lost, open: one(old), until: time.Hour, took: 45 * time.Second, says: "1 request of slot blue"},
		"the same slot":                              {change: inPlace, open: one(old), until: time.Hour},
		"the way back":                               {change: undone(good), open: one(next), until: time.Second, took: time.Second + drainPause, says: "waiting for 1 request of slot green"},
		"the way back, whatever the stop may take":   {change: undone(patient), open: one(next), until: time.Hour, took: time.Minute, says: "after 1m of draining"},
		"the way back to one that is not understood": {change: unknownBack, open: one(next), until: time.Hour, took: 30 * time.Second, says: "after 30s of draining"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, blue)
			f.open, f.openError = c.open, c.openError
			start := f.clock.Now()
			f.clock.onSleep = func() {
				if f.clock.Now().Sub(start) >= c.until {
					f.open, f.openError = nil, nil
				}
			}
			var said strings.Builder
			tell := func(_ api.Phase, format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
			if err := f.kind().Drained(t.Context(), c.change, start.Add(-c.began), tell); err != nil {
				t.Fatal(err)
			}
			if took := f.clock.Now().Sub(start); took != c.took {
				t.Errorf("it took %s, want %s", took, c.took)
			}
			if got := said.String(); !strings.Contains(got, c.says) || (c.says == "") != (got == "") || strings.Count(got, "\n") > 2 {
				t.Errorf("it says %q, not %q", got, c.says)
			}
		})
	}
}

// What an operation's time is too short for is said with what it waited for.
func TestADrainThatIsCutOffSaysForWhat(t *testing.T) {
	socket := specs()["socket"]
	f := newFake(t, render(t, "notes", socket))
	f.open = map[string]int{"/run/foobar-app-notes-blue/app.sock": 3}
	late := errors.New("late")
	ctx, cancel := context.WithCancelCause(t.Context())
	f.clock.onSleep = func() { cancel(late) }
	c := release(t, f.place, edited(socket, func(s *api.AppServer) { s.RestartTrigger = "again" }))
	if err := f.kind().Drained(ctx, c, f.clock.Now(), silent); !errors.Is(err, late) || !strings.Contains(err.Error(), "3 requests of slot blue") {
		t.Errorf("error %v", err)
	}
}

// TestACutReleaseIsAWarning with numbers and the attribute to change.
func TestACutReleaseIsAWarning(t *testing.T) {
	socket := specs()["socket"]
	blue := render(t, "notes", socket)
	good := release(t, blue, edited(socket, func(s *api.AppServer) { s.RestartTrigger = "again" }))
	const old, next = "/run/foobar-app-notes-blue/app.sock", "/run/foobar-app-notes-green/app.sock"
	for name, c := range map[string]struct {
		change    converge.Change
		open      map[string]int
		openError error
		want      string
	}{
		"three requests":       {change: good, open: map[string]int{old: 3}, want: "3 requests were still open after drain_timeout (30s), when the old release was told to stop. Raise drain_timeout"},
		"one":                  {change: good, open: map[string]int{old: 1}, want: "1 request was still open after drain_timeout (30s)"},
		"what is not known":    {change: good, openError: syscall.ELOOP, want: "whether it had requests open is not known"},
		"none":                 {change: good},
		"one that was undone":  {change: undone(good), open: map[string]int{next: 3}},
		"an app that is ended": {change: good, openError: unixdiag.ErrNoSocket},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, blue)
			f.open, f.openError = c.open, c.openError
			var got []api.Condition
			c.change.Warned = func(w api.Condition) { got = append(got, w) }
			if err := f.kind().Drained(t.Context(), c.change, f.clock.Now(), silent); err != nil {
				t.Fatal(err)
			}
			wantWarning(t, got, "RequestsCut", "/drain_timeout", c.want)
		})
	}
	t.Run("a kill", func(t *testing.T) {
		var got []api.Condition
		good.Warned = func(w api.Condition) { got = append(got, w) }
		newFake(t, blue).kind().Killed(good, fakeApp, 10*time.Second)
		wantWarning(t, got, "AppKilled", "/stop_timeout", "The old release had not ended stop_timeout (10s) after SIGTERM, and was killed")
	})
}

// wantWarning fails the test unless there is the one warning, or with want "" none.
func wantWarning(t *testing.T, got []api.Condition, kind string, at api.Pointer, want string) {
	t.Helper()
	if want == "" && len(got) == 0 {
		return
	}
	if len(got) != 1 || want == "" || got[0].Type != kind || got[0].Pointer != at || !strings.Contains(got[0].Message, want) {
		t.Errorf("the warnings are %+v, not %s with %q", got, kind, want)
	}
}
