package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// A Network is one of the two bridges of a lab, in a network namespace of their
// own. Both have ranges that a real network may use too, so nothing may be sent
// to them from anywhere else.
type Network string

// The networks.
const (
	Public  Network = "public"
	Private Network = "private"
)

// Prefix returns the addresses of the network.
func (n Network) Prefix() netip.Prefix {
	if n == Public {
		return netip.MustParsePrefix("203.0.113.0/24") // TEST-NET-3 of RFC 5737
	}
	return netip.MustParsePrefix("10.0.0.0/24")
}

// networkOf returns the network that addr is in.
func networkOf(addr netip.Addr) (Network, bool) {
	for _, n := range []Network{Public, Private} {
		if n.Prefix().Contains(addr) {
			return n, true
		}
	}
	return "", false
}

// A Machine is what the user asks for: a name and one or two addresses. The
// first address is on eth0, the second on eth1.
type Machine struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
}

// maxMachineName keeps "NAME.eth0" within the 15 bytes of an interface name.
const maxMachineName = 10

var machineName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// ParseMachine reads NAME=ADDR[,ADDR].
func ParseMachine(text string) (Machine, error) {
	name, list, found := strings.Cut(text, "=")
	if !found {
		return Machine{}, fmt.Errorf("machine %q: want NAME=ADDRESS[,ADDRESS], such as web1=10.0.0.1", text)
	}
	if err := checkMachineName(name); err != nil {
		return Machine{}, err
	}
	m := Machine{Name: name}
	for part := range strings.SplitSeq(list, ",") {
		addr, err := parseAddress(part)
		if err != nil {
			return Machine{}, fmt.Errorf("machine %s: %w", name, err)
		}
		m.Addresses = append(m.Addresses, addr)
	}
	if n := len(m.Addresses); n > 2 {
		return Machine{}, fmt.Errorf("machine %s: %d addresses: give one, or one on each network", name, n)
	}
	if len(m.Addresses) == 2 && m.network(0) == m.network(1) {
		return Machine{}, fmt.Errorf("machine %s: both addresses are on the %s network %s: give one on each network",
			name, m.network(0), m.network(0).Prefix())
	}
	return m, nil
}

func checkMachineName(name string) error {
	if len(name) > maxMachineName || !machineName.MatchString(name) {
		return fmt.Errorf("machine name %q: want a lower-case letter followed by letters, digits or dashes, at most %d in all",
			name, maxMachineName)
	}
	if slices.Contains(sites(), site(name)) {
		return fmt.Errorf("machine name %q belongs to the lab itself: choose another", name)
	}
	return nil
}

func parseAddress(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", text)
	}
	network, ok := networkOf(addr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("address %s is outside the lab: use %s (public) or %s (private)",
			addr, Public.Prefix(), Private.Prefix())
	}
	last := addr.As4()[3]
	switch {
	case last == 0 || last == 255:
		return netip.Addr{}, fmt.Errorf("address %s is the network's or broadcast address of %s", addr, network.Prefix())
	case slices.ContainsFunc(sites(), func(s site) bool { own, ok := s.address(); return ok && own == addr }):
		return netip.Addr{}, fmt.Errorf("address %s belongs to the lab itself: choose another", addr)
	}
	return addr, nil
}

// ParseMachines reads several machines and checks them against one another.
func ParseMachines(texts []string) ([]Machine, error) {
	machines := make([]Machine, 0, len(texts))
	for _, text := range texts {
		m, err := ParseMachine(text)
		if err != nil {
			return nil, err
		}
		machines = append(machines, m)
	}
	return machines, checkTogether(machines)
}

// checkTogether reports names and addresses that are used twice.
func checkTogether(machines []Machine) error {
	var problems []error
	names := map[string]bool{}
	owners := map[netip.Addr]string{}
	for _, m := range machines {
		if names[m.Name] {
			problems = append(problems, fmt.Errorf("machine %s is given twice", m.Name))
		}
		names[m.Name] = true
		for _, addr := range m.Addresses {
			if owner, taken := owners[addr]; taken {
				problems = append(problems, fmt.Errorf("address %s is given to both %s and %s", addr, owner, m.Name))
			}
			owners[addr] = m.Name
		}
	}
	return errors.Join(problems...)
}

// String returns the form that [ParseMachine] reads.
func (m Machine) String() string {
	texts := make([]string, len(m.Addresses))
	for i, addr := range m.Addresses {
		texts[i] = addr.String()
	}
	return m.Name + "=" + strings.Join(texts, ",")
}

// On returns the machine's address on a network.
func (m Machine) On(n Network) (netip.Addr, bool) {
	for i, addr := range m.Addresses {
		if m.network(i) == n {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// network returns the network of the ith address, which is also the bridge that
// the ith interface is attached to.
func (m Machine) network(i int) Network {
	n, _ := networkOf(m.Addresses[i])
	return n
}

// guestLink and fabricLink name the two ends of the ith interface: inside the
// machine and on the bridge.
func guestLink(i int) string                { return fmt.Sprintf("eth%d", i) }
func fabricLink(owner string, i int) string { return owner + "." + guestLink(i) }

// sameAddresses reports whether a machine has the addresses that another asks for.
func (m Machine) sameAddresses(other Machine) bool { return slices.Equal(m.Addresses, other.Addresses) }
