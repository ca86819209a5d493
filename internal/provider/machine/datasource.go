package machine

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

const dataDescription = "The current state of a machine: whether it answers, what is wrong with it, its clock, its boot.\n\n" +
	"A machine that does not answer is `reachable = false` and a warning, not an error: a data source must not block the plan that works around a dead machine."

// DataSource is the data source foobar_machine.
type DataSource struct{ data *tfutil.Data }

var _ datasource.DataSourceWithConfigure = (*DataSource)(nil)

// NewDataSource returns the data source.
func NewDataSource() datasource.DataSource { return &DataSource{} }

// Metadata implements [datasource.DataSource].
func (d *DataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_machine"
}

// Configure implements [datasource.DataSourceWithConfigure].
func (d *DataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.data = tfutil.DataFrom(req.ProviderData, &resp.Diagnostics)
}

// Schema implements [datasource.DataSource].
func (d *DataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{MarkdownDescription: description, Computed: true}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: dataDescription,
		Attributes: map[string]schema.Attribute{
			"machine": tfutil.ViewedMachine(),
			"reachable": schema.BoolAttribute{
				MarkdownDescription: "Whether the machine answered and proved who it is. If not, everything else is null.",
				Computed:            true,
			},
			"healthy": schema.BoolAttribute{
				MarkdownDescription: "Whether none of its conditions is an error.",
				Computed:            true,
			},
			"conditions":    tfutil.ConditionsAttribute(),
			"agent_version": text("Version of its agent."),
			"image_id":      text("The image that it was made from."),
			"boot_id":       text("Names its present boot: another one than before means that it was restarted."),
			"booted_at":     text("When it was booted, as RFC 3339 writes it."),
			"clock_skew_seconds": schema.Int64Attribute{
				MarkdownDescription: "How many seconds its clock is ahead of the one here, rounded; negative if it is behind.",
				Computed:            true,
			},
			"certificate_expires": text("When its certificate ends, as RFC 3339 writes it."),
		},
	}
}

type dataModel struct {
	Machine            tfutil.Machine     `tfsdk:"machine"`
	Reachable          types.Bool         `tfsdk:"reachable"`
	Healthy            types.Bool         `tfsdk:"healthy"`
	Conditions         []tfutil.Condition `tfsdk:"conditions"`
	AgentVersion       types.String       `tfsdk:"agent_version"`
	ImageID            types.String       `tfsdk:"image_id"`
	BootID             types.String       `tfsdk:"boot_id"`
	BootedAt           types.String       `tfsdk:"booted_at"`
	ClockSkewSeconds   types.Int64        `tfsdk:"clock_skew_seconds"`
	CertificateExpires types.String       `tfsdk:"certificate_expires"`
}

// Read implements [datasource.DataSource].
func (d *DataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m dataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	info, at, err := d.ask(ctx, m.Machine)
	m.Reachable = types.BoolValue(err == nil)
	if err != nil {
		tfutil.Call{Machine: m.Machine}.LookFailed(err, &resp.Diagnostics)
	} else {
		m.show(info, at)
	}
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	}
}

// ask returns what the machine tells, and when it reported that by the clock here.
func (d *DataSource) ask(ctx context.Context, machine tfutil.Machine) (api.Info, time.Time, error) {
	agent, err := d.data.Agents.Agent(machine)
	if err != nil {
		return api.Info{}, time.Time{}, err
	}
	if _, err := agent.Info(ctx); err != nil { // the first call pays for the connection
		return api.Info{}, time.Time{}, err
	}
	before := d.data.Now()
	info, err := agent.Info(ctx)
	return info, before.Add(d.data.Now().Sub(before) / 2), err
}

// show sets what the machine reported, at the given time by the clock here.
func (m *dataModel) show(info api.Info, at time.Time) {
	m.Healthy = types.BoolValue(healthy(info.Conditions))
	m.Conditions = tfutil.Conditions(info.Conditions, tfutil.Paths{})
	m.AgentVersion = types.StringValue(info.Version)
	m.ImageID = types.StringValue(info.ImageID)
	m.BootID = types.StringValue(info.BootID)
	m.BootedAt = types.StringValue(info.BootedAt.UTC().Format(time.RFC3339))
	m.ClockSkewSeconds = types.Int64Value(int64(info.Time.Sub(at).Round(time.Second) / time.Second))
	m.CertificateExpires = types.StringValue(info.CertificateExpires.UTC().Format(time.RFC3339))
}

func healthy(conditions []api.Condition) bool {
	for _, c := range conditions {
		if c.Severity == api.SeverityError {
			return false
		}
	}
	return true
}
