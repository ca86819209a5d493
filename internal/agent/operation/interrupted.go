package operation

import (
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// interrupted is the problem of an operation that the end of the agent has cut off. Stands
// says what there is of its component now. One that still waited is not carried out when the
// agent starts again: what it was meant for may be another one by then. So it says how it is
// asked for again.
func interrupted(op api.Operation, stands string) *api.Problem {
	p := &api.Problem{Type: api.ProblemInterrupted, Title: "The agent or the machine stopped in the middle"}
	if op.State == api.OperationQueued {
		p.Title = "The agent or the machine was restarted before it began"
		stands = fmt.Sprintf("it still waited for its turn on %s, and nothing was changed", op.Component)
	}
	again := "apply again"
	if op.Order != "" {
		again = fmt.Sprintf("if it still has to be, give the order again: foobar-agent %s %s", op.Order, op.Component)
	}
	p.Detail = fmt.Sprintf("%s; %s", stands, again)
	return p
}
