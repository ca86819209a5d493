// Package bootstrap is the resource foobar_bootstrap: what a machine is given
// before it exists. It is derived from the seed once per incarnation and then
// kept, so that a plan needs no seed; no machine is ever called.
package bootstrap

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

const description = `What a new VM needs at its first boot: its name, the deployment's CA, and a key that enrols it once.
Give a cloud's VM ` + "`user_data`" + `, and any other ` + "`json`" + ` as the systemd credential ` + "`foobar.bootstrap`" + ` or as ` + "`/etc/foobar/bootstrap.json`" + `.

It is derived from the provider's ` + "`ca_seed`" + ` and kept in the state, so that a later plan needs no seed. The enrolment key in it works once;
a rebuilt VM needs a new one, which it gets with a higher ` + "`incarnation`" + `.
Clouds replace a VM whose user-data changes: let the VM ` + "`ignore_changes = [user_data]`" + `.`

// defaultListen returns every address of the machine, at the agents' port.
func defaultListen() string { return ":" + strconv.Itoa(api.DefaultPort) }

// Resource is the resource foobar_bootstrap.
type Resource struct{ data *tfutil.Data }

var (
	_ resource.ResourceWithConfigure   = (*Resource)(nil)
	_ resource.ResourceWithModifyPlan  = (*Resource)(nil)
	_ resource.ResourceWithImportState = (*Resource)(nil)
)

// NewResource returns the resource.
func NewResource() resource.Resource { return &Resource{} }

// Metadata implements [resource.Resource].
func (r *Resource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_bootstrap"
}

// Configure implements [resource.ResourceWithConfigure].
func (r *Resource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.data = tfutil.DataFrom(req.ProviderData, &resp.Diagnostics)
}

// Schema implements [resource.Resource].
func (r *Resource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				MarkdownDescription: "Name of the machine: " + tfutil.NameText() + ". Another name replaces the resource.",
				Required:            true,
				Validators:          []validator.String{tfutil.Name()},
				PlanModifiers:       []planmodifier.String{tfutil.ReplaceIfRenamed()},
			},
			"incarnation": schema.Int64Attribute{
				MarkdownDescription: "Which VM of that name it is for, from 1, the default. Raise it together with that of `foobar_machine` when the VM is rebuilt.",
				Optional:            true,
				Computed:            true,
				Default:             int64default.StaticInt64(1),
				Validators:          []validator.Int64{tfutil.Incarnation()},
			},
			"listen": schema.StringAttribute{
				MarkdownDescription: fmt.Sprintf("Where the agent listens, `host:port`, of which the host may be missing for every address. Default `%s`.", defaultListen()),
				Optional:            true,
				Computed:            true,
				Default:             stringdefault.StaticString(defaultListen()),
				Validators:          []validator.String{tfutil.Check("Invalid address", "an address of the machine and a port", api.CheckListen)},
			},
			"json": schema.StringAttribute{
				MarkdownDescription: "The document itself.",
				Computed:            true,
				Sensitive:           true,
			},
			"user_data": schema.StringAttribute{
				MarkdownDescription: "A cloud-init document that puts it where the agent looks for it.",
				Computed:            true,
				Sensitive:           true,
			},
			"ca_certificate": schema.StringAttribute{
				MarkdownDescription: "The deployment's CA certificate in PEM, no secret: with it the clients of a service, such as a database, verify who answers.",
				Computed:            true,
			},
		},
	}
}

// ModifyPlan implements [resource.ResourceWithModifyPlan]: the CA certificate
// follows from the configuration alone, so that an app which is informed of it
// shows in its own plan what will change.
func (r *Resource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return // a deletion
	}
	var m model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	r.identify(ctx, m, req, resp)
	if resp.Diagnostics.HasError() || r.data == nil || !m.CACertificate.IsUnknown() {
		return
	}
	authority, err := r.data.Credentials.Authority()
	if err != nil {
		return // the apply tells of it: the seed may be known only then
	}
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("ca_certificate"), pki.EncodeCertificate(authority.Certificate()))...)
}

// identify enters which machine's bootstrap the resource is: two VMs with the
// same one are the same machine, and only the first is enrolled.
func (r *Resource) identify(ctx context.Context, m model, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if resp.Diagnostics.HasError() || r.data == nil {
		return
	}
	instance := tfutil.Instance(ctx, !req.State.Raw.IsNull(), req.Private, resp.Private, &resp.Diagnostics)
	if !m.Name.IsUnknown() {
		r.data.ClaimIdentity(m.Name.ValueString(), api.ID{Kind: "bootstrap of machine"}, instance, path.Root("name"), &resp.Diagnostics)
	}
}

// Create implements [resource.Resource].
func (r *Resource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	r.derive(&m, &resp.Diagnostics)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	}
}

// Read implements [resource.Resource]: what was derived stays as it is. A state
// in which the CA certificate does not stand by itself has it in the document.
func (r *Resource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m model
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || !m.CACertificate.IsNull() {
		return
	}
	if document, err := api.ParseBootstrap([]byte(m.JSON.ValueString())); err == nil {
		m.show(document)
		resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	}
}

// Update implements [resource.Resource].
func (r *Resource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	r.derive(&m, &resp.Diagnostics)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	}
}

// Delete implements [resource.Resource]: nobody has to be notified.
func (r *Resource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// ImportState implements [resource.ResourceWithImportState]. The id is
// "<name>" or "<name>/<incarnation>"; the document is derived again.
func (r *Resource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	name, number, numbered := strings.Cut(req.ID, "/")
	m := model{Name: types.StringValue(name), Incarnation: types.Int64Value(1), Listen: types.StringValue(defaultListen())}
	if numbered {
		incarnation, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			resp.Diagnostics.AddError("Invalid import id", fmt.Sprintf("%q is not <name> or <name>/<incarnation>, such as \"web1/2\".", req.ID))
			return
		}
		m.Incarnation = types.Int64Value(incarnation)
	}
	r.derive(&m, &resp.Diagnostics)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	}
}

// derive completes the model with the document.
func (r *Resource) derive(m *model, diags *diag.Diagnostics) {
	if diags.HasError() {
		return
	}
	authority, err := r.data.Credentials.Authority()
	if err != nil {
		tfutil.Error(diags, path.Empty(), "The bootstrap cannot be derived", "%s", tfutil.Sentence(err))
		return
	}
	document, err := pki.NewBootstrap(authority, m.Name.ValueString(), m.Incarnation.ValueInt64(), m.Listen.ValueString())
	if err != nil {
		tfutil.Error(diags, path.Empty(), "The bootstrap cannot be derived", "%s", tfutil.Sentence(err))
		return
	}
	m.show(document)
}

type model struct {
	Name          types.String `tfsdk:"name"`
	Incarnation   types.Int64  `tfsdk:"incarnation"`
	Listen        types.String `tfsdk:"listen"`
	JSON          types.String `tfsdk:"json"`
	UserData      types.String `tfsdk:"user_data"`
	CACertificate types.String `tfsdk:"ca_certificate"`
}

// show sets what follows from the document.
func (m *model) show(document api.Bootstrap) {
	m.JSON = types.StringValue(string(document.JSON()))
	m.UserData = types.StringValue(document.UserData())
	m.CACertificate = types.StringValue(strings.Join(document.CA, ""))
}
