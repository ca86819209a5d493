package appserver

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Holder is a process that listens on a port.
type Holder struct {
	PID int
	// Program is its name, Unit the systemd unit that it belongs to, "" if none.
	Program, Unit string
}

func (p Holder) String() string {
	if p.Unit == "" {
		return fmt.Sprintf("%s (PID %d)", p.Program, p.PID)
	}
	return fmt.Sprintf("%s (PID %d of %s)", p.Program, p.PID, p.Unit)
}

// outsideOf returns the first of some processes that is not of a unit, nil if there is none.
func outsideOf(unit string, all []Holder) *Holder {
	if i := slices.IndexFunc(all, func(p Holder) bool { return p.Unit != unit }); i >= 0 {
		return &all[i]
	}
	return nil
}

// holders returns the processes that a client of an address may reach; of 0.0.0.0, those
// on the port of any address of IPv4. With SO_REUSEPORT there may be several of different
// units.
func (m machine) holders(at netip.AddrPort) []Holder {
	var inodes []string
	for _, l := range m.listeners() {
		if reachable(l.address, at) {
			inodes = append(inodes, l.inode)
		}
	}
	return m.holding(inodes)
}

// reachable reports whether a client of an address may reach a listener. Whether one on
// :: is for IPv6 alone, Linux does not show.
func reachable(listener, at netip.AddrPort) bool {
	return listener.Port() == at.Port() &&
		(listener.Addr() == at.Addr() || listener.Addr().IsUnspecified() || at.Addr().IsUnspecified() && listener.Addr().Is4() == at.Addr().Is4())
}

// appAddress is where an app with a port is asked.
func appAddress(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)) //nolint:gosec // a valid port fits
}

// siteAddress is where nginx listens; 0.0.0.0 stands for all addresses.
func siteAddress(s api.AppServer) netip.AddrPort {
	address := netip.IPv4Unspecified()
	if s.Address != "*" {
		address = netip.MustParseAddr(s.Address)
	}
	return netip.AddrPortFrom(address, uint16(s.Port)) //nolint:gosec // a valid port fits
}

// unitOf returns the system's unit that a process belongs to, by its /proc/PID/cgroup.
// Below it there may be groups of the unit's own making: those of a user's units have
// names that any user can choose.
func unitOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for part := range strings.SplitSeq(parts[len(parts)-1], "/") {
			if strings.HasSuffix(part, ".service") || strings.HasSuffix(part, ".scope") {
				return part
			}
		}
	}
	return ""
}

// notItself says who listens in the app's place on its port, "" if nobody does: a good
// answer is then that of the app. On its socket nobody else can, as a unit may write in
// no directory of another one.
func (r rollout) notItself() string {
	port := port(r.spec, r.slot)
	if taken := r.intrudes(); taken != 0 {
		return fmt.Sprintf("listened on port %d too", taken)
	}
	if port == 0 {
		return ""
	}
	all := r.kind.holders(appAddress(port))
	switch holder := outsideOf(r.appUnit(), all); {
	case holder != nil:
		return fmt.Sprintf("did not answer itself: %s listens on port %d", holder, port)
	case len(all) == 0:
		return fmt.Sprintf("did not answer itself: it does not listen on port %d", port)
	}
	return ""
}

// intrudes returns the port on which the app listens beside the release that serves, 0 if
// it does on none: with SO_REUSEPORT it gets some of its requests. Its unit may not bind
// that of the other slot, but systemd says nothing where the kernel cannot bound that.
func (r rollout) intrudes() int {
	from := r.change.From
	if from == nil || r.change.Undo {
		return 0
	}
	before, err := specOf(from.Spec)
	live := liveSlot(r.layout, from.State)
	serves := port(before, live)
	if err != nil || live == r.slot || serves == 0 {
		return 0
	}
	own := func(h Holder) bool { return h.Unit == r.appUnit() }
	if slices.ContainsFunc(r.kind.holders(appAddress(serves)), own) {
		return serves
	}
	return 0
}

// portFree fails if somebody else listens where the app is to. The error is an [api.Problem].
func (r rollout) portFree() error {
	port := port(r.spec, r.slot)
	if port == 0 {
		return nil
	}
	holder := outsideOf(r.appUnit(), r.kind.holders(appAddress(port)))
	if holder == nil {
		return nil
	}
	remedy := "stop that, or choose other app_ports"
	if holder.Unit == r.layout.appUnit(other(r.slot)) {
		remedy = `an app has to listen on $PORT alone; to replace this one, choose other app_ports, or release once with strategy = "restart"`
	}
	return &api.Problem{
		Type: api.ProblemEngineRefused, Title: "The app cannot listen on its port",
		Violations: api.Violations{{
			Pointer: api.Pointer("/app_ports").At(slices.Index(r.spec.AppPorts, port)),
			Detail:  fmt.Sprintf("port %d of slot %s is taken by %s; %s", port, r.slot, holder, remedy),
		}},
	}
}

// portTaken warns of a program that is not foobar's on the port of nginx, where nginx does not
// listen yet. Another unit of foobar's may give the port up in the same apply.
func (k *Kind) portTaken(ctx context.Context, l layout, change converge.Change) ([]api.Condition, error) {
	to, err := specOf(change.To.Spec)
	if err != nil {
		return nil, err
	}
	nginx, err := k.systemd.Status(ctx, l.nginxUnit())
	if err != nil {
		return nil, err
	}
	if change.From != nil && nginx.Active() {
		from, err := specOf(change.From.Spec)
		if err != nil || siteAddress(from) == siteAddress(to) {
			return nil, err
		}
	}
	all := k.holders(siteAddress(to))
	i := slices.IndexFunc(all, func(p Holder) bool { return !strings.HasPrefix(p.Unit, "foobar-") })
	if i < 0 {
		return nil, nil
	}
	return []api.Condition{{
		Type: "PortTaken", Severity: api.SeverityWarning, Pointer: "/port",
		Message: fmt.Sprintf("Port %d is taken by %s, so nginx does not start there. Stop that before the apply, or choose another port.", to.Port, all[i]),
	}}, nil
}
