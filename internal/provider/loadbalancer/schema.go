package loadbalancer

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// attributes returns the schema of [settings].
func attributes() map[string]schema.Attribute {
	defaults := api.DefaultLoadBalancer()
	return map[string]schema.Attribute{
		"engine": tfutil.ChoiceAttribute("The program that balances the load.", defaults.Engine, api.Engines()),
		"max_connections": tfutil.NumberAttribute("How many connections the clients may have open at one time, on all frontends together. Further clients wait until one is closed.",
			int64(defaults.MaxConnections), api.ConnectionBounds()),
		"traffic_timeouts": trafficTimeoutsAttribute(defaults.Timeouts),
		"trusted_proxies": tfutil.NetworksAttribute("Addresses of the proxies in front of this load balancer, such as those of a CDN, as networks (CIDR). " +
			"Requests from there keep their `X-Forwarded-For` header. From all other requests it is removed, so that no client can choose the address that the app sees."),
		"frontends": namedAttribute("The listeners, by name; at least one.", frontendAttributes()),
		"backends":  namedAttribute("The pools of servers, by name; at least one.", backendAttributes()),
	}
}

// namedAttribute returns a map of things by name.
func namedAttribute(description string, nested map[string]schema.Attribute) schema.MapNestedAttribute {
	return schema.MapNestedAttribute{
		MarkdownDescription: fmt.Sprintf("%s A name has %s.", description, tfutil.NameText()),
		Required:            true,
		NestedObject:        schema.NestedAttributeObject{Attributes: nested},
	}
}

func trafficTimeoutsAttribute(d api.LoadBalancerTimeouts) schema.Attribute {
	bounds := api.TrafficTimeoutBounds()
	return schema.SingleNestedAttribute{
		MarkdownDescription: "How long the load balancer waits on either side. (How long Terraform waits for a change is in `timeouts`.)",
		Optional:            true,
		Computed:            true,
		Default: objectdefault.StaticValue(tfutil.DurationsObject(map[string]api.Duration{
			"connect": d.Connect, "client": d.Client, "server": d.Server, "queue": d.Queue,
			"http_request": d.HTTPRequest, "keep_alive": d.KeepAlive, "tunnel": d.Tunnel,
		})),
		Attributes: map[string]schema.Attribute{
			"connect":      tfutil.DurationAttribute("How long a connection to a server may take to be made.", d.Connect, bounds),
			"client":       tfutil.DurationAttribute("How long a client may be silent.", d.Client, bounds),
			"server":       tfutil.DurationAttribute("How long a server may be silent.", d.Server, bounds),
			"queue":        tfutil.DurationAttribute("How long a request may wait for a free server before it is answered with 503. A short time keeps the servers from work for clients that have left.", d.Queue, bounds),
			"http_request": tfutil.DurationAttribute("How long a request's headers, and the beginning of its body, may take to arrive; the guard against slow clients.", d.HTTPRequest, bounds),
			"keep_alive":   tfutil.DurationAttribute("How long a client's connection may wait for its next request.", d.KeepAlive, bounds),
			"tunnel":       tfutil.DurationAttribute("How long an upgraded connection, such as a WebSocket, may be silent.", d.Tunnel, bounds),
		},
	}
}

func frontendAttributes() map[string]schema.Attribute {
	defaults := api.DefaultFrontend()
	return map[string]schema.Attribute{
		"address": tfutil.TextAttribute("Address to listen on: "+api.ListenRule+".", defaults.Address),
		"port":    tfutil.PortAttribute("TCP port to listen on. " + tfutil.ListenText()),
		"backend": schema.StringAttribute{
			MarkdownDescription: "Name of the backend that serves what arrives.",
			Required:            true,
		},
		"log_format": tfutil.OptionalText("Access log format in the engine's own language, which the engine checks at plan. " + engineText() + " " +
			"Expressions may use sample fetches and converters that open no files, such as `%[capture.req.hdr(0),lower]`. " +
			"Default: JSON lines without the query string. Sample fetches: `" + strings.Join(api.LogFormatFetches(), "`, `") + "`. " +
			"Converters: `" + strings.Join(api.LogFormatConverters(), "`, `") + "`."),
	}
}

// methodsText lists the methods of requests that may be sent again.
func methodsText() string {
	return "`" + strings.Join(api.IdempotentMethods(), "`, `") + "`"
}

// engineText describes what both texts in an engine's own language have.
func engineText() string {
	return fmt.Sprintf("One line of printable text, at most %d bytes.", api.MaxEngineText)
}

func backendAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"algorithm": tfutil.ChoiceAttribute("How the server for a request is chosen: `round_robin` takes the servers in turn, by weight; "+
			"`least_connections` takes the one with the fewest open connections; `source` keeps a client's address on one server.",
			api.DefaultBackend().Algorithm, api.Algorithms()),
		"health_check": healthCheckAttribute(),
		"servers": namedAttribute("The members of the pool, by name; at least one. The access log and the data source show the names.",
			serverAttributes()),
	}
}

func healthCheckAttribute() schema.Attribute {
	defaults := api.DefaultHealthCheck()
	return schema.SingleNestedAttribute{
		MarkdownDescription: "A request that each server has to answer again and again; `{}` takes every default. " +
			"A server that answers it with 404 drains: it finishes what it has and gets nothing new. Two connections in a row that fail take a server out at once. " +
			"Without a health check a server is only tried by the traffic itself.",
		Optional: true,
		Attributes: map[string]schema.Attribute{
			"method": tfutil.ChoiceAttribute("HTTP method of the request.", defaults.Method, api.HealthCheckMethods()),
			"path":   tfutil.TextAttribute("Path of the request: "+tfutil.PathText()+".", defaults.Path),
			"host":   tfutil.OptionalText(fmt.Sprintf("`Host` header of the request: a host name or an IP address, with `:PORT` if need be; at most %d characters. Default: none is sent.", api.MaxHost)),
			"status": tfutil.NumberAttribute("Status that the answer must have.", int64(defaults.Status), api.StatusBounds()),
			"body_pattern": tfutil.OptionalText("Regular expression, in the engine's own language, that the answer's body must match; the engine checks it at plan. " +
				engineText() + " Default: any body."),
			"interval": tfutil.DurationAttribute("Pause between two checks.", defaults.Interval, api.CheckIntervalBounds()),
			"timeout":  tfutil.DurationAttribute("How long an answer may take.", defaults.Timeout, api.CheckTimeoutBounds()),
			"rise":     tfutil.NumberAttribute("How many good answers in a row bring a server up.", int64(defaults.Rise), api.CheckRunBounds()),
			"fall":     tfutil.NumberAttribute("How many bad answers in a row take a server down.", int64(defaults.Fall), api.CheckRunBounds()),
		},
	}
}

func serverAttributes() map[string]schema.Attribute {
	defaults := api.DefaultServer()
	return map[string]schema.Attribute{
		"address": schema.StringAttribute{
			MarkdownDescription: "IP address of the server. Names are refused: the engine would resolve them once, at start.",
			Required:            true,
		},
		"port": tfutil.PortAttribute("TCP port of the server."),
		"weight": tfutil.NumberAttribute("The server's share of the traffic, relative to the others'. It changes without a reload.",
			int64(defaults.Weight), api.WeightBounds()),
		"backup": tfutil.FlagAttribute("Whether the server gets traffic only when no other server is up.", defaults.Backup),
		"drain": tfutil.FlagAttribute("Whether the server finishes what it has and gets nothing new. It changes without a reload.",
			defaults.Drain),
		"max_connections": tfutil.NumberAttribute("How many requests the load balancer sends to the server at one time. Further requests wait in a queue, at most for `traffic_timeouts.queue`. "+
			"For an app, set it to four times the number of its workers or threads. The load balancer reserves one half for requests with the methods "+methodsText()+", the other for all others; "+
			"with four times, each half keeps all workers busy. "+
			"WebSockets and event streams count as long as they are open. With two load balancers, the server may get twice as many.",
			int64(defaults.MaxConnections), api.ServerConnectionBounds()),
		"agent_check_port": tfutil.AgentCheckAttribute("TCP port on the server's address at which the agent of an app server says whether its app works, is draining, or is down: " +
			"the `agent_check_port` of the `foobar_app_server`. The load balancer asks every 200 ms, so that a dead app gets no more requests long before a health check fails. " +
			"No answer changes nothing."),
	}
}
