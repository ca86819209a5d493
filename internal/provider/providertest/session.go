package providertest

import (
	"context"
	"fmt"
	"io"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// session is a machine as a caller reaches it, who means a certain VM: the
// client finds out about another one before it sends anything.
type session struct {
	machine *Machine
	target  tfutil.Machine
}

var _ tfutil.Agent = session{}

// meet makes sure that the machine is the one that is meant.
func (s session) meet() error {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	wrong := func(format string, args ...any) error {
		return &client.WrongMachine{Machine: m.name, Address: s.target.Address.ValueString(), Detail: fmt.Sprintf(format, args...)}
	}
	incarnation, key := s.target.Incarnation.ValueInt64(), s.target.Key.ValueString()
	switch {
	case m.failure != nil:
		return m.failure
	case m.fresh:
		return &client.NotEnrolled{Machine: m.name, Address: s.target.Address.ValueString()}
	case incarnation != 0 && incarnation != m.incarnation:
		return wrong("it is incarnation %d of it, and incarnation %d is meant", m.incarnation, incarnation)
	case key != "" && key != m.pin():
		return wrong("its key is %s, and the known one is %s", m.pin(), key)
	}
	return nil
}

// Enroll implements [tfutil.Agent].
func (s session) Enroll(ctx context.Context) (api.Enrolled, error) {
	if err := s.machine.enroll(s.target.Incarnation.ValueInt64()); err != nil {
		return api.Enrolled{}, err
	}
	if err := s.meet(); err != nil {
		return api.Enrolled{}, err
	}
	return s.machine.Enroll(ctx)
}

// enroll makes a rebuilt machine a member, if it is the one that is meant.
func (m *Machine) enroll(incarnation int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.failure != nil || !m.fresh:
		return nil // meet tells the rest
	case incarnation != m.incarnation:
		return &client.ProofFailed{Machine: m.name, Incarnation: incarnation}
	}
	m.fresh = false
	return nil
}

// Rebuild replaces the VM by one of a higher incarnation, on which there is
// nothing and which is not enrolled.
func (m *Machine) Rebuild(incarnation int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.incarnation, m.fresh = incarnation, true
	m.components, m.blobs, m.leaves = map[api.ID]*stored{}, map[string]bool{}, map[string]pki.ServiceNames{}
	m.enlisted = map[string]api.DBMembership{}
}

// Renew implements [tfutil.Agent].
func (s session) Renew(ctx context.Context) (api.Enrolled, error) {
	if err := s.meet(); err != nil {
		return api.Enrolled{}, err
	}
	return s.machine.Renew(ctx)
}

// Info implements [tfutil.Agent].
func (s session) Info(ctx context.Context) (api.Info, error) {
	if err := s.meet(); err != nil {
		return api.Info{}, err
	}
	return s.machine.Info(ctx)
}

// Get implements [tfutil.Agent].
func (s session) Get(ctx context.Context, id api.ID) (api.Component, error) {
	if err := s.meet(); err != nil {
		return api.Component{}, err
	}
	return s.machine.Get(ctx, id)
}

// Plan implements [tfutil.Agent].
func (s session) Plan(ctx context.Context, id api.ID, base int64, write api.Write) (api.Plan, error) {
	if err := s.meet(); err != nil {
		return api.Plan{}, err
	}
	return s.machine.Plan(ctx, id, base, write)
}

// Apply implements [tfutil.Agent].
func (s session) Apply(ctx context.Context, c client.Change, progress func(api.Event)) (api.Operation, error) {
	if err := s.meet(); err != nil {
		return api.Operation{}, err
	}
	return s.machine.Apply(ctx, c, progress)
}

// Delete implements [tfutil.Agent].
func (s session) Delete(ctx context.Context, c client.Change, progress func(api.Event)) (api.Operation, error) {
	if err := s.meet(); err != nil {
		return api.Operation{}, err
	}
	return s.machine.Delete(ctx, c, progress)
}

// Own implements [tfutil.Agent].
func (s session) Own(ctx context.Context, id api.ID, c api.Claiming) (api.Ownership, error) {
	if err := s.meet(); err != nil {
		return api.Ownership{}, err
	}
	return s.machine.Own(ctx, id, c)
}

// UploadBlob implements [tfutil.Agent].
func (s session) UploadBlob(ctx context.Context, sha256 string, content io.ReaderAt, size int64, sent func(bytes int64)) error {
	if err := s.meet(); err != nil {
		return err
	}
	return s.machine.UploadBlob(ctx, sha256, content, size, sent)
}

// EnsureLeaf implements [tfutil.Agent].
func (s session) EnsureLeaf(ctx context.Context, service string, besides pki.ServiceNames) error {
	if err := s.meet(); err != nil {
		return err
	}
	return s.machine.EnsureLeaf(ctx, service, besides)
}

// TrimLeaf implements [tfutil.Agent].
func (s session) TrimLeaf(ctx context.Context, service string) error {
	if err := s.meet(); err != nil {
		return err
	}
	return s.machine.TrimLeaf(ctx, service)
}

// Enlist implements [tfutil.Agent].
func (s session) Enlist(ctx context.Context, replication string, membership api.DBMembership) error {
	if err := s.meet(); err != nil {
		return err
	}
	return s.machine.Enlist(ctx, replication, membership)
}

// Leave implements [tfutil.Agent].
func (s session) Leave(ctx context.Context, replication string) error {
	if err := s.meet(); err != nil {
		return err
	}
	return s.machine.Leave(ctx, replication)
}
