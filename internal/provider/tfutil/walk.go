package tfutil

import (
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
