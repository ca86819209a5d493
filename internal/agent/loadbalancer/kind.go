// Package loadbalancer is the kind load-balancer: a spec becomes a HAProxy of
// its own, with a unit, a configuration and sockets of its own.
//
// What a change costs the traffic is the heart of it. A changed weight or drain
// is set in the running worker, anything else in the configuration is a reload
// that passes the listeners on, and only what systemd gives a process at its
// start needs a restart. See README.md beside this file for the invariants.
package loadbalancer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// program is where Debian's package puts HAProxy.
const program = "/usr/sbin/haproxy"

// Units starts and watches systemd units. Start and Restart wait for the job.
type Units interface {
	Start(ctx context.Context, unit string) error
	Restart(ctx context.Context, unit string) error
	Status(ctx context.Context, unit string) (systemd.Status, error)
}

// Journal reads the last lines that a unit wrote, oldest first.
type Journal interface {
	Journal(ctx context.Context, unit string, lines int) ([]string, error)
}

// Kind is the kind load-balancer.
type Kind struct {
	units   Units
	journal Journal
	// run is the directory of runtime directories, "/run" but in tests.
	run string
	// check runs HAProxy's checker on a configuration and returns what it
	// printed; it fails with a [checker.Refusal] if the checker refused.
	check func(ctx context.Context, config []byte) (string, error)
	// addresses returns the machine's addresses.
	addresses func() (host.Addresses, error)
	// sleep waits, and returns early with the context's error.
	sleep func(ctx context.Context, d time.Duration) error
}

// The compiler says it first if the kind and its contract part.
var _ operation.Kind = (*Kind)(nil)

// New returns the kind on top of the machine's units and journal.
func New(units Units, journal Journal) *Kind {
	return &Kind{units: units, journal: journal, run: "/run", check: runChecker, addresses: host.ReadAddresses, sleep: sleep}
}

// Kind returns [api.KindLoadBalancer].
func (*Kind) Kind() api.Kind { return api.KindLoadBalancer }

// Validate decodes a spec strictly and checks it.
func (*Kind) Validate(raw json.RawMessage) (operation.Spec, error) {
	var spec api.LoadBalancer
	if err := api.Decode(raw, &spec); err != nil {
		return nil, err
	}
	if err := spec.Validate().Problem(); err != nil {
		return nil, err
	}
	return spec, nil
}

// paths are where a load balancer's parts stand on the machine.
type paths struct {
	unit      string // the unit's name
	unitFile  string
	directory string
	config    string
	runtime   string // the name of the runtime directory below /run
}

func pathsOf(name string) paths {
	unit := "foobar-lb-" + name
	directory := "/etc/foobar/load-balancer/" + name
	return paths{
		unit:      unit + ".service",
		unitFile:  "/etc/systemd/system/" + unit + ".service",
		directory: directory,
		config:    directory + "/haproxy.cfg",
		runtime:   unit,
	}
}

// engine returns the client of a load balancer's running HAProxy.
func (k *Kind) engine(name string) haproxy.Client {
	return haproxy.Client{Socket: k.inRuntime(name, "master.sock")}
}

// inRuntime returns the path of a file in a load balancer's runtime directory.
func (k *Kind) inRuntime(name, file string) string {
	return k.run + "/" + pathsOf(name).runtime + "/" + file
}

// specOf returns the typed spec of what Validate returned.
func specOf(spec any) (api.LoadBalancer, error) {
	typed, ok := spec.(api.LoadBalancer)
	if !ok {
		return api.LoadBalancer{}, fmt.Errorf("the spec of a load balancer is a %T, not a %T", spec, typed)
	}
	return typed, nil
}
