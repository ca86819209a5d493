package tfutil

import (
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
)

// LookFailed tells why a data source learnt nothing. A machine that does not
// answer is worth a warning only: what a dead machine does not say must not
// stop the plan that works around it.
func (c Call) LookFailed(err error, diags *diag.Diagnostics) {
	reason, ok := c.reason(err)
	switch {
	case !ok:
		c.explain(err, diags)
	case reason.wrong:
		Error(diags, path.Root("machine"), reason.summary, "%s", reason.detail)
	default:
		Warning(diags, path.Root("machine"), reason.summary, "%s",
			joined(reason.detail, "Nothing is known of what was looked for: reachable is false, and everything else is null."))
	}
}
