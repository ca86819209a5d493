package api

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind names one sort of component that an agent manages. Its text is the
// path segment of the kind's routes, "/v1/{kind}/{name}".
type Kind string

// The kinds of components.
const (
	KindDBServer      Kind = "db-server"
	KindDBReplication Kind = "db-replication"
	KindLoadBalancer  Kind = "load-balancer"
	KindAppServer     Kind = "app-server"
)

// Kinds lists every kind, in the order in which a machine starts them.
func Kinds() []Kind {
	return []Kind{KindDBServer, KindDBReplication, KindAppServer, KindLoadBalancer}
}

// MaxNameLength bounds a component's name, in bytes. The name becomes part of
// a user name ("app-" + name), and Linux ends those at 32 bytes.
const MaxNameLength = 24

var namePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

// CheckName reports why name cannot name a component, a frontend, a backend,
// a server, a machine or a deployment; nil if it can. Such names become file,
// unit, user and host names, hence the narrow alphabet.
func CheckName(name string) error {
	if len(name) > MaxNameLength {
		return errorf("%q has %d characters; at most %d are allowed", name, len(name), MaxNameLength)
	}
	if !namePattern.MatchString(name) {
		return errorf("%q is not a name: allowed are %s", name, NameRule)
	}
	return nil
}

// ID names a component on its machine.
type ID struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
}

// String returns "kind/name".
func (id ID) String() string { return string(id.Kind) + "/" + id.Name }

// LeafName returns the name of the service leaf of a component.
func (id ID) LeafName() string { return string(id.Kind) + "." + id.Name }

// CheckLeafName reports why name cannot name a service leaf: that is a plain
// name, or the [ID.LeafName] of a component.
func CheckLeafName(name string) error {
	if kind, component, of := strings.Cut(name, "."); of && slices.Contains(Kinds(), Kind(kind)) {
		return CheckName(component)
	}
	return CheckName(name)
}

// Claim is a listening address that a component needs for itself. Two
// components of one machine that claim the same port cannot both start.
type Claim struct {
	// Network is "tcp" or "udp".
	Network string `json:"network"`
	// Address is an IP address, or "" or "*" for all.
	Address string `json:"address"`
	// Port is a port number, 1 to 65535.
	Port int `json:"port"`
	// Pointer is the place in the spec that the claim comes from.
	Pointer Pointer `json:"pointer"`
}

// Overlaps reports whether both claims cannot be held at once.
func (c Claim) Overlaps(other Claim) bool {
	return c.Network == other.Network && c.Port == other.Port &&
		(wildcard(c.Address) || wildcard(other.Address) || c.address() == other.address())
}

// claims finds among many claims one that overlaps another, without comparing each
// with each. It has each under its own address, and under "" with all of its port.
type claims map[place]Claim

type place struct {
	network string
	port    int
	address string
}

func (c claims) add(claim Claim) {
	for _, address := range []string{"", claim.address()} {
		at := place{claim.Network, claim.Port, address}
		if _, there := c[at]; !there {
			c[at] = claim
		}
	}
}

// overlapping returns a claim that [Claim.Overlaps] the given one.
func (c claims) overlapping(claim Claim) (Claim, bool) {
	addresses := []string{claim.address(), everyAddress}
	if wildcard(claim.Address) {
		addresses = []string{""}
	}
	for _, address := range addresses {
		if earlier, there := c[place{claim.Network, claim.Port, address}]; there {
			return earlier, true
		}
	}
	return Claim{}, false
}

// everyAddress is what a claim of all addresses is written as.
const everyAddress = "*"

// address is the same text for the same address: "::1" is "0:0:0:0:0:0:0:1".
func (c Claim) address() string {
	if wildcard(c.Address) {
		return everyAddress
	}
	if address, err := netip.ParseAddr(c.Address); err == nil {
		return address.Unmap().String()
	}
	return c.Address
}

// String describes the claim as a user would: "tcp *:80".
func (c Claim) String() string {
	address := c.Address
	if wildcard(address) {
		address = everyAddress
	}
	return c.Network + " " + net.JoinHostPort(address, strconv.Itoa(c.Port))
}

func wildcard(address string) bool {
	return address == "" || address == "*" || address == "0.0.0.0" || address == "::"
}
