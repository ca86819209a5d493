package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// settle bounds the wait for a new worker to answer and to accept
	// connections; a reload itself has waited for its listeners already.
	settle = 10 * time.Second
	// patience bounds one look, so that one that hangs is not the last.
	patience = time.Second
	// poll is the pause between two looks at what is waited for.
	poll = 20 * time.Millisecond
	// logLines is how much of the journal goes with a failed start.
	logLines = 30
)

// Apply makes HAProxy follow its files by the mildest means that does it: by
// commands, by a reload, by a restart. Whatever the means, the worker's weights
// and drains are compared with the spec in the end and set right.
func (k *Kind) Apply(ctx context.Context, change converge.Change, progress converge.Progress) error {
	if change.To == nil {
		return nil // stopping the unit is all there is to it
	}
	spec, err := specOf(change.To.Spec)
	if err != nil {
		return err
	}
	run := runner{Kind: k, name: change.Name, spec: spec, state: change.To.State, progress: progress}
	if err := run.activate(ctx, change); err != nil {
		return err
	}
	if err := run.align(ctx); err != nil {
		return err
	}
	if change.Undo {
		return nil
	}
	return run.verify(ctx)
}

// runner is one Apply under way.
type runner struct {
	*Kind
	name     string
	spec     api.LoadBalancer
	state    converge.State
	progress converge.Progress
}

// revision is that of the configuration that is in place.
func (r runner) revision() string {
	return revisionOf(r.state.File(pathsOf(r.name).config).Content)
}

// activate starts, restarts or reloads HAProxy if the change needs it.
func (r runner) activate(ctx context.Context, change converge.Change) error {
	unit := pathsOf(r.name).unit
	status, err := r.units.Status(ctx, unit)
	if err != nil {
		return fmt.Errorf("look at %s: %w", unit, err)
	}
	if !status.Active() {
		r.progress(api.PhaseActivate, "starting %s", unit)
		return r.started(ctx, unit, r.units.Start(ctx, unit))
	}
	switch impact(change) {
	case api.ImpactRestart:
		r.progress(api.PhaseActivate, "restarting %s", unit)
		return r.started(ctx, unit, r.units.Restart(ctx, unit))
	case api.ImpactReload:
		return r.reload(ctx)
	case api.ImpactNone, api.ImpactRuntime, api.ImpactStart, api.ImpactRelease:
	}
	return nil
}

// started explains a failed start with what HAProxy wrote to the journal.
func (r runner) started(ctx context.Context, unit string, err error) error {
	if err == nil {
		return nil
	}
	lines, journalErr := r.journal.Journal(ctx, unit, logLines)
	if journalErr != nil {
		return fmt.Errorf("%w (and its journal cannot be read: %w)", err, journalErr)
	}
	messages := lastWords(lines, unit)
	if len(messages) == 0 {
		return fmt.Errorf("%w; its last lines: %s", err, strings.Join(lines, " | "))
	}
	return refusal("HAProxy does not start", messages, r.state.File(pathsOf(r.name).config).Sources)
}

// lastWords returns HAProxy's messages of the last start that left any; those
// before it may be about another configuration.
func lastWords(lines []string, unit string) []haproxy.Message {
	end := len(lines)
	for i := len(lines) - 1; i >= 0; i-- {
		if i > 0 && !strings.HasPrefix(lines[i], "Starting "+unit) {
			continue
		}
		if messages := haproxy.ParseMessages(strings.Join(lines[i:end], "\n")); len(messages) > 0 {
			return messages
		}
		end = i
	}
	return nil
}

// reload has the master start a worker on the new configuration and waits for
// it. A failed reload leaves the former worker serving.
func (r runner) reload(ctx context.Context) error {
	r.progress(api.PhaseActivate, "reloading HAProxy")
	engine := r.engine(r.name)
	before, err := engine.Processes(ctx)
	if err != nil {
		return err
	}
	if err := r.remember(ctx); err != nil { // no reason not to reload: it may be what the worker needs
		r.progress(api.PhaseActivate, "the new worker will not know who is down: %v", err)
	}
	defer r.forget()
	result, err := engine.Reload(ctx)
	if err != nil {
		return err
	}
	if !result.Success {
		return refusal("HAProxy does not load the configuration", result.Messages, r.state.File(pathsOf(r.name).config).Sources)
	}
	return await(ctx, "a new HAProxy worker answers", func(ctx context.Context) error {
		info, err := engine.Info(ctx)
		if err == nil && info.PID == before.Worker {
			return fmt.Errorf("the former worker %d still does", info.PID)
		}
		return err
	})
}

// stateFile is the name of the file, in the runtime directory, from which a new
// worker learns who is down. It is there during a reload only.
const stateFile = "servers"

// remember leaves word for the next worker of the servers that are down, so
// that it does not try them with requests before its own first checks. A line
// of a state file pins address and port against the configuration, and holds
// what was done by hand; so only those are left that are down or drained by
// their checks, where the spec has them.
func (r runner) remember(ctx context.Context) error {
	servers, err := r.engine(r.name).Servers(ctx)
	if err != nil {
		return err
	}
	down := slices.DeleteFunc(servers, func(s haproxy.Server) bool { return !stillDown(r.spec, s) })
	return os.WriteFile(r.inRuntime(r.name, stateFile), []byte(haproxy.StateFile(down)), 0o600)
}

// forget takes away what remember left: it is true for a moment only.
func (r runner) forget() {
	err := os.Remove(r.inRuntime(r.name, stateFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.progress(api.PhaseActivate, "a file with the states of servers stays behind: %v", err)
	}
}

// stillDown reports whether what is known of a server that is down, or drained
// by its agent check, holds for the server of that name in the spec too.
func stillDown(spec api.LoadBalancer, s haproxy.Server) bool {
	b := spec.Backends[s.Backend] // none for the pools that follow
	want, known := b.Servers[s.Name]
	switch {
	case !known, b.HealthCheck == nil && want.AgentCheckPort == 0:
		return false
	case s.Held && !drainsItself(want, s), !s.Held && !s.Down:
		return false
	}
	address, err := netip.ParseAddr(want.Address)
	return err == nil && s.Target == netip.AddrPortFrom(address, uint16(want.Port)) //nolint:gosec // a valid spec's port
}

// align compares the worker with the spec and sets it right, by commands if
// they do, else by a reload.
func (r runner) align(ctx context.Context) error {
	engine := r.engine(r.name)
	var now runtime
	err := await(ctx, "HAProxy's worker answers", func(ctx context.Context) (err error) {
		now, err = readRuntime(ctx, engine)
		return err
	})
	if err != nil {
		return err
	}
	found := compare(r.spec, r.revision(), now)
	if !found.reload && len(found.commands) == 0 {
		return nil
	}
	if !found.reload {
		err := r.command(ctx, found.commands)
		if err == nil {
			return nil
		}
		r.progress(api.PhaseActivate, "HAProxy's worker did not follow (%v)", err)
	}
	if err := r.reload(ctx); err != nil {
		return err
	}
	return r.aligned(ctx)
}

// command issues runtime commands and reads back what they did.
func (r runner) command(ctx context.Context, commands []string) error {
	engine := r.engine(r.name)
	for _, command := range commands {
		r.progress(api.PhaseActivate, "telling HAProxy: %s", command)
		if err := engine.Set(ctx, command); err != nil {
			return err
		}
	}
	return r.aligned(ctx)
}

// aligned fails if the worker shows anything but the spec.
func (r runner) aligned(ctx context.Context) error {
	now, err := readRuntime(ctx, r.engine(r.name))
	if err != nil {
		return err
	}
	left := compare(r.spec, r.revision(), now)
	if !left.reload && len(left.commands) == 0 {
		return nil
	}
	for _, strange := range left.strange {
		return fmt.Errorf("HAProxy's worker %d does not follow the configuration: %s", now.info.PID, strange.Detail)
	}
	return fmt.Errorf("HAProxy's worker %d does not follow the configuration: it would still take %q", now.info.PID, left.commands)
}

// verify waits until each listener accepts, and sees that the worker lived
// through it.
func (r runner) verify(ctx context.Context) error {
	r.progress(api.PhaseVerify, "waiting for the listeners")
	engine := r.engine(r.name)
	before, err := engine.Processes(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.spec.Frontends)) {
		address := dialAddress(r.spec.Frontends[name])
		err := await(ctx, "the frontend "+name+" accepts connections", func(ctx context.Context) error { return dial(ctx, address) })
		if err != nil {
			return &api.Problem{
				Type: api.ProblemEngineRefused, Title: "The load balancer does not listen",
				Violations: api.Violations{{Pointer: api.Pointer("/frontends").At(name), Detail: err.Error()}},
			}
		}
	}
	after, err := engine.Processes(ctx)
	if err != nil {
		return err
	}
	if after.Worker == 0 || after.Worker != before.Worker {
		return fmt.Errorf("HAProxy's worker %d ended just after its start; the journal of %s says why", before.Worker, pathsOf(r.name).unit)
	}
	return nil
}

// dialAddress is where a frontend can be reached from its own machine.
func dialAddress(f api.Frontend) string {
	host := f.Address
	switch host {
	case "*", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(f.Port))
}

func dial(ctx context.Context, address string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// await tries until it succeeds, ctx ends, or settle is over; its error says
// what was awaited and why the last try failed.
func await(ctx context.Context, what string, try func(context.Context) error) error {
	deadline, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		err := attempt(deadline, try)
		if err == nil {
			return nil
		}
		select {
		case <-deadline.Done():
			return fmt.Errorf("wait until %s: %w", what, errors.Join(ctx.Err(), err))
		case <-ticker.C:
		}
	}
}

// attempt is one try of [await].
func attempt(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return try(ctx)
}
