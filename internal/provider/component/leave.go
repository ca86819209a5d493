package component

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// leave says what a destroy, or the first half of a replacement, ends. An apply
// asks again for what create_before_destroy has replaced, of which nothing ends;
// of all else the plan has said it.
func (r *Resource[M, S]) leave(ctx context.Context, req resource.ModifyPlanRequest, instance string, diags *diag.Diagnostics) {
	var name types.String
	if applies(req) {
		return
	}
	diags.Append(req.State.GetAttribute(ctx, namePath, &name)...)
	machine, id := machineAt(ctx, req.State, diags).Name.ValueString(), api.ID{Kind: r.kind.Kind, Name: name.ValueString()}
	if !r.data.Walk.Leave(machine, id, instance) {
		tfutil.ChangesHands(machine, id, diags)
		return
	}
	if by, taken := tfutil.Taken(ctx, req.Private); taken {
		forgotten(fmt.Sprintf("%s on machine %q was taken over by %s", id, machine, by.By()), diags)
		return
	}
	ends := r.ends(ctx, req, diags) + r.spared(machine)
	if req.Plan.Raw.IsNull() {
		tfutil.Warning(diags, path.Empty(), "Destroys "+withArticle(r.kind.Title), "%s on machine %q is destroyed. %s", id, machine, ends)
		return
	}
	tfutil.Warning(diags, path.Empty(), "Replaces "+withArticle(r.kind.Title),
		"%s on machine %q is destroyed, and another one is created with the new name or on the new machine. %s The new one serves once it is created; nothing is copied to it.", id, machine, ends)
}

// spared says what is left of a destroy on a machine that is given up.
func (r *Resource[M, S]) spared(machine string) string {
	if !r.data.Forget[machine] {
		return ""
	}
	return fmt.Sprintf(" That is so if the machine answers. If it does not, the resource is forgotten, as the provider lists %q in forget_unreachable: "+
		"it leaves the state, and nothing changes on the machine. Should the machine come back, what is on it keeps running.", machine)
}

// withArticle puts the indefinite article before a noun.
func withArticle(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

// ends says what stops with the component that a state holds.
func (r *Resource[M, S]) ends(ctx context.Context, req resource.ModifyPlanRequest, diags *diag.Diagnostics) string {
	var model M
	diags.Append(partly(ctx, req.State, &model)...)
	spec, err := r.kind.Spec(model)
	var closed []string
	if err == nil && !diags.HasError() {
		for _, claim := range spec.Claims() {
			closed = append(closed, claim.String())
		}
	}
	var texts []string
	if len(closed) > 0 {
		texts = append(texts, fmt.Sprintf("Nothing answers at %s from then on.", strings.Join(closed, ", ")))
	}
	if r.kind.Ends != "" {
		texts = append(texts, r.kind.Ends)
	}
	return strings.Join(texts, " ")
}

// identify enters which component the resource is, on every machine that has a
// part in it.
func (r *Resource[M, S]) identify(ctx context.Context, resp *resource.ModifyPlanResponse, instance string) {
	machine, id, known := r.planned(ctx, resp)
	if !known {
		return
	}
	for _, each := range append([]string{machine}, r.others(ctx, resp)...) {
		if r.data.ClaimIdentity(each, id, instance, namePath, &resp.Diagnostics); resp.Diagnostics.HasError() {
			return
		}
	}
}

// come enters that the resource becomes a component, and warns if another
// resource of the plan stops being it.
func (r *Resource[M, S]) come(ctx context.Context, resp *resource.ModifyPlanResponse, instance string) {
	machine, id, known := r.planned(ctx, resp)
	if known && !r.data.Walk.Come(machine, id, instance) {
		tfutil.ChangesHands(machine, id, &resp.Diagnostics)
	}
}

// planned returns which component of which machine a plan is about, if that is
// known.
func (r *Resource[M, S]) planned(ctx context.Context, resp *resource.ModifyPlanResponse) (machine string, id api.ID, known bool) {
	var name types.String
	resp.Diagnostics.Append(resp.Plan.GetAttribute(ctx, namePath, &name)...)
	on := machineAt(ctx, resp.Plan, &resp.Diagnostics).Name
	known = !resp.Diagnostics.HasError() && !name.IsUnknown() && !on.IsUnknown()
	return on.ValueString(), api.ID{Kind: r.kind.Kind, Name: name.ValueString()}, known
}

// others names the other machines that have a part in the component, as far as
// the plan is known.
func (r *Resource[M, S]) others(ctx context.Context, resp *resource.ModifyPlanResponse) []string {
	var model M
	if r.kind.Others == nil || resp.Plan.Get(ctx, &model).HasError() {
		return nil
	}
	return r.kind.Others(model)
}

// refuseTaken plans nothing for a component that belongs to another state.
func (r *Resource[M, S]) refuseTaken(ctx context.Context, req resource.ModifyPlanRequest, by api.Ownership, change change, diags *diag.Diagnostics) {
	if change < changeRemote {
		return
	}
	var name types.String
	diags.Append(req.State.GetAttribute(ctx, namePath, &name)...)
	tfutil.Error(diags, namePath, "The component belongs to another state", "%s", takenText(api.ID{Kind: r.kind.Kind, Name: name.ValueString()}, machineAt(ctx, req.State, diags), by))
}

// adopt plans what follows from whose a component is that a create would find.
func (r *Resource[M, S]) adopt(shared *Model, plan api.Plan, approved bool, resp *resource.ModifyPlanResponse) {
	id, machine, from := r.id(shared), shared.Machine.Name.ValueString(), ""
	if plan.Adopts != nil {
		from = plan.Adopts.Owner
	}
	r.data.Walk.Adopt(machine, id, from)
	switch {
	case plan.Adopts == nil || r.data.Walk.IsOwn(from) || approved && plan.Adopts.Replaced:
		return // nothing to adopt, or what this state replaces
	case approved && plan.Forgotten && !r.data.Walk.IsEnrolled(machine): // else the plan may have had no machine to ask
		tfutil.Error(&resp.Diagnostics, path.Empty(), "The plan did not show a takeover",
			"%s on machine %q %s, and nothing tells that the plan has shown it. Nothing was changed there. Plan again, or import it.", id, machine, plan.Adopts.Belongs())
		return
	}
	// The apply says it, too: the agent cannot tell this plan from another one.
	tfutil.Warning(&resp.Diagnostics, path.Empty(), "The create takes a component over", "%s on machine %q exists already: it %s", id, machine, takeover(*plan.Adopts))
}
