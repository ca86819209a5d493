// Package host knows what the machine has: addresses, memory, and room on its
// file systems. What a configuration asks for is compared with it at plan.
package host

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Addresses are the addresses of a machine, without those of loopback.
type Addresses []netip.Addr

// ReadAddresses returns the addresses of the machine that the agent runs on. One
// that a pair of machines shares counts as soon as the machine holds it.
func ReadAddresses() (Addresses, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the machine's addresses: %w", err)
	}
	var found Addresses
	for _, one := range all {
		prefix, err := netip.ParsePrefix(one.String())
		if err == nil && !prefix.Addr().IsLoopback() && !prefix.Addr().IsLinkLocalUnicast() {
			found = append(found, prefix.Addr())
		}
	}
	return found, nil
}

// Lacks says that a program cannot listen on an address, as the machine does not
// have it; "" if it can. The text that is no address, such as "*", is every address.
func (a Addresses) Lacks(text string) string {
	address, err := netip.ParseAddr(text)
	if err != nil || address.IsUnspecified() || address.IsLoopback() || slices.Contains(a, address) {
		return ""
	}
	return fmt.Sprintf("%s is not an address of this machine, which has %v; write one of them, or \"*\" for all", address, []netip.Addr(a))
}
