package appserver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestReleasesTakeTurns follows an app server over its life: each release goes
// into the slot that is free, and nothing of a slot is rendered but what is live.
func TestReleasesTakeTurns(t *testing.T) {
	s := specs()["socket"]
	before := converge.InPlace{}
	for i, want := range []string{"blue", "green", "blue", "green"} {
		s.RestartTrigger = fmt.Sprint(i)
		v := renderBeside(t, "notes", s, before)
		if got := liveSlot(layout{"notes"}, v.State); got != want {
			t.Errorf("release %d goes into %q, want %q", i, got, want)
		}
		for _, key := range []string{"/etc/systemd/system/foobar-app-notes@%s.service", "/srv/notes/slots/%s/release", "/srv/notes/slots/%s/app.sock", "/etc/foobar/app-server/notes/%s.env"} {
			if all := v.State.Everything(); !all[fmt.Sprintf(key, want)] || all[fmt.Sprintf(key, other(want))] {
				t.Errorf("release %d has, or lacks, what it should of %s", i, key)
			}
		}
		for _, f := range v.State.Files {
			if strings.Contains(string(f.Content), other(want)) && !strings.Contains(f.Path, "nginx") {
				t.Errorf("%s of slot %s names the other one:\n%s", f.Path, want, f.Content)
			}
		}
		before = converge.InPlace{State: v.State}
	}
}

func TestTheTrafficIsSwitchedByOneLink(t *testing.T) {
	for name, s := range specs() {
		blue := render(t, "notes", s)
		green := renderBeside(t, "notes", s, converge.InPlace{State: blue.State, Touched: blue.State.Everything()})
		l := layout{"notes"}
		if string(blue.State.File(l.nginxConfig()).Content) != string(green.State.File(l.nginxConfig()).Content) ||
			string(blue.State.File(l.nginxUnitFile()).Content) != string(green.State.File(l.nginxUnitFile()).Content) {
			t.Errorf("%s: nginx is another one for another slot", name)
		}
		for _, link := range green.State.Links {
			if follows := link.Path == l.current(); link.Switch != follows {
				t.Errorf("%s: %s is switched: %v", name, link.Path, link.Switch)
			}
		}
	}
}

func TestANewReleaseHasToStayHealthy(t *testing.T) {
	s := edited(specs()["socket"], func(s *api.AppServer) {
		s.HealthCheck.MinHealthyTime, s.HealthCheck.Interval = api.Duration(10*time.Second), api.Duration(time.Second)
	})
	from := render(t, "notes", s)
	to := renderBeside(t, "notes", edited(s, func(s *api.AppServer) { s.RestartTrigger = "again" }), converge.InPlace{State: from.State, Spec: from.Spec})
	for _, c := range []struct {
		name string
		// sick is when, after its start, the new release begins to fail.
		sick   time.Duration
		upset  func(*fake)
		change converge.Change
		took   time.Duration
		fails  string
	}{
		{name: "a good one", sick: time.Hour, took: 12 * time.Second, change: change(from, to)},
		{name: "one that dies soon", sick: 9 * time.Second, took: 9 * time.Second, change: change(from, to), fails: "healthy for 7s and did not stay so for 10s"},
		{name: "nothing serves as yet", sick: time.Hour, took: 4 * time.Second, change: converge.Change{Name: "notes", To: &to}},
		{
			name: "the one before it is down", sick: time.Hour, took: 4 * time.Second, change: change(from, to),
			upset: func(f *fake) { f.units[fakeApp] = systemd.Status{ActiveState: "failed"} },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, from)
			f.put(to)
			if c.upset != nil {
				c.upset(f)
			}
			began := f.clock.Now()
			f.answer = func() (Answer, error) {
				if f.clock.Now().Sub(began) >= c.sick {
					return Answer{Status: 500}, nil
				}
				return Answer{Status: 200}, nil
			}
			err := f.kind().Apply(t.Context(), c.change, silent)
			if took := f.clock.Now().Sub(began); took != c.took {
				t.Errorf("it took %s, want %s", took, c.took)
			}
			if fails := err != nil; fails != (c.fails != "") || fails && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
		})
	}
}

// An app that ends once after it was healthy does not pass, whenever that is, though
// systemd has restarted it by the next question.
func TestANewReleaseThatEndedOnceDoesNotPass(t *testing.T) {
	s := edited(specs()["socket"], func(s *api.AppServer) {
		s.HealthCheck.MinHealthyTime, s.HealthCheck.Interval = api.Duration(10*time.Second), api.Duration(2*time.Second)
	})
	from := render(t, "notes", s)
	to := renderBeside(t, "notes", edited(s, func(s *api.AppServer) { s.RestartTrigger = "again" }), converge.InPlace{State: from.State, Spec: from.Spec})
	for name, at := range map[string]int{"while nginx reloads": 0, "before the first answer through nginx": 1, "between the answers through nginx": 3, "in min_healthy_time": 5} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, from)
			f.put(to)
			end := func() {
				status := f.units[fakeGreen]
				status.NRestarts++
				f.units[fakeGreen] = status
			}
			if at == 0 {
				f.inForce, f.onReload = "other", end
			}
			asked := 0
			f.through = func() (Answer, error) {
				if asked++; asked == at {
					end()
				}
				return Answer{Status: 200}, nil
			}
			err := f.kind().Apply(t.Context(), change(from, to), silent)
			if err == nil || !strings.Contains(err.Error(), "it was healthy, and after") || !strings.Contains(err.Error(), fakeGreen+" ended by itself") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestSlotsAreExplained(t *testing.T) {
	running := systemd.Status{LoadState: "loaded", ActiveState: "active", SubState: "running"}
	s := someSpec()
	restart := edited(s, func(s *api.AppServer) { s.Strategy = api.StrategyRestart })
	blue := render(t, "notes", edited(s, func(s *api.AppServer) { s.Release.SHA256 = strings.Repeat("b", 64) }))
	green := renderBeside(t, "notes", edited(s, func(s *api.AppServer) { s.Release.SHA256 = strings.Repeat("e", 64) }),
		converge.InPlace{State: blue.State, Touched: blue.State.Everything()})
	for _, c := range []struct {
		name string
		s    api.AppServer
		// shown is the version that is recorded, in the slot that it is in.
		shown       converge.Version
		app, beside systemd.Status
		open        *converge.Change
		live, free  api.SlotState
		release     string
		says        string
	}{
		{"as it should be", s, green, running, systemd.Status{}, nil, api.SlotLive, api.SlotEmpty, "", "The next release starts here"},
		{"down", s, green, systemd.Status{}, systemd.Status{}, nil, api.SlotDown, api.SlotEmpty, "", "The next release starts here"},
		{"something is left", s, green, running, running, nil, api.SlotLive, api.SlotLeft, "", "no traffic goes to"},
		{"in place", restart, green, running, systemd.Status{}, nil, api.SlotLive, api.SlotEmpty, "", "Not used"},
		{"a release is about to start", s, blue, running, systemd.Status{}, &converge.Change{From: &blue, To: &green}, api.SlotLive, api.SlotStarting, "e", "starts here"},
		{"a release starts", s, blue, running, running, &converge.Change{From: &blue, To: &green}, api.SlotLive, api.SlotStarting, "e", "starts here"},
		{"the one before it ends", s, green, running, running, &converge.Change{From: &blue, To: &green}, api.SlotLive, api.SlotDraining, "b", "finishes its requests"},
		{"the one before it has stopped", s, green, running, systemd.Status{}, &converge.Change{From: &blue, To: &green}, api.SlotLive, api.SlotDraining, "b", "and stops"},
		{"a change of nginx alone", s, blue, running, systemd.Status{}, &converge.Change{From: &blue, To: &blue}, api.SlotLive, api.SlotEmpty, "", "The next release"},
		{"a first release", s, blue, running, systemd.Status{}, &converge.Change{To: &blue}, api.SlotLive, api.SlotEmpty, "", "The next release"},
	} {
		live := liveSlot(layout{"notes"}, c.shown.State)
		got := slotStates{layout{"notes"}, live, c.open, c.s, c.app, c.beside}.explain("")
		free := got[other(live)]
		if got[live].State != c.live || free.State != c.free || !strings.Contains(free.Detail, c.says) || got[live].Release != c.s.Release.SHA256 {
			t.Errorf("%s: %+v", c.name, got)
		}
		if free.Release != strings.Repeat(c.release, 64) {
			t.Errorf("%s: it has the release %s", c.name, free.Release)
		}
	}
}

// An app that hides what it was started with is taken for what the files say; but
// what failed beside it has not touched it.
func TestAFailedReleaseLeavesTheOldAppAlone(t *testing.T) {
	s := specs()["socket"]
	good := render(t, "notes", s)
	bad := renderBeside(t, "notes", edited(s, func(s *api.AppServer) { s.RestartTrigger = "bad" }), converge.InPlace{State: good.State, Spec: s})
	undo := change(bad, good)
	undo.Undo = true
	l := layout{"notes"}
	for _, path := range []string{l.slotRelease(slotBlue), l.appUnitFile(slotBlue), l.environment(slotBlue), l.secrets(slotBlue)} {
		undo.Paths[path] = api.ChangeDelete // as the release would have done at its end
	}
	f := newFake(t, good)
	f.process("/", "A=b")
	f.carryOut(undo)
	if len(f.calls) > 0 {
		t.Errorf("calls %q", f.calls)
	}
	f.units[fakeApp] = systemd.Status{ActiveState: "inactive"} // it was stopped already
	f.carryOut(undo)
	if want := []string{"restart " + fakeApp}; !slices.Equal(f.calls, want) {
		t.Errorf("calls %q, want %q", f.calls, want)
	}
}

func TestWhatIsLiveIsReachedWhereItListens(t *testing.T) {
	l := layout{"notes"}
	socket, ports := specs()["socket"], specs()["port"]
	moved := edited(ports, func(s *api.AppServer) { s.AppPorts = []int{9000, 9001} })
	swapped := edited(ports, func(s *api.AppServer) { s.AppPorts = []int{8001, 8000} })
	for name, c := range map[string]struct {
		from, to api.AppServer
		slot     string
		want     slotPorts
	}{
		"from socket to ports":           {socket, ports, "green", slotPorts{"green": 8001}},
		"from ports to socket":           {ports, socket, "green", slotPorts{"blue": 8000}},
		"from ports to others":           {ports, moved, "green", slotPorts{"blue": 8000, "green": 9001}},
		"a port that the live one holds": {ports, swapped, "blue", slotPorts{"blue": 8001, "green": 8000}},
	} {
		from := render(t, "notes", c.from)
		before := converge.InPlace{State: from.State, Spec: c.from}
		to := renderBeside(t, "notes", c.to, before)
		if got := liveSlot(l, to.State); got != c.slot {
			t.Errorf("%s: it goes into slot %s, want %s", name, got, c.slot)
		}
		got := inFront(l, c.slot, c.to, before).ports
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: nginx passes to %v, want %v", name, got, c.want)
		}
		text := string(to.State.File(l.nginxConfig()).Content)
		for slot, port := range c.want {
			if !strings.Contains(text, "listen unix:"+l.shimSocket(slot)) || !strings.Contains(text, fmt.Sprintf("proxy_pass http://127.0.0.1:%d;", port)) {
				t.Errorf("%s: nginx does not pass to %d:\n%s", name, port, text)
			}
		}
	}
}

func TestAnAppDoesNotBecomeASiteOfFiles(t *testing.T) {
	app := specs()["socket"]
	site := someSpec()
	site.Command, site.Static = []string{}, map[string]api.StaticDirectory{"/": {Directory: "."}}
	for _, c := range [][2]api.AppServer{{app, site}, {site, app}} {
		from := render(t, "notes", c[0])
		var secrets map[string]api.Secret
		if c[1].SecretsVersion > 0 {
			secrets = map[string]api.Secret{"TOKEN": "x"}
		}
		_, err := New(Deps{}).Render("notes", c[1], secrets, converge.InPlace{State: from.State, Spec: c[0]})
		problem, ok := errors.AsType[*api.Problem](err)
		if !ok || problem.Violations[0].Pointer != "/command" {
			t.Errorf("error %v", err)
		}
	}
}
