package appserver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// fakeClock lets time pass only when somebody sleeps.
type fakeClock struct {
	now time.Time
	// onSleep is called with each sleep, if set.
	onSleep func()
}

func (c *fakeClock) Now() time.Time { return c.now }

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	if c.onSleep != nil {
		c.onSleep()
	}
	return context.Cause(ctx)
}

func TestGate(t *testing.T) {
	h := api.AppHealthCheck{Interval: api.Duration(time.Second), Successes: 3, StartTimeout: api.Duration(10 * time.Second)}
	for _, c := range []struct {
		name string
		// answers holds one letter a try: "y" good, "n" bad; the last is repeated.
		answers string
		// diesAt is the try at which the app is found dead, 0 for never.
		diesAt int
		// failures is how many bad answers in a row are too many, 0 for none.
		failures int
		err      string
		tries    int
	}{
		{name: "three good answers pass", answers: "y", tries: 3},
		{name: "a bad one starts the count anew", answers: "yynyyy", tries: 6},
		{name: "late is not too late", answers: "nnnnnnnnyyy", tries: 11},
		{name: "too late", answers: "nnnnnnnnnyyy", err: "3 good answers in a row (health_check.successes) were not reached within 10s (health_check.start_timeout); last it answered 500", tries: 11},
		{name: "good and bad in turn never pass", answers: "ynynynynynynynyn", err: "were not reached", tries: 11},
		{name: "a dead app is not waited for", answers: "n", diesAt: 2, err: "it is dead; last it answered 500", tries: 2},
		{name: "bad ones in a row are enough", answers: "ynnn", failures: 3, err: "3 answers in a row were bad; last it answered 500", tries: 4},
		{name: "bad ones one by one are not", answers: "nnynnyyy", failures: 3, tries: 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			tries := 0
			err := gate{
				clock: &fakeClock{now: time.Unix(1000, 0)}, failures: c.failures,
				ask: func(context.Context) (string, bool) {
					answer := c.answers[min(tries, len(c.answers)-1)]
					tries++
					return "answered 500", answer == 'y'
				},
				alive: func(context.Context) error {
					if c.diesAt > 0 && tries >= c.diesAt {
						return errors.New("it is dead")
					}
					return nil
				},
			}.wait(t.Context(), h)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if tries != c.tries {
				t.Errorf("%d tries, want %d", tries, c.tries)
			}
		})
	}
}

func TestGateEndsWithTheOperation(t *testing.T) {
	late := errors.New("the operation is late")
	ctx, cancel := context.WithCancelCause(t.Context())
	g := gate{
		clock: &fakeClock{onSleep: func() { cancel(late) }},
		ask:   func(context.Context) (string, bool) { return "answered 500", false },
		alive: func(context.Context) error { return nil },
	}
	err := g.wait(ctx, api.AppHealthCheck{Interval: 1, Successes: 1, StartTimeout: 1000})
	if !errors.Is(err, late) || err.Error() != "it was not healthy yet; last it answered 500" { // the operation's end says that it was late
		t.Errorf("error %v, want the context's cause", err)
	}
}

func TestWatch(t *testing.T) {
	running := systemd.Status{ActiveState: "active", SubState: "running", Result: "success"}
	waiting := systemd.Status{ActiveState: "activating", SubState: "auto-restart", Result: "exit-code"}
	restarted := func(s systemd.Status, times int) systemd.Status { s.NRestarts = times; return s }
	for _, c := range []struct {
		name          string
		patience      int
		before, after systemd.Status
		want          string
	}{
		{"it runs", 1, running, running, ""},
		{"it was restarted long ago", 1, restarted(running, 9), restarted(running, 9), ""},
		{"its count began anew", 1, restarted(running, 9), running, ""},
		{"it waits for its first restart", 1, running, waiting, "notes ended by itself"},
		{"it may end twice", 3, running, restarted(waiting, 1), ""},
		{"it ended thrice", 3, running, restarted(waiting, 2), "notes ended 3 times by itself"},
		{"it ended thrice and runs", 3, restarted(running, 4), restarted(running, 7), "notes ended 3 times by itself"},
		{"it was stopped", 3, running, systemd.Status{ActiveState: "inactive", Result: "success"}, "notes is inactive (success)"},
	} {
		f := &fake{T: t, units: map[string]systemd.Status{"notes": c.before}}
		alive, err := f.kind().watch(t.Context(), c.patience, "notes")
		if err != nil {
			t.Fatal(err)
		}
		f.units["notes"] = c.after
		if err := alive(t.Context()); (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestAFailurePointsAtWhatToChange: the command of an app that ends by itself, the health
// check of one that does not answer as it has to. The end of the operation says by itself
// that the time was up.
func TestAFailurePointsAtWhatToChange(t *testing.T) {
	late := errors.New("the operation is late")
	for name, c := range map[string]struct {
		fails func(f *fake, end func())
		want  api.Pointer
		says  string
	}{
		"an app that answers wrongly":              {func(*fake, func()) {}, "/health_check", "good answers in a row (health_check.successes) were not reached within 1m (health_check.start_timeout); last it answered 500 instead of 200"},
		"an app that ends":                         {func(f *fake, _ func()) { f.units[fakeApp] = systemd.Status{ActiveState: "failed", Result: "exit-code"} }, "/command", fakeApp + " is failed (exit-code)"},
		"an app that ends too late to be given up": {func(f *fake, _ func()) { f.units[fakeApp] = systemd.Status{ActiveState: "active", NRestarts: 1} }, "/command", "(health_check.start_timeout); last it answered 500 instead of 200; meanwhile " + fakeApp + " ended by itself"},
		"an app that is late":                      {func(_ *fake, end func()) { end() }, "/health_check", "was not healthy yet; last it answered 500 instead of 200"},
	} {
		t.Run(name, func(t *testing.T) {
			v := render(t, "notes", specs()["socket"])
			f := newFake(t, v)
			f.units[fakeApp] = systemd.Status{ActiveState: "inactive"}
			ctx, cancel := context.WithCancelCause(t.Context())
			f.answer = func() (Answer, error) { return Answer{Status: 500}, nil }
			f.clock.onSleep = func() { c.fails(f, func() { cancel(late) }) }
			err := f.kind().Apply(ctx, change(v, v), silent)
			problem, ok := errors.AsType[*api.Problem](err)
			if !ok || len(problem.Violations) != 1 || problem.Violations[0].Pointer != c.want || !strings.Contains(problem.Violations[0].Detail, c.says) || problem.Detail != "" {
				t.Fatalf("it says %+v", err)
			}
			if strings.Contains(problem.Error(), late.Error()) || errors.Is(err, late) != (context.Cause(ctx) != nil) {
				t.Errorf("it says %v", err)
			}
		})
	}
}
