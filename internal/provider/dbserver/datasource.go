package dbserver

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/component"
)

// view is the data source's model. Everything is null where nothing is known.
type view struct {
	component.ViewModel
	Version     *string `tfsdk:"version"`
	PID         *int    `tfsdk:"pid"`
	Fenced      *bool   `tfsdk:"fenced"`
	Connections *int    `tfsdk:"connections"`
	DataBytes   *int64  `tfsdk:"data_bytes"`
	BinlogBytes *int64  `tfsdk:"binlog_bytes"`
}

// NewDataSource returns the data source foobar_db_server.
func NewDataSource() datasource.DataSource {
	return component.NewDataSource(component.View[view, api.DBServerStatus]{
		Kind:        api.KindDBServer,
		TypeName:    typeName,
		Title:       title,
		Description: "What moves by itself in a database server: whether it is fenced, its connections, the size of its data, conditions.",
		Attributes:  statusAttributes(),
		Shared:      func(v *view) *component.ViewModel { return &v.ViewModel },
		Show:        show,
	}, kind())
}

// show sets a view to what status says.
func show(status api.DBServerStatus, v *view) {
	v.Version, v.PID = &status.Version, &status.PID
	v.Fenced, v.Connections = &status.Fenced, &status.Connections
	v.DataBytes, v.BinlogBytes = &status.DataBytes, &status.BinlogBytes
}

func statusAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"version":      schema.StringAttribute{MarkdownDescription: "Version of the engine.", Computed: true},
		"pid":          schema.Int64Attribute{MarkdownDescription: "The engine's process, 0 if there is none.", Computed: true},
		"fenced":       schema.BoolAttribute{MarkdownDescription: "Whether the engine refuses writes.", Computed: true},
		"connections":  schema.Int64Attribute{MarkdownDescription: "Clients that are connected now.", Computed: true},
		"data_bytes":   schema.Int64Attribute{MarkdownDescription: "Size of the data directory, in bytes.", Computed: true},
		"binlog_bytes": schema.Int64Attribute{MarkdownDescription: "Size of the binary logs in it, in bytes.", Computed: true},
	}
}
