package loadbalancer

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// runtime is what the running worker shows of itself.
type runtime struct {
	info    haproxy.Info
	servers []haproxy.Server
	stats   []haproxy.Stat
}

func readRuntime(ctx context.Context, engine haproxy.Client) (runtime, error) {
	var r runtime
	var err error
	if r.info, err = engine.Info(ctx); err != nil {
		return runtime{}, err
	}
	if r.servers, err = engine.Servers(ctx); err != nil {
		return runtime{}, err
	}
	r.stats, err = engine.Stats(ctx)
	return r, err
}

// member names a server of a backend, or of one of its pools.
type member struct{ backend, server string }

func (m member) String() string { return m.backend + "/" + m.server }

func (m member) pointer() api.Pointer {
	return api.Pointer("/backends").At(backendOf(m.backend), "servers", m.server)
}

// comparison is a spec beside what the worker shows.
type comparison struct {
	// observed is the spec with the worker's values in it.
	observed api.LoadBalancer
	// commands bring the worker's weights and drains to those of the spec.
	commands []string
	// strange is what differs, is none of the spec's values, and goes with a reload.
	strange []api.Violation
	// reload tells that commands alone do not bring the worker to the spec.
	reload bool
}

// compare puts a valid spec, and the revision of its configuration, beside what
// the worker shows. It is pure, and both Apply and Observe rest on it: what the
// one repairs is what the other tells.
func compare(spec api.LoadBalancer, revision string, r runtime) comparison {
	c := comparison{observed: cloneSpec(spec)}
	if r.info.Description != revision {
		c.addStrange("", "the running HAProxy has loaded another configuration than the one that was applied")
	}
	shown, known := map[member]haproxy.Server{}, map[member]bool{}
	for _, m := range members(spec) {
		for _, p := range pools(spec.Backends[m.backend]) {
			known[member{p.of(m.backend), m.server}] = true
		}
	}
	for _, s := range r.servers {
		m := member{s.Backend, s.Name}
		shown[m] = s
		if !known[m] {
			c.addStrange(api.Pointer("/backends").At(backendOf(s.Backend), "servers"), "the running HAProxy has a server %s that is not in the configuration", m)
		}
	}
	limits := map[member]int{}
	open := map[string]string{}
	for _, stat := range r.stats {
		switch stat.Sort {
		case haproxy.ServerStat:
			limits[member{stat.Proxy, stat.Server}] = stat.Limit
		case haproxy.FrontendStat:
			open[stat.Proxy] = stat.Status
		case haproxy.BackendStat:
		}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Frontends)) {
		if status, ok := open[name]; !ok || status != "OPEN" {
			c.addStrange(api.Pointer("/frontends").At(name), "the frontend %s of the running HAProxy is not open", name)
		}
	}
	for _, m := range members(spec) {
		want := spec.Backends[m.backend].Servers[m.server]
		for _, p := range pools(spec.Backends[m.backend]) {
			in := member{p.of(m.backend), m.server}
			s, ok := shown[in]
			if !ok {
				c.addStrange(m.pointer(), "the running HAProxy has no server %s", in)
				continue
			}
			got := c.compareServer(in, p, want, s, limits[in])
			if got != want { // one pool that differs is enough
				c.observed.Backends[m.backend].Servers[m.server] = got
			}
		}
	}
	return c
}

// compareServer returns a server as one of its pools shows it.
func (c *comparison) compareServer(in member, p pool, want api.Server, shown haproxy.Server, limit int) api.Server {
	got := want
	held := shown.Held && !drainsItself(want, shown)
	if held {
		c.commands = append(c.commands, fmt.Sprintf("set server %s state ready", in))
	}
	if shown.Weight != weightInForce(want) {
		c.commands = append(c.commands, fmt.Sprintf("set server %s weight %d", in, weightInForce(want)))
	}
	got.Drain = held || shown.Weight == 0
	if shown.Weight != 0 {
		got.Weight = shown.Weight
	}
	if address, err := netip.ParseAddr(want.Address); err == nil && shown.Target.Addr() != address && shown.Target.IsValid() {
		got.Address = shown.Target.Addr().String()
	}
	if shown.Target.IsValid() {
		got.Port = int(shown.Target.Port())
	}
	if limit != 0 {
		got.MaxConnections += limit - p.limit(want)
	}
	c.reload = c.reload || got.Address != want.Address || got.Port != want.Port || got.MaxConnections != want.MaxConnections
	return got
}

// drainsItself reports whether a server is drained by its agent check rather
// than by a command. HAProxy keeps one state for both, and with an agent check
// the last answer counts: nothing is there to repair.
func drainsItself(want api.Server, shown haproxy.Server) bool {
	return shown.Drained && want.AgentCheckPort != 0
}

func (c *comparison) addStrange(p api.Pointer, format string, args ...any) {
	c.strange = append(c.strange, api.Violation{Pointer: p, Detail: fmt.Sprintf(format, args...)})
	c.reload = true
}

// members lists the servers of a spec, in the order of their names.
func members(spec api.LoadBalancer) []member {
	var all []member
	for _, backend := range slices.Sorted(maps.Keys(spec.Backends)) {
		for _, server := range slices.Sorted(maps.Keys(spec.Backends[backend].Servers)) {
			all = append(all, member{backend, server})
		}
	}
	return all
}

// cloneSpec copies a spec as far as [compare] changes it.
func cloneSpec(spec api.LoadBalancer) api.LoadBalancer {
	backends := make(map[string]api.Backend, len(spec.Backends))
	for name, b := range spec.Backends {
		b.Servers = maps.Clone(b.Servers)
		backends[name] = b
	}
	spec.Backends = backends
	return spec
}
