package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// Create implements [resource.Resource]. On a component that is there with
// the same spec it adopts; one with another spec is an error of the agent.
func (r *Resource[M, S]) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var model, config M
	resp.Diagnostics.Append(req.Plan.Get(ctx, &model)...)
	resp.Diagnostics.Append(r.given(ctx, req.Config, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	shared := r.kind.Shared(&model)
	resp.Diagnostics.Append(shared.setIdentity(ctx, resp.Identity)...)
	w := write[M, S]{
		resource: r, model: &model, config: config,
		timeout: timeout(ctx, shared.Timeouts.Create, &resp.Diagnostics),
		owner:   tfutil.NewLineage(), takesOver: r.data.Walk.Adopts(shared.Machine.Name.ValueString(), r.id(shared)),
	}
	ended, err := r.data.Walk.Create(ctx, shared.Machine.Name.ValueString(), r.id(shared))
	if err != nil {
		tfutil.Call{Machine: shared.Machine}.WriteFailed(err, &resp.Diagnostics)
		return
	}
	w.do(ctx, &resp.Diagnostics)
	made := !resp.Diagnostics.HasError() || w.unsettled
	ended(made)
	if made {
		// What may have come to be is saved along with the error, so that it is not lost.
		resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
		resp.Diagnostics.Append(tfutil.SetSeen(ctx, resp.Private, r.data.Now())...)
		resp.Diagnostics.Append(r.keep(ctx, config, resp.Private)...)
		resp.Diagnostics.Append(w.keep(ctx, resp.Private)...)
		resp.Diagnostics.Append(r.keepSecrets(ctx, config, tfutil.Fingerprints{}, true, resp.Private)...)
	}
}

// keep notes what the next plan has to know of a configuration.
func (r *Resource[M, S]) keep(ctx context.Context, config M, to tfutil.PrivateWriter) diag.Diagnostics {
	if r.kind.Keep == nil {
		return nil
	}
	return r.kind.Keep(ctx, config, to)
}

// Update implements [resource.Resource].
func (r *Resource[M, S]) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var model, before, config M
	resp.Diagnostics.Append(req.Plan.Get(ctx, &model)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &before)...)
	resp.Diagnostics.Append(r.given(ctx, req.Config, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	shared := r.kind.Shared(&model)
	resp.Diagnostics.Append(shared.setIdentity(ctx, resp.Identity)...)
	if shared.Generation.IsUnknown() { // ModifyPlan keeps it where nothing is to be called
		w := write[M, S]{
			resource: r, model: &model, config: config,
			base:    base(r.kind.Shared(&before), shared),
			timeout: timeout(ctx, shared.Timeouts.Update, &resp.Diagnostics),
			owner:   lineage(ctx, req.Private), takesOver: tfutil.GetTaking(ctx, req.Private).From, held: true,
			steady: r.keepsMoving(req.Plan.Raw),
		}
		if w.do(ctx, &resp.Diagnostics); !resp.Diagnostics.HasError() {
			resp.Diagnostics.Append(tfutil.SetSeen(ctx, resp.Private, r.data.Now())...)
			resp.Diagnostics.Append(w.keep(ctx, resp.Private)...)
			resp.Diagnostics.Append(r.left(ctx, before, &model)...)
			rebuilt := !shared.Machine.Same(r.kind.Shared(&before).Machine)
			resp.Diagnostics.Append(r.keepSecrets(ctx, config, tfutil.ReadFingerprints(ctx, req.Private), rebuilt, resp.Private)...)
		}
	}
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
		resp.Diagnostics.Append(r.keep(ctx, config, resp.Private)...)
	}
}

// keepsMoving reports whether a plan says what moves by itself, as it was before.
func (r *Resource[M, S]) keepsMoving(plan tftypes.Value) bool {
	attributes := attributesOf(plan)
	return !slices.ContainsFunc(r.kind.Moving, func(name string) bool { return !attributes[name].IsKnown() })
}

// lineage returns the lineage of a resource, a new one if it has none.
func lineage(ctx context.Context, private tfutil.PrivateReader) string {
	if known := tfutil.Lineage(ctx, private); known != "" {
		return known
	}
	return tfutil.NewLineage()
}

// base returns the generation that a write of after is based on: that of
// the state, and 0 on another VM, which knows nothing yet.
func base(before, after *Model) int64 {
	if !after.Machine.Same(before.Machine) {
		return 0
	}
	return before.Generation.ValueInt64()
}

// given reads a configuration. One that cannot say which machine it is, since
// that follows from elsewhere, has one of which nothing is said.
func (r *Resource[M, S]) given(ctx context.Context, config tfsdk.Config, model *M) diag.Diagnostics {
	attributes := attributesOf(config.Raw)
	if machine, ok := attributes["machine"]; ok && r.kind.MachineAt != nil {
		attributes["machine"] = saidNothing(machine.Type())
		config.Raw = tftypes.NewValue(config.Raw.Type(), attributes)
	}
	return config.Get(ctx, model)
}

// saidNothing returns an object whose attributes are all null.
func saidNothing(of tftypes.Type) tftypes.Value {
	object, ok := of.(tftypes.Object)
	if !ok {
		return tftypes.NewValue(of, nil)
	}
	values := make(map[string]tftypes.Value, len(object.AttributeTypes))
	for name, attribute := range object.AttributeTypes {
		values[name] = tftypes.NewValue(attribute, nil)
	}
	return tftypes.NewValue(of, values)
}

// partly reads a state of which an import has filled in only machine and
// name. What is null is the zero value where the model cannot hold a null.
func partly(ctx context.Context, state tfsdk.State, model any) diag.Diagnostics {
	value, err := state.Schema.Type().ValueFromTerraform(ctx, state.Raw)
	object, ok := value.(types.Object)
	if err != nil || !ok {
		return state.Get(ctx, model) // which says what is wrong
	}
	return object.As(ctx, model, basetypes.ObjectAsOptions{UnhandledNullAsEmpty: true})
}

// Read implements [resource.Resource].
func (r *Resource[M, S]) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var model M
	resp.Diagnostics.Append(partly(ctx, req.State, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	shared := r.kind.Shared(&model)
	resp.Diagnostics.Append(shared.setIdentity(ctx, resp.Identity)...)
	r.data.Walk.Read(shared.Machine.Name.ValueString(), r.id(shared), tfutil.Lineage(ctx, req.Private))
	call := tfutil.Call{Machine: shared.Machine, Seen: tfutil.Seen(ctx, req.Private), Now: r.data.Now(), Forget: r.data.Forget}
	component, err := r.component(ctx, shared)
	if api.IsProblem(err, api.ProblemNotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	imported, unrecorded := shared.Generation.IsNull(), false
	if lost := damaged(err); lost != nil && !imported { // the next apply writes it again
		shared.Drift = driftValue(map[string]api.Drift{lost.File: {Detail: lost.Error()}}, r.paths(ctx))
		resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
		return
	}
	if err == nil && r.isTaken(ctx, component, imported, shared.Machine, req.Private, resp) {
		return
	}
	if err == nil {
		unrecorded, err = r.show(ctx, component, &model)
	}
	refusal := call.Refusal(err)
	resp.Diagnostics.Append(tfutil.SetRefusal(ctx, resp.Private, refusal)...)
	switch {
	case err != nil && imported:
		call.WriteFailed(err, &resp.Diagnostics) // there is nothing yet to be kept
		return
	case refusal != tfutil.Refusal{} && r.data.Walk.Changes(shared.Machine):
		return // the plan of the machine has what to do about it
	case err != nil:
		call.ReadFailed(err, &resp.Diagnostics)
		return
	}
	tfutil.WarnSeen(component.Conditions, r.paths(ctx), call.Machine, r.data.Now(), &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
	resp.Diagnostics.Append(tfutil.SetSeen(ctx, resp.Private, r.data.Now())...)
	resp.Diagnostics.Append(tfutil.SetUnrecorded(ctx, resp.Private, unrecorded)...)
}

// damaged returns the problem of a component whose record the machine cannot
// read, nil if err is another one.
func damaged(err error) *api.Problem {
	if problem, ok := errors.AsType[*api.Problem](err); ok && problem.Type == api.ProblemDamaged {
		return problem
	}
	return nil
}

// underWayPause is how long a read waits before it asks again for a component
// that is being created or removed.
const underWayPause = time.Second

// component asks the machine for the component. One that a run which was
// interrupted is still creating or removing is waited for: the operation ends by itself.
func (r *Resource[M, S]) component(ctx context.Context, shared *Model) (api.Component, error) {
	agent, err := r.data.Agents.Agent(shared.Machine)
	if err != nil {
		return api.Component{}, err
	}
	component, err := agent.Get(ctx, r.id(shared))
	for api.IsProblem(err, api.ProblemCreating) || api.IsProblem(err, api.ProblemDeleting) {
		select {
		case <-ctx.Done():
			return api.Component{}, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		case <-time.After(underWayPause):
		}
		component, err = agent.Get(ctx, r.id(shared))
	}
	if err != nil {
		return api.Component{}, err
	}
	return component, met(ctx, agent, shared)
}

// met fills in which VM it is, where an import or a configuration that names
// only machine and address leaves it open.
func met(ctx context.Context, agent tfutil.Agent, shared *Model) error {
	machine := &shared.Machine
	noKey, noIncarnation := machine.Key.ValueString() == "", machine.Incarnation.ValueInt64() == 0 // null or unknown
	if !noKey && !noIncarnation {
		return nil
	}
	info, err := agent.Info(ctx)
	if err != nil {
		return err
	}
	if noKey {
		machine.Key = types.StringValue(info.Key)
	}
	if noIncarnation {
		machine.Incarnation = types.Int64Value(info.Incarnation)
	}
	return nil
}

// show sets the model to what the machine answered, and reports whether that
// is another spec than was applied.
func (r *Resource[M, S]) show(ctx context.Context, component api.Component, model *M) (unrecorded bool, err error) {
	spec, err := r.decode(component.Observed)
	if err != nil {
		return false, err
	}
	recorded, err := r.decode(component.Spec)
	if err != nil {
		return false, err
	}
	r.kind.Show(spec, model)
	shared := r.kind.Shared(model)
	shared.Generation = types.Int64Value(component.Generation)
	shared.Drift = driftValue(component.Drift, r.paths(ctx))
	// What is applied costs nothing any more, so that the next plan shows its own cost.
	shared.Impact = types.StringValue(string(api.ImpactNone))
	if r.kind.Status != nil {
		if err := r.kind.Status(component.Status, model); err != nil {
			return false, fmt.Errorf("read the status that the agent answered: %w", err)
		}
	}
	return !bytes.Equal(api.Encode(spec), api.Encode(recorded)), nil
}

// Delete implements [resource.Resource]. A machine has one component of a name:
// where another object of it was created on this walk, as create_before_destroy
// has it, the component stays.
func (r *Resource[M, S]) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var model M
	resp.Diagnostics.Append(req.State.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	shared := r.kind.Shared(&model)
	call := tfutil.Call{Machine: shared.Machine, Paths: r.paths(ctx), Forget: r.data.Forget}
	name := shared.Machine.Name.ValueString()
	stays, ended, err := r.data.Walk.Delete(ctx, name, r.id(shared))
	if err != nil {
		call.DeleteFailed(err, &resp.Diagnostics)
		return
	}
	defer ended()
	if stays {
		tflog.Info(ctx, "The component stays: it belongs to the object that this apply has created", map[string]any{"machine": name, "component": r.id(shared).String()})
		return
	}
	agent, err := r.data.Agents.Agent(shared.Machine)
	if err == nil {
		limit := timeout(ctx, shared.Timeouts.Delete, &resp.Diagnostics)
		ctx, cancel := bound(ctx, limit)
		defer cancel()
		change := client.Change{
			ID: r.id(shared), Base: shared.Generation.ValueInt64(),
			Write: api.Write{
				Owner: tfutil.Lineage(ctx, req.Private), TakesOver: tfutil.GetTaking(ctx, req.Private).From,
				TimeoutSeconds: seconds(limit), Forget: r.forgotten(model),
			},
		}
		_, err = agent.Delete(ctx, change, tfutil.Progress(ctx, shared.Machine, change.ID))
	}
	if err == nil || api.IsProblem(err, api.ProblemNotFound) {
		resp.Diagnostics.Append(r.left(ctx, model, nil)...)
		return
	}
	if problem := api.AsProblem(err); problem.Type == api.ProblemOwned {
		forgotten(problem.Detail, &resp.Diagnostics)
		return
	}
	call.DeleteFailed(err, &resp.Diagnostics)
}

// left takes away what only a part in the component was good for.
func (r *Resource[M, S]) left(ctx context.Context, before M, after *M) diag.Diagnostics {
	if r.kind.Left == nil {
		return nil
	}
	return r.kind.Left(ctx, r.data, before, after)
}

// forgotten names the other machines that have a part in a component and are
// gone for good; nil if there are none.
func (r *Resource[M, S]) forgotten(model M) []string {
	if r.kind.Others == nil {
		return nil
	}
	var gone []string
	for _, name := range r.kind.Others(model) {
		if r.data.Forget[name] {
			gone = append(gone, name)
		}
	}
	return gone
}

// queueing is how long an operation may wait for its turn on the machine,
// beyond the time that it takes itself.
const queueing = 15 * time.Minute

// bound returns the context of an operation that may run for the given time.
func bound(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, timeout+queueing)
}
