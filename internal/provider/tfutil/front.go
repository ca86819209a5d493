package tfutil

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Balancer is what app servers have to know of a load balancer: its machine, and the IP
// address of the agent there, an invalid one if that is not known.
type Balancer struct {
	Machine string
	IP      netip.Addr
}

// Front is what load balancers have to know of an app server.
type Front struct {
	Machine string
	// At is the address and port on which they reach it.
	At netip.AddrPort
	// Trusted are the networks whose load balancers it answers as such.
	Trusted []string
}

// Trusts reports whether the app server trusts a load balancer, as far as addresses tell:
// a machine may have a public and a private one, and reaches others from that of their sort.
func (f Front) Trusts(from netip.Addr) bool {
	if len(f.Trusted) == 0 {
		return false
	}
	sameSort := from.IsValid() && from.Is4() == f.At.Addr().Is4() && from.IsPrivate() == f.At.Addr().IsPrivate()
	return !sameSort || slices.ContainsFunc(f.Trusted, func(network string) bool {
		prefix, err := netip.ParsePrefix(network)
		return err != nil || prefix.Contains(from)
	})
}

// NotTrusted returns the warning of a load balancer that the app server does not trust, at a
// place of a spec, none if it does: of an app that is down such a load balancer gets an
// error, where a trusted one would learn that another server may get the request.
func (f Front) NotTrusted(b Balancer, place api.Pointer) []api.Condition {
	if f.Trusts(b.IP) {
		return nil
	}
	const comes = "while the app is down, the requests that it gets from there fail with 502, where another server could answer them."
	message := fmt.Sprintf("The app server on machine %s, port %d, has no trusted_proxies, and the load balancer on machine %s sends requests to it: "+comes+
		" List there the address that the load balancer connects from.", f.Machine, f.At.Port(), b.Machine)
	if len(f.Trusted) > 0 {
		message = fmt.Sprintf("The app server on machine %s, port %d, does not list %s in trusted_proxies. If the load balancer on machine %s connects from that address, then "+comes+
			" List there the address that it connects from.", f.Machine, f.At.Port(), b.IP, b.Machine)
	}
	return []api.Condition{{Type: "NotTrusted", Severity: api.SeverityWarning, Pointer: place, Message: message}}
}

// Open notes an app server of this walk, and returns the load balancers that [Walk.Reach]
// noted for its address. A machine that is named instead is not found by its address.
func (w *Walk) Open(front Front) []Balancer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fronts == nil {
		w.fronts = map[netip.AddrPort]Front{}
	}
	w.fronts[front.At] = front
	return slices.Clone(w.balancers[front.At])
}

// Reach notes a load balancer of this walk that has a server at an address, and returns the
// app server that [Walk.Open] noted there.
func (w *Walk) Reach(at netip.AddrPort, b Balancer) (Front, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.balancers == nil {
		w.balancers = map[netip.AddrPort][]Balancer{}
	}
	if !slices.Contains(w.balancers[at], b) {
		w.balancers[at] = append(w.balancers[at], b)
	}
	front, known := w.fronts[at]
	return front, known
}

// IP returns the IP address of a machine's agent, an invalid one if it is not known,
// or a host name.
func (m Machine) IP() netip.Addr {
	host, _, err := SplitAddress(m.Address.ValueString())
	if err != nil {
		return netip.Addr{}
	}
	ip, _ := netip.ParseAddr(host) // a host name is none
	return ip.Unmap()
}
