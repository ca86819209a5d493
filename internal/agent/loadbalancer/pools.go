package loadbalancer

import (
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// pool is one of the backends that HAProxy has for a backend of a spec. All of
// them have the same servers. They differ in what happens to a request that a
// server did not answer, which HAProxy knows per backend only, and in whether
// the servers are checked.
type pool struct {
	// suffix makes the name. No name of a spec has a dot (see [api.CheckName]),
	// so a pool never clashes with another backend.
	suffix string
	// once is the pool for methods that must not reach two apps: a request is
	// sent again only where no app has seen it.
	once bool
	// unchecked is the pool for when no server passes its checks. That all fail
	// at once is more often the fault of the checks than of the servers.
	unchecked bool
}

// The suffixes of pools.
const (
	onceSuffix  = ".once"
	panicSuffix = ".panic"
)

// pools returns the pools of a backend, the one that its checks are about first.
func pools(b api.Backend) []pool {
	all := []pool{{}, {suffix: onceSuffix, once: true}}
	if hasChecks(b) {
		all = append(all, pool{suffix: panicSuffix, unchecked: true}, pool{suffix: panicSuffix + onceSuffix, once: true, unchecked: true})
	}
	return all
}

// hasChecks reports whether any server of a backend can be down or drained by a check.
func hasChecks(b api.Backend) bool {
	for _, s := range b.Servers {
		if b.HealthCheck != nil || s.AgentCheckPort != 0 {
			return true
		}
	}
	return false
}

// of returns the pool's name for HAProxy.
func (p pool) of(backend string) string { return backend + p.suffix }

// asks reports whether the pool's own checks are about its servers.
func (p pool) asks() bool { return p.suffix == "" }

// limit is how many requests a server gets at one time from the pool. While one
// of the unchecked pools is in use, the other two give a server nothing new.
func (p pool) limit(s api.Server) int {
	idempotent, other := s.Shares()
	if p.once {
		return other
	}
	return idempotent
}

// backendOf returns the backend of the spec that a pool belongs to, by the pool's name.
func backendOf(name string) string {
	backend, _, _ := strings.Cut(name, ".")
	return backend
}
