package component

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// warnOfLoss warns of data that a rebuilt machine no longer has: the update makes
// the component again, and it starts empty. An apply has been warned by its plan.
func (r *Resource[M, S]) warnOfLoss(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var before, after M
	if r.kind.Lost == nil || req.State.Raw.IsNull() || applies(req) || req.State.Get(ctx, &before).HasError() || resp.Plan.Get(ctx, &after).HasError() {
		return
	}
	lost := r.kind.Lost(before, after)
	if lost == "" {
		return
	}
	at := machinePath
	if r.kind.MachineAt != nil { // the configuration says elsewhere which machine it is
		at = path.Empty()
	}
	shared := r.kind.Shared(&after) // Terraform shows one of several warnings that begin alike
	tfutil.Warning(&resp.Diagnostics, at, fmt.Sprintf("%s on machine %q starts without its data", r.id(shared), shared.Machine.Name.ValueString()),
		"%s If the VM was rebuilt on its former disk, or only its identity was reset, its data are still there.", lost)
}
