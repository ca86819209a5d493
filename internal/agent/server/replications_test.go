package server

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

const notes = "/v1/replications/notes"

// machineBench is a bench whose caller is machine web2.
func machineBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, true)
	b.role = api.RoleNode
	return b
}

// followOrder is an order with all that one can have.
func followOrder() replication.Order {
	return replication.Order{
		Operation: "op1", Epoch: 7, Step: "web1-follow", Action: replication.Action{
			Verb: replication.DoFollow, Source: "web2", At: &replication.Member{Host: "web2.shop.internal", Port: 3306, Delay: 1e9},
			Record: &replication.Record{Epoch: 7, Primary: "web2", Spec: "s", Members: []replication.NodeID{"web1", "web2"}},
			Origin: "o", Consent: "c", Settings: map[string]string{"a": "b"},
			Drop: replication.Drop{Databases: []string{"old"}, Users: []string{"old"}},
		},
	}
}

func configOfNotes() api.DBConfig {
	spec := api.DefaultDBReplication()
	spec.Primary = "web2"
	spec.Members["web2"] = api.DBMember{
		DBPeer: api.DBPeer{Address: "10.0.0.2:9443", Key: "sha256:22", Incarnation: 1},
		Server: "notes", ServerID: 2, Host: "10.0.0.2", Port: 3306,
	}
	return api.DBConfig{Spec: spec, Replication: "hunter2", Users: map[string]api.Secret{"notes": "hunter3"}}
}

func TestReplicationCallsReachTheParts(t *testing.T) {
	membership := api.DBMembership{Peers: map[string]api.DBPeer{"web2": {Address: "10.0.0.2:9443", Key: api.KeyPin(nil), Incarnation: 1}}, Members: []string{"web2"}}
	tests := map[string]struct {
		role               api.Role
		method, path, body string
		asked              string
		config             any
		answer, operation  string
		unaudited          bool
	}{
		"membership": {api.RoleAdmin, "PUT", notes + "/membership", string(api.Encode(membership)), "enlist notes by terraform@ci ", membership, "", "", false},
		"leave":      {api.RoleAdmin, "DELETE", notes + "/membership", "", "leave notes by  ", nil, "", "", false},
		"component":  {api.RoleNode, "GET", notes + "/component", "", "applied notes by web2 sha256:22", nil, `{"applied":true}`, "", true},
		"tell":       {api.RoleNode, "PUT", notes, string(api.Encode(configOfNotes())), "tell notes by web2 sha256:22", configOfNotes(), "", "", false},
		"view":       {api.RoleNode, "GET", notes + "/view", "", "view notes by web2 sha256:22", nil, `{"version":"11.8"}`, "", true},
		"record":     {api.RoleNode, "GET", notes + "/record", "", "record notes by web2 sha256:22", nil, `{"epoch":7,"primary":"web1"}`, "", true},
		"order":      {api.RoleNode, "POST", notes + "/orders", string(api.Encode(followOrder())), "order for 20s notes by web2 sha256:22", followOrder(), "", "op1", false},
		"lock":       {api.RoleNode, "PUT", notes + "/lock", `{"operation":"op1"}`, "lock notes by web2 sha256:22", "op1", "", "op1", false},
		"unlock":     {api.RoleNode, "DELETE", notes + "/lock", `{"operation":"op1"}`, "unlock notes by web2 sha256:22", "op1", "", "op1", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			b.role = test.role
			answer := b.change(test.method, test.path, test.body)
			if answer.Code != http.StatusOK || answer.Body.String() != test.answer {
				t.Fatalf("%d %s, want %s", answer.Code, answer.Body, test.answer)
			}
			if len(b.parts.asked) != 1 || b.parts.asked[0] != test.asked || !reflect.DeepEqual(b.parts.config, test.config) {
				t.Errorf("asked %q with %+v\nwant %q with %+v", b.parts.asked, b.parts.config, test.asked, test.config)
			}
			entries := b.entries()
			if test.unaudited {
				if len(entries) != 0 {
					t.Errorf("audited %+v", entries)
				}
			} else if len(entries) != 1 || entries[0].Status != http.StatusOK || entries[0].Operation != test.operation {
				t.Errorf("audited %+v", entries)
			}
		})
	}
}

func TestReplicationRefusals(t *testing.T) {
	tests := map[string]struct{ method, path, body, want string }{
		"a name that is none":         {"GET", "/v1/replications/Notes/view", "", "the replication's name"},
		"a name that is too long":     {"GET", "/v1/replications/" + strings.Repeat("n", 99) + "/record", "", "the replication's name"},
		"a copy of a bad name":        {"GET", "/v1/replications/a_b/copy", "", "the replication's name"},
		"given nothing":               {"PUT", notes, "", "the body is missing"},
		"given what is unknown":       {"PUT", notes, `{"epoch":1}`, "/epoch: is unknown"},
		"an order without an id":      {"POST", notes + "/orders", `{"step":"s","action":{"verb":"fence"}}`, "no operation or no step"},
		"an order without a step":     {"POST", notes + "/orders", `{"operation":"o","action":{"verb":"fence"}}`, "no operation or no step"},
		"an order to do nothing":      {"POST", notes + "/orders", `{"operation":"o","step":"s","action":{}}`, "/action/verb: is missing"},
		"a record that is none":       {"POST", notes + "/orders", `{"operation":"o","step":"s","action":{"verb":"record"}}`, "/action/record: is missing"},
		"a source that is nowhere":    {"POST", notes + "/orders", `{"operation":"o","step":"s","action":{"verb":"follow"}}`, "/action/at: is missing"},
		"an order of a newer agent":   {"POST", notes + "/orders", `{"operation":"o","step":"s","action":{"verb":"fence","hard":true}}`, "/action/hard: is unknown"},
		"a lock for nobody":           {"PUT", notes + "/lock", `{}`, "/operation: is missing"},
		"a lock that is not released": {"DELETE", notes + "/lock", ``, "the body is missing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := machineBench(t)
			wantProblem(t, b.change(test.method, test.path, test.body), api.ProblemInvalid, test.want)
			if len(b.parts.asked) > 0 {
				t.Errorf("the parts were asked all the same: %s", b.parts.asked)
			}
		})
	}
}

func TestMembershipIsReportedStrictly(t *testing.T) {
	b := newBench(t, true)
	wantProblem(t, b.change("PUT", notes+"/membership", `{"peers":{"web2":{"adr":"10.0.0.2"}}}`), api.ProblemInvalid, "/peers/web2/adr: is unknown")
	wantProblem(t, b.change("PUT", notes+"/membership", `{"peers":{"web2":{"address":"10.0.0.2","key":"","incarnation":1}}}`), api.ProblemInvalid, "/peers/web2/address")
	wantProblem(t, b.change("PUT", notes+"/membership", `{"peers":{}}`), api.ProblemInvalid, "/peers")
	wantProblem(t, b.change("PUT", notes+"/membership", `{"peers":{"web2":{"address":"10.0.0.2:9443","key":"","incarnation":1}},"members":["web1"]}`), api.ProblemInvalid, "/members/0")
	wantProblem(t, b.change("PUT", "/v1/replications/Notes/membership", `{}`), api.ProblemInvalid, "the replication's name")
	if len(b.parts.asked) > 0 {
		t.Errorf("the parts were asked all the same: %s", b.parts.asked)
	}
}

func TestStrangersAreRefusedByThePartsAndAudited(t *testing.T) {
	for _, request := range []string{
		"GET " + notes + "/view", "GET " + notes + "/record", "GET " + notes + "/copy",
		"PUT " + notes, "POST " + notes + "/orders", "PUT " + notes + "/lock", "DELETE " + notes + "/lock",
	} {
		b := machineBench(t)
		b.parts.err = &api.Problem{Type: api.ProblemForbidden, Title: "web2 takes no part in notes"}
		method, path, _ := strings.Cut(request, " ")
		body := map[string]string{
			notes: string(api.Encode(configOfNotes())), notes + "/orders": string(api.Encode(followOrder())), notes + "/lock": `{"operation":"o"}`,
		}[path]
		wantProblem(t, b.change(method, path, body), api.ProblemForbidden, "takes no part")
		if entries := b.refused(); len(entries) != 1 || entries[0].Problem != api.ProblemForbidden || entries[0].Actor != "web2" {
			t.Errorf("%s: audited %+v, want one refusal", request, entries)
		}
	}
}

func TestOrderThatRunsAnswers202(t *testing.T) {
	b := machineBench(t)
	b.parts.running = true
	if answer := b.change("POST", notes+"/orders", string(api.Encode(followOrder()))); answer.Code != http.StatusAccepted {
		t.Errorf("%d %s, want 202", answer.Code, answer.Body)
	}
	b.parts.err = &api.Problem{Type: api.ProblemEngineRefused, Title: "no"}
	wantProblem(t, b.change("POST", notes+"/orders", string(api.Encode(followOrder()))), api.ProblemEngineRefused, "no")
}

func TestWaitForAnOrderEndsWhenTheServerStops(t *testing.T) {
	b := machineBench(t)
	b.parts.running = true
	b.parts.wait = func(ctx context.Context) error {
		b.stop()
		<-ctx.Done()
		return ctx.Err()
	}
	if answer := b.change("POST", notes+"/orders", string(api.Encode(followOrder()))); answer.Code != http.StatusAccepted {
		t.Errorf("%d %s, want 202: the order goes on", answer.Code, answer.Body)
	}
	b.parts.wait = func(context.Context) error { return errors.New("the disk is full") }
	wantProblem(t, b.change("POST", notes+"/orders", string(api.Encode(followOrder()))), api.ProblemInternal, "the disk is full")
}
