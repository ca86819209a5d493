package appserver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestReachable(t *testing.T) {
	for _, c := range []struct {
		listener, at string
		want         bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", true},
		{"0.0.0.0:8080", "127.0.0.1:8080", true},
		{"[::]:8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8081", "127.0.0.1:8080", false},
		{"10.0.0.1:8080", "127.0.0.1:8080", false},
		{"[::1]:8080", "127.0.0.1:8080", false},
		{"10.0.0.1:8080", "0.0.0.0:8080", true},
		{"10.0.0.1:8081", "0.0.0.0:8080", false},
		{"[::1]:8080", "0.0.0.0:8080", false},
		{"[::]:8080", "0.0.0.0:8080", true},
	} {
		if got := reachable(netip.MustParseAddrPort(c.listener), netip.MustParseAddrPort(c.at)); got != c.want {
			t.Errorf("%s from %s: %t", c.listener, c.at, got)
		}
	}
}

func TestUnitOf(t *testing.T) {
	for cgroup, want := range map[string]string{
		"0::/system.slice/system-foobar.slice/foobar-app-notes@blue.service\n":                          "foobar-app-notes@blue.service",
		"0::/system.slice/foobar-app-notes@blue.service/workers\n":                                      "foobar-app-notes@blue.service",
		"4:memory:/lab\n1:name=systemd:/lab/system.slice/ssh.service\n0::/lab/system.slice/x.service\n": "ssh.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":                                                 "session-1.scope",
		"0::/user.slice/user-7.slice/user@7.service/app.slice/foobar-app-notes@blue.service\n":          "user@7.service",
		"0::/\n": "",
		"":       "",
	} {
		if got := unitOf(cgroup); got != want {
			t.Errorf("%q: %q, want %q", cgroup, got, want)
		}
	}
}

func TestHolders(t *testing.T) {
	f := newFake(t, render(t, "notes", specs()["port"]))
	f.listens(12, "4711")
	f.listens(13, "4714")
	f.write("/proc/12/cgroup", "0::/system.slice/shop.service\n", 0o600)
	for port, want := range map[int][]Holder{8000: {{12, "python3", "shop.service"}}, 3000: {{13, "python3", ""}}, 80: nil} {
		if got := (machine{f.root}).holders(appAddress(port)); !slices.Equal(got, want) {
			t.Errorf("port %d: %v, want %v", port, got, want)
		}
	}
}

// A good answer on a port counts only if nobody else listens there.
func TestAnotherProgramDoesNotAnswerForTheApp(t *testing.T) {
	s := edited(specs()["port"], func(s *api.AppServer) { s.Command = []string{"python3", "$PORT"} })
	from := render(t, "notes", s)
	to := renderBeside(t, "notes", edited(s, func(s *api.AppServer) { s.RestartTrigger = "again" }), converge.InPlace{State: from.State, Spec: from.Spec})
	old := Holder{PID: fakePID, Program: "shop", Unit: fakeApp}
	ssh := Holder{PID: 7, Program: "sshd"}
	taken := port(s, slotGreen)
	for _, c := range []struct {
		name string
		// before and after its start are there.
		before, after []Holder
		starts        bool
		says          string
	}{
		{name: "nobody else", starts: true},
		{name: "the old release has its port", before: []Holder{old}, says: `strategy = "restart"`},
		{name: "a program has its port", before: []Holder{ssh}, says: "is taken by sshd (PID 7); stop that"},
		{name: "the old release takes its port", after: []Holder{old}, starts: true, says: fmt.Sprintf("did not answer itself: shop (PID 42 of %s) listens on port %d", fakeApp, taken)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, from)
			f.put(to)
			f.listeners = map[int][]Holder{taken: c.before}
			f.answer = func() (Answer, error) {
				f.listeners[taken] = c.after
				return Answer{Status: 200}, nil
			}
			err := f.kind().Apply(t.Context(), change(from, to), silent)
			problem, _ := errors.AsType[*api.Problem](err)
			if (err == nil) != (c.says == "") || err != nil && (problem == nil || !strings.Contains(problem.Error(), c.says)) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if started := slices.Contains(f.calls, "restart "+fakeGreen); started != c.starts {
				t.Errorf("calls %q", f.calls)
			}
		})
	}
}

// A release that listens beside the one that serves gets some of its requests, so the
// first look that finds it ends it, whatever it answers.
func TestAReleaseThatListensBesideTheLiveOneFailsAtOnce(t *testing.T) {
	s := edited(specs()["port"], func(s *api.AppServer) {
		s.Command, s.HealthCheck.StartTimeout = []string{"python3", "$PORT"}, api.Duration(time.Hour)
	})
	from := render(t, "notes", s)
	to := renderBeside(t, "notes", edited(s, func(s *api.AppServer) { s.RestartTrigger = "again" }), converge.InPlace{State: from.State, Spec: from.Spec})
	const says = "it listens on port 8000 too, beside the release that serves there"
	for name, answers := range map[string]Answer{"and answers": {Status: 200}, "and is ill": {Status: 500}} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, from)
			f.put(to)
			f.listeners = map[int][]Holder{8000: {{PID: fakeGreenPID, Program: "shop", Unit: fakeGreen}}}
			f.answer = func() (Answer, error) { return answers, nil }
			began := f.clock.Now()
			problem, ok := errors.AsType[*api.Problem](f.kind().Apply(t.Context(), change(from, to), silent))
			if !ok || !strings.Contains(problem.Error(), says) {
				t.Errorf("problem %v", problem)
			}
			if took := f.clock.Now().Sub(began); took > time.Minute {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// An app that ends lets its port go: what answers there then is not it.
func TestAnAppThatDoesNotListenDoesNotAnswer(t *testing.T) {
	s := specs()["port"]
	f := newFake(t, render(t, "notes", s))
	r, err := f.kind().rollout(change(f.place, f.place), silent)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.notItself(); got != "" {
		t.Errorf("it runs: %s", got)
	}
	delete(f.units, fakeApp)
	if got := r.notItself(); !strings.Contains(got, "does not listen on port") {
		t.Errorf("it does not run: %q", got)
	}
}

// Where nginx does not come up and somebody else has its port, that is said too: nginx may
// have another reason.
func TestAnNginxWhosePortIsTaken(t *testing.T) {
	f := newFake(t, render(t, "notes", specs()["socket"]))
	r, err := f.kind().rollout(change(f.place, f.place), silent)
	if err != nil {
		t.Fatal(err)
	}
	f.lines = []api.LogLine{{Time: f.clock.Now(), Unit: fakeNginx, Message: "unknown directive"}}
	for name, c := range map[string]struct {
		holders []Holder
		want    string
	}{
		"another program": {[]Holder{{PID: 7, Program: "apache2", Unit: "apache2.service"}}, "taken by apache2 (PID 7 of apache2.service); stop that"},
		"nginx alone":     {[]Holder{{PID: 8, Program: "nginx", Unit: fakeNginx}}, ""},
		"nobody":          {nil, ""},
	} {
		f.listeners = map[int][]Holder{r.spec.Port: c.holders}
		problem := api.AsProblem(r.nginxFailed(t.Context(), "nginx did not start", errors.New("it ended")))
		if problem.Title != "nginx did not start" || problem.Detail != "it ended" || !slices.Equal(problem.Log, []string{"unknown directive"}) {
			t.Errorf("%s: %+v", name, problem)
		}
		pointed := len(problem.Violations) == 1 && problem.Violations[0].Pointer == "/port"
		if pointed != (c.want != "") || !strings.Contains(problem.Error(), c.want) {
			t.Errorf("%s: %+v, want %q", name, problem, c.want)
		}
	}
}

// A plan warns of a foreign program on the port that nginx is to take, also where nothing is
// in place yet, and of none that the port is not new to.
func TestAPlanTellsWhoHasThePort(t *testing.T) {
	apache := Holder{PID: 7, Program: "apache2", Unit: "apache2.service"}
	other := Holder{PID: 9, Program: "nginx", Unit: "foobar-app-shop-nginx.service"}
	s := specs()["socket"]
	v := render(t, "notes", s)
	moved := render(t, "notes", edited(s, func(s *api.AppServer) { s.Address = "10.0.0.1" }))
	own := Holder{PID: 8, Program: "nginx", Unit: fakeNginx}
	for _, c := range []struct {
		name    string
		change  converge.Change
		stopped bool // nginx
		holders []Holder
		warns   bool
	}{
		{"a creation", converge.Change{Name: "notes", To: &v}, true, []Holder{apache}, true},
		{"a creation on a port that another app server gives up", converge.Change{Name: "notes", To: &v}, true, []Holder{other}, false},
		{"both", converge.Change{Name: "notes", To: &v}, true, []Holder{other, apache}, true},
		{"a creation on a free port", converge.Change{Name: "notes", To: &v}, true, nil, false},
		{"a move to another address", change(v, moved), false, []Holder{own, apache}, true},
		{"an nginx that does not run", change(v, v), true, []Holder{apache}, true},
		{"a port that stays", change(v, v), false, []Holder{own, apache}, false},
		{"a destroy", converge.Change{Name: "notes", From: &v}, true, []Holder{apache}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, v)
			if c.stopped {
				delete(f.units, fakeNginx)
			}
			f.listeners = map[int][]Holder{s.Port: c.holders}
			plan, err := f.kind().Preview(t.Context(), "notes", c.change)
			if err != nil {
				t.Fatal(err)
			}
			var want []api.Condition
			if c.warns {
				want = []api.Condition{{
					Type: "PortTaken", Severity: api.SeverityWarning, Pointer: "/port",
					Message: "Port 80 is taken by apache2 (PID 7 of apache2.service), so nginx does not start there. Stop that before the apply, or choose another port.",
				}}
			}
			if !slices.Equal(plan.Conditions, want) {
				t.Errorf("conditions %+v, want %+v", plan.Conditions, want)
			}
		})
	}
}
