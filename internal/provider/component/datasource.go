package component

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// View is what a data source has to know of a kind: what moves by itself in a
// component. M is the data source's model, a struct that embeds [ViewModel];
// S is the kind's status.
type View[M, S any] struct {
	// Kind, TypeName and Title are those of the [Kind].
	Kind     api.Kind
	TypeName string
	Title    string
	// Description is the data source's page in Markdown, Attributes what it
	// has beyond those of [ViewModel].
	Description string
	Attributes  map[string]schema.Attribute
	// Shared returns the model's embedded part.
	Shared func(model *M) *ViewModel
	// Show sets the attributes of the model to what status says. It is not
	// called where nothing is known; they are null then.
	Show func(status S, model *M)
}

// ViewModel is the part that the models of all data sources of components
// share. They embed it.
type ViewModel struct {
	Machine    tfutil.Machine     `tfsdk:"machine"`
	Name       types.String       `tfsdk:"name"`
	Reachable  types.Bool         `tfsdk:"reachable"`
	Generation types.Int64        `tfsdk:"generation"`
	AppliedAt  types.String       `tfsdk:"applied_at"`
	Actor      types.String       `tfsdk:"actor"`
	Conditions []tfutil.Condition `tfsdk:"conditions"`
}

// DataSource is the data source of a kind.
type DataSource[M, S any] struct {
	view  View[M, S]
	paths func(ctx context.Context) tfutil.Paths
	data  *tfutil.Data
}

// NewDataSource returns the data source that goes with the resource of a kind.
func NewDataSource[M, S, R any, T Spec](view View[M, S], kind Kind[R, T]) datasource.DataSource {
	of := &Resource[R, T]{kind: kind}
	return &DataSource[M, S]{view: view, paths: of.paths}
}

var _ datasource.DataSourceWithConfigure = (*DataSource[struct{}, struct{}])(nil)

// Metadata implements [datasource.DataSource].
func (d *DataSource[M, S]) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + d.view.TypeName
}

// Schema implements [datasource.DataSource].
func (d *DataSource[M, S]) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := viewed(d.view.Title)
	maps.Copy(attributes, d.view.Attributes)
	resp.Schema = schema.Schema{MarkdownDescription: d.view.Description, Attributes: attributes}
}

// viewed returns the schema of [ViewModel].
func viewed(title string) map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"machine": tfutil.ViewedMachine(),
		"name": schema.StringAttribute{
			MarkdownDescription: fmt.Sprintf("Name of the %s on its machine: %s.", title, tfutil.NameText()),
			Required:            true,
			Validators:          []validator.String{tfutil.Name()},
		},
		"reachable": schema.BoolAttribute{
			MarkdownDescription: "Whether the machine answered. If not, there is a warning, and everything else is null.",
			Computed:            true,
		},
		"generation": schema.Int64Attribute{
			MarkdownDescription: "Counts the applied changes, from 1.",
			Computed:            true,
		},
		"applied_at": schema.StringAttribute{
			MarkdownDescription: "When the last change was applied, as RFC 3339 writes it.",
			Computed:            true,
		},
		"actor": schema.StringAttribute{
			MarkdownDescription: "Who applied it: the name in the client's certificate.",
			Computed:            true,
		},
		"conditions": tfutil.ConditionsAttribute(),
	}
}

// Configure implements [datasource.DataSourceWithConfigure].
func (d *DataSource[M, S]) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.data = tfutil.DataFrom(req.ProviderData, &resp.Diagnostics)
}

// Read implements [datasource.DataSource].
func (d *DataSource[M, S]) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model M
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	shared := d.view.Shared(&model)
	found, err := d.look(ctx, shared)
	if err == nil {
		err = d.show(ctx, found, &model)
	}
	shared.Reachable = types.BoolValue(err == nil)
	if err != nil {
		call := tfutil.Call{Machine: shared.Machine, Paths: d.paths(ctx), Resource: "foobar_" + d.view.TypeName}
		call.LookFailed(err, &resp.Diagnostics)
	}
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
	}
}

func (d *DataSource[M, S]) look(ctx context.Context, shared *ViewModel) (api.Component, error) {
	agent, err := d.data.Agents.Agent(shared.Machine)
	if err != nil {
		return api.Component{}, err
	}
	return agent.Get(ctx, api.ID{Kind: d.view.Kind, Name: shared.Name.ValueString()})
}

// show sets the model to what the machine answered. While an operation is at
// work there is no status, which a condition tells: what moves is null then.
func (d *DataSource[M, S]) show(ctx context.Context, found api.Component, model *M) error {
	if len(found.Status) > 0 {
		var status S
		if err := json.Unmarshal(found.Status, &status); err != nil {
			return fmt.Errorf("read the status that the agent answered: %w", err)
		}
		d.view.Show(status, model)
	}
	shared := d.view.Shared(model)
	shared.Generation = types.Int64Value(found.Generation)
	shared.AppliedAt = types.StringValue(found.AppliedAt.UTC().Format(time.RFC3339))
	shared.Actor = types.StringValue(found.Actor)
	shared.Conditions = tfutil.Conditions(found.Conditions, d.paths(ctx))
	return nil
}
