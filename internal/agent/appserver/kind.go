// Package appserver is the kind app-server: a release of the user's app in a
// slot, under a systemd unit and a user of its own, with an nginx of its own
// in front.
//
// What has to stay true: two app servers of one machine share no file, no
// unit, no socket and no user; nothing that they need is made by the agent
// while they run, so they start at boot and serve without it; and no secret
// is in a file that others can read, in a command line or in a log line that
// leaves this package.
package appserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/unixdiag"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// nginxProgram is where Debian's package puts nginx.
const nginxProgram = "/usr/sbin/nginx"

// Systemd is what the kind needs of the service manager; see [systemd.Manager].
type Systemd interface {
	Restart(ctx context.Context, unit string) error
	Reload(ctx context.Context, unit string) error
	ResetFailed(ctx context.Context, unit string) error
	Status(ctx context.Context, unit string) (systemd.Status, error)
}

// Journal is what the units of the machine have written.
type Journal interface {
	// Sync waits until the journal holds all that a unit has written.
	Sync(ctx context.Context, unit string) error
	// Lines returns the last lines of a unit, oldest first.
	Lines(ctx context.Context, unit string, lines int) ([]api.LogLine, error)
}

// Prober asks an HTTP server for a path.
type Prober interface {
	// Get returns the answer to a GET request; redirects are not followed.
	Get(ctx context.Context, endpoint Endpoint, path string) (Answer, error)
}

// Clock tells the time and lets it pass.
type Clock interface {
	Now() time.Time
	// Sleep returns early with the context's error.
	Sleep(ctx context.Context, d time.Duration) error
}

// Deps is what the kind needs of the machine. Those that are left out are the
// real ones.
type Deps struct {
	Systemd Systemd
	Journal Journal
	Prober  Prober
	Clock   Clock
	// Nginx tests a configuration of nginx and returns what it printed; it
	// fails with a [checker.Refusal] if nginx refuses it.
	Nginx func(ctx context.Context, config []byte) (string, error)
	// Addresses returns the machine's addresses.
	Addresses func() (host.Addresses, error)
	// Connections counts what others than the agent have open to a Unix socket; see
	// [unixdiag.Connections].
	Connections func(socket string) (int, error)
	// Backlog returns how many connections may wait at a Unix socket; see [unixdiag.Backlog].
	Backlog func(socket string) (int, error)
	// Holders returns who listens on an address of the machine.
	Holders func(at netip.AddrPort) []Holder
	// Root is the directory that paths of the machine are taken from; "/" if empty.
	Root string
}

// Kind is the kind app-server. See [operation.Kind] for its methods.
type Kind struct {
	systemd Systemd
	journal Journal
	prober  Prober
	clock   Clock
	nginx   func(ctx context.Context, config []byte) (string, error)
	// addresses returns the machine's addresses.
	addresses   func() (host.Addresses, error)
	connections func(socket string) (int, error)
	backlog     func(socket string) (int, error)
	holders     func(at netip.AddrPort) []Holder
	machine     machine
	// watchers look after the apps.
	watchers watchers
}

var _ operation.Kind = (*Kind)(nil)

// New returns the kind; Systemd and Journal have to be given.
func New(deps Deps) *Kind {
	k := &Kind{
		systemd: deps.Systemd, journal: deps.Journal, prober: deps.Prober, clock: deps.Clock,
		nginx: deps.Nginx, addresses: deps.Addresses, connections: deps.Connections, backlog: deps.Backlog,
		holders: deps.Holders, machine: machine{root: deps.Root},
	}
	if k.prober == nil {
		k.prober = httpProber{}
	}
	if k.clock == nil {
		k.clock = wallClock{}
	}
	if k.nginx == nil {
		k.nginx = testNginx
	}
	if k.addresses == nil {
		k.addresses = host.ReadAddresses
	}
	if k.backlog == nil {
		k.backlog = unixdiag.Backlog
	}
	if k.connections == nil {
		k.connections = unixdiag.Connections
	}
	if k.holders == nil {
		k.holders = k.machine.holders
	}
	return k
}

// Kind returns [api.KindAppServer].
func (*Kind) Kind() api.Kind { return api.KindAppServer }

// Validate decodes a spec strictly and checks what holds on any machine.
func (*Kind) Validate(raw json.RawMessage) (operation.Spec, error) {
	var spec api.AppServer
	if err := api.Decode(raw, &spec); err != nil {
		return nil, err
	}
	found := spec.Validate()
	if _, wrong := signatureOf(spec.Release); len(found) == 0 {
		for _, w := range wrong {
			found.Add(api.Pointer("/release/"+w.At), "%s", w.Reason)
		}
	}
	if err := found.Problem(); err != nil {
		return nil, err
	}
	return spec, nil
}

// signatureOf reads the signature of a release, nil if none is asked for.
func signatureOf(r api.Release) (*artifact.Signature, []*artifact.SignatureError) {
	if r.Signature == "" {
		return nil, nil
	}
	return artifact.ParseSignature(r.Signature, r.PublicKeys)
}

func specOf(spec any) (api.AppServer, error) {
	s, ok := spec.(api.AppServer)
	if !ok {
		return api.AppServer{}, fmt.Errorf("an app server's spec is a %T, not a %T", s, spec)
	}
	return s, nil
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
