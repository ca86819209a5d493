package tfutil

import (
	"slices"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Claims is the table of what the resources of one plan are, and of the ports
// that they listen on. A
// port that two components of one machine claim is found while planning; what
// another configuration claims only the machine's own agent knows.
// The zero value is an empty table. It may be used by several goroutines.
type Claims struct {
	mu    sync.Mutex
	table map[claimant][]api.Claim
	// instances holds which resource each component is.
	instances map[claimant]string
}

type claimant struct {
	machine string
	id      api.ID
}

// Conflict is a claim that another component holds already.
type Conflict struct {
	// Claim is what was claimed in vain.
	Claim api.Claim
	// Holder is the component that holds Held.
	Holder api.ID
	Held   api.Claim
}

// Claim enters what a component of a machine listens on, in place of what was
// entered for it before, and returns the claims that others hold.
func (c *Claims) Claim(machine string, id api.ID, claims []api.Claim) []Conflict {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table == nil {
		c.table = map[claimant][]api.Claim{}
	}
	self := claimant{machine, id}
	c.table[self] = slices.Clone(claims)
	var conflicts []Conflict
	for other, held := range c.table {
		if other.machine == machine && other != self {
			conflicts = append(conflicts, overlaps(claims, other.id, held)...)
		}
	}
	slices.SortFunc(conflicts, func(a, b Conflict) int {
		if a.Claim.Port != b.Claim.Port {
			return a.Claim.Port - b.Claim.Port
		}
		return compareIDs(a.Holder, b.Holder)
	})
	return conflicts
}

// Identify enters which resource is a component of a machine, and reports
// whether no other one is.
func (c *Claims) Identify(machine string, id api.ID, instance string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.instances == nil {
		c.instances = map[claimant]string{}
	}
	self := claimant{machine, id}
	if other, known := c.instances[self]; known && other != instance {
		return false
	}
	c.instances[self] = instance
	return true
}

// Yields reports whether a component of a machine, named as an agent names the
// holder of a port, has entered in this plan nothing that is in the way of
// claims: what it still holds of them it gives up.
func (c *Claims) Yields(machine, holder string, claims []api.Claim) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, held := range c.table {
		if other.machine == machine && other.id.String() == holder {
			return len(overlaps(claims, other.id, held)) == 0
		}
	}
	return false
}

func overlaps(claims []api.Claim, holder api.ID, held []api.Claim) []Conflict {
	var conflicts []Conflict
	for _, claim := range claims {
		for _, other := range held {
			if claim.Overlaps(other) {
				conflicts = append(conflicts, Conflict{Claim: claim, Holder: holder, Held: other})
			}
		}
	}
	return conflicts
}

func compareIDs(a, b api.ID) int {
	switch {
	case a.String() < b.String():
		return -1
	case a.String() > b.String():
		return 1
	}
	return 0
}
