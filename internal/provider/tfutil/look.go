package tfutil

import (
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// LookFailed tells why a data source learnt nothing. A machine that does not
// answer is worth a warning only: what a dead machine does not say must not
// stop the plan that works around it.
func (c Call) LookFailed(err error, diags *diag.Diagnostics) {
	reason, ok := c.reason(err)
	switch {
	case api.IsProblem(err, api.ProblemNotFound):
		detail := Sentence(errors.New(api.AsProblem(err).Detail))
		if c.Resource != "" {
			detail = joined(detail, fmt.Sprintf("If a resource of this configuration creates it, refer to that resource, as in name = %s.<label>.name: then it is looked for after it was created.", c.Resource))
		}
		Error(diags, c.place(), fmt.Sprintf("Not found on machine %q", c.Machine.Name.ValueString()), "%s", detail)
	case !ok:
		c.explain(err, diags)
	case reason.wrong:
		Error(diags, path.Root("machine"), reason.summary, "%s", reason.detail)
	default:
		Warning(diags, path.Root("machine"), reason.summary, "%s",
			joined(reason.detail, "Nothing is known of what was looked for: reachable is false, and everything else is null."))
	}
}
