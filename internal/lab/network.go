package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A site is a network namespace that belongs to the lab itself, held open by a
// waiting process.
type site string

const (
	// fabric holds both bridges and no address. nspawn runs in it, so the
	// machines' cables end here and not on the host.
	fabric site = "fabric"
	// client is somebody on the public network.
	client site = "client"
	// mgmt is where Terraform runs: on the private network.
	mgmt site = "mgmt"
)

func sites() []site { return []site{fabric, client, mgmt} }

// wwwName is the name that the public resolves.
const wwwName = "www.foobar.test"

// address returns where the site is attached.
func (s site) address() (netip.Addr, bool) {
	switch s {
	case client:
		return netip.MustParseAddr("203.0.113.200"), true
	case mgmt:
		return netip.MustParseAddr("10.0.0.250"), true
	default:
		return netip.Addr{}, false
	}
}

// fabricCommands is an "ip -batch" script that makes the bridges. Multicast
// snooping would drop what nobody queries for; an address, even a link-local
// one, would make the bridge a party to the network.
func fabricCommands() string {
	var b strings.Builder
	b.WriteString("link set lo up\n")
	for _, n := range []Network{Public, Private} {
		fmt.Fprintf(&b, "link add %s type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n", n)
		fmt.Fprintf(&b, "link set %s addrgenmode none\n", n)
		fmt.Fprintf(&b, "link set %s up\n", n)
	}
	return b.String()
}

// siteCommands is an "ip -batch" script, run inside the site's namespace, that
// lays its cable to the namespace of process fabricPID.
func siteCommands(s site, fabricPID int) string {
	addr, _ := s.address()
	network, _ := networkOf(addr)
	var b strings.Builder
	b.WriteString("link set lo up\n")
	fmt.Fprintf(&b, "link add %s type veth peer name %s netns %d\n", guestLink(0), fabricLink(string(s), 0), fabricPID)
	fmt.Fprintf(&b, "link set %s addrgenmode none\n", guestLink(0))
	fmt.Fprintf(&b, "address add %s/%d dev %s\n", addr, network.Prefix().Bits(), guestLink(0))
	fmt.Fprintf(&b, "link set %s up\n", guestLink(0))
	return b.String()
}

// plugCommand is an "ip -batch" line that plugs a cable's end into a bridge.
func plugCommand(link string, n Network) string {
	return fmt.Sprintf("link set %s master %s addrgenmode none up\n", link, n)
}

// plugMachine plugs all interfaces of a machine that nspawn has just made.
func plugMachine(m Machine) string {
	var b strings.Builder
	for i := range m.Addresses {
		b.WriteString(plugCommand(fabricLink(m.Name, i), m.network(i)))
	}
	return b.String()
}

// networkUnit is the systemd-networkd file of a machine's ith interface: what
// cloud-init would write from the cloud's metadata. There is no gateway.
func networkUnit(m Machine, i int) string {
	return fmt.Sprintf("[Match]\nName=%s\n\n[Network]\nAddress=%s/%d\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
		guestLink(i), m.Addresses[i], m.network(i).Prefix().Bits())
}

// machineHosts is a machine's own /etc/hosts.
func machineHosts(m Machine) string {
	return fmt.Sprintf("127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost ip6-loopback\n", m.Name)
}

// siteHosts is the zone that a site resolves, as a hosts file: the public name,
// and every machine that the site's network reaches.
func siteHosts(s site, www netip.Addr, machines []Machine) string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	if www.IsValid() {
		fmt.Fprintf(&b, "%s %s\n", www, wwwName)
	}
	own, _ := s.address()
	network, _ := networkOf(own)
	for _, m := range machines {
		if addr, ok := m.On(network); ok {
			fmt.Fprintf(&b, "%s %s\n", addr, m.Name)
		}
	}
	return b.String()
}

// defaultWWW is what the public name resolves to unless the user says otherwise:
// the first machine with a public address.
func defaultWWW(machines []Machine) netip.Addr {
	for _, m := range machines {
		if addr, ok := m.On(Public); ok {
			return addr
		}
	}
	return netip.Addr{}
}

// A Cut is two parties, machines or "client" or "mgmt", that cannot reach each
// other on any network. The names are in alphabetical order.
type Cut [2]string

// cutOf returns the cut between two parties, in whichever order they are given.
func cutOf(a, b string) Cut {
	if b < a {
		a, b = b, a
	}
	return Cut{a, b}
}

// cutsBetween returns the cuts that separate every party of a from every one of b.
func cutsBetween(a, b []string) []Cut {
	var cuts []Cut
	for _, left := range a {
		for _, right := range b {
			if c := cutOf(left, right); left != right && !slices.Contains(cuts, c) {
				cuts = append(cuts, c)
			}
		}
	}
	return cuts
}

// cutRuleset is the nftables ruleset that makes exactly these cuts. It works on
// frames, so ARP and established connections end as well, and matches
// interfaces by name, so a machine that reboots stays cut off.
func cutRuleset(cuts []Cut) string {
	var b strings.Builder
	b.WriteString("flush ruleset\ntable bridge cuts {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n")
	for _, c := range cuts {
		fmt.Fprintf(&b, "\t\tiifname \"%s.*\" oifname \"%s.*\" drop\n", c[0], c[1])
		fmt.Fprintf(&b, "\t\tiifname \"%s.*\" oifname \"%s.*\" drop\n", c[1], c[0])
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}
