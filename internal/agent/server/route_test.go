package server

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	sumOfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	all          = "admin reader node local"
)

// expected says again, route by route, who may call what. It is not derived
// from the table that it tests: who changes the one has to mean it here too.
func expected() map[string]struct {
	roles          string
	fresh, mutates bool
} {
	type rule = struct {
		roles          string
		fresh, mutates bool
	}
	const readers = "admin reader local"
	return map[string]rule{
		"GET /v1/health":                           {all, true, false},
		"GET /v1/info":                             {all, false, false},
		"POST /v1/enroll":                          {"admin", true, true},
		"POST /v1/enroll:finish":                   {"admin", true, true},
		"POST /v1/identity:renew":                  {"admin", false, true},
		"GET /v1/components":                       {readers, false, false},
		"GET /v1/operations/1":                     {readers, false, false},
		"GET /v1/operations/1/events":              {readers, false, false},
		"GET /v1/logs":                             {"admin local", false, false},
		"GET /v1/audit":                            {readers, false, false},
		"GET /v1/audit/refused":                    {readers, false, false},
		"HEAD /v1/blobs/sha256:" + sumOfNothing:    {"admin", false, false},
		"PATCH /v1/blobs/sha256:" + sumOfNothing:   {"admin", false, true},
		"PUT /v1/blobs/sha256:" + sumOfNothing:     {"admin", false, true},
		"GET /v1/leaves/db":                        {"admin", false, false},
		"POST /v1/leaves/db":                       {"admin", false, true},
		"PUT /v1/leaves/db":                        {"admin", false, true},
		"PUT /v1/replications/notes/membership":    {"admin", false, true},
		"DELETE /v1/replications/notes/membership": {"admin local", false, true},
		"GET /v1/replications/notes/component":     {"node", false, false},
		"PUT /v1/replications/notes":               {"node", false, true},
		"GET /v1/replications/notes/view":          {"node", false, false},
		"GET /v1/replications/notes/record":        {"node", false, false},
		"POST /v1/replications/notes/orders":       {"node", false, true},
		"PUT /v1/replications/notes/lock":          {"node", false, true},
		"DELETE /v1/replications/notes/lock":       {"node", false, true},
		"GET /v1/replications/notes/copy":          {"node", false, false},
		"GET /v1/leftovers":                        {"local", false, false},
		"GET /v1/leftovers/app-server/shop":        {"local", false, false},
		"DELETE /v1/leftovers/app-server/shop":     {"local", false, true},
		"POST /v1/app-server/shop:restart":         {"local", false, true},
		"POST /v1/app-server/shop:rollback":        {"local", false, true},
		"POST /v1/app-server/shop:drain":           {"local", false, true},
		"POST /v1/app-server/shop:undrain":         {"local", false, true},
		"GET /v1/load-balancer/www":                {readers, false, false},
		"POST /v1/load-balancer/www:plan":          {"admin reader", false, false},
		"PUT /v1/load-balancer/www:own":            {"admin", false, true},
		"PUT /v1/load-balancer/www":                {"admin", false, true},
		"DELETE /v1/load-balancer/www":             {"admin", false, true},
		"GET /v1/app-server/shop":                  {readers, false, false},
		"POST /v1/app-server/shop:plan":            {"admin reader", false, false},
		"PUT /v1/app-server/shop":                  {"admin", false, true},
		"DELETE /v1/app-server/shop":               {"admin", false, true},
	}
}

func TestEveryRouteIsExpectedAndEveryExpectedRouteIsThere(t *testing.T) {
	table := routes()
	reached := map[string]bool{}
	for request, want := range expected() {
		method, path, _ := strings.Cut(request, " ")
		got, _, ok := find(table, method, path)
		if !ok {
			t.Errorf("%s: no route", request)
			continue
		}
		reached[got.method+" "+got.pattern] = true
		if got.mutates != want.mutates || got.fresh != want.fresh {
			t.Errorf("%s: mutates %t, before enrolment %t; want %t, %t", request, got.mutates, got.fresh, want.mutates, want.fresh)
		}
	}
	for _, r := range table {
		if !reached[r.method+" "+r.pattern] {
			t.Errorf("the route %s %s is in no expectation, or hidden by one before it", r.method, r.pattern)
		}
		if r.handle == nil || len(r.roles) == 0 {
			t.Errorf("the route %s %s has no handler or no roles", r.method, r.pattern)
		}
	}
}

// TestEveryRoleOnEveryRoute sends every request as every role, enrolled and
// not, and compares what is let through.
func TestEveryRoleOnEveryRoute(t *testing.T) {
	roles := append(api.Roles(), roleLocal, "", "root", "Admin")
	for _, enrolled := range []bool{true, false} {
		b := newBench(t, enrolled)
		for _, request := range slices.Sorted(maps.Keys(expected())) {
			want := expected()[request]
			method, path, _ := strings.Cut(request, " ")
			for _, role := range roles {
				b.role = role
				answer := b.change(method, path, "")
				allowed := slices.Contains(strings.Fields(want.roles), string(role))
				switch {
				case !allowed && answer.Code != http.StatusForbidden:
					t.Errorf("%s as %q, enrolled %t: %d, want 403", request, role, enrolled, answer.Code)
				case allowed && !enrolled && !want.fresh && role != roleLocal:
					wantProblem(t, answer, api.ProblemNotEnrolled, "")
				case allowed && (enrolled || want.fresh || role == roleLocal) && (answer.Code == http.StatusForbidden || answer.Code == http.StatusConflict):
					t.Errorf("%s as %q, enrolled %t: denied", request, role, enrolled)
				}
			}
		}
	}
}

func TestWhatIsInNoRouteIsDenied(t *testing.T) {
	// Never "not found": a provider would take its component for gone.
	b := newBench(t, true)
	for _, request := range []string{
		"GET /", "GET /v1", "GET /v1/", "GET /v1/health/", "GET /v1//health", "GET //v1/health", "GET /v1/../v1/health",
		"GET /V1/health", "POST /v1/health", "HEAD /v1/health", "OPTIONS /v1/health", "GET /v2/health",
		"PUT /v1/load-balancer", "PUT /v1/load-balancer/", "PUT /v1/load-balancer/www/x",
		"POST /v1/load-balancer/www", "POST /v1/load-balancer/www:reboot", "POST /v1/load-balancer/www:plan:plan", "POST /v1/load-balancer/:plan",
		"PUT /v1/load-balancer/www:plan", "GET /v1/blobs/sha256:" + sumOfNothing, "DELETE /v1/blobs/sha256:" + sumOfNothing,
		"PUT /v1/blobs/sha256:", "PUT /v1/blobs/md5:00", "DELETE /v1/leaves/db:x", "POST /v1/identity:burn", "POST /v1/operations/1:confirm",
		"GET /v1/replications/notes/orders", "GET /v1/replications/notes/membership", "DELETE /v1/replications/notes/copy",
		"GET /v1/replications/notes/view/x", "PUT /v1/replications/notes:x/lock", "PUT /v1/replications//lock",
		"GET /debug/pprof/", "TRACE /v1/health",
	} {
		method, path, _ := strings.Cut(request, " ")
		answer := b.change(method, path, "")
		if answer.Code != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", request, answer.Code)
			continue
		}
		wantProblem(t, answer, api.ProblemForbidden, "no route "+method)
	}
}

func TestMatch(t *testing.T) {
	tests := []struct{ pattern, path, name, value string }{
		{"/v1/{kind}/{name}:plan", "/v1/load-balancer/www:plan", "name", "www"},
		{"/v1/{kind}/{name}:plan", "/v1/load-balancer/www:plan", "kind", "load-balancer"},
		{"/v1/blobs/sha256:{sha256}", "/v1/blobs/sha256:ab", "sha256", "ab"},
		{"/v1/{kind}/{name}", "/v1/x/a%2Fb", "name", "a%2Fb"},
	}
	for _, test := range tests {
		params, ok := match(test.pattern, test.path)
		if !ok || params[test.name] != test.value {
			t.Errorf("%s in %s: %q %t, want %q", test.path, test.pattern, params[test.name], ok, test.value)
		}
	}
}
