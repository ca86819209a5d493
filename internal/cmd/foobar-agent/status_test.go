package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

func noon() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

// enrolledMachine is a machine without components.
func enrolledMachine() machineStatus {
	return machineStatus{Machine: api.Info{
		Health:     api.Health{Node: "web1", Incarnation: 2, Enrolled: true},
		Deployment: "shop", Version: "0.1.0", ImageID: "2026.5.0", BootedAt: noon(), CertificateExpires: noon().AddDate(10, 0, 0),
		TrustedCAs: []api.TrustedCA{{Pin: "sha256:c4ce063e", Name: "foobar CA of shop", Expires: noon().AddDate(50, 0, 0)}},
	}}
}

func component(kind api.Kind, name string) api.Component {
	return api.Component{
		ID: api.ID{Kind: kind, Name: name}, Generation: 3, AppliedAt: noon(), Actor: "terraform@ci",
		Spec: []byte(`{"a":{"weight":100},"b":[1]}`), Observed: []byte(`{"a":{"weight":100},"b":[1]}`),
	}
}

func TestStatusShowsWhichReleaseRuns(t *testing.T) {
	runs := func(kind api.Kind, status api.AppServerStatus) string {
		s := enrolledMachine()
		c := component(kind, "shop")
		c.Status = api.Encode(status)
		s.Components = []api.Component{c}
		return s.String()
	}
	const want = "\napp-server/shop\n  runs     release 0123456789ab in slot green\n"
	if said := runs(api.KindAppServer, api.AppServerStatus{Release: "0123456789abcdef", Slot: "green"}); !strings.HasSuffix(said, want) {
		t.Errorf("it says %s", said)
	}
	if said := runs(api.KindAppServer, api.AppServerStatus{Slot: "blue"}); strings.Contains(said, "runs ") {
		t.Errorf("of an app that does not run it says %s", said)
	}
	if said := runs(api.KindLoadBalancer, api.AppServerStatus{Release: "0123456789abcdef", Slot: "green"}); strings.Contains(said, "runs ") {
		t.Errorf("of a load balancer it says %s", said)
	}
}

func TestStatusText(t *testing.T) {
	unenrolled := machineStatus{Machine: api.Info{Health: api.Health{Node: "web1", Incarnation: 1}}}
	unwell := enrolledMachine()
	unwell.Machine.ImageID = ""
	unwell.Machine.Conditions = []api.Condition{{Type: "AuditLogChanged", Severity: api.SeverityWarning, Message: "line 3 was changed"}}
	drifted := component(api.KindLoadBalancer, "www")
	drifted.Observed = []byte(`{"a":{"weight":7,"drain":true},"b":[1,2]}`)
	drifted.Drift = map[string]api.Drift{
		"foobar-lb-www.service":                     {Detail: "is stopped"},
		"/etc/foobar/load-balancer/www/haproxy.cfg": {Detail: "edited by hand: line 12"},
	}
	sick := component(api.KindAppServer, "shop")
	sick.Conditions = []api.Condition{
		{Type: "HealthCheckFailed", Severity: api.SeverityError, Message: "the app answers 500"},
		{Type: "Restarted", Severity: api.SeverityInfo, Message: "3 times since the boot"},
	}
	failed := component(api.KindAppServer, "blog")
	failed.Failed = &api.FailedChange{Operation: "4d054c30", Actor: "root on the machine (restart)", At: noon().Add(time.Hour), Error: "The app did not become healthy: it answers 500"}
	unwell.Components = []api.Component{sick, failed, drifted}
	fenced := enrolledMachine()
	verdict := replication.MayOpen("web1", replication.Record{Epoch: 3, Primary: "web1"}, []replication.NodeID{"lb1", "web1", "web2"},
		map[replication.NodeID]replication.Answer{
			"web2": {Record: replication.Record{Epoch: 4, Primary: "web2"}}, "lb1": {Reason: "no answer in 1s"},
		}, 0)
	fenced.Machine.Conditions = []api.Condition{
		{Type: "DatabaseFenced", Severity: api.SeverityWarning, Message: "Replication notes: web1 " + verdict.String() + "."},
		{Type: "ReplicationPart", Severity: api.SeverityInfo, Message: "notes: primary of epoch 3, fenced"},
	}
	fenced.Components = []api.Component{component(api.KindDBServer, "notes"), component(api.KindDBReplication, "notes")}
	witness := enrolledMachine()
	witness.Machine.Node = "lb1"
	witness.Machine.Conditions = []api.Condition{{Type: "ReplicationPart", Severity: api.SeverityInfo, Message: "notes: witness, epoch 3, primary web1"}}
	for name, status := range map[string]machineStatus{
		"unenrolled.txt": unenrolled, "empty.txt": enrolledMachine(), "unwell.txt": unwell, "fenced.txt": fenced, "witness.txt": witness,
	} {
		t.Run(name, func(t *testing.T) { golden.Compare(t, "status-"+name, status.String()) })
	}
}

func TestDifferences(t *testing.T) {
	tests := map[string]struct{ want, got, text string }{
		"equal":          {`{"a":1}`, `{"a":1}`, ""},
		"a value":        {`{"a":1}`, `{"a":2}`, "/a: is 2, applied was 1"},
		"deep, escaped":  {`{"a/b":{"c":"x"}}`, `{"a/b":{"c":"y"}}`, `/a~1b/c: is "y", applied was "x"`},
		"another sort":   {`{"a":{}}`, `{"a":1}`, "/a: is 1, applied was {}"},
		"one is missing": {`{"a":1}`, `{}`, "/a: is nothing, applied was 1"},
		"lists, whole":   {`[1,2]`, `[2,1]`, ": is [2,1], applied was [1,2]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var want, got any
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(test.got), &got); err != nil {
				t.Fatal(err)
			}
			if text := strings.Join(differences("", want, got), "; "); text != test.text {
				t.Errorf("%q, want %q", text, test.text)
			}
		})
	}
}

// TestAgainstAnAgent asks a whole agent over its socket.
func TestAgainstAnAgent(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	local := newLocal(m.Socket())
	s, err := readStatus(t.Context(), local)
	if err != nil || s.Machine.Enrolled || s.Machine.Node != "web1" {
		t.Fatalf("before the enrolment: %+v, %v", s, err)
	}
	m.Enroll()
	spec := api.DefaultLoadBalancer()
	server := api.DefaultServer()
	server.Address, server.Port = "10.0.0.1", 80
	spec.Frontends["http"] = api.Frontend{Address: "*", Port: 80, Backend: "web"}
	spec.Backends["web"] = api.Backend{Algorithm: api.RoundRobin, Servers: map[string]api.Server{"web1": server}}
	www := client.Change{ID: api.ID{Kind: api.KindLoadBalancer, Name: "www"}, Write: api.Write{Spec: api.Encode(spec)}}
	if _, err := m.Admin().Apply(t.Context(), www, nil); err != nil {
		t.Fatal(err)
	}
	m.LoadBalancers.Set(agenttest.Hooks{Observe: func(_ string, seen *operation.Observation) {
		seen.Conditions = []api.Condition{{Type: "ServerDown", Severity: api.SeverityWarning, Message: "web1 is down"}}
	}})
	if s, err = readStatus(t.Context(), local); err != nil {
		t.Fatal(err)
	}
	if len(s.Components) != 1 || state(s.Components[0]) != "warning" || s.Machine.Version == "" {
		t.Errorf("after an apply: %+v", s)
	}
	if _, err := readLogs(t.Context(), local, []string{"foobar-lb-www.service"}, 5); err != nil {
		t.Errorf("logs: %v", err)
	}
	for component, want := range map[string]string{
		"agent": "", "load-balancer/www": "",
		"app-server/shop": "this machine has no component app-server/shop, and no logs of one; it has logs of: agent, load-balancer/www",
	} {
		if err := exists(t.Context(), local, component); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s exists: %v, want %q", component, err, want)
		}
	}
	if err := local.get(t.Context(), "/v1/nothing", new(any)); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("a route that is not there: %v", err)
	}
	m.Stop()
	if _, err := readStatus(t.Context(), local); err == nil || !strings.Contains(err.Error(), "is foobar-agent.service running?") {
		t.Errorf("an agent that does not run: %v", err)
	}
}

func TestATerminalObeysNothingOfTheStatus(t *testing.T) {
	const evil = "\x1b[2Jgone\rok\nforged\u009b\u202e\U000e0041"
	sick := component(api.KindAppServer, "shop")
	sick.Actor = evil
	sick.Conditions = []api.Condition{{Type: "AppUnhealthy", Severity: api.SeverityError, Message: evil}}
	sick.Drift = map[string]api.Drift{"/srv/shop/" + evil: {Detail: evil}}
	sick.Observed = api.Encode(map[string]any{"a": evil})
	s := enrolledMachine()
	s.Components = []api.Component{sick}
	s.Machine.Conditions = []api.Condition{{Type: "X", Severity: api.SeverityInfo, Message: evil}}
	encoded, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"text": s.String(), "json": jsonVisible(string(encoded))} {
		for _, r := range text {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s: %q reaches the terminal", name, r)
			}
		}
		if strings.Contains(text, "\nforged") {
			t.Errorf("%s: a line is forged:\n%s", name, text)
		}
	}
	var back machineStatus
	if err := json.Unmarshal([]byte(jsonVisible(string(encoded))), &back); err != nil || back.Components[0].Actor != evil {
		t.Errorf("the JSON reads back as %q, %v", back.Components[0].Actor, err)
	}
}

func TestStatusOfADamagedRecordSaysWhatIsNotKnown(t *testing.T) {
	s := enrolledMachine()
	damaged := api.Component{ID: api.ID{Kind: api.KindLoadBalancer, Name: "www"}}
	damaged.Conditions = []api.Condition{unreadable(&api.Problem{Type: api.ProblemDamaged, Title: "The record is damaged"})}
	s.Components = []api.Component{damaged}
	if got := s.String(); strings.Contains(got, "0001-01-01") || !strings.Contains(strings.Join(strings.Fields(got), " "), "load-balancer/www unknown unknown unknown error") {
		t.Errorf("status:\n%s", got)
	}
}
