package loadbalancer

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func weigh(weight int) func(*api.Server) { return func(s *api.Server) { s.Weight = weight } }
func drain(s *api.Server)                { s.Drain = true }

// inAllPools are the commands that change a server of the backend web.
func inAllPools(server, what string) (commands []string) {
	for _, pool := range []string{"web", "web.once", "web.panic", "web.panic.once"} {
		commands = append(commands, "set server "+pool+"/"+server+" "+what)
	}
	return commands
}

func TestApplyTakesTheMildestMeans(t *testing.T) {
	for name, test := range map[string]struct {
		// change makes the wanted spec, byHand changes the running worker.
		change func(api.LoadBalancer) api.LoadBalancer
		byHand func(*fake)
		calls  []string
	}{
		"nothing to do": {},
		"weight": {
			change: func(b api.LoadBalancer) api.LoadBalancer { return with(b, "web1", weigh(10)) },
			calls:  inAllPools("web1", "weight 10"),
		},
		"drain": {
			change: func(b api.LoadBalancer) api.LoadBalancer { return with(b, "web2", drain) },
			calls:  inAllPools("web2", "weight 0"),
		},
		"weight changed by hand": {
			byHand: func(f *fake) { f.servers[member{"web", "web1"}].weight = 3 },
			calls:  []string{"set server web/web1 weight 100"},
		},
		"maintenance by hand": {
			byHand: func(f *fake) { f.servers[member{"web", "web1"}].admin = 1 },
			calls:  []string{"set server web/web1 state ready"},
		},
		"drain and weight by hand, and a change": {
			byHand: func(f *fake) { *f.servers[member{"web", "web1"}] = fakeServer{"10.0.0.1", 80, 3, 8, 500, "UP", ""} },
			change: func(b api.LoadBalancer) api.LoadBalancer { return with(b, "web2", weigh(50)) },
			calls:  slices.Concat([]string{"set server web/web1 state ready", "set server web/web1 weight 100"}, inAllPools("web2", "weight 50")),
		},
		"weight changed by hand in one pool": {
			byHand: func(f *fake) { f.servers[member{"web.once", "web1"}].weight = 3 },
			calls:  []string{"set server web.once/web1 weight 100"},
		},
		"drain by hand where no checks are": {
			byHand: func(f *fake) { f.servers[member{"web.panic", "web1"}].admin = 8 },
			calls:  []string{"set server web.panic/web1 state ready"},
		},
		"drain that follows the checked server": {
			byHand: func(f *fake) {
				f.servers[member{"web", "web1"}].admin = 8
				f.servers[member{"web.once", "web1"}].admin = 16
			},
			calls: []string{"set server web/web1 state ready"},
		},
		"limits changed by hand that make the same sum": {
			byHand: func(f *fake) { f.servers[member{"web", "web1"}].limit++; f.servers[member{"web.once", "web1"}].limit-- },
			calls:  []string{"reload"},
		},
		"address changed by hand": {
			byHand: func(f *fake) { f.servers[member{"web", "web1"}].address = "10.0.0.9" },
			calls:  []string{"reload"},
		},
		"another configuration loaded by hand": {
			byHand: func(f *fake) { f.revision = "revision-x" },
			calls:  []string{"reload"},
		},
		"server added by hand": {
			byHand: func(f *fake) { f.servers[member{"web", "web3"}] = &fakeServer{"10.0.0.3", 80, 1, 0, 500, "UP", ""} },
			calls:  []string{"reload"},
		},
		"server removed by hand": {
			byHand: func(f *fake) { delete(f.servers, member{"web", "web1"}) },
			calls:  []string{"reload"},
		},
		"frontend closed by hand": {
			byHand: func(f *fake) { f.closed["www"] = true },
			calls:  []string{"reload"},
		},
		"server added": {
			change: func(b api.LoadBalancer) api.LoadBalancer {
				return with(b, "web3", func(s *api.Server) { *s = serverAt("10.0.0.3", 80) })
			},
			calls: []string{"reload"},
		},
		"more connections, same unit": {
			change: func(b api.LoadBalancer) api.LoadBalancer { b.MaxConnections = 25000; return b },
			calls:  []string{"reload"},
		},
		"more connections than the unit allows": {
			change: func(b api.LoadBalancer) api.LoadBalancer { b.MaxConnections = 100000; return b },
			calls:  []string{"restart", "start"},
		},
		"command refused": {
			change: func(b api.LoadBalancer) api.LoadBalancer { return with(b, "web1", weigh(10)) },
			byHand: func(f *fake) { f.refuse = map[string]string{"@1 set server": "No such server.\n"} },
			calls:  []string{"reload"},
		},
		"unit stopped": {
			byHand: func(f *fake) { f.mu.Unlock(); f.stop(); f.mu.Lock() },
			calls:  []string{"start"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			from := listening(t)
			to := from
			if test.change != nil {
				to = test.change(from)
			}
			f := newFake(t, from)
			if test.byHand != nil {
				f.mu.Lock()
				test.byHand(f)
				f.mu.Unlock()
			}
			if err := f.apply(from, to); err != nil {
				t.Fatal(err)
			}
			if calls := f.took(); !slices.Equal(calls, test.calls) {
				t.Errorf("it took %q, expected %q", calls, test.calls)
			}
			if err := f.apply(to, to); err != nil {
				t.Fatal(err)
			}
			if calls := f.took(); len(calls) > 0 {
				t.Errorf("a second apply took %q", calls)
			}
		})
	}
}

func TestApplyStartsANewLoadBalancer(t *testing.T) {
	spec := listening(t)
	f := newFake(t, spec)
	f.stop()
	to := version(t, spec)
	if err := f.Apply(t.Context(), converge.Change{Name: "lb", To: &to}, ignore); err != nil {
		t.Fatal(err)
	}
	if calls := f.took(); !slices.Equal(calls, []string{"start"}) {
		t.Errorf("it took %q", calls)
	}
}

func TestApplyLeavesADeletionToTheUnit(t *testing.T) {
	spec := pair()
	f := newFake(t, spec)
	from := version(t, spec)
	if err := f.Apply(t.Context(), converge.Change{Name: "lb", From: &from}, ignore); err != nil {
		t.Fatal(err)
	}
	if calls := f.took(); len(calls) > 0 {
		t.Errorf("it took %q", calls)
	}
}

func TestApplyUndoesWhateverTheDiskShows(t *testing.T) {
	good := listening(t)
	bad := with(good, "web3", func(s *api.Server) { *s = serverAt("10.0.0.3", 80) })
	for name, test := range map[string]struct {
		from  api.LoadBalancer
		calls []string
	}{
		"a reload":  {bad, []string{"reload"}},
		"a command": {with(good, "web1", weigh(10)), inAllPools("web1", "weight 100")},
		"a restart": {func() api.LoadBalancer { b := good; b.MaxConnections = 100000; return b }(), []string{"restart", "start"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, test.from)
			f.put(good)
			change := changeOf(t, test.from, good)
			change.Paths, change.Undo = nil, true // the files are back already
			if err := f.Apply(t.Context(), change, ignore); err != nil {
				t.Fatal(err)
			}
			if calls := f.took(); !slices.Equal(calls, test.calls) {
				t.Errorf("it took %q, expected %q", calls, test.calls)
			}
		})
	}
}

func TestApplyReportsARefusedReload(t *testing.T) {
	from := listening(t)
	to := from
	to.Frontends = map[string]api.Frontend{"www": from.Frontends["www"], "zzz": {Address: "203.0.113.9", Port: 80, Backend: "web"}}
	f := newFake(t, from)
	f.reloadAnswer = "Success=0\n--\n" +
		"[ALERT]    (7) : Binding [/etc/foobar/load-balancer/lb/haproxy.cfg:" + lineOf(t, to, "bind 203.0.113.9:80") + "] for frontend zzz: protocol tcpv4: cannot bind socket (Cannot assign requested address) for [203.0.113.9:80].\n" +
		"[ALERT]    (7) : [haproxy.main()] Some protocols failed to start their listeners! Exiting.\n"
	err := f.apply(from, to)
	problem := api.AsProblem(err)
	if problem == nil || problem.Type != api.ProblemEngineRefused || len(problem.Violations) != 1 {
		t.Fatalf("the error is %#v", err)
	}
	if v := problem.Violations[0]; v.Pointer != "/frontends/zzz/address" || !strings.Contains(v.Detail, "Cannot assign") || strings.Contains(v.Detail, "/etc") {
		t.Errorf("the violation is %+v", v)
	}
}

func TestApplyReportsAFailedStart(t *testing.T) {
	spec := listening(t)
	f := newFake(t, spec)
	f.stop()
	f.journalLines = []string{
		"[ALERT]    (6) : config : parsing [/etc/foobar/load-balancer/lb/haproxy.cfg:1] : of an earlier start.",
		"Starting foobar-lb-lb.service - foobar load balancer lb (HAProxy)...",
		"[ALERT]    (7) : Binding [/etc/foobar/load-balancer/lb/haproxy.cfg:" + lineOf(t, spec, "    bind ") + "] for frontend www: protocol tcpv4: cannot bind socket (Address already in use) for [127.0.0.1:80].",
		"foobar-lb-lb.service: Main process exited, code=exited, status=1/FAILURE",
	}
	err := f.apply(spec, spec)
	problem := api.AsProblem(err)
	if problem == nil || len(problem.Violations) != 1 || len(problem.Log) != 1 || problem.Violations[0].Pointer != "/frontends/www/port" {
		t.Errorf("the error is %#v", problem)
	}
}

func TestApplyFailsWhenTheWorkerDoesNotFollow(t *testing.T) {
	from := listening(t)
	to := with(from, "web1", weigh(10))
	f := newFake(t, from)
	// The commands are taken and change nothing, and a reload loads another file.
	f.refuse = map[string]string{"@1 set server": "\n"}
	err := f.Apply(t.Context(), changeOf(t, from, to), ignore)
	if err == nil || !strings.Contains(err.Error(), "does not follow") {
		t.Errorf("the error is %v", err)
	}
}

func TestReloadRemembersWhoIsDown(t *testing.T) {
	from := listening(t)
	for _, name := range []string{"moved", "held", "gone", "up"} {
		from = with(from, name, func(s *api.Server) { *s = serverAt("10.0.1."+itoa(int(name[0])), 80) })
	}
	to := with(from, "moved", func(s *api.Server) { s.Port = 81 })
	delete(to.Backends["web"].Servers, "gone")
	f := newFake(t, from)
	for m, s := range f.servers {
		if m.server != "up" {
			s.status = "DOWN"
		}
	}
	f.servers[member{"web", "held"}].admin = 1
	if err := f.apply(from, to); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(f.learned)), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[2], "web web1 ") || !strings.HasPrefix(lines[3], "web web2 ") {
		t.Errorf("the new worker learns %q; expected lines for web1 and web2 alone", lines)
	}
	if _, err := os.Stat(f.inRuntime("lb", stateFile)); !os.IsNotExist(err) {
		t.Errorf("the state file is still there: %v", err)
	}
}

// TestReloadRemembersWhatAgentsSaid: until the first agent check of the new
// worker a server stays where the last one has put it, also if none comes.
func TestReloadRemembersWhatAgentsSaid(t *testing.T) {
	from := listening(t)
	backend := from.Backends["web"]
	backend.HealthCheck = nil
	from.Backends["web"] = backend
	for _, name := range []string{"absent", "drained", "held"} {
		from = with(from, name, func(s *api.Server) { *s = serverAt("10.0.1."+itoa(int(name[0])), 80); s.AgentCheckPort = 7081 })
	}
	to := with(from, "web1", func(s *api.Server) { s.Backup = true })
	f := newFake(t, from)
	f.servers[member{"web", "absent"}].status = "DOWN (agent)"
	f.servers[member{"web", "drained"}].admin = 8
	f.servers[member{"web.once", "drained"}].admin = 16
	f.servers[member{"web", "held"}].admin = 1
	f.servers[member{"web", "web2"}].admin = 8 // by hand, as it has no agent check
	if err := f.apply(from, to); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(f.learned)), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[2], "web absent ") || !strings.HasPrefix(lines[3], "web drained ") {
		t.Errorf("the new worker learns %q; expected lines for absent and drained alone", lines)
	}
}
