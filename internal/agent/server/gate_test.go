package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/audit"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

func TestWrongMachine(t *testing.T) {
	const spec = `{"spec":{}}`
	tests := map[string]struct {
		method, path string
		machines     []string
		want         string // in the problem; empty: let through
	}{
		"a change names this machine":       {"PUT", "/v1/load-balancer/www", []string{"web1"}, ""},
		"a change names another":            {"PUT", "/v1/load-balancer/www", []string{"web2"}, `is meant for ["web2"], but this is "web1"`},
		"a change names none":               {"PUT", "/v1/load-balancer/www", nil, "Foobar-Machine is missing"},
		"a change names two":                {"PUT", "/v1/load-balancer/www", []string{"web1", "web2"}, `["web1" "web2"]`},
		"an enrolment names another":        {"POST", "/v1/enroll", []string{"web2"}, `this is "web1"`},
		"a read names none":                 {"GET", "/v1/components", nil, ""},
		"a read names this machine":         {"GET", "/v1/components", []string{"web1"}, ""},
		"a read names another":              {"GET", "/v1/components", []string{"web2"}, `this is "web1"`},
		"health names another":              {"GET", "/v1/health", []string{"web2"}, `this is "web1"`},
		"a dry run may name none":           {"POST", "/v1/load-balancer/www:plan", nil, ""},
		"a dry run that names another":      {"POST", "/v1/load-balancer/www:plan", []string{"Web1"}, `this is "web1"`},
		"an empty name is not this machine": {"GET", "/v1/health", []string{""}, `this is "web1"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			var headers []string
			for _, m := range test.machines {
				headers = append(headers, api.HeaderMachine, m)
			}
			answer := b.call(test.method, test.path, spec, headers...)
			if test.want != "" {
				wantProblem(t, answer, api.ProblemWrongMachine, test.want)
			} else if answer.Code == http.StatusMisdirectedRequest {
				t.Errorf("refused: %s", answer.Body)
			}
			if test.want != "" && len(b.runner.requests) > 0 {
				t.Error("the handler ran all the same")
			}
		})
	}
}

func TestAudit(t *testing.T) {
	seed, err := pki.ParseSeed("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	authority, err := pki.NewAuthority(seed, "shop", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	bundle := pki.Bundle{authority.Certificate()}
	const machine = api.HeaderMachine
	tests := map[string]struct {
		role         api.Role
		method, path string
		headers      []string
		want         *api.AuditEntry // nil: nothing is written
	}{
		"a read is not audited":    {api.RoleReader, "GET", "/v1/components", nil, nil},
		"a dry run is not audited": {api.RoleReader, "POST", "/v1/load-balancer/www:plan", nil, nil},
		"a change": {
			api.RoleAdmin, "DELETE", "/v1/load-balancer/www",
			[]string{machine, "web1", api.HeaderGeneration, "4", api.HeaderOperation, api.OperationID(api.VerbDelete, www(), 4, nil, "")},
			&api.AuditEntry{Status: 202, Operation: api.OperationID(api.VerbDelete, www(), 4, nil, "")},
		},
		"a change that is invalid": {
			api.RoleAdmin, "DELETE", "/v1/load-balancer/www", []string{machine, "web1"},
			&api.AuditEntry{Status: 422, Problem: api.ProblemInvalid},
		},
		"a change for another machine": {
			api.RoleAdmin, "DELETE", "/v1/load-balancer/www", []string{machine, "web2"},
			&api.AuditEntry{Status: 421, Problem: api.ProblemWrongMachine},
		},
		"a read for another machine": {
			api.RoleAdmin, "GET", "/v1/components", []string{machine, "web2"},
			&api.AuditEntry{Status: 421, Problem: api.ProblemWrongMachine},
		},
		"a role that may not": {
			api.RoleNode, "GET", "/v1/audit", nil,
			&api.AuditEntry{Status: 403, Problem: api.ProblemForbidden},
		},
		"no such route": {
			api.RoleAdmin, "GET", "/v1/secrets", nil,
			&api.AuditEntry{Status: 403, Problem: api.ProblemForbidden},
		},
		"a proof that does not hold": {
			api.RoleAdmin, "POST", "/v1/enroll:finish", []string{machine, "web1"},
			&api.AuditEntry{Status: 403, Problem: api.ProblemProof, Detail: "to trust none that can be read; trusted before sha256:ca"},
		},
		"a membership, with who may take part": {
			api.RoleAdmin, "PUT", "/v1/replications/notes/membership", []string{machine, "web1"},
			&api.AuditEntry{Status: 200, Detail: "to take part: web1 (member, any key), web2 (witness, " + pki.KeyPin(bundle[0]) + ")"},
		},
		"a renewal, with the CAs by pin": {
			api.RoleAdmin, "POST", "/v1/identity:renew", []string{machine, "web1"},
			&api.AuditEntry{Status: 200, Detail: "to trust " + pki.KeyPin(bundle[0]) + "; trusted before sha256:ca"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			b.role = test.role
			body := ""
			switch {
			case strings.HasSuffix(test.path, ":plan"):
				body = `{"spec":{}}`
			case strings.HasSuffix(test.path, ":finish"):
				body = `{}`
			case strings.HasSuffix(test.path, "/membership"):
				body = string(api.Encode(api.DBMembership{Members: []string{"web1"}, Peers: map[string]api.DBPeer{
					"web1": {Address: "10.0.0.1:9443"}, "web2": {Address: "10.0.0.2:9443", Key: pki.KeyPin(bundle[0])},
				}}))
			case strings.HasSuffix(test.path, ":renew"):
				body = string(api.Encode(api.Certification{CA: bundle.PEM()}))
			}
			b.call(test.method, test.path, body, test.headers...)
			entries := append(b.entries(), b.refused()...)
			if test.want == nil {
				if len(entries) != 0 {
					t.Errorf("audited: %+v", entries)
				}
				return
			}
			if len(entries) != 1 {
				t.Fatalf("%d entries, want one", len(entries))
			}
			if denied := test.want.Status == 403 || test.want.Status == 421; denied != (len(b.refused()) == 1) {
				t.Errorf("denied: %t, and it is in the other log", denied)
			}
			want := *test.want
			want.Actor, want.Role, want.Method, want.Path = "terraform@ci", test.role, test.method, test.path
			if test.role == api.RoleNode {
				want.Actor = "web2"
			}
			want.Seq, want.Peer, want.Time, want.Hash = 1, "192.0.2.1:1234", b.Now(), entries[0].Hash
			if entries[0] != want {
				t.Errorf("audited %+v\nwant %+v", entries[0], want)
			}
		})
	}
}

func TestDeniedBeforeEnrolmentIsAudited(t *testing.T) {
	b := newBench(t, false)
	b.call("GET", "/v1/components", "")
	if entries := b.refused(); len(entries) != 1 || entries[0].Problem != api.ProblemNotEnrolled {
		t.Errorf("audited %+v, want one refusal", entries)
	}
}

// brokenAudit cannot write.
type brokenAudit struct{ *audit.Log }

func (brokenAudit) Append(api.AuditEntry) error { return errors.New("no space left on device") }

func TestACallIsAnsweredThoughItCannotBeAudited(t *testing.T) {
	b := newBench(t, true)
	b.Audit = brokenAudit{}
	if answer := b.change("PUT", "/v1/leaves/db", "{}"); answer.Code != http.StatusOK {
		t.Errorf("%d %s, want 200", answer.Code, answer.Body)
	}
}

func TestPanicBecomesAProblemThatTellsNothing(t *testing.T) {
	b := newBench(t, true)
	b.routes = []route{{method: "GET", pattern: "/v1/health", roles: api.Roles(), handle: func(*Server, *call) (answer, error) {
		panic("hunter2")
	}}}
	answer := b.call("GET", "/v1/health", "")
	wantProblem(t, answer, api.ProblemInternal, "a fault of the agent")
	if strings.Contains(answer.Body.String(), "hunter2") {
		t.Errorf("the answer tells of the panic: %s", answer.Body)
	}
}

func TestCallerThatIsNobodyIsDeniedAndNamed(t *testing.T) {
	b := newBench(t, true)
	who := func(*http.Request) (Caller, error) {
		return Caller{Actor: "old@ci"}, forbidden("the client's certificate has ended")
	}
	recorder := httptest.NewRecorder()
	b.handler(who).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/health", nil))
	wantProblem(t, recorder, api.ProblemForbidden, "certificate has ended")
	if entries := b.refused(); len(entries) != 1 || entries[0].Actor != "old@ci" {
		t.Errorf("audited %+v", entries)
	}
}

func TestAnswersAreNotStoredOnTheWay(t *testing.T) {
	answer := newBench(t, true).call("GET", "/v1/health", "")
	if got := answer.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
	if got := answer.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
}
