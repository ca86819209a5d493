// Package machine is the resource and the data source foobar_machine.
package machine

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// DefaultTimeout bounds how long a machine that was just made may take to
// boot and be enrolled: a cloud's slow VM takes two or three minutes.
const DefaultTimeout = 5 * time.Minute

const description = "A VM that runs the agent. Creating it enrols the VM, which proves with the key from its `foobar_bootstrap` that it is the one meant; " +
	"a VM that is enrolled already is adopted. It waits for a VM that still boots.\n\n" +
	"Other resources say where they are with `machine = foobar_machine.web1`. Destroying it leaves the VM and its identity as they are, " +
	"so that the same VM can be adopted again.\n\n" +
	"When a VM was rebuilt, raise `incarnation` here and in its `foobar_bootstrap`: the next apply enrols the new VM and restores everything on it, " +
	"and replaces no resource."

// Resource is the resource foobar_machine.
type Resource struct{ data *tfutil.Data }

var (
	_ resource.ResourceWithConfigure   = (*Resource)(nil)
	_ resource.ResourceWithIdentity    = (*Resource)(nil)
	_ resource.ResourceWithImportState = (*Resource)(nil)
	_ resource.ResourceWithModifyPlan  = (*Resource)(nil)
)

// NewResource returns the resource.
func NewResource() resource.Resource { return &Resource{} }

// Metadata implements [resource.Resource].
func (r *Resource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_machine"
}

// Configure implements [resource.ResourceWithConfigure].
func (r *Resource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.data = tfutil.DataFrom(req.ProviderData, &resp.Diagnostics)
}

// Schema implements [resource.Resource].
func (r *Resource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				MarkdownDescription: "Name of the machine, as in its `foobar_bootstrap`: " + tfutil.NameText() + ". It is the only attribute whose change replaces the resource.",
				Required:            true,
				Validators:          []validator.String{tfutil.Name()},
				PlanModifiers:       []planmodifier.String{tfutil.ReplaceIfRenamed()},
			},
			"address": schema.StringAttribute{
				MarkdownDescription: "Where its agent is reached: a host or `host:port`; the port is 9443 if none is given. It proves nothing, and may change at any time.",
				Required:            true,
				Validators:          []validator.String{tfutil.Address()},
			},
			"incarnation": schema.Int64Attribute{
				MarkdownDescription: "Which VM of that name it is, from 1, the default. Raise it when the VM is rebuilt; it never goes down.",
				Optional:            true,
				Computed:            true,
				Default:             int64default.StaticInt64(1),
				Validators:          []validator.Int64{tfutil.Incarnation()},
			},
			"key":                 fact("The pin of the machine's public key. A machine that shows another one is refused: it was replaced, or it is an impostor."),
			"agent_version":       fact("Version of its agent."),
			"image_id":            fact("The image that it was made from."),
			"certificate_expires": fact("When its certificate ends. The first apply after it is a year old renews it."),
			"drift": schema.MapAttribute{
				MarkdownDescription: "CAs that only the machine trusts, or only the provider has, named by the pin of the key. The next apply gives the machine the provider's CAs. " +
					"The guide *Trust* says how a CA is exchanged.",
				ElementType: types.StringType,
				Computed:    true,
			},
			"timeouts": tfutil.TimeoutsAttribute(ctx, "How long Terraform waits for the machine to boot and be enrolled. When the time is up, the apply fails; the next one tries again.", timeouts.Opts{
				Create: true, Update: true,
				CreateDescription: "For a new machine. Default `5m`.",
				UpdateDescription: "For a rebuilt machine. Default `5m`.",
			}),
		},
	}
}

// fact returns an attribute that the machine tells.
func fact(description string) schema.StringAttribute {
	return schema.StringAttribute{MarkdownDescription: description, Computed: true}
}

// IdentitySchema implements [resource.ResourceWithIdentity].
func (r *Resource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"name": identityschema.StringAttribute{Description: "Name of the machine.", RequiredForImport: true},
	}}
}

// Create implements [resource.Resource].
func (r *Resource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	limit, diags := m.Timeouts.Create(ctx, DefaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(m.setIdentity(ctx, resp.Identity)...)
	if err := r.enroll(ctx, &m, limit); err != nil {
		m.call().WriteFailed(err, &resp.Diagnostics)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	resp.Diagnostics.Append(tfutil.SetSeen(ctx, resp.Private, r.data.Now())...)
}

// Update implements [resource.Resource]. A machine that is met at another
// address has to show the known key; one of a higher incarnation is enrolled.
func (r *Resource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, before model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &before)...)
	limit, diags := m.Timeouts.Update(ctx, DefaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(m.setIdentity(ctx, resp.Identity)...)
	var err error
	met := true
	switch {
	case m.Key.IsUnknown():
		err = r.enroll(ctx, &m, limit)
	case len(before.Drift.Elements()) > 0:
		err = r.renew(ctx, &m)
	case !m.Address.Equal(before.Address):
		_, err = r.meet(ctx, m.machine())
	default:
		met = false // patience alone is no matter of the machine
	}
	if err != nil {
		m.call().WriteFailed(err, &resp.Diagnostics)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	if met {
		resp.Diagnostics.Append(tfutil.SetSeen(ctx, resp.Private, r.data.Now())...)
	}
}

// enroll makes the machine a member of the deployment, or adopts one that is,
// and completes the model.
func (r *Resource) enroll(ctx context.Context, m *model, limit time.Duration) error {
	r.data.Walk.Enroll(m.Name.ValueString())
	agent, err := r.data.Agents.Agent(m.machine())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := agent.Enroll(ctx); err != nil {
		return err
	}
	info, err := usable(agent.Info(ctx))
	if err != nil {
		return err
	}
	m.show(info)
	m.showDrift(info.TrustedCAs, r.data.TrustedCAs)
	if len(m.Drift.Elements()) == 0 {
		return nil
	}
	m.Drift = noDrift()
	return r.renew(ctx, m) // a machine that is adopted may trust others
}

// renew gives the machine the provider's CAs in place of those that it trusts.
func (r *Resource) renew(ctx context.Context, m *model) error {
	agent, err := r.data.Agents.Agent(m.machine())
	if err != nil {
		return err
	}
	enrolled, err := agent.Renew(ctx)
	if err != nil {
		return err
	}
	m.CertificateExpires = types.StringValue(enrolled.Expires.UTC().Format(time.RFC3339))
	return nil
}

// meet asks the machine about itself; whoever answers has proved to be it.
func (r *Resource) meet(ctx context.Context, machine tfutil.Machine) (api.Info, error) {
	agent, err := r.data.Agents.Agent(machine)
	if err != nil {
		return api.Info{}, err
	}
	return usable(agent.Info(ctx))
}

// usable refuses an agent that does not speak what this provider speaks.
func usable(info api.Info, err error) (api.Info, error) {
	if err == nil {
		err = client.Require(info)
	}
	return info, err
}

// Read implements [resource.Resource].
func (r *Resource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m model
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(m.setIdentity(ctx, resp.Identity)...)
	call := m.call()
	call.Seen, call.Now, call.Forget = tfutil.Seen(ctx, req.Private), r.data.Now(), r.data.Forget
	info, err := r.meet(ctx, m.machine())
	refusal := call.Refusal(err)
	resp.Diagnostics.Append(tfutil.SetRefusal(ctx, resp.Private, refusal)...)
	switch {
	case err != nil && m.imported():
		call.WriteFailed(err, &resp.Diagnostics) // there is nothing yet to be kept
		return
	case refusal != tfutil.Refusal{}:
		return // the plan is refused, unless it changes what was wrong
	case err != nil:
		call.ReadFailed(err, &resp.Diagnostics)
		return
	}
	m.show(info)
	m.showDrift(info.TrustedCAs, r.data.TrustedCAs)
	tfutil.WarnSeen(info.Conditions, tfutil.Paths{}, call.Machine, r.data.Now(), &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	resp.Diagnostics.Append(tfutil.SetSeen(ctx, resp.Private, call.Now)...)
}

// Delete implements [resource.Resource]: the machine keeps its identity, and
// need not even be there.
func (r *Resource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// ImportState implements [resource.ResourceWithImportState]. Read does the rest.
func (r *Resource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if req.ID == "" {
		resp.Diagnostics.AddError("Import needs the machine's address",
			"An identity names the machine but not where it is. Import by id: <machine>@<address>.")
		return
	}
	id, err := tfutil.ParseMachineImportID(req.ID)
	if err != nil {
		resp.Diagnostics.AddError("Invalid import id", tfutil.Sentence(err))
		return
	}
	m := model{Name: types.StringValue(id.Machine)}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("name"), id.Machine)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, addressPath, id.Address)...)
	resp.Diagnostics.Append(m.setIdentity(ctx, resp.Identity)...)
}
