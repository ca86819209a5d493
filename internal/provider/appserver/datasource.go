package appserver

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/component"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// view is the data source's model. Everything is null where nothing is known.
type view struct {
	component.ViewModel
	Release          *string             `tfsdk:"release"`
	SignedBy         *string             `tfsdk:"signed_by"`
	TrustedComment   *string             `tfsdk:"trusted_comment"`
	Slot             *string             `tfsdk:"slot"`
	Slots            map[string]slotView `tfsdk:"slots"`
	Healthy          *bool               `tfsdk:"healthy"`
	Health           *string             `tfsdk:"health"`
	PID              *int                `tfsdk:"pid"`
	Restarts         *int                `tfsdk:"restarts"`
	LivenessRestarts *int                `tfsdk:"liveness_restarts"`
	Log              []string            `tfsdk:"log"`
}

// slotView is one slot of the view.
type slotView struct {
	State   string  `tfsdk:"state"`
	Release *string `tfsdk:"release"`
	Detail  string  `tfsdk:"detail"`
}

// NewDataSource returns the data source foobar_app_server.
func NewDataSource() datasource.DataSource {
	return component.NewDataSource(component.View[view, api.AppServerStatus]{
		Kind:        api.KindAppServer,
		TypeName:    typeName,
		Title:       title,
		Description: "What moves by itself in an app server: the release that runs, its health, its recent log lines, conditions.",
		Attributes:  statusAttributes(),
		Shared:      func(v *view) *component.ViewModel { return &v.ViewModel },
		Show:        show,
	}, kind())
}

// show sets a view to what status says.
func show(status api.AppServerStatus, v *view) {
	v.Release = tfutil.Optional(status.Release)
	v.SignedBy, v.TrustedComment = tfutil.Optional(status.SignedBy), tfutil.Optional(api.Visible(status.TrustedComment))
	v.Slot = &status.Slot
	v.Slots = map[string]slotView{}
	for name, slot := range status.Slots {
		v.Slots[name] = slotView{State: string(slot.State), Release: tfutil.Optional(slot.Release), Detail: slot.Detail}
	}
	v.Healthy, v.Health = &status.Healthy, &status.Health
	v.PID, v.Restarts = &status.PID, &status.Restarts
	v.LivenessRestarts = &status.LivenessRestarts
	v.Log = append([]string{}, status.Log...)
}

func statusAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"release":         schema.StringAttribute{MarkdownDescription: "SHA-256 of the release that runs; null if none does.", Computed: true},
		"signed_by":       schema.StringAttribute{MarkdownDescription: "Identifier of the minisign key that has signed the release that was applied; null without `release.signature`.", Computed: true},
		"trusted_comment": schema.StringAttribute{MarkdownDescription: "What the signature says of the release that was applied, such as its version; null without `release.signature`.", Computed: true},
		"slot":            schema.StringAttribute{MarkdownDescription: "Slot that the traffic goes to, `blue` or `green`.", Computed: true},
		"slots": schema.MapNestedAttribute{
			MarkdownDescription: "Both slots, by name.",
			Computed:            true,
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"state": schema.StringAttribute{
					MarkdownDescription: "`live`: the traffic goes here. `down`: it would, but the app does not run. `empty`: the next release starts here. " +
						"`starting`: a release starts here, beside the live one. `draining`: the release before the live one finishes its requests here, and stops. " +
						"`left`: an app runs that no traffic goes to, as after a change that could not be undone completely. It is `drift`, and the next apply stops it.",
					Computed: true,
				},
				"release": schema.StringAttribute{MarkdownDescription: "SHA-256 of the release in the slot; null if there is none.", Computed: true},
				"detail":  schema.StringAttribute{MarkdownDescription: "The state, for a person.", Computed: true},
			}},
		},
		"healthy":           schema.BoolAttribute{MarkdownDescription: "Whether the app answers its health check now.", Computed: true},
		"health":            schema.StringAttribute{MarkdownDescription: "What the app answered, for a person.", Computed: true},
		"pid":               schema.Int64Attribute{MarkdownDescription: "The app's main process, 0 if there is none.", Computed: true},
		"restarts":          schema.Int64Attribute{MarkdownDescription: "How often the machine has restarted the app since it was deployed.", Computed: true},
		"liveness_restarts": schema.Int64Attribute{MarkdownDescription: "How often the agent has restarted the app since the boot because it failed its liveness check.", Computed: true},
		"log": schema.ListAttribute{
			MarkdownDescription: "The app's last lines since its last start, oldest first.",
			ElementType:         types.StringType,
			Computed:            true,
		},
	}
}
