package server

import (
	"net/http"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestOrdersAreCarriedOutAndAudited(t *testing.T) {
	b := newBench(t, true)
	b.role = roleLocal
	for verb, want := range map[string]struct {
		operation, audited string
		status             int
	}{
		"restart":  {"restart", "restart", http.StatusAccepted},
		"rollback": {"rollback", "rollback", http.StatusAccepted},
		"drain":    {"drained true", "", http.StatusOK},
		"undrain":  {"drained false", "", http.StatusOK},
	} {
		path := "/v1/app-server/shop:" + verb
		b.runner.requests = nil
		answer := b.change("POST", path, "")
		if answer.Code != want.status || len(b.runner.requests) != 1 || b.runner.requests[0].Operation != want.operation ||
			b.runner.requests[0].Actor != "terraform@ci" || b.runner.requests[0].ID != (api.ID{Kind: api.KindAppServer, Name: "shop"}) {
			t.Errorf("%s: %d %s, asked was %+v", verb, answer.Code, answer.Body, b.runner.requests)
		}
		entries := b.entries()
		if last := entries[len(entries)-1]; last.Path != path || last.Operation != want.audited || last.Status != want.status {
			t.Errorf("%s: audited is %+v", verb, last)
		}
		if verb == "rollback" {
			b.change("POST", path+"?to=7", "")
			if last := b.runner.requests[len(b.runner.requests)-1]; last.Base != 7 {
				t.Errorf("asked for generation 7 was %+v", last)
			}
			wantProblem(t, b.change("POST", path+"?to=x", ""), api.ProblemInvalid, "a whole number from 1")
		}
		wantProblem(t, b.change("POST", "/v1/shop/shop:"+verb, ""), api.ProblemInvalid, "no kind")
		wantProblem(t, b.call("POST", path, ""), api.ProblemWrongMachine, "missing")
	}
}
