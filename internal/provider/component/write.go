package component

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// write is one write of a component: the same for a create and an update.
type write[M any, S Spec] struct {
	resource *Resource[M, S]
	model    *M // what is planned, and then what came to be
	config   M
	base     int64
	timeout  time.Duration
	// owner is the resource's lineage, takesOver whom the component belongs to
	// as the plan showed; empty for nobody.
	owner, takesOver string
	// held tells that the state holds the component: it is an update.
	held bool
	// steady tells that the plan keeps what moves by itself.
	steady bool
	// unsettled tells, after a failure, that the operation had begun and its
	// end is not known.
	unsettled bool
}

// errReported ends a write of which diagnostics tell already what is wrong.
var errReported = errors.New("the machines could not be prepared")

// do carries out the write and completes the model.
func (w *write[M, S]) do(ctx context.Context, diags *diag.Diagnostics) {
	r, shared := w.resource, w.resource.kind.Shared(w.model)
	call := tfutil.Call{Machine: shared.Machine, Paths: r.paths(ctx), Import: r.importHint(shared)}
	ctx, cancel := bound(ctx, w.timeout)
	defer cancel()
	operation, err := w.apply(ctx, shared, diags)
	tfutil.Warn(operation.Warnings, r.paths(ctx), shared.Machine, diags)
	w.look(ctx, shared, err == nil)
	shared.Drift = noDrift()
	shared.Generation = types.Int64Value(operation.Generation)
	if shared.Impact.IsUnknown() {
		shared.Impact = types.StringNull() // no dry run could tell
	}
	if err != nil {
		shared.settle()
		if !errors.Is(err, errReported) {
			call.WriteFailed(err, diags)
		}
	}
}

// look completes the model with what moves by itself. What the machine does
// not tell, or another refresh will, is left out.
func (w *write[M, S]) look(ctx context.Context, shared *Model, applied bool) {
	show := w.resource.kind.Status
	if show == nil || w.steady {
		return
	}
	var status json.RawMessage
	if applied {
		if component, err := w.resource.component(ctx, shared); err == nil {
			status = component.Status
		}
	}
	if show(status, w.model) != nil {
		_ = show(nil, w.model) // nothing is known
	}
}

func (w *write[M, S]) apply(ctx context.Context, shared *Model, diags *diag.Diagnostics) (api.Operation, error) {
	r := w.resource
	spec, err := r.kind.Spec(*w.model)
	if err != nil {
		return api.Operation{}, err
	}
	agent, err := r.data.Agents.Agent(shared.Machine)
	if err != nil {
		return api.Operation{}, err
	}
	if err := met(ctx, agent, shared); err != nil {
		return api.Operation{}, err
	}
	if r.kind.Prepare != nil {
		shown, err := r.kind.Prepare(ctx, r.data, *w.model, w.config)
		diags.Append(shown...)
		if err == nil && shown.HasError() {
			err = errReported
		}
		if err != nil {
			return api.Operation{}, err
		}
	}
	body := api.Write{
		Spec: api.Encode(spec), Owner: w.owner, TakesOver: w.takesOver, TimeoutSeconds: seconds(w.timeout),
		Held: w.held && w.base == 0 && w.takesOver == "",
	}
	if w.adopts() {
		body.Owner, body.TakesOver = w.takesOver, ""
	}
	if r.kind.Secrets != nil {
		body.Secrets = r.kind.Secrets(w.config)
	}
	change := client.Change{ID: r.id(shared), Base: w.base, Write: body}
	operation, err := agent.Apply(ctx, change, tfutil.Progress(ctx, shared.Machine, change.ID))
	w.unsettled = begun(operation, err)
	if api.IsProblem(err, api.ProblemBlobMissing) && r.kind.Lacks != nil {
		if why := r.kind.Lacks(w.config, spec); why != nil {
			err = why
		}
	}
	if err == nil && w.adopts() {
		_, err = agent.Own(ctx, change.ID, api.Claiming{Owner: w.owner, TakesOver: w.takesOver})
	}
	return operation, err
}

// adopts reports whether the write creates what somebody else has created, or is
// creating: whoever was killed in the middle, for instance. It joins that one's
// operation, as the same change, and takes the component over once it is done.
func (w *write[M, S]) adopts() bool { return w.base == 0 && w.takesOver != "" }

// keep notes that the component is the resource's own; if the end of the write
// is not known, it may still have to be taken over.
func (w *write[M, S]) keep(ctx context.Context, to tfutil.PrivateWriter) diag.Diagnostics {
	diags := tfutil.SetOwned(ctx, to, w.owner)
	if w.unsettled && w.takesOver != "" {
		diags.Append(tfutil.SetTaking(ctx, to, tfutil.Taking{From: w.takesOver, Pending: true})...)
	}
	return diags
}

// begun reports whether a write that failed may go on on the machine. A
// problem is the agent's own word that it is over, and undone.
func begun(operation api.Operation, err error) bool {
	if _, over := errors.AsType[*api.Problem](err); err == nil || over {
		return false
	}
	lost, ok := errors.AsType[*client.Unreachable](err)
	return operation.ID != "" || ok && lost.Sent
}

// settle makes a model that may be saved of one whose write failed.
func (m *Model) settle() {
	if m.Machine.Key.IsUnknown() {
		m.Machine.Key = types.StringNull()
	}
	if m.Machine.Incarnation.IsUnknown() {
		m.Machine.Incarnation = types.Int64Null()
	}
}

// seconds rounds up, so that a short timeout does not become none.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
