package agenttest

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbreplication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/loadbalancer"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Kind is a real kind without its engine: it validates, renders and checks the
// impact as on a machine, so that specs, files and source maps are the real
// ones. What it does not have is said by its hooks.
type Kind struct {
	engineKind
	units *systemdtest.Systemd

	mu    sync.Mutex
	hooks Hooks
}

// engineKind is embedded under a name of its own: a Kind has a method Kind.
type engineKind = operation.Kind

// Hooks stand in for the engine. Those that are nil have no opinion.
type Hooks struct {
	// Check is the engine's checker. An [api.Problem] is a refusal.
	Check func(ctx context.Context, staged converge.Staged) error
	// Apply is called before the units are started, with undo as well. A test
	// can wait in it.
	Apply func(ctx context.Context, c converge.Change, progress converge.Progress) error
	// Observe edits what is observed.
	Observe func(name string, seen *operation.Observation)
}

// newKinds returns the kinds of an agent that has no engines.
func newKinds(units *systemdtest.Systemd) (databases, replications, balancers, apps *Kind) {
	leaves := func(leaf string) string { return "/var/lib/foobar/identity/leaves/" + leaf }
	return &Kind{engineKind: dbserver.New(dbserver.Deps{LeafDir: leaves}), units: units},
		&Kind{engineKind: &dbreplication.Kind{}, units: units},
		&Kind{engineKind: loadbalancer.New(nil, nil), units: units},
		&Kind{engineKind: appserver.New(appserver.Deps{}), units: units}
}

// Set replaces the hooks, for calls from now on.
func (k *Kind) Set(h Hooks) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hooks = h
}

func (k *Kind) current() Hooks {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.hooks
}

// Check asks the hook.
func (k *Kind) Check(ctx context.Context, staged converge.Staged) error {
	if check := k.current().Check; check != nil {
		return check(ctx, staged)
	}
	return nil
}

// Apply starts the wanted units anew.
func (k *Kind) Apply(ctx context.Context, c converge.Change, progress converge.Progress) error {
	if apply := k.current().Apply; apply != nil {
		if err := apply(ctx, c, progress); err != nil {
			return err
		}
	}
	if c.To == nil {
		return nil
	}
	for _, unit := range c.To.State.Units {
		progress(api.PhaseActivate, "start %s", unit.Name)
		if err := k.units.Restart(ctx, unit.Name); err != nil {
			return err
		}
	}
	return nil
}

// Observe shows a component that does just what its spec says.
func (k *Kind) Observe(_ context.Context, name string, applied converge.Version) (operation.Observation, error) {
	spec, ok := applied.Spec.(operation.Spec)
	if !ok {
		return operation.Observation{}, errors.New("what was applied is no spec")
	}
	seen := operation.Observation{Spec: spec, Drift: map[string]api.Drift{}, Status: status(spec)}
	if observe := k.current().Observe; observe != nil {
		observe(name, &seen)
	}
	return seen, nil
}

// status is that of a component with which all is well.
func status(spec operation.Spec) any {
	switch s := spec.(type) {
	case api.LoadBalancer:
		return balancerStatus(s)
	case api.DBServer:
		return api.DBServerStatus{Version: "11.8.6-MariaDB", PID: 1, Fenced: true, DataBytes: 1 << 20}
	case api.DBReplication:
		return replicationStatus(s)
	case api.AppServer:
		return api.AppServerStatus{Release: s.Release.SHA256, Slot: "blue", Healthy: true, Health: "200 OK", PID: 1, Log: []string{"listening"}}
	}
	return nil
}

// replicationStatus has the declared primary open, and all others follow it.
func replicationStatus(s api.DBReplication) api.DBReplicationStatus {
	all := api.DBReplicationStatus{
		CurrentPrimary: s.Primary, Epoch: 1, Writable: true,
		Members: map[string]api.DBMemberStatus{}, Witnesses: map[string]api.DBWitnessStatus{},
	}
	for name := range s.Members {
		member := api.DBMemberStatus{Reachable: true, Version: "11.8.6-MariaDB", Epoch: 1, Position: "0-1-1"}
		if name == s.Primary {
			member.Role, member.State, member.Writable = api.DBRolePrimary, "open", true
		} else {
			member.Role, member.State, member.Source = api.DBRoleReplica, "following", s.Primary
			member.Receiver, member.Applier, member.LagMilliseconds = "running", "running", new(int64)
		}
		all.Members[name] = member
	}
	for name := range s.Witnesses {
		all.Witnesses[name] = api.DBWitnessStatus{Reachable: true, Epoch: 1}
	}
	return all
}

func balancerStatus(s api.LoadBalancer) api.LoadBalancerStatus {
	all := api.LoadBalancerStatus{
		Version: "3.0.11", PID: 1,
		Frontends: map[string]api.FrontendStatus{}, Backends: map[string]api.BackendStatus{},
	}
	for name := range maps.Keys(s.Frontends) {
		all.Frontends[name] = api.FrontendStatus{}
	}
	for name, backend := range s.Backends {
		servers := map[string]api.ServerStatus{}
		for server, spec := range backend.Servers {
			servers[server] = api.ServerStatus{State: "up", Check: "L7OK", Weight: spec.Weight}
		}
		all.Backends[name] = api.BackendStatus{Servers: servers}
	}
	return all
}
