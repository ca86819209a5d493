package providertest

import (
	"context"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// EnsureLeaf implements [tfutil.Agent].
func (m *Machine) EnsureLeaf(_ context.Context, service string, besides pki.ServiceNames) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return m.failure
	}
	m.leaves[service] = besides
	return nil
}

// TrimLeaf implements [tfutil.Agent].
func (m *Machine) TrimLeaf(_ context.Context, service string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return m.failure
	}
	if besides, ok := m.leaves[service]; ok {
		m.leaves[service] = pki.ServiceNames{IP: besides.IP}
	}
	return nil
}

// Leaf returns what the leaf of a service names besides the machine, and
// whether there is one.
func (m *Machine) Leaf(service string) (besides pki.ServiceNames, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	besides, ok = m.leaves[service]
	return besides, ok
}
