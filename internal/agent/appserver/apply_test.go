package appserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// change returns the change from one version to another, with all paths that
// differ.
func change(from, to converge.Version) converge.Change {
	c := converge.Change{Name: "notes", From: &from, To: &to, Paths: map[string]api.ChangeAction{}}
	for _, f := range to.State.Files {
		if string(from.State.File(f.Path).Content) != string(f.Content) {
			c.Paths[f.Path] = api.ChangeUpdate
		}
	}
	for i, l := range to.State.Links {
		if i >= len(from.State.Links) || from.State.Links[i] != l {
			c.Paths[l.Path] = api.ChangeUpdate
		}
	}
	return c
}

func edited(s api.AppServer, edit func(*api.AppServer)) api.AppServer {
	edit(&s)
	return s
}

func TestImpactAndWhatIsDone(t *testing.T) {
	const app, green, nginx, reload = "restart " + fakeApp, "restart " + fakeGreen, "restart " + fakeNginx, "reload " + fakeNginx
	for _, c := range []struct {
		name    string
		edit    func(*api.AppServer)
		touched []string
		impact  api.Impact
		calls   []string
		// restart is what the strategy of that name does.
		restart []string
	}{
		{name: "nothing", impact: api.ImpactNone},
		{
			name: "another release", edit: func(s *api.AppServer) { s.Release.SHA256 = strings.Repeat("e", 64) },
			impact: api.ImpactRelease, calls: []string{green}, restart: []string{app},
		},
		{
			name: "another command", edit: func(s *api.AppServer) { s.Command = []string{"python3", "x"} },
			impact: api.ImpactRelease, calls: []string{green}, restart: []string{app},
		},
		{
			name: "another environment", edit: func(s *api.AppServer) { s.Environment = map[string]string{"A": "c"} },
			impact: api.ImpactRelease, calls: []string{green}, restart: []string{app},
		},
		{
			name: "another version of the secrets", edit: func(s *api.AppServer) { s.SecretsVersion = 2 },
			impact: api.ImpactRelease, calls: []string{green}, restart: []string{app},
		},
		{
			name: "another trigger", edit: func(s *api.AppServer) { s.RestartTrigger = "again" },
			impact: api.ImpactRelease, calls: []string{green}, restart: []string{app},
		},
		{
			name: "another port", edit: func(s *api.AppServer) { s.Port = 81 },
			impact: api.ImpactReload, calls: []string{reload}, restart: []string{reload},
		},
		{
			name: "another interval of the health check", edit: func(s *api.AppServer) { s.HealthCheck.Interval = api.Duration(time.Second) },
			impact: api.ImpactNone,
		},
		{
			name: "from socket to ports", edit: func(s *api.AppServer) { s.AppPorts, s.Command = []int{8000, 8001}, []string{"python3"} },
			impact: api.ImpactRelease, calls: []string{green, reload}, restart: []string{app, reload},
		},
		{
			name: "another stop timeout", edit: func(s *api.AppServer) { s.StopTimeout = api.Duration(time.Minute) },
			impact: api.ImpactRelease, calls: []string{green}, restart: []string{app},
		},
		{
			name: "another drain timeout", edit: func(s *api.AppServer) { s.DrainTimeout = api.Duration(time.Minute) },
			impact: api.ImpactReload, calls: []string{reload}, restart: []string{reload},
		},
		{
			name: "a release put back", touched: []string{"/srv/notes/releases/0123456789ab"},
			impact: api.ImpactRelease, calls: []string{green}, restart: []string{app},
		},
		{
			name: "an edited file of secrets put back", touched: []string{"/etc/foobar/app-server/notes/blue.secrets"},
			impact: api.ImpactRelease, calls: []string{green}, restart: []string{app},
		},
		{
			name: "an amended unit of the app", touched: []string{"/etc/systemd/system/" + fakeApp, fakeApp},
			impact: api.ImpactRelease, calls: []string{green}, restart: []string{app},
		},
		{
			name: "an edited unit of nginx", touched: []string{"/etc/systemd/system/" + fakeNginx},
			impact: api.ImpactRestart, calls: []string{nginx}, restart: []string{nginx},
		},
		{
			name: "an amended unit of nginx", touched: []string{"/run/systemd/system.control/" + fakeNginx + ".d/50-TasksMax.conf"},
			impact: api.ImpactRestart, calls: []string{nginx}, restart: []string{nginx},
		},
		{
			name: "all units of the app server amended", touched: []string{"/etc/systemd/system/foobar-app-notes-.service.d/override.conf"},
			impact: api.ImpactRestart, calls: []string{nginx}, restart: []string{nginx},
		},
		{
			name: "another app's unit amended", touched: []string{"/etc/systemd/system/foobar-app-other-.service.d/override.conf"},
			impact: api.ImpactNone,
		},
	} {
		for _, strategy := range api.Strategies() {
			t.Run(c.name+", "+string(strategy), func(t *testing.T) {
				s := edited(specs()["socket"], func(s *api.AppServer) { s.SecretsVersion, s.Strategy = 1, strategy })
				calls, impact := c.calls, c.impact
				if strategy == api.StrategyRestart {
					calls = c.restart
					if impact == api.ImpactRelease {
						impact = api.ImpactRestart
					}
				}
				from := render(t, "notes", s)
				before := converge.InPlace{State: from.State, Spec: from.Spec, Touched: map[string]bool{}}
				for _, p := range c.touched {
					before.Touched[p] = true
				}
				if c.edit != nil {
					c.edit(&s)
				}
				to := renderBeside(t, "notes", s, before)
				ch := change(from, to)
				ch.Edited = before.Touched
				for _, p := range c.touched {
					if to.State.Everything()[p] {
						ch.Paths[p] = api.ChangeUpdate
					} else if strings.HasSuffix(p, ".conf") {
						ch.Paths[p] = api.ChangeDelete
					}
				}
				f := newFake(t, from)
				f.put(to)
				if got := f.kind().Impact(ch); got != impact {
					t.Errorf("impact %s, want %s", got, impact)
				}
				f.carryOut(ch)
				if !slices.Equal(f.calls, calls) {
					t.Errorf("calls %q, want %q", f.calls, calls)
				}
				f.calls = nil
				if f.carryOut(change(to, to)); len(f.calls) > 0 {
					t.Errorf("run again with nothing to do: calls %q", f.calls)
				}
			})
		}
	}
}

func TestImpactOfComingAndGoing(t *testing.T) {
	v := render(t, "notes", someSpec())
	for _, c := range []converge.Change{{Name: "notes", To: &v}, {Name: "notes", From: &v}} {
		if got := New(Deps{}).Impact(c); got != api.ImpactNone {
			t.Errorf("impact %s, want none", got)
		}
	}
	f := newFake(t, v)
	if err := f.kind().Apply(t.Context(), converge.Change{Name: "notes", From: &v}, silent); err != nil || len(f.calls) > 0 {
		t.Errorf("a deletion: %v, calls %q", err, f.calls)
	}
}

func TestApplyRepairsWhatRuns(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	other := render(t, "notes", edited(specs()["socket"], func(s *api.AppServer) { s.Environment = nil }))
	for _, c := range []struct {
		name  string
		upset func(*fake)
		calls []string
	}{
		{"a stopped app", func(f *fake) { f.units[fakeApp] = systemd.Status{ActiveState: "inactive"} }, []string{"restart " + fakeApp}},
		{"an app that waits for its next start", func(f *fake) {
			f.units[fakeApp] = systemd.Status{ActiveState: "activating", SubState: "auto-restart"}
		}, []string{"restart " + fakeApp}},
		{"a stopped nginx", func(f *fake) { f.units[fakeNginx] = systemd.Status{ActiveState: "failed"} }, []string{"restart " + fakeNginx}},
		{"an app started with other settings", func(f *fake) { f.put(other); f.start(fakeApp); f.put(v) }, []string{"restart " + fakeApp}},
		{"an app of another release", func(f *fake) { f.process("/srv/notes/releases/eeeeeeeeeeee", "A=b") }, []string{"restart " + fakeApp}},
		{"an app of a release that was removed", func(f *fake) { f.process("/srv/notes/releases/0123456789ab (deleted)", "A=b") }, nil},
		{"an app that went elsewhere and hides its environment", func(f *fake) { f.process("/", "A=b") }, nil},
		{"an nginx that runs another configuration", func(f *fake) { f.inForce = "other" }, []string{"reload " + fakeNginx}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, v)
			c.upset(f)
			foreseen := api.ImpactNone
			if len(c.calls) > 0 {
				verb, _, _ := strings.Cut(c.calls[0], " ")
				foreseen = api.Impact(verb)
			}
			if previewer, ok := any(f.kind()).(operation.Previewer); !ok {
				t.Error("nothing is foreseen")
			} else if plan, err := previewer.Preview(t.Context(), "notes", change(v, v)); err != nil || plan.Impact != foreseen {
				t.Errorf("a plan says %+v, %v; an apply does %q", plan, err, c.calls)
			}
			if err := f.kind().Apply(t.Context(), change(v, v), silent); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(f.calls, c.calls) {
				t.Errorf("calls %q, want %q", f.calls, c.calls)
			}
		})
	}
}

func TestUndo(t *testing.T) {
	inPlace := edited(specs()["socket"], func(s *api.AppServer) { s.Strategy = api.StrategyRestart })
	good := render(t, "notes", inPlace)
	bad := render(t, "notes", edited(inPlace, func(s *api.AppServer) {
		s.Environment, s.Port = map[string]string{"A": "bad"}, 81
	}))
	undo := change(bad, good)
	undo.Undo = true
	unhealthy := func() (Answer, error) { return Answer{Status: 500}, nil }
	for _, c := range []struct {
		name  string
		upset func(*fake)
		calls []string
	}{
		{"nothing was touched", func(*fake) {}, nil},
		{"the app was restarted", func(f *fake) { f.put(bad); f.start(fakeApp); f.put(good) }, []string{"restart " + fakeApp}},
		{"all of it was done", func(f *fake) {
			f.put(bad)
			f.start(fakeApp)
			f.start(fakeNginx)
			f.put(good)
		}, []string{"restart " + fakeApp, "reload " + fakeNginx}},
		{"the app does not tell", func(f *fake) { f.process("/", "A=b") }, []string{"restart " + fakeApp}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, good)
			c.upset(f)
			f.answer = unhealthy // as it was before
			f.carryOut(undo)
			if !slices.Equal(f.calls, c.calls) {
				t.Errorf("calls %q, want %q", f.calls, c.calls)
			}
		})
	}
}

// An undoing, also one after a kill, restarts nginx for what a reload does not bring
// back, and for nothing else: a timeout of its unit is none of that.
func TestAnUndoingReloadsNginxWhereThatIsEnough(t *testing.T) {
	good := render(t, "notes", specs()["socket"])
	bad := render(t, "notes", edited(specs()["socket"], func(s *api.AppServer) { s.DrainTimeout = api.Duration(time.Minute) }))
	unit := layout{"notes"}.nginxUnitFile()
	for want, edited := range map[string]map[string]bool{"reload " + fakeNginx: nil, "restart " + fakeNginx: {unit: true}} {
		undo := change(bad, good)
		undo.Undo, undo.Edited = true, edited
		if !undo.Changed(unit) {
			t.Fatal("its unit does not change")
		}
		f := newFake(t, good)
		f.put(bad)
		f.start(fakeNginx)
		f.put(good)
		f.carryOut(undo)
		if !slices.Equal(f.calls, []string{want}) {
			t.Errorf("with %v edited: calls %q, want %q", edited, f.calls, want)
		}
	}
}

// TestUndoWaitsForTheAppToAnswerAgain, so that a plan right after a failed apply
// does not warn of an app that only starts.
func TestUndoWaitsForTheAppToAnswerAgain(t *testing.T) {
	good := render(t, "notes", specs()["socket"])
	bad := render(t, "notes", edited(specs()["socket"], func(s *api.AppServer) { s.Environment = map[string]string{"A": "bad"} })) // in place
	undo := change(bad, good)
	undo.Undo = true
	f := newFake(t, good)
	f.put(bad)
	f.start(fakeApp)
	f.put(good)
	asked := 0
	f.answer = func() (Answer, error) {
		if asked++; asked < 3 {
			return Answer{}, errors.New("no such file or directory")
		}
		return Answer{Status: 200}, nil
	}
	if err := f.kind().Apply(t.Context(), undo, silent); err != nil {
		t.Fatal(err)
	}
	if asked < 3 {
		t.Errorf("it was asked %d times", asked)
	}
}

// TestAnUndoingToAnAppThatEndsSaysThatItIsDown: systemd started it, and it ends again and again.
func TestAnUndoingToAnAppThatEndsSaysThatItIsDown(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	undo := change(v, v)
	undo.Undo = true
	f := newFake(t, v)
	f.units[fakeApp] = systemd.Status{ActiveState: "inactive"}
	f.answer = func() (Answer, error) {
		status := f.units[fakeApp]
		status.NRestarts = 3
		f.units[fakeApp] = status
		return Answer{}, errors.New("connection refused")
	}
	err := f.kind().Apply(t.Context(), undo, silent)
	if down, ok := errors.AsType[*converge.DownError](err); !ok || down.Unit != fakeApp {
		t.Errorf("it ended with %v", err)
	}
}

// TestAnUndoingLooksAtAnAppThatHasEndedBefore: it runs at the moment, and the traffic is to
// go back to it.
func TestAnUndoingLooksAtAnAppThatHasEndedBefore(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	undo := change(v, v)
	undo.Undo = true
	for name, c := range map[string]struct {
		traffic string // the slot that has it
		ended   int
		again   bool // it ends
		down    bool
	}{
		"it ends again":                {slotGreen, 2, true, true},
		"it ended long ago":            {slotGreen, 2, false, false},
		"it never ended":               {slotGreen, 0, true, false},
		"it has the traffic as it was": {slotBlue, 2, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, v)
			f.start(fakeApp)
			f.put(v)
			f.traffic(c.traffic)
			ends := func(n int) {
				status := f.units[fakeApp]
				status.NRestarts = n
				f.units[fakeApp] = status
			}
			ends(c.ended)
			f.answer = func() (Answer, error) {
				if c.again {
					ends(c.ended + 1)
				}
				return Answer{}, errors.New("connection refused")
			}
			err := f.kind().Apply(t.Context(), undo, silent)
			if down, ok := errors.AsType[*converge.DownError](err); ok != c.down || ok && down.Unit != fakeApp || !ok && err != nil {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func TestAFailureShowsTheLogOfThisStart(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	f := newFake(t, v)
	f.units[fakeApp] = systemd.Status{ActiveState: "inactive"}
	now := f.clock.Now()
	f.lines = []api.LogLine{
		{Time: now.Add(-time.Hour), Unit: fakeApp, Message: "long ago"},
		{Time: now, Unit: fakeApp, Message: "the old process says goodbye"},
		{Time: now, Unit: fakeApp, Message: "Starting " + fakeApp + " - foobar app notes (blue)...", Manager: true},
		{Time: now.Add(time.Second), Unit: fakeApp, Message: "cannot log in with hunter2"},
		{Time: now.Add(time.Second), Unit: fakeNginx, Message: "of nginx"},
	}
	f.answer = func() (Answer, error) { return Answer{}, errors.New("connection refused") }
	err := f.kind().Apply(t.Context(), change(v, v), silent)
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok || problem.Type != api.ProblemRolledBack {
		t.Fatalf("error %v", err)
	}
	if want := []string{f.lines[2].Message, "cannot log in with (secret)"}; !slices.Equal(problem.Log, want) {
		t.Errorf("log %q, want %q", problem.Log, want)
	}
	for _, part := range []string{"0123456789ab", "/healthz", "/run/foobar-app-notes-blue/app.sock", "within 1m", "connection refused"} {
		if !strings.Contains(problem.Error(), part) {
			t.Errorf("detail %q lacks %q", problem.Error(), part)
		}
	}
}

// What an app says may hold a secret of now or of the version before: neither is
// shown, from wherever it comes.
func TestNobodyShowsASecretOfAnApp(t *testing.T) {
	const says = "did not answer: malformed HTTP response \"(secret) (secret)\""
	s := edited(specs()["socket"], func(s *api.AppServer) {
		s.Strategy = api.StrategyRestart
		s.Liveness = &api.AppLiveness{Path: "/", Interval: api.Duration(time.Second), Timeout: api.Duration(time.Second), Failures: 1}
		s.HealthCheck.StartTimeout = api.Duration(time.Second)
	})
	v := render(t, "notes", s)
	before := v
	before.Secrets = map[string]api.Secret{"TOKEN": "swordfish"}
	fresh := func() *fake {
		f := newFake(t, v)
		f.answer = func() (Answer, error) {
			return Answer{}, errors.New(`malformed HTTP response "hunter2 swordfish"`)
		}
		f.lines = []api.LogLine{{Time: f.clock.now, Unit: fakeApp, Message: "of before: swordfish, now hunter2"}}
		return f
	}

	log := []string{"of before: (secret), now (secret)"}
	f := fresh() // nothing says that it started: the lines may be those of the process before
	f.units[fakeApp] = systemd.Status{ActiveState: "inactive"}
	problem, ok := errors.AsType[*api.Problem](f.kind().Apply(t.Context(), change(before, v), silent))
	if !ok || !strings.HasSuffix(problem.Error(), says) || !slices.Equal(problem.Log, log) {
		t.Errorf("an apply: %+v", problem)
	}

	seen, err := fresh().kind().Observe(t.Context(), "notes", before) // in the middle of an operation
	if status, ok := seen.Status.(api.AppServerStatus); err != nil || !ok || status.Health != says || !slices.Equal(status.Log, log) {
		t.Errorf("a status: %+v, %v", seen.Status, err)
	}

	w := newWard(t, s)
	w.secrets = before.Secrets
	w.answer = f.answer
	w.pass(time.Minute)
	if got := w.condition(); !strings.Contains(got, says) {
		t.Errorf("a condition: %s", got)
	}
}

func TestAFailedStartIsReportedWithItsLog(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	f := newFake(t, v)
	f.units[fakeApp] = systemd.Status{ActiveState: "inactive"}
	f.startError = &systemd.JobError{Verb: "restart", Unit: fakeApp, Job: "failed", Result: "exit-code"}
	f.lines = []api.LogLine{{Time: f.clock.Now(), Unit: fakeApp, Message: "Exec format error"}}
	err := f.kind().Apply(t.Context(), change(v, v), silent)
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok || problem.Title != "The app did not start" || !slices.Equal(problem.Log, []string{"Exec format error"}) {
		t.Errorf("error %v", err)
	}
}

func TestTheEndOfTheOperationStaysTheCause(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	f := newFake(t, v)
	f.units[fakeApp] = systemd.Status{ActiveState: "inactive"}
	f.lines = []api.LogLine{{Time: f.clock.Now(), Unit: fakeApp, Message: "still loading"}}
	late := errors.New("late")
	ctx, cancel := context.WithCancelCause(t.Context())
	f.clock.onSleep = func() { cancel(late) }
	f.answer = func() (Answer, error) { return Answer{Status: 503}, nil }
	err := f.kind().Apply(ctx, change(v, v), silent)
	problem, ok := errors.AsType[*api.Problem](err)
	if !errors.Is(err, late) || !ok || !slices.Equal(problem.Log, []string{"still loading"}) {
		t.Errorf("error %v", err)
	}
}

func TestAMissingProgramTouchesNothing(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	to := render(t, "notes", edited(specs()["socket"], func(s *api.AppServer) { s.Command = []string{"./bin/none"} }))
	f := newFake(t, v)
	f.put(to)
	err := f.kind().Apply(t.Context(), change(v, to), silent)
	if problem, ok := errors.AsType[*api.Problem](err); !ok || problem.Violations[0].Pointer != "/command/0" || len(f.calls) > 0 {
		t.Errorf("error %v, calls %q", err, f.calls)
	}
}

// A restart that an operator asks for starts the app, though nothing differs: beside
// the one that serves, or in place.
func TestAnOrderedRestart(t *testing.T) {
	for strategy, want := range map[api.Strategy]struct {
		impact api.Impact
		call   string
	}{
		api.StrategyRestart:   {api.ImpactRestart, "restart " + fakeApp},
		api.StrategyBlueGreen: {api.ImpactRelease, "restart " + fakeGreen},
	} {
		s := edited(specs()["socket"], func(s *api.AppServer) { s.Strategy = strategy })
		from := render(t, "notes", s)
		to := renderBeside(t, "notes", s, converge.InPlace{State: from.State, Touched: from.State.Everything()})
		ch := change(from, to)
		ch.Restart = true
		f := newFake(t, from)
		f.put(to)
		if got := f.kind().Impact(ch); got != want.impact {
			t.Errorf("%s: impact %s", strategy, got)
		}
		f.carryOut(ch)
		if !slices.Equal(f.calls, []string{want.call}) {
			t.Errorf("%s: %q", strategy, f.calls)
		}
	}
}

// The agent is root and opens any socket. What nginx cannot open fails before the
// traffic goes there, and soon: the app has been healthy.
func TestAReleaseThatNginxCannotReachFailsBeforeTheSwitch(t *testing.T) {
	const dir, socket = "/run/foobar-app-notes-green/", "/run/foobar-app-notes-green/app.sock"
	from := render(t, "notes", specs()["socket"])
	s := edited(specs()["socket"], func(s *api.AppServer) { s.Environment = map[string]string{"A": "c"} })
	to := renderBeside(t, "notes", s, converge.InPlace{State: from.State, Spec: from.Spec})
	for _, c := range []struct {
		name            string
		dirMode, mode   os.FileMode
		contains, lacks string
	}{
		{"for the mode of the socket", 0o750, 0o700, "the mode of " + socket + " is 0700; make it writable for the group (umask 007)", "directory"},
		{"for the mode of its directory", 0o700, 0o770, "the mode of " + strings.TrimSuffix(dir, "/") + " is 0700; leave the mode", "umask"},
		{"for another reason", 0o750, 0o770, "answered 502 instead of 200", "cannot open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, from)
			f.put(to)
			f.write(socket, "", c.mode)
			if err := os.Chmod(f.root+socket, c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(f.root+dir, c.dirMode); err != nil { //nolint:gosec // as an app has it
				t.Fatal(err)
			}
			f.through = func() (Answer, error) { return Answer{Status: 502}, nil }
			began := f.clock.Now()
			problem, ok := errors.AsType[*api.Problem](f.kind().Apply(t.Context(), change(from, to), silent))
			if !ok || !strings.Contains(problem.Error(), c.contains) || strings.Contains(problem.Error(), c.lacks) {
				t.Errorf("problem %v", problem)
			}
			if f.asked != "/slot/green/app" {
				t.Errorf("nginx was asked for %s", f.asked)
			}
			if took := f.clock.Now().Sub(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// An app that makes something else of its $SOCKET is told so, and one that makes a link
// does not get all of its time for that.
func TestWhatIsNoSocket(t *testing.T) {
	const socket = "/run/foobar-app-notes-green/app.sock"
	s := edited(specs()["socket"], func(s *api.AppServer) { s.HealthCheck.StartTimeout = api.Duration(time.Hour) })
	from := render(t, "notes", s)
	to := renderBeside(t, "notes", edited(s, func(s *api.AppServer) { s.RestartTrigger = "again" }), converge.InPlace{State: from.State, Spec: from.Spec})
	for name, c := range map[string]struct {
		put    func(path string) error
		says   string
		atOnce bool
	}{
		"a link":      {func(path string) error { return os.Symlink("/etc/passwd", path) }, "it made a link instead of a socket; " + socket + " is a link and no socket; the app has to bind $SOCKET itself", true},
		"a file":      {func(path string) error { return os.WriteFile(path, nil, 0o600) }, socket + " is a file and no socket", false},
		"a FIFO":      {func(path string) error { return syscall.Mkfifo(path, 0o600) }, socket + " is a FIFO and no socket", false},
		"a directory": {func(path string) error { return os.Mkdir(path, 0o700) }, socket + " is a directory and no socket", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, from)
			f.put(to)
			path := filepath.Join(f.root, socket)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), c.put(path)); err != nil {
				t.Fatal(err)
			}
			f.answer = func() (Answer, error) { return Answer{}, errors.New("it is no socket") }
			began := f.clock.Now()
			problem, ok := errors.AsType[*api.Problem](f.kind().Apply(t.Context(), change(from, to), silent))
			if !ok || !strings.Contains(problem.Error(), c.says) {
				t.Errorf("problem %v", problem)
			}
			if took := f.clock.Now().Sub(began); (took < time.Minute) != c.atOnce {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// An app that has the traffic has no second start_timeout.
func TestAfterTheSwitchBadAnswersEndItSoon(t *testing.T) {
	v := render(t, "notes", edited(specs()["socket"], func(s *api.AppServer) {
		s.HealthCheck.StartTimeout, s.HealthCheck.Interval = api.Duration(time.Hour), api.Duration(time.Minute)
	}))
	for name, answers := range map[string]func(n int) bool{
		"never a good one":     func(int) bool { return false },
		"only ever a slow one": func(int) bool { return false },
		"two bad ones":         func(n int) bool { return n > 2 },
	} {
		t.Run(name, func(t *testing.T) {
			f, asked := newFake(t, v), 0
			f.answer = func() (Answer, error) {
				asked++
				if name == "only ever a slow one" {
					f.clock.now = f.clock.now.Add(2 * time.Second)
				}
				return Answer{Status: map[bool]int{true: 200, false: 502}[answers(asked)]}, nil
			}
			began := f.clock.Now()
			err := f.kind().Switched(t.Context(), change(v, v), silent)
			if (err == nil) != (name == "two bad ones") {
				t.Errorf("error %v", err)
			}
			if took := f.clock.Now().Sub(began); took > 7*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}
