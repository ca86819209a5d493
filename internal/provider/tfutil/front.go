package tfutil

import (
	"net/netip"
	"slices"
)

// Front is what load balancers have to know of an app server.
type Front struct {
	Machine string
	// Trusted are the networks whose load balancers it answers as such.
	Trusted []string
}

// Trusts reports whether a load balancer on a machine is one that the app server at
// front trusts, as far as addresses tell: a machine may have a public and a private
// one, and reaches others from that of their sort.
func (f Front) Trusts(from, front netip.Addr) bool {
	if len(f.Trusted) == 0 {
		return false
	}
	sameSort := from.IsValid() && from.Is4() == front.Is4() && from.IsPrivate() == front.IsPrivate()
	return !sameSort || slices.ContainsFunc(f.Trusted, func(network string) bool {
		prefix, err := netip.ParsePrefix(network)
		return err != nil || prefix.Contains(from)
	})
}

// Open notes an app server of this walk by the address and port on which load
// balancers reach it. A machine that is named instead is not found by its address.
func (w *Walk) Open(at netip.AddrPort, front Front) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fronts == nil {
		w.fronts = map[netip.AddrPort]Front{}
	}
	w.fronts[at] = front
}

// FrontAt returns what [Walk.Open] noted at an address.
func (w *Walk) FrontAt(at netip.AddrPort) (Front, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
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
