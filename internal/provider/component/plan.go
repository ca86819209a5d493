package component

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// ModifyPlan implements [resource.ResourceWithModifyPlan]: it decides what an
// apply has to do, and asks the machine what it would say.
func (r *Resource[M, S]) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return
	}
	instance := tfutil.Instance(ctx, !req.State.Raw.IsNull(), req.Private, resp.Private, &resp.Diagnostics)
	if r.leaves(ctx, req, &resp.Diagnostics) {
		r.leave(ctx, req, instance, &resp.Diagnostics)
		return // what takes its place is planned by itself
	}
	r.locate(ctx, req, resp)
	if r.kind.Resolve != nil {
		resp.Diagnostics.Append(r.kind.Resolve(ctx, r.data, req, &resp.Plan)...)
	}
	change := r.compare(resp.Plan.Raw, req.State.Raw)
	if change != changeRemote {
		r.keepComputed(req.State, &resp.Plan)
	}
	if by, taken := tfutil.Taken(ctx, req.Private); taken && change != changeCreate {
		r.refuseTaken(ctx, req, by, change, &resp.Diagnostics)
		return
	}
	drifts := change != changeCreate && drifted(ctx, req, &resp.Diagnostics)
	if drifts {
		change = changeRemote
	}
	if change == changeNothing {
		tfutil.Refused(ctx, req.Private).Refuse(machinePath, &resp.Diagnostics)
	}
	if change >= changeRemote {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, generationPath, types.Int64Unknown())...)
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, impactPath, impactOf(change))...)
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, driftPath, noDrift())...)
		r.moves(&resp.Plan, req.State.Raw, drifts)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	r.compareSecrets(ctx, req, resp)
	r.warnOfLoss(ctx, req, resp)
	r.identify(ctx, resp, instance)
	if !resp.Diagnostics.HasError() && r.specKnown(resp.Plan.Raw) {
		r.checkPlan(ctx, req, resp, change)
	}
	if change == changeCreate && !applies(req) && !resp.Diagnostics.HasError() {
		r.come(ctx, resp, instance)
	}
}

// drifted reports whether the last read found anything else than was applied,
// whatever the configuration says by now.
func drifted(ctx context.Context, req resource.ModifyPlanRequest, diags *diag.Diagnostics) bool {
	var drift types.Map
	diags.Append(req.State.GetAttribute(ctx, driftPath, &drift)...)
	return hasDrift(drift) || tfutil.Unrecorded(ctx, req.Private)
}

// leaves reports whether the plan is a destroy, or the first half of a
// replacement: then Terraform asks again for the second, with no state.
func (r *Resource[M, S]) leaves(ctx context.Context, req resource.ModifyPlanRequest, diags *diag.Diagnostics) bool {
	if req.Plan.Raw.IsNull() {
		return true
	}
	if req.State.Raw.IsNull() {
		return false
	}
	var before, after types.String
	diags.Append(req.State.GetAttribute(ctx, namePath, &before)...)
	diags.Append(req.Plan.GetAttribute(ctx, namePath, &after)...)
	machine := machineAt(ctx, req.Plan, diags).Name
	moved := r.kind.MachineAt == nil && !machine.IsUnknown() && !machine.Equal(machineAt(ctx, req.State, diags).Name)
	return moved || !after.IsUnknown() && !after.Equal(before)
}

// locate plans the machine of a kind whose configuration says it elsewhere.
func (r *Resource[M, S]) locate(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.kind.MachineAt == nil {
		return
	}
	machine := r.configured(ctx, req.Config, &resp.Diagnostics)
	var before tfutil.Machine
	if !req.State.Raw.IsNull() {
		before = machineAt(ctx, req.State, &resp.Diagnostics)
	}
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, machinePath, machine.Since(before))...)
}

// configured reads which machine a configuration means, wherever it says so.
func (r *Resource[M, S]) configured(ctx context.Context, config tfsdk.Config, diags *diag.Diagnostics) tfutil.Machine {
	if r.kind.MachineAt == nil {
		return machineAt(ctx, config, diags)
	}
	at, found := r.kind.MachineAt(ctx, config)
	diags.Append(found...)
	return machineIn(ctx, config, at, diags)
}

// impactOf returns the impact that is planned before the machine was asked.
// That of a create is always the same: Terraform plans it again when it applies
// it, does not say then whether it was half of a replacement, and takes another
// answer for a bug of the provider.
func impactOf(change change) types.String {
	if change == changeCreate {
		return types.StringValue(string(api.ImpactStart))
	}
	return types.StringUnknown()
}

// basis is the same for the dry runs of one plan and its apply, and for no plan
// that found another state: a drift that came or went costs something else.
func basis(state tftypes.Value) string {
	sum := sha256.Sum256([]byte(state.String()))
	return hex.EncodeToString(sum[:])
}

// change is how far a planned change reaches, nearest first.
type change int

const (
	changeNothing change = iota // the plan is the state
	changeLocal                 // only what is settled on this side, such as a timeout
	changeRemote                // the machine has something to do
	changeCreate                // there was nothing before
)

// compare finds out how far the way from a state to a plan reaches.
func (r *Resource[M, S]) compare(plan, state tftypes.Value) change {
	if state.IsNull() {
		return changeCreate
	}
	after, before := attributesOf(plan), attributesOf(state)
	reach := changeNothing
	for name, value := range after {
		switch {
		case r.isComputed(name) || value.Equal(before[name]):
		case name == "timeouts" || slices.Contains(r.kind.Local, name):
			reach = max(reach, changeLocal)
		default:
			reach = changeRemote
		}
	}
	return reach
}

// isComputed tells whether an attribute is the provider's alone.
func (r *Resource[M, S]) isComputed(name string) bool { return slices.Contains(r.computed(), name) }

// computed returns the attributes that are the provider's alone; "machine" is
// none of them, as the user says which it is, here or there.
func (r *Resource[M, S]) computed() []string {
	return append([]string{"generation", "impact", "drift"}, r.kind.Moving...)
}

// attributesOf returns a copy of an object's attributes.
func attributesOf(value tftypes.Value) map[string]tftypes.Value {
	var attributes map[string]tftypes.Value
	if value.As(&attributes) != nil {
		return nil // null or unknown as a whole
	}
	return maps.Clone(attributes)
}

// keepComputed takes the provider's own attributes over from the state: the
// framework gave them up as unknown as soon as anything was spelled anew.
func (r *Resource[M, S]) keepComputed(from tfsdk.State, to *tfsdk.Plan) {
	if from.Raw.IsNull() {
		return
	}
	before, after := attributesOf(from.Raw), attributesOf(to.Raw)
	for _, name := range r.computed() {
		after[name] = before[name]
	}
	to.Raw = tftypes.NewValue(to.Raw.Type(), after)
}

// moves plans that what moves by itself may be anything after a write, unless
// the write leaves it alone.
func (r *Resource[M, S]) moves(plan *tfsdk.Plan, state tftypes.Value, drifts bool) {
	steady := !drifts && r.isSteady(plan.Raw, state)
	after, before := attributesOf(plan.Raw), attributesOf(state)
	for _, name := range r.kind.Moving {
		after[name] = tftypes.NewValue(after[name].Type(), tftypes.UnknownValue)
		if steady {
			after[name] = before[name]
		}
	}
	plan.Raw = tftypes.NewValue(plan.Raw.Type(), after)
}

// isSteady reports whether a change is of attributes alone that leave what moves
// by itself as it is, and the state knows that.
func (r *Resource[M, S]) isSteady(plan, state tftypes.Value) bool {
	before := attributesOf(state)
	for name, value := range attributesOf(plan) {
		switch {
		case slices.Contains(r.kind.Moving, name):
			if before[name].IsNull() {
				return false
			}
		case !r.isComputed(name) && !slices.Contains(r.kind.Steady, name) && name != "timeouts" && !value.Equal(before[name]):
			return false
		}
	}
	return len(before) > 0
}

// specKnown reports whether all that the machine will be given is known; of
// the machine itself it is enough that there is one.
func (r *Resource[M, S]) specKnown(plan tftypes.Value) bool {
	for name, value := range attributesOf(plan) {
		switch {
		case r.isComputed(name), name == "machine" && value.IsKnown():
		case !value.IsFullyKnown():
			return false
		}
	}
	return true
}

// checkPlan looks for what is wrong with a known plan: by the rules of the spec,
// among the components of this plan, and on the machine.
func (r *Resource[M, S]) checkPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse, change change) {
	var model M
	resp.Diagnostics.Append(resp.Plan.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	paths := r.paths(ctx)
	spec, err := r.kind.Spec(model)
	if err == nil {
		err = spec.Validate().Problem()
	}
	if err != nil {
		tfutil.Explain(err, paths, &resp.Diagnostics)
		return
	}
	shared := r.kind.Shared(&model)
	if !shared.Machine.Name.IsUnknown() {
		r.claim(shared, spec.Claims(), paths, &resp.Diagnostics)
		r.beside(req, shared, spec, paths, &resp.Diagnostics)
	}
	if r.kind.Doubts != nil && change > changeNothing && !applies(req) {
		tfutil.WarnOf(r.kind.Doubts(model), paths, &resp.Diagnostics)
	}
	if change >= changeRemote && !resp.Diagnostics.HasError() {
		foreseen := r.foresee(ctx, req.State, shared, spec, &resp.Diagnostics)
		if !applies(req) {
			tfutil.Warn(foreseen.Conditions, paths, shared.Machine, &resp.Diagnostics)
		}
		r.dryRun(ctx, req, resp, shared, spec, foreseen)
	}
}

// foresee returns what the kind can say by itself of a change of what a
// machine shows: nothing of a rebuilt one, on which there is nothing left. It
// rests on the state alone, so that the plan of an apply says the same as the
// one that was approved.
func (r *Resource[M, S]) foresee(ctx context.Context, state tfsdk.State, shared *Model, spec S, diags *diag.Diagnostics) api.Plan {
	if r.kind.Foresee == nil || state.Raw.IsNull() {
		return api.Plan{}
	}
	var model M
	diags.Append(state.Get(ctx, &model)...)
	before, err := r.kind.Spec(model)
	if err != nil || diags.HasError() || !shared.Machine.Same(r.kind.Shared(&model).Machine) {
		return api.Plan{}
	}
	return r.kind.Foresee(before, spec)
}

// claim enters the component's ports into the table of this plan.
func (r *Resource[M, S]) claim(shared *Model, claims []api.Claim, paths tfutil.Paths, diags *diag.Diagnostics) {
	machine := shared.Machine.Name.ValueString()
	for _, conflict := range r.data.Claims.Claim(machine, r.id(shared), claims) {
		at := paths.Path(conflict.Claim.Pointer)
		tfutil.Error(diags, at, "Port claimed twice",
			"%s is claimed on machine %q by two components of this configuration: %s claims it here, and %s has %s at its attribute %s. Give one of them another port or address.",
			conflict.Claim, machine, r.id(shared), conflict.Holder, conflict.Held, strings.Join(conflict.Held.Pointer.Steps(), "."))
	}
}

// beside warns of what is wrong between the component and others of this plan. An
// apply does not repeat it.
func (r *Resource[M, S]) beside(req resource.ModifyPlanRequest, shared *Model, spec S, paths tfutil.Paths, diags *diag.Diagnostics) {
	if r.kind.Beside == nil {
		return
	}
	found := r.kind.Beside(&r.data.Walk, shared.Machine, spec)
	if !applies(req) {
		tfutil.Warn(found, paths, shared.Machine, diags)
	}
}

// dryRun asks the machine what an apply would do. It is left out for a machine
// that is being rebuilt. The impact is at least the one that was foreseen.
func (r *Resource[M, S]) dryRun(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse, shared *Model, spec S, foreseen api.Plan) {
	configured := r.configured(ctx, req.Config, &resp.Diagnostics)
	unmet := configured.Key.IsUnknown() || configured.Incarnation.IsUnknown()
	update, name := !req.State.Raw.IsNull(), shared.Machine.Name.ValueString()
	if !shared.Machine.Known() || unmet && (update || r.data.Walk.IsSilent(name)) {
		return
	}
	var generation int64
	if update {
		before := Model{Machine: machineAt(ctx, req.State, &resp.Diagnostics)}
		resp.Diagnostics.Append(req.State.GetAttribute(ctx, generationPath, &before.Generation)...)
		if !shared.Machine.Same(before.Machine) {
			return
		}
		generation = base(&before, shared)
	}
	approved := applies(req) || update && !r.data.Walk.WasRead(name, r.id(shared))
	call := tfutil.Call{
		Machine: shared.Machine, Paths: r.paths(ctx), Import: r.importHint(shared), Promised: approved,
	}
	write := api.Write{
		Spec: api.Encode(spec), Owner: tfutil.Lineage(ctx, req.Private), TakesOver: tfutil.GetTaking(ctx, req.Private).From,
		Approved: approved, Basis: basis(req.State.Raw),
	}
	if !update { // the answer says whose it is; what this resource replaces is its own
		write.TakesOver, write.Held = "", write.Owner != ""
	}
	plan, err := r.askPlan(ctx, shared, generation, write)
	switch {
	case err != nil && unmet && !isProblem(err):
		r.data.Walk.Silent(name) // a machine that is still to be created
		return
	case api.IsProblem(err, api.ProblemExists) && r.data.Walk.Holds(name, r.id(shared)):
		tfutil.StillHeld(name, r.id(shared), namePath, &resp.Diagnostics)
		return
	case err != nil:
		call.PlanFailed(r.yielded(name, spec.Claims(), err), &resp.Diagnostics)
		return
	}
	if update && plan.Forgotten && r.booted(ctx, req, shared, &resp.Diagnostics) {
		return
	}
	switch { // what a plan has said is no news once the apply is over
	case !applies(req):
		tfutil.Warn(plan.Conditions, call.Paths, shared.Machine, &resp.Diagnostics)
	case plan.Forgotten: // the plan could not ask
		tfutil.Warn(slices.Concat(foreseen.Conditions, plan.Conditions), call.Paths, shared.Machine, &resp.Diagnostics)
	}
	if len(plan.Missing) > 0 {
		if err := r.lacks(ctx, req.Config, spec, &resp.Diagnostics); err != nil {
			call.PlanFailed(err, &resp.Diagnostics)
		}
	}
	if update {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, impactPath, string(costlier(plan.Impact, foreseen.Impact)))...)
		return
	}
	r.adopt(shared, plan, approved, resp)
}

// booted refuses an update whose approved plan the machine does not know, as it
// was booted since: what was approved is not known to anybody but Terraform,
// which would take another impact for a bug. Where the machine runs on, nobody
// asked it before, as not all was known, and any impact is the first.
func (r *Resource[M, S]) booted(ctx context.Context, req resource.ModifyPlanRequest, shared *Model, diags *diag.Diagnostics) bool {
	seen := tfutil.Seen(ctx, req.Private) // by the refresh of the plan
	agent, err := r.data.Agents.Agent(shared.Machine)
	if err != nil || seen.IsZero() || !applies(req) {
		return false
	}
	info, err := agent.Info(ctx)
	if err != nil || !info.BootedAt.After(seen) {
		return false
	}
	tfutil.Error(diags, machinePath, "The machine was booted after the plan",
		"Machine %q was booted at %s, after this plan was made. It no longer knows which impact the plan has shown for %s, and the change may cost more by now. Nothing was changed there. Plan again.",
		shared.Machine.Name.ValueString(), info.BootedAt.UTC().Format("2006-01-02 15:04:05 UTC"), r.id(shared))
	return true
}

// isProblem reports whether an agent has answered.
func isProblem(err error) bool {
	_, ok := errors.AsType[*api.Problem](err)
	return ok
}

// lacks says why an artifact that the machine lacks will not come with an
// apply; nil if it will.
func (r *Resource[M, S]) lacks(ctx context.Context, from tfsdk.Config, spec S, diags *diag.Diagnostics) error {
	var config M
	diags.Append(r.given(ctx, from, &config)...)
	if r.kind.Lacks == nil || diags.HasError() {
		return nil
	}
	return r.kind.Lacks(config, spec)
}

// yielded rewords a machine's refusal of ports for those whose holder gives
// them up in this plan: nothing says that it will be first to be applied. Of
// the two halves of a replacement, create_before_destroy has the new one first,
// and no provider is informed of it.
func (r *Resource[M, S]) yielded(machine string, claims []api.Claim, err error) error {
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok || problem.Type != api.ProblemClaimed {
		return err
	}
	shown := *problem
	shown.Violations = slices.Clone(problem.Violations)
	for i, v := range shown.Violations {
		switch {
		case r.data.Walk.Leaves(machine, v.Holder):
			shown.Violations[i].Detail = fmt.Sprintf("%s on machine %q holds the port, and this plan destroys it. Terraform may create the new one before that, which would fail. "+
				"Take two steps: first an apply that removes the old one or gives the new one another port, then the rest", v.Holder, machine)
		case r.data.Claims.Yields(machine, v.Holder, claims):
			shown.Violations[i].Detail = fmt.Sprintf("%s on machine %q holds the port, and gives it up in this plan. Terraform may apply that later. Take two steps: first change the port of %[1]s, in a separate apply", v.Holder, machine)
		case v.Holder != "":
			shown.Violations[i].Detail += fmt.Sprintf(". If this configuration removes or renames %s, apply that first, by itself", v.Holder)
		}
	}
	return &shown
}

// costlier returns the impact that costs more. One that only a newer agent
// knows costs the most.
func costlier(shown, foreseen api.Impact) api.Impact {
	ranks := api.Impacts()
	if rank := slices.Index(ranks, shown); rank >= 0 && rank < slices.Index(ranks, foreseen) {
		return foreseen
	}
	return shown
}

// applies reports whether the plan is the one that begins an apply. Terraform
// does not say so, but allows deferrals there (since 1.9, and in plans only on
// request), where it no longer refreshes.
func applies(req resource.ModifyPlanRequest) bool { return req.ClientCapabilities.DeferralAllowed }

func (r *Resource[M, S]) askPlan(ctx context.Context, shared *Model, base int64, write api.Write) (api.Plan, error) {
	agent, err := r.data.Agents.Agent(shared.Machine)
	if err != nil {
		return api.Plan{}, err
	}
	return agent.Plan(ctx, r.id(shared), base, write)
}

// importHint returns the command that brings the component into the state.
func (r *Resource[M, S]) importHint(shared *Model) string {
	id := tfutil.ImportID{
		Machine: shared.Machine.Name.ValueString(),
		Address: shared.Machine.Address.ValueString(),
		Name:    shared.Name.ValueString(),
	}
	return "terraform import foobar_" + r.kind.TypeName + ".<label> '" + id.String() + "'"
}

// ImportState implements [resource.ResourceWithImportState]. Read does the rest.
func (r *Resource[M, S]) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if req.ID == "" {
		resp.Diagnostics.AddError("Import needs the machine's address",
			"An identity names the machine but not where it is. Import by id: <machine>@<address>/<name>.")
		return
	}
	id, err := tfutil.ParseImportID(req.ID)
	if err != nil {
		resp.Diagnostics.AddError("Invalid import id", tfutil.Sentence(err))
		return
	}
	machine := tfutil.Machine{Name: types.StringValue(id.Machine), Address: types.StringValue(id.Address)}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, machinePath, machine)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, namePath, id.Name)...)
	shared := &Model{Machine: machine, Name: types.StringValue(id.Name)}
	resp.Diagnostics.Append(shared.setIdentity(ctx, resp.Identity)...)
}
