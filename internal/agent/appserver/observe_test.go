package appserver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestObserve(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	spec := specs()["socket"]
	other := render(t, "notes", edited(spec, func(s *api.AppServer) { s.Environment = nil }))
	for _, c := range []struct {
		name       string
		upset      func(*fake)
		status     api.AppServerStatus
		drift      []string
		conditions []string
	}{
		{
			name: "all is well", upset: func(*fake) {},
			status: api.AppServerStatus{Release: spec.Release.SHA256, Healthy: true, Health: "answered 200", PID: fakePID},
		},
		{
			name:   "the app is stopped", // which its unit tells
			upset:  func(f *fake) { f.units[fakeApp] = systemd.Status{ActiveState: "inactive"} },
			status: api.AppServerStatus{Health: "does not run"},
		},
		{
			name:       "the app is sick",
			upset:      func(f *fake) { f.answer = func() (Answer, error) { return Answer{Status: 503}, nil } },
			status:     api.AppServerStatus{Release: spec.Release.SHA256, Health: "answered 503 instead of 200", PID: fakePID},
			conditions: []string{"AppUnhealthy"},
		},
		{
			name:  "its socket is closed to nginx", // the agent is root, and opens it
			upset: func(f *fake) { f.write("/run/foobar-app-notes-blue/app.sock", "", 0o600) },
			status: api.AppServerStatus{
				Release: spec.Release.SHA256, PID: fakePID,
				Health: "answers, but nginx, which is in the group app-notes, cannot open its socket: the mode of /run/foobar-app-notes-blue/app.sock is 0600; make it writable for the group (umask 007)",
			},
			conditions: []string{"AppUnhealthy"},
		},
		{
			name: "the app is deaf and was restarted again and again",
			upset: func(f *fake) {
				f.answer = func() (Answer, error) { return Answer{}, errors.New("connection refused") }
				status := f.units[fakeApp]
				status.NRestarts, status.MainStarted = 7, f.clock.Now().Add(-time.Minute)
				f.units[fakeApp] = status
			},
			status:     api.AppServerStatus{Release: spec.Release.SHA256, Health: "did not answer: connection refused", PID: fakePID, Restarts: 7},
			conditions: []string{"RestartLoop", "AppUnhealthy"},
		},
		{
			name: "the app answers between two of many ends",
			upset: func(f *fake) {
				status := f.units[fakeApp]
				status.NRestarts, status.MainStarted = 7, f.clock.Now().Add(-time.Second)
				f.units[fakeApp] = status
			},
			status:     api.AppServerStatus{Release: spec.Release.SHA256, Healthy: true, Health: "answered 200", PID: fakePID, Restarts: 7},
			conditions: []string{"RestartLoop"},
		},
		{
			name: "the app waits for its next start after many ends",
			upset: func(f *fake) {
				f.units[fakeApp] = systemd.Status{ActiveState: "activating", SubState: "auto-restart", NRestarts: 7, MainStarted: f.clock.Now().Add(-20 * time.Second)}
			},
			status:     api.AppServerStatus{Health: "does not run", Restarts: 7},
			conditions: []string{"RestartLoop"},
		},
		{
			name: "the app was restarted long ago",
			upset: func(f *fake) {
				status := f.units[fakeApp]
				status.NRestarts = 7
				f.units[fakeApp] = status
			},
			status: api.AppServerStatus{Release: spec.Release.SHA256, Healthy: true, Health: "answered 200", PID: fakePID, Restarts: 7},
		},
		{
			name:   "another release runs",
			upset:  func(f *fake) { f.process("/srv/notes/releases/eeeeeeeeeeee", "A=b") },
			status: api.AppServerStatus{Release: "eeeeeeeeeeee", Healthy: true, Health: "answered 200", PID: fakePID},
			drift:  []string{fakeApp},
		},
		{
			name:   "other settings run",
			upset:  func(f *fake) { f.put(other); f.start(fakeApp); f.put(v) },
			status: api.AppServerStatus{Release: spec.Release.SHA256, Healthy: true, Health: "answered 200", PID: fakePID},
			drift:  []string{fakeApp},
		},
		{
			name:   "nginx runs another configuration",
			upset:  func(f *fake) { f.inForce = "" },
			status: api.AppServerStatus{Release: spec.Release.SHA256, Healthy: true, Health: "answered 200", PID: fakePID},
			drift:  []string{fakeNginx},
		},
		{
			name:   "an app is left in the other slot",
			upset:  func(f *fake) { f.units[fakeGreen] = f.units[fakeApp] },
			status: api.AppServerStatus{Release: spec.Release.SHA256, Healthy: true, Health: "answered 200", PID: fakePID},
			drift:  []string{fakeGreen},
		},
		{
			name:       "it drains",
			upset:      func(f *fake) { f.write("/run/foobar-app-notes-nginx/drain", "", 0o644) },
			status:     api.AppServerStatus{Release: spec.Release.SHA256, Healthy: true, Health: "answered 200", PID: fakePID},
			conditions: []string{"Draining"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, v)
			c.upset(f)
			f.lines = []api.LogLine{{Unit: fakeApp, Message: "the token is hunter2"}}
			seen, err := f.kind().Observe(t.Context(), "notes", v)
			if err != nil {
				t.Fatal(err)
			}
			c.status.Slot, c.status.Log = "blue", []string{"the token is (secret)"}
			status, ok := seen.Status.(api.AppServerStatus)
			if !ok || len(status.Slots) != 2 {
				t.Fatalf("status %T, %v", seen.Status, status.Slots)
			}
			status.Slots = nil // see TestSlotsAreExplained
			if got := string(api.Encode(status)); got != string(api.Encode(c.status)) {
				t.Errorf("status %s\nwant   %s", got, api.Encode(c.status))
			}
			var drift, conditions []string
			for unit := range seen.Drift {
				drift = append(drift, unit)
			}
			for _, condition := range seen.Conditions {
				conditions = append(conditions, condition.Type)
			}
			if !slices.Equal(drift, c.drift) || !slices.Equal(conditions, c.conditions) {
				t.Errorf("drift %q, conditions %q; want %q, %q", drift, conditions, c.drift, c.conditions)
			}
			if string(api.Encode(seen.Spec)) != string(api.Encode(spec)) {
				t.Errorf("observed %s", api.Encode(seen.Spec))
			}
		})
	}
}

// What an app in a loop is called does not depend on the moment at which it is looked at.
func TestARestartLoopIsNoDriftAndNamesTheLog(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	for name, test := range map[string]struct {
		state    string
		severity api.Severity
	}{
		"it answers":       {"active", api.SeverityWarning},
		"it is down again": {"activating", api.SeverityError},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, v)
			status := f.units[fakeApp]
			status.ActiveState, status.NRestarts, status.MainStarted = test.state, 13, f.clock.Now().Add(-time.Second)
			f.units[fakeApp] = status
			seen, err := f.kind().Observe(t.Context(), "notes", v)
			if err != nil || len(seen.Conditions) != 1 {
				t.Fatalf("%+v, %v", seen.Conditions, err)
			}
			c := seen.Conditions[0]
			if c.Type != "RestartLoop" || c.Severity != test.severity || !strings.Contains(c.Message, "foobar-agent logs app-server/notes") || !slices.Equal(seen.Restarting, []string{fakeApp}) {
				t.Errorf("%+v, restarting %q", c, seen.Restarting)
			}
		})
	}
}

// deaf is an app that takes every connection and never answers.
type deaf struct{}

func (deaf) Get(ctx context.Context, _ Endpoint, _ string) (Answer, error) {
	<-ctx.Done()
	return Answer{}, ctx.Err()
}

func TestALookDoesNotWaitForADeafAppAsLongAsAnApply(t *testing.T) {
	for timeout, want := range map[time.Duration]string{
		time.Minute:     "did not answer within 10s",
		2 * time.Second: "did not answer within 2s",
	} {
		synctest.Test(t, func(t *testing.T) {
			v := render(t, "notes", edited(specs()["socket"], func(s *api.AppServer) { s.HealthCheck.Timeout = api.Duration(timeout) }))
			k := newFake(t, v).kind()
			k.prober = deaf{}
			seen, err := k.Observe(t.Context(), "notes", v)
			if err != nil {
				t.Fatal(err)
			}
			if status, ok := seen.Status.(api.AppServerStatus); !ok || status.Healthy || status.Health != want {
				t.Errorf("with a timeout of %s the status is %+v, want %q", timeout, status, want)
			}
		})
	}
}

func TestTheStatusShowsTheLogOfTheLastStart(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	const starting = "Starting " + fakeApp + " - foobar app notes (blue)..."
	many := slices.Repeat([]string{"a line"}, statusLines)
	for _, c := range []struct {
		name        string
		lines, want []string
	}{
		{"an old secret", []string{starting, "the token is rotated", starting, "the token is hunter2"}, []string{starting, "the token is (secret)"}},
		{"many restarts", []string{starting, "rotated", starting, "rotated", starting}, []string{starting}},
		{"a start of long ago", append([]string{"rotated", starting}, many...), many},
		{"another unit's start", []string{starting, "Starting foobar-app-notes-nginx.service"}, []string{starting, "Starting foobar-app-notes-nginx.service"}},
		{"a forged start", []string{starting, "one", "app: " + starting, "two"}, []string{starting, "one", starting, "two"}},
		{"an escape of a terminal", []string{starting, "\x1b[2J\rforged\nline"}, []string{starting, `\x1b[2J\rforged\nline`}},
		{"nothing", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, v)
			for _, message := range c.lines {
				line, forged := strings.CutPrefix(message, "app: ")
				f.lines = append(f.lines, api.LogLine{Unit: fakeApp, Message: line, Manager: !forged && strings.HasPrefix(line, "Starting ")})
			}
			seen, err := f.kind().Observe(t.Context(), "notes", v)
			if err != nil {
				t.Fatal(err)
			}
			if status, ok := seen.Status.(api.AppServerStatus); !ok || !slices.Equal(status.Log, c.want) {
				t.Errorf("log %q, want %q", status.Log, c.want)
			}
		})
	}
}

func TestALogWhoseSecretsCannotBeReadIsNotShown(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	f := newFake(t, v)
	f.write("/etc/foobar/app-server/notes/blue.secrets", "TOKEN=\"hunter2", 0o600)
	f.lines = []api.LogLine{{Unit: fakeApp, Message: "the token is hunter2"}}
	seen, err := f.kind().Observe(t.Context(), "notes", v)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(api.Encode(seen.Status)); strings.Contains(got, "hunter2") || !strings.Contains(got, "the log cannot be shown") {
		t.Errorf("status %s", got)
	}
}

func TestTheLogOfAFailureIsThatOfOneStart(t *testing.T) {
	began := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const unit = "foobar-app-shop.service"
	line := func(message string) api.LogLine { return api.LogLine{Time: began, Message: message} }
	start := api.LogLine{Time: began, Message: "Starting " + unit, Manager: true}
	old := api.LogLine{Time: began.Add(-time.Second), Message: "of before"}
	for name, test := range map[string]struct{ lines, want []api.LogLine }{
		"it crashes three times": {
			lines: []api.LogLine{old, line("bye"), start, line("first"), start, line("second"), start, line("third")},
			want:  []api.LogLine{start, line("third")},
		},
		"the last start has said nothing yet": {
			lines: []api.LogLine{start, line("first"), start, line("second"), start},
			want:  []api.LogLine{start, line("second"), start},
		},
		"it never says anything": {lines: []api.LogLine{old, start, start}, want: []api.LogLine{start, start}},
		"no start is in it":      {lines: []api.LogLine{line("still loading")}, want: []api.LogLine{line("still loading")}},
	} {
		if got := startSince(began)(test.lines, unit); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestWhatServesIsShownFromTheDisk where the record says otherwise, as after a damaged
// journal: who stops what is left must not stop what serves.
func TestWhatServesIsShownFromTheDisk(t *testing.T) {
	s := specs()["socket"]
	blue := render(t, "notes", s)
	l := layout{"notes"}
	f := newFake(t, blue)
	f.put(renderBeside(t, "notes", s, converge.InPlace{State: blue.State, Touched: blue.State.Everything()}))
	f.start(fakeGreen)
	w := &ward{fake: f}
	w.traffic(slotGreen)
	seen, err := f.kind().Observe(t.Context(), "notes", blue)
	if err != nil {
		t.Fatal(err)
	}
	status, _ := seen.Status.(api.AppServerStatus)
	if status.Slot != slotGreen || status.PID != fakeGreenPID || f.asked != adminSlotPath(slotGreen) ||
		status.Slots[slotGreen].State != api.SlotLive || status.Slots[slotBlue].State != api.SlotLeft {
		t.Errorf("asked %s; status %s", f.asked, api.Encode(status))
	}
	if why := seen.Drift[l.current()].Detail; !strings.Contains(why, "slot green") || !strings.Contains(why, "slot blue") {
		t.Errorf("drift %v", seen.Drift)
	}
	if _, found := seen.Drift[fakeApp]; !found {
		t.Errorf("what is left is no drift: %v", seen.Drift)
	}

	green := renderBeside(t, "notes", edited(s, func(s *api.AppServer) { s.HealthCheck.Path = "/next" }), converge.InPlace{State: blue.State, Touched: blue.State.Everything()})
	seen, err = f.kind().ObserveDuring(t.Context(), "notes", blue, converge.Change{Name: "notes", From: &blue, To: &green})
	if err != nil {
		t.Fatal(err)
	}
	status, _ = seen.Status.(api.AppServerStatus)
	if status.Slots[slotGreen].State != api.SlotLive || status.Slots[slotBlue].State != api.SlotDraining || !strings.HasPrefix(f.asked, "/next on ") {
		t.Errorf("between switch and record: asked %s; status %s", f.asked, api.Encode(status))
	}
}
