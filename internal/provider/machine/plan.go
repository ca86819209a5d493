package machine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

var (
	namePath        = path.Root("name")
	addressPath     = path.Root("address")
	incarnationPath = path.Root("incarnation")
	driftPath       = path.Root("drift")
)

// ModifyPlan implements [resource.ResourceWithModifyPlan]. The facts of a
// machine change with its incarnation alone, so that nothing that refers to
// its key is touched by any other edit.
func (r *Resource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	r.identify(ctx, req, resp)
	if req.Plan.Raw.IsNull() {
		return
	}
	// What is applied ends without a drift, so that one in the state is an update.
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, driftPath, noDrift())...)
	var m, before model
	resp.Diagnostics.Append(resp.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if req.State.Raw.IsNull() {
		r.refuseOther(ctx, req, m, &resp.Diagnostics)
		return
	}
	resp.Diagnostics.Append(req.State.Get(ctx, &before)...)
	if resp.Diagnostics.HasError() || !m.Name.Equal(before.Name) {
		return
	}
	switch {
	case m.Incarnation.IsUnknown() || m.Incarnation.ValueInt64() > before.Incarnation.ValueInt64():
		m.forgetFacts()
	case m.Incarnation.ValueInt64() < before.Incarnation.ValueInt64():
		tfutil.Error(&resp.Diagnostics, incarnationPath, "The incarnation goes down",
			"Machine %q is at incarnation %d, and the configuration says %d. Each rebuilt VM gets a higher number, so that an old one can never pass for it: write %[2]d, or more for a rebuilt VM.",
			m.Name.ValueString(), before.Incarnation.ValueInt64(), m.Incarnation.ValueInt64())
		return
	default:
		m.keepFacts(before)
		if len(before.Drift.Elements()) > 0 {
			m.CertificateExpires = types.StringUnknown() // the repair signs it again
		}
		if m.Address.Equal(before.Address) {
			refuse(tfutil.Refused(ctx, req.Private), &resp.Diagnostics)
		} else {
			r.refuseOther(ctx, req, m, &resp.Diagnostics)
		}
	}
	if r.data != nil {
		r.data.Walk.Mean(m.machine())
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, m)...)
}

// refuseOther refuses a new name or address at which a machine of another name
// answers: an apply would destroy what is there first, and fail then. Nobody
// answers yet for a VM that is still to be created; which VM of that name it
// is, only the apply can know.
func (r *Resource) refuseOther(ctx context.Context, req resource.ModifyPlanRequest, m model, diags *diag.Diagnostics) {
	named := tfutil.Machine{Name: m.Name, Address: m.Address}
	if r.data == nil || !named.Known() || req.ClientCapabilities.DeferralAllowed { // an apply, which meets it anyway
		return
	}
	_, err := r.meet(ctx, named)
	other, ok := errors.AsType[*client.WrongMachine](err)
	switch {
	case ok:
		tfutil.Error(diags, addressPath, fmt.Sprintf("Another machine than %q answers", m.Name.ValueString()),
			"%s. Nothing was changed. A machine keeps its name: write the name that it has, or the address of machine %q. "+
				"If a VM of the new name is to take the place of this one, create it first, in a separate apply.",
			strings.TrimSuffix(tfutil.Sentence(other), "."), m.Name.ValueString())
	case err != nil && req.State.Raw.IsNull():
		r.data.Walk.Silent(m.Name.ValueString())
	}
}

// refuse adds the error that the last read left, at the attribute to change.
func refuse(refusal tfutil.Refusal, diags *diag.Diagnostics) {
	if refusal.Rebuilt {
		refusal.Refuse(incarnationPath, diags)
		return
	}
	refusal.Refuse(addressPath, diags)
}

// identify enters which machine the resource is, and whether it becomes or
// stops being it.
func (r *Resource) identify(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return
	}
	diags := &resp.Diagnostics
	instance := tfutil.Instance(ctx, !req.State.Raw.IsNull(), req.Private, resp.Private, diags)
	var before, after types.String // null where there is none
	if !req.State.Raw.IsNull() {
		diags.Append(req.State.GetAttribute(ctx, namePath, &before)...)
	}
	if !req.Plan.Raw.IsNull() {
		diags.Append(req.Plan.GetAttribute(ctx, namePath, &after)...)
	}
	if diags.HasError() || after.IsUnknown() {
		return
	}
	id := api.ID{Kind: "machine"}
	if !after.IsNull() {
		r.data.ClaimIdentity(after.ValueString(), id, instance, namePath, diags)
	}
	if before.Equal(after) || req.ClientCapabilities.DeferralAllowed { // an apply, of what a plan has said
		return
	}
	if !before.IsNull() && !r.data.Walk.Leave(before.ValueString(), id, instance) {
		tfutil.ChangesHands(before.ValueString(), id, diags)
	}
	if !after.IsNull() && !r.data.Walk.Come(after.ValueString(), id, instance) {
		tfutil.ChangesHands(after.ValueString(), id, diags)
	}
}
