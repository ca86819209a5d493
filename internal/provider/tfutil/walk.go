package tfutil

import (
	"context"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Walk is what the resources note for one another while Terraform walks over
// the configuration, once for a plan and anew for an apply. The zero value is
// an empty one. It may be used by several goroutines.
type Walk struct {
	mu      sync.Mutex
	read    map[claimant]bool
	leaving map[string]bool
	created map[claimant]*creation
}

// creation is one component's on this walk; made is set before done is closed.
type creation struct {
	done chan struct{}
	made bool
}

// Create notes that an object of a component is being created. The function
// that it returns is to be called in the end, with whether there is one now.
func (w *Walk) Create(machine string, id api.ID) (ended func(made bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.created == nil {
		w.created = map[claimant]*creation{}
	}
	c := &creation{done: make(chan struct{})}
	w.created[claimant{machine, id}] = c
	return func(made bool) {
		c.made = made
		close(c.done)
	}
}

// WasCreated reports whether an object of the component was created on this
// walk, as soon as that is known: then the component is that one's, and not
// what another object that is destroyed was.
func (w *Walk) WasCreated(ctx context.Context, machine string, id api.ID) bool {
	w.mu.Lock()
	c := w.created[claimant{machine, id}]
	w.mu.Unlock()
	if c == nil {
		return false
	}
	select {
	case <-c.done:
		return c.made
	case <-ctx.Done():
		return true // whatever came of it, nothing is removed any more
	}
}

// Read notes that a component was refreshed on this walk: it is one for a plan.
func (w *Walk) Read(machine string, id api.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.read == nil {
		w.read = map[claimant]bool{}
	}
	w.read[claimant{machine, id}] = true
}

// WasRead reports whether the component was refreshed on this walk.
func (w *Walk) WasRead(machine string, id api.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read[claimant{machine, id}]
}

// Leave notes that a component of a machine is planned to go, so that the
// machine's own word about taken ports is of yesterday.
func (w *Walk) Leave(machine string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leaving == nil {
		w.leaving = map[string]bool{}
	}
	w.leaving[machine] = true
}

// Leaves reports whether a component of the machine is planned to go.
func (w *Walk) Leaves(machine string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leaving[machine]
}
