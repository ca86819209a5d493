package tfutil_test

import (
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

func TestClaims(t *testing.T) {
	www, shop := api.ID{Kind: api.KindLoadBalancer, Name: "www"}, api.ID{Kind: api.KindAppServer, Name: "shop"}
	port := func(n int) []api.Claim { return []api.Claim{{Network: "tcp", Port: n, Pointer: "/port"}} }
	var claims tfutil.Claims
	for i, step := range []struct {
		machine string
		id      api.ID
		claims  []api.Claim
		want    int
	}{
		{"web1", www, port(80), 0},
		{"web1", www, port(80), 0},  // the same again, as Terraform plans a replacement twice
		{"web2", shop, port(80), 0}, // elsewhere
		{"web1", shop, port(80), 1},
		{"web1", www, port(8080), 0}, // www moves away
		{"web1", shop, port(80), 0},
	} {
		found := claims.Claim(step.machine, step.id, step.claims)
		if len(found) != step.want {
			t.Fatalf("step %d: %d conflicts, want %d: %v", i, len(found), step.want, found)
		}
		if step.want > 0 && (found[0].Holder != www || found[0].Claim.Pointer != "/port") {
			t.Errorf("step %d: %+v names the wrong holder or place", i, found[0])
		}
	}
}

func TestAClaimIsYieldedByItsHolderInThisPlanAlone(t *testing.T) {
	www := api.ID{Kind: api.KindLoadBalancer, Name: "www"}
	claim := func(port int) api.Claim { return api.Claim{Network: "tcp", Port: port} }
	var claims tfutil.Claims
	claims.Claim("web1", www, []api.Claim{claim(8080)})
	for name, c := range map[string]struct {
		machine, holder string
		port            int
		want            bool
	}{
		"moved away":        {"web1", www.String(), 80, true},
		"claimed anew":      {"web1", www.String(), 8080, false},
		"another machine":   {"web2", www.String(), 80, false},
		"not of this plan":  {"web1", "load-balancer/other", 80, false},
		"an agent too old":  {"web1", "", 80, false},
		"the agent's ports": {"web1", "the agent itself", 80, false},
	} {
		if got := claims.Yields(c.machine, c.holder, []api.Claim{claim(443), claim(c.port)}); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestAComponentIsOneResource(t *testing.T) {
	www, shop := api.ID{Kind: api.KindLoadBalancer, Name: "www"}, api.ID{Kind: api.KindAppServer, Name: "www"}
	var claims tfutil.Claims
	for i, step := range []struct {
		machine  string
		id       api.ID
		instance string
		want     bool
	}{
		{"web1", www, "a", true},
		{"web1", www, "a", true}, // planned twice, as a replacement is
		{"web1", www, "b", false},
		{"web2", www, "b", true},
		{"web1", shop, "c", true},
	} {
		if got := claims.Identify(step.machine, step.id, step.instance); got != step.want {
			t.Errorf("step %d: %t, want %t", i, got, step.want)
		}
	}
}

func TestAComponentThatChangesHandsIsFoundInAnyOrder(t *testing.T) {
	www := api.ID{Kind: api.KindLoadBalancer, Name: "www"}
	var first, second, other tfutil.Walk
	if !first.Leave("web1", www, "a") || first.Come("web1", www, "b") {
		t.Error("destroyed, then created: not found")
	}
	if !second.Come("web1", www, "b") || second.Leave("web1", www, "a") {
		t.Error("created, then destroyed: not found")
	}
	if !other.Leave("web1", www, "a") || !other.Come("web2", www, "a") || !other.Come("web1", www, "a") {
		t.Error("one resource, or another machine, is taken for a change of owner")
	}
	if !first.Leaves("web1", www.String()) || first.Leaves("web2", www.String()) || first.Leaves("web1", "app-server/www") {
		t.Error("what leaves is not known")
	}
}
