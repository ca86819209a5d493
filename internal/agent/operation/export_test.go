package operation

import (
	"context"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// PlanForReader is [Runner.PlanFor] who may only look.
func (r *Runner) PlanForReader(ctx context.Context, id api.ID, base int64, write api.Write) (api.Plan, error) {
	return r.PlanFor(ctx, Asker{Reader: true}, id, base, write)
}

// Known returns with how many components something goes on, or went on.
func (r *Runner) Known() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.components)
}
