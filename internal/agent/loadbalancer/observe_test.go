package loadbalancer

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func (f *fake) observe(spec api.LoadBalancer) operation.Observation {
	f.t.Helper()
	o, err := f.Observe(f.t.Context(), "lb", version(f.t, spec))
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

func TestObserveShowsTheWorkersValues(t *testing.T) {
	spec := pair()
	for name, test := range map[string]struct {
		byHand func(*fakeServer)
		want   func(*api.Server)
	}{
		"nothing":     {func(*fakeServer) {}, func(*api.Server) {}},
		"weight":      {func(s *fakeServer) { s.weight = 3 }, weigh(3)},
		"no weight":   {func(s *fakeServer) { s.weight = 0 }, drain},
		"drain":       {func(s *fakeServer) { s.admin = 8 }, drain},
		"maintenance": {func(s *fakeServer) { s.admin = 1 }, drain},
		"address":     {func(s *fakeServer) { s.address = "10.0.0.9" }, func(s *api.Server) { s.Address = "10.0.0.9" }},
		"port":        {func(s *fakeServer) { s.port = 81 }, func(s *api.Server) { s.Port = 81 }},
		"connections": {func(s *fakeServer) { s.limit = 9 }, func(s *api.Server) { s.MaxConnections = 509 }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, spec)
			test.byHand(f.servers[member{"web", "web1"}])
			got := f.observe(spec)
			if want := with(spec, "web1", test.want); !reflect.DeepEqual(got.Spec, want) {
				t.Errorf("observed %+v, expected %+v", got.Spec, want)
			}
			if len(got.Drift) > 0 {
				t.Errorf("a value of the spec is drift too: %v", got.Drift)
			}
		})
	}
}

// TestObserveSeesEveryPool: what was changed by hand in one of them is drift.
func TestObserveSeesEveryPool(t *testing.T) {
	spec := pair()
	for _, pool := range []string{"web", "web.once", "web.panic", "web.panic.once"} {
		f := newFake(t, spec)
		f.servers[member{pool, "web2"}].weight = 3
		if got, want := f.observe(spec), with(spec, "web2", weigh(3)); !reflect.DeepEqual(got.Spec, want) {
			t.Errorf("a weight of %s is observed as %+v", pool, got.Spec)
		}
		delete(f.servers, member{pool, "web2"})
		if got := f.observe(spec).Drift["foobar-lb-lb.service"]; !reflect.DeepEqual(got.Pointers, []api.Pointer{"/backends/web/servers/web2"}) {
			t.Errorf("a server that is gone from %s is the drift %+v", pool, got)
		}
	}
}

// TestObserveOfAgentChecks: what an agent check does is nothing to repair.
func TestObserveOfAgentChecks(t *testing.T) {
	spec := with(pair(), "web1", func(s *api.Server) { s.AgentCheckPort = 7081 })
	for name, test := range map[string]struct {
		status    string
		admin     int
		state     string
		condition string
		byHand    bool
	}{
		"up":          {"UP", 0, "up", "", false},
		"drains":      {"DRAIN (agent)", 8, "drain", "ServerDrained", false},
		"down":        {"DOWN (agent)", 0, "down", "ServerDown", false},
		"maintenance": {"MAINT", 1, "maintenance", "", true},
		"404":         {"NOLB", 0, "drain", "ServerDrained", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, spec)
			web1 := f.servers[member{"web", "web1"}]
			web1.status, web1.admin = test.status, test.admin
			got := f.observe(spec)
			want := spec
			if test.byHand {
				want = with(spec, "web1", drain)
			}
			if !reflect.DeepEqual(got.Spec, want) || len(got.Drift) > 0 {
				t.Errorf("observed %+v with the drift %v", got.Spec, got.Drift)
			}
			condition := ""
			for _, c := range got.Conditions {
				condition += c.Type
			}
			status, ok := got.Status.(api.LoadBalancerStatus)
			if condition != test.condition || !ok || status.Backends["web"].Servers["web1"].State != test.state {
				t.Errorf("the conditions are %+v, the status is %+v", got.Conditions, got.Status)
			}
			if f.slept > 0 {
				t.Errorf("it waited %s for a check that says nothing new", f.slept)
			}
		})
	}
}

// TestABackendWithoutServersThatAreUp still serves where it can.
func TestABackendWithoutServersThatAreUp(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*fake)
		says   string
	}{
		"all fail their checks": {func(f *fake) {
			f.servers[member{"web", "web1"}].status, f.servers[member{"web", "web2"}].status = "DOWN", "DOWN"
		}, "unchecked"},
		"all are drained": {func(f *fake) {
			for _, s := range f.servers {
				s.weight = 0
			}
		}, "clients get 503"},
	} {
		f := newFake(t, pair())
		test.change(f)
		found := ""
		for _, c := range f.observe(pair()).Conditions {
			if c.Type == "BackendDown" {
				found += c.Message
			}
		}
		if !strings.Contains(found, test.says) {
			t.Errorf("%s: %q", name, found)
		}
	}
}

func TestObserveOfADrainedServer(t *testing.T) {
	spec := with(pair(), "web1", func(s *api.Server) { s.Drain, s.Weight = true, 30 })
	f := newFake(t, spec)
	if got := f.observe(spec); !reflect.DeepEqual(got.Spec, spec) {
		t.Errorf("a drained server as it should be is observed as %+v", got.Spec)
	}
	f.everywhere("web1", func(s *fakeServer) { s.weight = 20 })
	want := with(spec, "web1", func(s *api.Server) { s.Drain, s.Weight = false, 20 })
	if got := f.observe(spec); !reflect.DeepEqual(got.Spec, want) {
		t.Errorf("a drain ended by hand is observed as %+v", got.Spec)
	}
}

func TestObserveTellsWhatIsNoValue(t *testing.T) {
	for name, test := range map[string]struct {
		byHand  func(*fake)
		pointer api.Pointer
	}{
		"another configuration": {func(f *fake) { f.revision = "revision-x" }, ""},
		"server gone":           {func(f *fake) { delete(f.servers, member{"web", "web1"}) }, "/backends/web/servers/web1"},
		"server added":          {func(f *fake) { f.servers[member{"web", "x"}] = &fakeServer{"10.0.0.9", 1, 1, 0, 1, "UP", ""} }, "/backends/web/servers"},
		"frontend closed":       {func(f *fake) { f.closed["www"] = true }, "/frontends/www"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, pair())
			test.byHand(f)
			got := f.observe(pair()).Drift["foobar-lb-lb.service"]
			var want []api.Pointer
			if test.pointer != "" {
				want = []api.Pointer{test.pointer}
			}
			if !reflect.DeepEqual(got.Pointers, want) || got.Detail == "" {
				t.Errorf("the drift is %+v", got)
			}
		})
	}
}

func TestObserveStatus(t *testing.T) {
	f := newFake(t, pair())
	f.servers[member{"web", "web2"}].status = "DOWN"
	want := api.LoadBalancerStatus{
		Version: "3.0.11", PID: f.pid, Sessions: 3,
		Frontends: map[string]api.FrontendStatus{"www": {Sessions: 3, Requests: 30}},
		Backends: map[string]api.BackendStatus{"web": {Servers: map[string]api.ServerStatus{
			"web1": {State: "up", Check: "L7OK", Sessions: 4, Requests: 40, Weight: 100},
			"web2": {State: "down", Check: "L7OK", Sessions: 4, Requests: 40, Weight: 100},
		}}},
	}
	if got := f.observe(pair()).Status; !reflect.DeepEqual(got, want) {
		t.Errorf("the status is %+v, expected %+v", got, want)
	}
}

func TestWhyAServerIsDown(t *testing.T) {
	for result, want := range map[haproxy.Stat]string{
		{Check: "L4CON", CheckInfo: "Connection refused"}: "fails its health check: no connection, L4CON (Connection refused)",
		{Check: "L4TOUT"}: "fails its health check: no connection in time, L4TOUT",
		{Check: "L7STS", CheckInfo: "Service Unavailable"}: "fails its health check: an answer with the wrong status, L7STS (Service Unavailable)",
		{Check: "UNK"}:  "fails its health check: UNK",
		{Check: "L7OK"}: "passes its health check again, but not often enough in a row yet to get requests: a good answer, L7OK",
	} {
		if mend := mendServer(result); strings.Contains(mend, "whether the app runs") != strings.HasPrefix(want, "fails") || strings.Contains(mend, "foobar-agent status") != !strings.HasPrefix(want, "passes") {
			t.Errorf("after %s, what to do is %q", result.Check, mend)
		}
		if got := whyDown(result); got != want {
			t.Errorf("after %s: %s", result.Check, got)
		}
	}
}

// TestAConditionIsNotOlderThanTheQuestion: the apply before has repaired what
// the last check found.
func TestAConditionIsNotOlderThanTheQuestion(t *testing.T) {
	web1 := member{"web", "web1"}
	for name, test := range map[string]struct {
		check string
		up    time.Duration // when the server comes up; never if 0
		waits time.Duration
		down  bool
	}{
		"a server that comes up with its next check":  {check: "L4CON", up: 500 * time.Millisecond, waits: 500 * time.Millisecond},
		"a server that fails its next check, too":     {check: "L4CON", waits: 2100 * time.Millisecond, down: true},
		"a server that passes, and lacks a check":     {check: "L7OK", up: 2500 * time.Millisecond, waits: 2500 * time.Millisecond},
		"a server that passes, and comes up too late": {check: "L7OK", waits: 4100 * time.Millisecond, down: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, pair())
			f.servers[web1].status, f.servers[web1].check = "DOWN", test.check
			f.onSleep = func() {
				if test.up > 0 && f.slept >= test.up {
					f.servers[web1].status = "UP"
				}
			}
			if got := f.observe(pair()).Conditions; (len(got) > 0) != test.down {
				t.Errorf("the conditions are %+v", got)
			}
			if f.slept != test.waits {
				t.Errorf("it waited %s, not %s", f.slept, test.waits)
			}
		})
	}
}

func TestObserveConditions(t *testing.T) {
	types := func(o operation.Observation) map[string]api.Pointer {
		found := map[string]api.Pointer{}
		for _, c := range o.Conditions {
			found[c.Type] = c.Pointer
		}
		return found
	}
	f := newFake(t, pair())
	if got := types(f.observe(pair())); len(got) > 0 {
		t.Errorf("a healthy load balancer has %v", got)
	}
	f.servers[member{"web", "web1"}].status = "DOWN 1/2"
	if got, want := types(f.observe(pair())), (map[string]api.Pointer{"ServerDown": "/backends/web/servers/web1"}); !reflect.DeepEqual(got, want) {
		t.Errorf("with one server down there is %v, expected %v", got, want)
	}
	f.servers[member{"web", "web2"}].admin = 1
	if got, want := types(f.observe(pair())), (map[string]api.Pointer{"ServerDown": "/backends/web/servers/web1", "BackendDown": "/backends/web"}); !reflect.DeepEqual(got, want) {
		t.Errorf("with no server left there is %v, expected %v", got, want)
	}
	f.refuse = map[string]string{"@1 show info": "Version: 3.0.11\nPid: 7\nUlimit-n: 20000\nMaxsock: 40054\nCurrConns: 9000\nDroppedLogs: 3\ndescription: " + f.revision + "\n"}
	if got := types(f.observe(pair())); got["FileLimit"] != "/max_connections" {
		t.Errorf("with too few descriptors there is %v", got)
	} else if _, ok := got["LogsDropped"]; !ok {
		t.Errorf("with dropped lines there is %v", got)
	}
	f.refuse = map[string]string{"@1 show info": "\n"}
	if got, want := types(f.observe(pair())), (map[string]api.Pointer{"EngineSilent": ""}); !reflect.DeepEqual(got, want) {
		t.Errorf("with a silent HAProxy there is %v, expected %v", got, want)
	}
}

func TestObserveOfAStoppedUnit(t *testing.T) {
	f := newFake(t, pair())
	f.stop()
	got := f.observe(pair())
	empty := api.LoadBalancerStatus{Frontends: map[string]api.FrontendStatus{}, Backends: map[string]api.BackendStatus{}}
	want := operation.Observation{Spec: pair(), Status: empty}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("observed %+v, expected %+v", got, want)
	}
}

// Too few descriptors frighten nobody whom they cost nothing.
func TestFewFilesAreAWarningWhereTheyMatter(t *testing.T) {
	for name, test := range map[string]struct {
		max, files, needed, held int
		want                     api.Severity // "" for no condition
	}{
		"enough":                      {20000, 65536, 40054, 19000, ""},
		"the default, and few":        {20000, 20000, 40054, 0, ""},
		"some clients":                {20000, 20000, 40054, 7000, ""},
		"nearly as many as fit":       {20000, 20000, 40054, 7980, api.SeverityWarning},
		"somebody has asked for more": {30000, 20000, 60054, 0, api.SeverityWarning},
	} {
		spec := pair()
		spec.MaxConnections = test.max
		var got api.Severity
		for _, c := range processConditions(spec, haproxy.Info{FileLimit: test.files, FilesNeeded: test.needed, Connections: test.held}) {
			got = c.Severity
			if !strings.Contains(c.Message, fmt.Sprintf("clients hold %d now", test.held)) {
				t.Errorf("%s: %s", name, c.Message)
			}
		}
		if got != test.want {
			t.Errorf("%s: it is %q, want %q", name, got, test.want)
		}
	}
}

// The repair of a drift costs what it does: a change of the configuration to
// the same end says no more.
func TestPreviewOfARepair(t *testing.T) {
	spec := pair()
	for name, test := range map[string]struct {
		byHand func(*fake, *fakeServer)
		to     api.LoadBalancer
		want   api.Impact
	}{
		"nothing":           {func(*fake, *fakeServer) {}, spec, api.ImpactNone},
		"weight":            {func(_ *fake, s *fakeServer) { s.weight = 3 }, spec, api.ImpactRuntime},
		"drain":             {func(_ *fake, s *fakeServer) { s.admin = 8 }, spec, api.ImpactRuntime},
		"maintenance":       {func(_ *fake, s *fakeServer) { s.admin = 1 }, spec, api.ImpactRuntime},
		"address":           {func(_ *fake, s *fakeServer) { s.address = "10.0.0.9" }, spec, api.ImpactReload},
		"a configured one":  {func(*fake, *fakeServer) {}, with(spec, "web1", weigh(3)), api.ImpactRuntime},
		"it is there":       {func(f *fake, _ *fakeServer) { f.everywhere("web1", func(s *fakeServer) { s.weight = 3 }) }, with(spec, "web1", weigh(3)), api.ImpactNone},
		"a unit that stops": {func(f *fake, _ *fakeServer) { f.stop() }, spec, api.ImpactRestart},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, spec)
			test.byHand(f, f.servers[member{"web", "web1"}])
			previewer, ok := any(f.Kind).(operation.Previewer)
			if !ok {
				t.Fatal("a load balancer foresees nothing")
			}
			plan, err := previewer.Preview(t.Context(), "lb", changeOf(t, spec, test.to))
			if err != nil || plan.Impact != test.want {
				t.Errorf("got %+v, %v; want %s", plan, err, test.want)
			}
		})
	}
}
