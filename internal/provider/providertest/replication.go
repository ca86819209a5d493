package providertest

import (
	"context"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Enlisted returns which machines the machine takes part in a replication with.
func (m *Machine) Enlisted(replication string) (membership api.DBMembership, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	membership, ok = m.enlisted[replication]
	return membership, ok
}

// Enlist implements [tfutil.Agent].
func (m *Machine) Enlist(_ context.Context, replication string, membership api.DBMembership) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return m.failure
	}
	m.enlisted[replication] = membership
	return nil
}

// Leave implements [tfutil.Agent].
func (m *Machine) Leave(_ context.Context, replication string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return m.failure
	}
	delete(m.enlisted, replication)
	return nil
}
