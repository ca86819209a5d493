package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func www() api.ID { return api.ID{Kind: api.KindLoadBalancer, Name: "www"} }

const spec = `{"engine":"haproxy"}`

// applyHeaders are those of a create with that spec.
func applyHeaders(base string, spec string) []string {
	n := map[string]int64{"0": 0, "7": 7}[base]
	return []string{api.HeaderGeneration, base, api.HeaderOperation, api.OperationID(api.VerbApply, www(), n, []byte(spec), "")}
}

func TestPutStartsTheOperation(t *testing.T) {
	b := newBench(t, true)
	answer := b.change("PUT", "/v1/load-balancer/www", `{"spec":`+spec+`,"secrets":{"TOKEN":"hunter2"},"timeout_seconds":60}`, applyHeaders("7", spec)...)
	if answer.Code != http.StatusAccepted {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	op := read[api.Operation](t, answer)
	if len(b.runner.requests) != 1 {
		t.Fatalf("%d requests", len(b.runner.requests))
	}
	got := b.runner.requests[0]
	if got.ID != www() || got.Base != 7 || got.Actor != "terraform@ci" || got.Operation != op.ID ||
		string(got.Write.Spec) != spec || got.Write.Secrets["TOKEN"].Reveal() != "hunter2" || got.Write.TimeoutSeconds != 60 {
		t.Errorf("request %+v", got)
	}
}

func TestPutThatIsDoneAnswers200(t *testing.T) {
	b := newBench(t, true)
	b.runner.state = api.OperationApplied
	answer := b.change("PUT", "/v1/load-balancer/www", `{"spec":`+spec+`}`, applyHeaders("0", spec)...)
	if answer.Code != http.StatusOK {
		t.Errorf("%d %s, want 200", answer.Code, answer.Body)
	}
}

func TestPutRefuses(t *testing.T) {
	const path = "/v1/load-balancer/www"
	const body = `{"spec":` + spec + `}`
	good := applyHeaders("0", spec)
	tests := map[string]struct {
		path, body string
		headers    []string
		want       string
	}{
		"no If-Match":             {path, body, good[2:], "the header If-Match is missing"},
		"If-Match of a word":      {path, body, []string{api.HeaderGeneration, "*"}, `the header If-Match is "*"`},
		"If-Match below nothing":  {path, body, []string{api.HeaderGeneration, "-1"}, `the header If-Match is "-1"`},
		"no Idempotency-Key":      {path, body, good[:2], "the header Idempotency-Key is missing"},
		"the key of another spec": {path, body, applyHeaders("0", "{}"), "but the id of this change is"},
		"the key of another base": {path, body, append(applyHeaders("0", spec)[:2:2], applyHeaders("7", spec)[2:]...), "but the id of this change is"},
		"a kind that is unknown":  {"/v1/mail-server/www", body, good, `no kind "mail-server"; it has: db-server, db-replication, app-server, load-balancer`},
		"a name that is none":     {"/v1/load-balancer/WWW", body, good, "the component's name"},
		"no body":                 {path, "", good, "the body is missing"},
		"no JSON":                 {path, "spec", good, "is not JSON"},
		"an unknown member":       {path, `{"spec":{},"force":true}`, good, "/force: is unknown"},
		"a member twice":          {path, `{"spec":{},"spec":{}}`, good, "/spec: is given twice"},
		"no spec":                 {path, `{}`, good, "/spec: is missing"},
		"a null spec":             {path, `{"spec":null}`, good, "/spec: is missing"},
		"a spec of text":          {path, `{"spec":"x"}`, good, "/spec: is missing"},
		"a timeout below nothing": {path, `{"spec":{},"timeout_seconds":-1}`, good, "/timeout_seconds: -1 is not"},
		"a timeout of days":       {path, `{"spec":{},"timeout_seconds":864000}`, good, "/timeout_seconds: 864000 is not"},
		"a body that is too long": {path, `{"spec":{"x":"` + strings.Repeat("x", api.MaxBody) + `"}}`, good, "longer than the 1048576 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			wantProblem(t, b.change("PUT", test.path, test.body, test.headers...), api.ProblemInvalid, test.want)
			if len(b.runner.requests) > 0 {
				t.Error("the runner was asked all the same")
			}
			if entries := b.entries(); len(entries) != 1 || entries[0].Status != 422 {
				t.Errorf("audited %+v, want one refusal", entries)
			}
		})
	}
}

func TestABodyThatBreaksOffIsRefused(t *testing.T) {
	b := newBench(t, true)
	request := httptest.NewRequestWithContext(t.Context(), "PUT", "/v1/load-balancer/www", failingReader{})
	request.Header.Set(api.HeaderMachine, "web1")
	request.Header.Set(api.HeaderGeneration, "0")
	recorder := httptest.NewRecorder()
	b.handler(func(*http.Request) (Caller, error) { return Caller{Role: api.RoleAdmin}, nil }).ServeHTTP(recorder, request)
	wantProblem(t, recorder, api.ProblemInvalid, "the body broke off")
}

func TestDelete(t *testing.T) {
	id := api.OperationID(api.VerbDelete, www(), 4, nil, "")
	headers := []string{api.HeaderGeneration, `"4"`, api.HeaderOperation, id}
	tests := map[string]struct{ body, want string }{
		"without a body":  {"", ""},
		"with a timeout":  {`{"timeout_seconds":30}`, ""},
		"with forgotten":  {`{"forget":["web3"]}`, ""},
		"with no owner":   {`{"owner":"` + strings.Repeat("b", 65) + `"}`, "/owner"},
		"with no machine": {`{"forget":["Web 3"]}`, "/forget/0"},
		"with a spec":     {`{"spec":{}}`, "takes no spec and no secrets"},
		"with secrets":    {`{"secrets":{}}`, "takes no spec and no secrets"},
		"with a word":     {`x`, "is not JSON"},
		"with a long one": {strings.Repeat(" ", api.MaxBody+1), "longer than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			answer := b.change("DELETE", "/v1/load-balancer/www", test.body, headers...)
			if test.want != "" {
				wantProblem(t, answer, api.ProblemInvalid, test.want)
				return
			}
			if answer.Code != http.StatusAccepted || b.runner.requests[0].Operation != id || b.runner.requests[0].Base != 4 {
				t.Errorf("%d %s, requests %+v", answer.Code, answer.Body, b.runner.requests)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	b := newBench(t, true)
	answer := b.call("POST", "/v1/load-balancer/www:plan", `{"spec":`+spec+`}`, api.HeaderGeneration, "7")
	if plan := read[api.Plan](t, answer); plan.Impact != api.ImpactReload {
		t.Errorf("plan %+v", plan)
	}
	want := operation.Request{ID: www(), Base: 7, Write: api.Write{Spec: []byte(spec)}}
	if got := b.runner.requests[0]; got.ID != want.ID || got.Base != 7 || string(got.Write.Spec) != spec {
		t.Errorf("asked for %+v, want %+v", got, want)
	}
	answer = b.call("POST", "/v1/load-balancer/www:plan", `{"spec":{},"secrets":{"A":"b"}}`, api.HeaderGeneration, "7")
	wantProblem(t, answer, api.ProblemInvalid, "/secrets: a dry run takes no secrets")
}

func TestProblemsOfTheRunnerAreAnswered(t *testing.T) {
	b := newBench(t, true)
	b.runner.err = &api.Problem{Type: api.ProblemNotFound, Title: "There is no such component"}
	wantProblem(t, b.call("GET", "/v1/load-balancer/www", ""), api.ProblemNotFound, "no such component")
	b.runner.err = errors.New("read the store: input/output error")
	wantProblem(t, b.call("GET", "/v1/components", ""), api.ProblemInternal, "input/output error")
}

func TestEvents(t *testing.T) {
	b := newBench(t, true)
	var gotAfter int64
	var gotWait time.Duration
	b.runner.events = func(_ context.Context, after int64, wait time.Duration) ([]api.Event, error) {
		gotAfter, gotWait = after, wait
		return []api.Event{{Seq: 4}}, nil
	}
	tests := map[string]struct {
		query string
		after int64
		wait  time.Duration
		want  string
	}{
		"nothing given":      {"", 0, 0, ""},
		"both given":         {"?after=3&wait=5", 3, 5 * time.Second, ""},
		"a long wait is cut": {"?wait=9999999999999", 0, api.MaxWait, ""},
		"no number":          {"?after=x", 0, 0, `the query's after is "x"`},
		"below nothing":      {"?wait=-1", 0, 0, `the query's wait is "-1"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := b.call("GET", "/v1/operations/1/events"+test.query, "")
			if test.want != "" {
				wantProblem(t, answer, api.ProblemInvalid, test.want)
				return
			}
			if events := read[api.Events](t, answer); len(events.Events) != 1 || gotAfter != test.after || gotWait != test.wait {
				t.Errorf("%+v after %d, wait %s; want after %d, wait %s", events, gotAfter, gotWait, test.after, test.wait)
			}
		})
	}
}

func TestWaitForEventsEndsWhenTheServerStops(t *testing.T) {
	b := newBench(t, true)
	waiting := make(chan struct{})
	b.runner.events = func(ctx context.Context, _ int64, _ time.Duration) ([]api.Event, error) {
		close(waiting)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	go func() {
		<-waiting
		b.stop()
	}()
	answer := b.call("GET", "/v1/operations/1/events?wait=30", "")
	if answer.Code != http.StatusOK || strings.TrimSpace(answer.Body.String()) != `{"events":[]}` {
		t.Errorf("%d %s, want no events", answer.Code, answer.Body)
	}
}

func TestLogs(t *testing.T) {
	b := newBench(t, true)
	lines := read[api.Logs](t, b.call("GET", "/v1/logs?unit=foobar-agent.service&lines=3", "")).Lines
	if len(lines) != 1 || lines[0].Unit != "foobar-agent.service" || lines[0].Message != "xxx" {
		t.Errorf("lines %+v", lines)
	}
	wantProblem(t, b.call("GET", "/v1/logs?lines=0", ""), api.ProblemInvalid, "whole number from 1")
}

func TestAuditIsReadable(t *testing.T) {
	b := newBench(t, true)
	for range 3 {
		b.change("POST", "/v1/leaves/db", "")
	}
	if got := read[api.Audit](t, b.call("GET", "/v1/audit?after=1", "")).Entries; len(got) != 2 || got[0].Seq != 2 {
		t.Errorf("entries %+v, want numbers 2 and 3", got)
	}
	if got := strings.TrimSpace(b.call("GET", "/v1/audit?after=3", "").Body.String()); got != `{"entries":[]}` {
		t.Errorf("after the last: %s", got)
	}
}

func TestHealthAndInfo(t *testing.T) {
	b := newBench(t, true)
	b.Conditions = func(context.Context) []api.Condition {
		return []api.Condition{{Type: "DiskFull", Severity: api.SeverityError}}
	}
	info := read[api.Info](t, b.call("GET", "/v1/info", ""))
	if info.Node != "web1" || !info.Enrolled || info.Version != "1.2.3" || info.ImageID != "2026.5" || info.Deployment != "shop" ||
		len(info.APIVersions) != 1 || info.Features == nil || !info.Time.Equal(b.Now()) || len(info.Conditions) != 1 {
		t.Errorf("info %+v", info)
	}
	if health := read[api.Health](t, newBench(t, false).call("GET", "/v1/health", "")); health.Enrolled || health.Incarnation != 1 {
		t.Errorf("health %+v", health)
	}
}

func TestOwn(t *testing.T) {
	const path = "/v1/load-balancer/www:own"
	for name, test := range map[string]struct{ body, want string }{
		"for a lineage":    {`{"owner":"b","takes_over":"a"}`, ""},
		"for nobody":       {`{}`, "/owner: is missing"},
		"without a body":   {``, "the body is missing"},
		"for a long story": {`{"owner":"` + strings.Repeat("b", 65) + `"}`, "at most 64"},
		"from a long one":  {`{"owner":"b","takes_over":"` + strings.Repeat("b", 65) + `"}`, "at most 64"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			answer := b.change("PUT", path, test.body)
			if test.want != "" {
				wantProblem(t, answer, api.ProblemInvalid, test.want)
				return
			}
			w := b.runner.requests[0].Write
			if got := read[api.Ownership](t, answer); answer.Code != http.StatusOK || got.Owner != "b" || w.Owner != "b" || w.TakesOver != "a" {
				t.Errorf("%d %s, asked %+v", answer.Code, answer.Body, w)
			}
		})
	}
}

// Two people with the same mistake read the same text.
func TestOwnersAreRefusedInOneOrder(t *testing.T) {
	long := strings.Repeat("b", 65)
	for range 20 {
		problem := api.AsProblem(checkOwners(long, long))
		if problem == nil || len(problem.Violations) != 2 || problem.Violations[0].Pointer != "/owner" || problem.Violations[1].Pointer != "/takes_over" {
			t.Fatalf("the errors are %+v", problem)
		}
	}
}
