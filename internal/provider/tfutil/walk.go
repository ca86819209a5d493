package tfutil

import (
	"context"
	"net/netip"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Walk is what the resources note for one another while Terraform walks over
// the configuration, once for a plan and anew for an apply. The zero value is
// an empty one. It may be used by several goroutines.
type Walk struct {
	mu        sync.Mutex
	read      map[claimant]bool
	own       map[string]bool
	leaving   map[claimant]string
	coming    map[claimant]string
	silent    map[string]bool
	meant     map[string]Machine
	taking    map[claimant]string
	turns     map[claimant]*turn
	enrolled  map[string]bool
	fronts    map[netip.AddrPort]Front
	balancers map[netip.AddrPort][]Balancer
}

// turn is a component's on this walk. Its slot is held by the create or the
// delete that runs, and guards made.
type turn struct {
	slot chan struct{}
	made bool
}

// turn returns that of a component.
func (w *Walk) turn(machine string, id api.ID) *turn {
	w.mu.Lock()
	defer w.mu.Unlock()
	self := claimant{machine, id}
	if w.turns == nil {
		w.turns = map[claimant]*turn{}
	}
	if w.turns[self] == nil {
		w.turns[self] = &turn{slot: make(chan struct{}, 1)}
	}
	return w.turns[self]
}

// take waits until no other object of the component is created or destroyed.
func (t *turn) take(ctx context.Context) error {
	select {
	case t.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Create begins to create an object of a component, once no other object of it
// is created or destroyed on this walk. The function that it returns is to be
// called in the end, with whether there is one now. The error is the context's.
func (w *Walk) Create(ctx context.Context, machine string, id api.ID) (ended func(made bool), err error) {
	t := w.turn(machine, id)
	if err := t.take(ctx); err != nil {
		return nil, err
	}
	return func(made bool) {
		t.made = t.made || made
		<-t.slot
	}, nil
}

// Delete begins to destroy an object of a component, once no other object of it
// is created or destroyed on this walk. The component stays if one was created:
// then it is that one's. The function that Delete returns is to be called in the
// end. The error is the context's.
func (w *Walk) Delete(ctx context.Context, machine string, id api.ID) (stays bool, ended func(), err error) {
	t := w.turn(machine, id)
	if err := t.take(ctx); err != nil {
		return false, nil, err
	}
	return t.made, func() { <-t.slot }, nil
}

// Enroll notes that a machine is enrolled on this walk, which is an apply: its plan
// may have had no machine to ask.
func (w *Walk) Enroll(machine string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.enrolled == nil {
		w.enrolled = map[string]bool{}
	}
	w.enrolled[machine] = true
}

// IsEnrolled reports what [Walk.Enroll] noted.
func (w *Walk) IsEnrolled(machine string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.enrolled[machine]
}

// Read notes that a component was refreshed on this walk: it is one for a plan.
// The lineage is that of the resource, which is of this very state.
func (w *Walk) Read(machine string, id api.ID, lineage string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.read == nil {
		w.read, w.own = map[claimant]bool{}, map[string]bool{}
	}
	w.read[claimant{machine, id}] = true
	w.own[lineage] = lineage != ""
}

// IsOwn reports whether a lineage is one of the state that this walk refreshed.
func (w *Walk) IsOwn(lineage string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.own[lineage]
}

// WasRead reports whether the component was refreshed on this walk.
func (w *Walk) WasRead(machine string, id api.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read[claimant{machine, id}]
}

// Holds reports whether the state has a resource that is the component, as far
// as this walk has come: it was refreshed, or is planned to go.
func (w *Walk) Holds(machine string, id api.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	self := claimant{machine, id}
	return w.read[self] || w.leaving[self] != ""
}

// Leave notes that the resource which is a component of a machine is planned to
// go, and reports whether no other resource is planned to become the component:
// the two are applied in any order.
func (w *Walk) Leave(machine string, id api.ID, instance string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leaving == nil {
		w.leaving = map[claimant]string{}
	}
	self := claimant{machine, id}
	w.leaving[self] = instance
	other, known := w.coming[self]
	return !known || other == instance
}

// Come notes that a resource is planned to become a component of a machine, and
// reports whether no other one is planned to stop being it.
func (w *Walk) Come(machine string, id api.ID, instance string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.coming == nil {
		w.coming = map[claimant]string{}
	}
	self := claimant{machine, id}
	w.coming[self] = instance
	other, known := w.leaving[self]
	return !known || other == instance
}

// Leaves reports whether the component of a machine that an agent names so is
// planned to go.
func (w *Walk) Leaves(machine, component string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.leaving {
		if c.machine == machine && c.id.String() == component {
			return true
		}
	}
	return false
}

// Mean notes what the plan of a machine's own resource says of it.
func (w *Walk) Mean(machine Machine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.meant == nil {
		w.meant = map[string]Machine{}
	}
	w.meant[machine.Name.ValueString()] = machine
}

// Changes reports whether this walk plans another VM or address for a machine
// than a state knows: what is wrong with that one is of no interest any more.
func (w *Walk) Changes(known Machine) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	machine, planned := w.meant[known.Name.ValueString()]
	same := machine.Same(known) && sameAddress(machine.Address.ValueString(), known.Address.ValueString())
	return planned && !same
}

// Silent notes that a machine which is still to be created does not answer: it
// is asked once on a walk.
func (w *Walk) Silent(machine string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent == nil {
		w.silent = map[string]bool{}
	}
	w.silent[machine] = true
}

// IsSilent reports what [Walk.Silent] noted.
func (w *Walk) IsSilent(machine string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silent[machine]
}

// Adopt notes from whom a create takes a component over, as the plan with which
// its apply begins found: the framework gives a create nothing of its plan.
func (w *Walk) Adopt(machine string, id api.ID, from string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taking == nil {
		w.taking = map[claimant]string{}
	}
	w.taking[claimant{machine, id}] = from
}

// Adopts returns what [Walk.Adopt] noted; empty for nobody.
func (w *Walk) Adopts(machine string, id api.ID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.taking[claimant{machine, id}]
}
