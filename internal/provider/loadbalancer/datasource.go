package loadbalancer

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
	Version   *string                   `tfsdk:"version"`
	PID       *int                      `tfsdk:"pid"`
	Sessions  *int                      `tfsdk:"sessions"`
	Frontends map[string]frontendStatus `tfsdk:"frontends"`
	Backends  map[string]backendStatus  `tfsdk:"backends"`
}

type frontendStatus struct {
	Sessions int   `tfsdk:"sessions"`
	Requests int64 `tfsdk:"requests"`
}

type backendStatus struct {
	Servers map[string]serverStatus `tfsdk:"servers"`
}

type serverStatus struct {
	State    string  `tfsdk:"state"`
	Check    *string `tfsdk:"check"`
	Sessions int     `tfsdk:"sessions"`
	Requests int64   `tfsdk:"requests"`
	Weight   int     `tfsdk:"weight"`
}

// NewDataSource returns the data source foobar_load_balancer.
func NewDataSource() datasource.DataSource {
	return component.NewDataSource(component.View[view, api.LoadBalancerStatus]{
		Kind:        api.KindLoadBalancer,
		TypeName:    typeName,
		Title:       title,
		Description: "What moves by itself in a load balancer: the state of its servers, sessions, requests, conditions.",
		Attributes:  statusAttributes(),
		Shared:      func(v *view) *component.ViewModel { return &v.ViewModel },
		Show:        show,
	}, kind())
}

// show sets a view to what status says.
func show(status api.LoadBalancerStatus, v *view) {
	v.Version, v.PID, v.Sessions = &status.Version, &status.PID, &status.Sessions
	v.Frontends = make(map[string]frontendStatus, len(status.Frontends))
	for name, f := range status.Frontends {
		v.Frontends[name] = frontendStatus{Sessions: f.Sessions, Requests: f.Requests}
	}
	v.Backends = make(map[string]backendStatus, len(status.Backends))
	for name, b := range status.Backends {
		servers := make(map[string]serverStatus, len(b.Servers))
		for name, s := range b.Servers {
			servers[name] = serverStatus{
				State: s.State, Check: tfutil.Optional(s.Check), Sessions: s.Sessions, Requests: s.Requests, Weight: s.Weight,
			}
		}
		v.Backends[name] = backendStatus{Servers: servers}
	}
}

func statusAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"version":  schema.StringAttribute{MarkdownDescription: "Version of the engine.", Computed: true},
		"pid":      schema.Int64Attribute{MarkdownDescription: "Process that serves new connections, 0 if there is none. It changes with each reload.", Computed: true},
		"sessions": schema.Int64Attribute{MarkdownDescription: "Open connections of clients.", Computed: true},
		"frontends": schema.MapNestedAttribute{
			MarkdownDescription: "The listeners, by name.",
			Computed:            true,
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"sessions": schema.Int64Attribute{MarkdownDescription: "Open connections of clients.", Computed: true},
				"requests": schema.Int64Attribute{MarkdownDescription: "HTTP requests since the last reload.", Computed: true},
			}},
		},
		"backends": schema.MapNestedAttribute{
			MarkdownDescription: "The pools of servers, by name.",
			Computed:            true,
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"servers": schema.MapNestedAttribute{
					MarkdownDescription: "The members of the pool, by name.",
					Computed:            true,
					NestedObject:        schema.NestedAttributeObject{Attributes: serverStatusAttributes()},
				},
			}},
		},
	}
}

func serverStatusAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"state":    schema.StringAttribute{MarkdownDescription: "`up`, `down`, `drain` or `maintenance`. A server drains with `drain = true`, by its agent check, or by a health check that it answers with 404.", Computed: true},
		"check":    schema.StringAttribute{MarkdownDescription: "The engine's word for the result of the last health check, such as `L7OK`; null without a health check.", Computed: true},
		"sessions": schema.Int64Attribute{MarkdownDescription: "Connections to the server now.", Computed: true},
		"requests": schema.Int64Attribute{MarkdownDescription: "HTTP requests since the last reload.", Computed: true},
		"weight":   schema.Int64Attribute{MarkdownDescription: "The weight in force; 0 while the server drains.", Computed: true},
	}
}
