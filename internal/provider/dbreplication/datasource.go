package dbreplication

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/component"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// view is the data source's model. Everything is null where nothing is known.
type view struct {
	component.ViewModel
	CurrentPrimary *string                `tfsdk:"current_primary"`
	Epoch          *uint64                `tfsdk:"epoch"`
	Writable       *bool                  `tfsdk:"writable"`
	Members        map[string]memberView  `tfsdk:"members"`
	Witnesses      map[string]witnessView `tfsdk:"witnesses"`
}

type memberView struct {
	Reachable       bool    `tfsdk:"reachable"`
	Reason          *string `tfsdk:"reason"`
	Role            *string `tfsdk:"role"`
	State           string  `tfsdk:"state"`
	Version         *string `tfsdk:"version"`
	Epoch           uint64  `tfsdk:"epoch"`
	Writable        bool    `tfsdk:"writable"`
	Position        *string `tfsdk:"position"`
	Source          *string `tfsdk:"source"`
	Receiver        *string `tfsdk:"receiver"`
	ReceiverError   *string `tfsdk:"receiver_error"`
	Applier         *string `tfsdk:"applier"`
	ApplierError    *string `tfsdk:"applier_error"`
	LagMilliseconds *int64  `tfsdk:"lag_milliseconds"`
}

type witnessView struct {
	Reachable bool    `tfsdk:"reachable"`
	Reason    *string `tfsdk:"reason"`
	Epoch     uint64  `tfsdk:"epoch"`
}

// NewDataSource returns the data source foobar_db_replication.
func NewDataSource() datasource.DataSource {
	return component.NewDataSource(component.View[view, api.DBReplicationStatus]{
		Kind:     api.KindDBReplication,
		TypeName: typeName,
		Title:    title,
		Description: "What moves by itself in a replication: who is the primary, whether it takes writes, where each member stands and how far it lags, conditions. " +
			"The machine to ask is the primary's.",
		Attributes: statusAttributes(),
		Shared:     func(v *view) *component.ViewModel { return &v.ViewModel },
		Show:       show,
	}, kind())
}

// show sets a view to what status says.
func show(status api.DBReplicationStatus, v *view) {
	v.CurrentPrimary = tfutil.Optional(status.CurrentPrimary)
	v.Epoch, v.Writable = &status.Epoch, &status.Writable
	v.Members, v.Witnesses = map[string]memberView{}, map[string]witnessView{}
	for name, m := range status.Members {
		v.Members[name] = memberView{
			Reachable: m.Reachable, Reason: tfutil.Optional(m.Reason), Role: tfutil.Optional(string(m.Role)), State: m.State,
			Version: tfutil.Optional(m.Version), Epoch: m.Epoch, Writable: m.Writable,
			Position: tfutil.Optional(m.Position), Source: tfutil.Optional(m.Source),
			Receiver: tfutil.Optional(m.Receiver), ReceiverError: tfutil.Optional(m.ReceiverError),
			Applier: tfutil.Optional(m.Applier), ApplierError: tfutil.Optional(m.ApplierError), LagMilliseconds: m.LagMilliseconds,
		}
	}
	for name, w := range status.Witnesses {
		v.Witnesses[name] = witnessView{Reachable: w.Reachable, Reason: tfutil.Optional(w.Reason), Epoch: w.Epoch}
	}
}

func statusAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"current_primary": text("The member that is the primary now; null if none is known to be."),
		"epoch":           number("Counts the changes of the primary."),
		"writable":        flag("Whether the primary takes writes now."),
		"members": schema.MapNestedAttribute{
			MarkdownDescription: "The members, by the names of their machines. Of one that is not reachable only its role is known.",
			Computed:            true,
			NestedObject:        schema.NestedAttributeObject{Attributes: memberStatusAttributes()},
		},
		"witnesses": schema.MapNestedAttribute{
			MarkdownDescription: "The witnesses, by the names of their machines.",
			Computed:            true,
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"reachable": flag("Whether its agent answered."),
				"reason":    text("Why not; null if it did."),
				"epoch":     number("The epoch that it has recorded."),
			}},
		},
	}
}

func memberStatusAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"reachable":        flag("Whether its agent and its database answered."),
		"reason":           text("Why not; null if they did."),
		"role":             text("What it is: `primary` or `replica`."),
		"state":            text("What it does: `open`, `fenced`, `following`, `connecting`, `stopped`, `seeding`, `joining` or `unreachable`."),
		"version":          text("Version of the engine."),
		"epoch":            number("The epoch that its agent has recorded."),
		"writable":         flag("Whether it takes writes now."),
		"position":         text("Where its data stand, as the engine counts: a GTID position."),
		"source":           text("The member that it follows; null if none."),
		"receiver":         text("State of the thread that receives changes; null on the primary."),
		"receiver_error":   text("Why that thread does not run; null without an error."),
		"applier":          text("State of the threads that apply changes; null on the primary."),
		"applier_error":    text("Why these do not run; null without an error."),
		"lag_milliseconds": number("How far it lags behind the primary, in milliseconds; null if that is not known, which is not 0."),
	}
}

func text(description string) schema.Attribute {
	return schema.StringAttribute{MarkdownDescription: description, Computed: true}
}

func number(description string) schema.Attribute {
	return schema.Int64Attribute{MarkdownDescription: description, Computed: true}
}

func flag(description string) schema.Attribute {
	return schema.BoolAttribute{MarkdownDescription: description, Computed: true}
}
