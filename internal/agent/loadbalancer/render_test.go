package loadbalancer

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

// pair is the load balancer of the examples: two servers, round robin.
func pair() api.LoadBalancer {
	check := api.DefaultHealthCheck()
	check.Path = "/health"
	b := api.DefaultLoadBalancer()
	b.Frontends["www"] = api.Frontend{Address: "*", Port: 80, Backend: "web"}
	b.Backends["web"] = api.Backend{
		Algorithm: api.RoundRobin, HealthCheck: &check,
		Servers: map[string]api.Server{"web1": serverAt("10.0.0.1", 80), "web2": serverAt("10.0.0.2", 80)},
	}
	return b
}

// rich uses every attribute, with text that tries to be more than text.
func rich() api.LoadBalancer {
	b := pair()
	b.MaxConnections = 50000
	b.TrustedProxies = []string{"10.0.0.0/24", "fd00::/8"}
	b.Timeouts.Tunnel = api.Duration(10 * time.Minute)
	b.Frontends["admin"] = api.Frontend{
		Address: "10.0.0.10", Port: 8080, Backend: "admin",
		LogFormat: `%ci "it's" #1 \ $HOME %HM' }`,
	}
	b.Frontends["six"] = api.Frontend{Address: "fd00::10", Port: 82, Backend: "web"}
	b.Frontends["every-six"] = api.Frontend{Address: "::", Port: 81, Backend: "web"}
	backup, drained := serverAt("10.0.0.3", 8080), serverAt("fd00::3", 8080)
	backup.AgentCheckPort = 7081
	backup.Backup, drained.Drain, drained.Weight, drained.MaxConnections = true, true, 7, 20
	b.Backends["admin"] = api.Backend{
		Algorithm: api.Source,
		HealthCheck: &api.HealthCheck{
			Method: "OPTIONS", Path: "/h?a=1&b=%20", Host: "www.foobar.test", Status: 204, BodyPattern: `it's # "\d+" (ok|fine)$`,
			Interval: api.Duration(200 * time.Millisecond), Timeout: api.Duration(time.Second), Rise: 3, Fall: 5,
		},
		Servers: map[string]api.Server{"backup": backup, "drained": drained},
	}
	b.Backends["plain"] = api.Backend{Algorithm: api.LeastConnections, Servers: map[string]api.Server{"one": serverAt("10.0.0.4", 80)}}
	return b
}

func serverAt(address string, port int) api.Server {
	s := api.DefaultServer()
	s.Address, s.Port = address, port
	return s
}

func render(t *testing.T, name string, spec api.LoadBalancer) converge.State {
	t.Helper()
	if err := spec.Validate().Problem(); err != nil {
		t.Fatalf("the test's spec is not valid: %v", err)
	}
	state, err := (&Kind{}).Render(name, spec, nil, converge.InPlace{})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestRenderGolden(t *testing.T) {
	for name, spec := range map[string]api.LoadBalancer{"pair": pair(), "rich": rich()} {
		for _, file := range render(t, name, spec).Files {
			golden.Compare(t, name+filepath.Ext(file.Path), file.Content)
			golden.Compare(t, name+filepath.Ext(file.Path)+".sources", sourceMap(file))
		}
	}
}

// sourceMap shows each line that comes from the spec with where it comes from.
func sourceMap(file converge.File) []byte {
	var b strings.Builder
	for i, line := range strings.Split(string(file.Content), "\n") {
		if p, ok := file.Sources[i+1]; ok {
			fmt.Fprintf(&b, "%-45s %s\n", p, strings.TrimSpace(line))
		}
	}
	return []byte(b.String())
}

// TestPoolsClashWithNoBackend: a pool has a name that no backend can have.
func TestPoolsClashWithNoBackend(t *testing.T) {
	for _, p := range pools(pair().Backends["web"]) {
		if name := p.of("web"); !p.asks() && api.CheckName(name) == nil {
			t.Errorf("a backend may be called %s", name)
		} else if backendOf(name) != "web" {
			t.Errorf("%s is taken for a pool of %s", name, backendOf(name))
		}
	}
}

// TestPoolsShareALimit: at any time two pools of a backend are in use.
func TestPoolsShareALimit(t *testing.T) {
	for _, limit := range []int{2, 3, 8, 1000} {
		spec := with(pair(), "web1", func(s *api.Server) { s.MaxConnections = limit })
		sums := map[bool]int{}
		for _, p := range pools(spec.Backends["web"]) {
			share := p.limit(spec.Backends["web"].Servers["web1"])
			if share < limit/2 || share < 1 {
				t.Errorf("of %d the pool %q has %d", limit, p.suffix, share)
			}
			sums[p.unchecked] += share
		}
		if sums[false] != limit || sums[true] != limit {
			t.Errorf("the shares of %d make %v", limit, sums)
		}
	}
}

func TestRenderIsStable(t *testing.T) {
	first := render(t, "lb", rich())
	for range 20 {
		again := render(t, "lb", rich())
		for i := range first.Files {
			if string(first.Files[i].Content) != string(again.Files[i].Content) {
				t.Fatal("two renderings of one spec differ")
			}
		}
	}
}

// TestRenderKeepsTextInItsLine renders every text of a user with characters
// that mean something to HAProxy and counts lines: none may be added.
func TestRenderKeepsTextInItsLine(t *testing.T) {
	plain := rich()
	lines := strings.Count(string(render(t, "lb", plain).File(pathsOf("lb").config).Content), "\n")
	for _, nasty := range []string{`'`, `''`, `'\''`, `"`, `\`, `\'`, `#`, ` # x`, `$HOME`, `"${HOME}"`, `'; server evil 10.0.0.9:80 '`, `}`} {
		b := rich()
		f := b.Frontends["admin"]
		f.LogFormat = nasty
		b.Frontends["admin"] = f
		b.Backends["admin"].HealthCheck.BodyPattern = nasty
		content := string(render(t, "lb", b).File(pathsOf("lb").config).Content)
		if got := strings.Count(content, "\n"); got != lines {
			t.Errorf("%q made %d lines of %d", nasty, got, lines)
		}
	}
}

func TestFileLimitGrowsInSteps(t *testing.T) {
	for connections, want := range map[int]int{1: 1 << 16, 20000: 1 << 16, 30000: 1 << 16, 40000: 1 << 17, 1_000_000: 1 << 21} {
		b := pair()
		b.MaxConnections = connections
		if got := fileLimit(b); got != want {
			t.Errorf("%d connections get %d descriptors, expected %d", connections, got, want)
		}
	}
}
