package component

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// compareSecrets warns of secrets that changed while their versions did not. A
// rebuilt machine uses whatever it is sent.
func (r *Resource[M, S]) compareSecrets(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.kind.SecretSets == nil || req.State.Raw.IsNull() || !req.Config.Raw.IsFullyKnown() {
		return
	}
	before, after := machineAt(ctx, req.State, &resp.Diagnostics), machineAt(ctx, resp.Plan, &resp.Diagnostics)
	var config M
	resp.Diagnostics.Append(r.given(ctx, req.Config, &config)...)
	if resp.Diagnostics.HasError() || !after.Same(before) {
		return
	}
	r.data.Credentials.Changed(tfutil.ReadFingerprints(ctx, req.Private), r.kind.SecretSets(config), r.paths(ctx), &resp.Diagnostics)
}

// keepSecrets notes which secrets were applied.
func (r *Resource[M, S]) keepSecrets(ctx context.Context, config M, before tfutil.Fingerprints, rebuilt bool, to tfutil.PrivateWriter) diag.Diagnostics {
	if r.kind.SecretSets == nil {
		return nil
	}
	return r.data.Credentials.KeepFingerprints(ctx, to, before, r.kind.SecretSets(config), rebuilt)
}
