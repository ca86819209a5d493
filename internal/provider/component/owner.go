package component

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// isTaken compares the owner of a component that was read with the resource,
// and reports whether it belongs to another state. Then the resource keeps what
// it knew, and a plan of it changes nothing.
//
// An import makes the resource the owner once it is in a state that was saved:
// at the first write or the first refresh after it. A plan with an import block
// may never be applied, and must take nothing.
func (r *Resource[M, S]) isTaken(ctx context.Context, c api.Component, imported bool, machine tfutil.Machine, before tfutil.PrivateReader, resp *resource.ReadResponse) bool {
	owner, mine, taking := c.Ownership.Owner, tfutil.Lineage(ctx, before), tfutil.GetTaking(ctx, before)
	diags := &resp.Diagnostics
	switch {
	case imported:
		diags.Append(tfutil.SetOwned(ctx, resp.Private, tfutil.NewLineage())...)
		diags.Append(tfutil.SetTaking(ctx, resp.Private, tfutil.Taking{From: owner, Pending: true})...)
		if owner != "" {
			tfutil.Warning(diags, path.Empty(), "The import takes the component over", "%s on machine %q %s", c.ID, machine.Name.ValueString(), takeover(api.Adoption{
				Ownership: c.Ownership, Applied: api.Ownership{Actor: c.Actor, Time: c.AppliedAt},
			}))
		}
		return false
	case owner == mine || owner == "" && !taking.Pending:
		diags.Append(tfutil.SetTaking(ctx, resp.Private, tfutil.Taking{})...)
		diags.Append(tfutil.SetTaken(ctx, resp.Private, api.Ownership{})...)
		return false
	case taking.Pending && owner == taking.From:
		r.own(ctx, c.ID, mine, taking.From, resp)
		return false
	}
	diags.Append(tfutil.SetTaken(ctx, resp.Private, c.Ownership)...)
	tfutil.Warning(diags, path.Empty(), "The component belongs to another state", "%s", takenText(c.ID, machine, c.Ownership))
	return true
}

// own makes the resource the owner of a component that it has imported. Where
// that fails, as for a role that only reads, the next refresh tries again.
func (r *Resource[M, S]) own(ctx context.Context, id api.ID, mine, from string, resp *resource.ReadResponse) {
	var model M
	resp.Diagnostics.Append(resp.State.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	agent, err := r.data.Agents.Agent(r.kind.Shared(&model).Machine)
	if err != nil {
		return
	}
	if _, err := agent.Own(ctx, id, api.Claiming{Owner: mine, TakesOver: from}); err == nil {
		resp.Diagnostics.Append(tfutil.SetTaking(ctx, resp.Private, tfutil.Taking{})...)
	}
}

func takenText(id api.ID, on tfutil.Machine, by api.Ownership) string {
	return fmt.Sprintf("%s on machine %q was taken over by %s, for another resource or another Terraform state. What is shown here is what was known before, and this state changes nothing of it. "+
		"To give it up, remove the resource from the configuration, or run terraform state rm ADDRESS with its address: that leaves the component in place, and is the way to destroy the rest, too. To take it back, import it after that.",
		id, on.Name.ValueString(), by.By())
}

// takeover says what it means to adopt what is another's, after the name of the
// component.
func takeover(a api.Adoption) string {
	text := "was last applied by " + a.Applied.By()
	if a.Owner == "" {
		return text + ", and belongs to no Terraform state. From then on it belongs to this resource."
	}
	return text + fmt.Sprintf(", and belongs to another resource since %s (%s), in this Terraform state or another. From then on it belongs to this resource. "+
		"That is right if the other state is lost or gives it up. One that is still in use says so at its next plan, and does not change or remove the component any more.",
		a.Time.UTC().Format("2006-01-02 15:04:05 UTC"), a.Actor)
}

// forgotten warns that a destroy leaves in place what belongs to another.
func forgotten(detail string, diags *diag.Diagnostics) {
	tfutil.Warning(diags, path.Empty(), "Forgotten, not removed", "%s. The resource leaves this state, and the component stays on its machine.", detail)
}
