package loadbalancer

import (
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// settings are the attributes of foobar_load_balancer that make its spec, in
// the order of the schema. A nil pointer is an attribute that was left out.
type settings struct {
	Engine          *string             `tfsdk:"engine"`
	MaxConnections  *int                `tfsdk:"max_connections"`
	TrafficTimeouts *trafficTimeouts    `tfsdk:"traffic_timeouts"`
	TrustedProxies  []string            `tfsdk:"trusted_proxies"`
	Frontends       map[string]frontend `tfsdk:"frontends"`
	Backends        map[string]backend  `tfsdk:"backends"`
}

type trafficTimeouts struct {
	Connect     *string `tfsdk:"connect"`
	Client      *string `tfsdk:"client"`
	Server      *string `tfsdk:"server"`
	Queue       *string `tfsdk:"queue"`
	HTTPRequest *string `tfsdk:"http_request"`
	KeepAlive   *string `tfsdk:"keep_alive"`
	Tunnel      *string `tfsdk:"tunnel"`
}

type frontend struct {
	Address   *string `tfsdk:"address"`
	Port      int     `tfsdk:"port"`
	Backend   string  `tfsdk:"backend"`
	LogFormat *string `tfsdk:"log_format"`
}

type backend struct {
	Algorithm   *string           `tfsdk:"algorithm"`
	HealthCheck *healthCheck      `tfsdk:"health_check"`
	Servers     map[string]server `tfsdk:"servers"`
}

type healthCheck struct {
	Method      *string `tfsdk:"method"`
	Path        *string `tfsdk:"path"`
	Host        *string `tfsdk:"host"`
	Status      *int    `tfsdk:"status"`
	BodyPattern *string `tfsdk:"body_pattern"`
	Interval    *string `tfsdk:"interval"`
	Timeout     *string `tfsdk:"timeout"`
	Rise        *int    `tfsdk:"rise"`
	Fall        *int    `tfsdk:"fall"`
}

type server struct {
	Address        string `tfsdk:"address"`
	Port           int    `tfsdk:"port"`
	Weight         *int   `tfsdk:"weight"`
	Backup         *bool  `tfsdk:"backup"`
	Drain          *bool  `tfsdk:"drain"`
	MaxConnections *int   `tfsdk:"max_connections"`
	AgentCheckPort *int   `tfsdk:"agent_check_port"`
}

// spec returns what the agent is to be given. The error is an [api.Problem]
// that points at each value that cannot be sent at all.
func (s settings) spec() (api.LoadBalancer, error) {
	defaults := api.DefaultLoadBalancer()
	durations := &tfutil.Durations{}
	spec := api.LoadBalancer{
		Engine:         api.Engine(tfutil.Or(s.Engine, string(defaults.Engine))),
		MaxConnections: tfutil.Or(s.MaxConnections, defaults.MaxConnections),
		Timeouts:       s.TrafficTimeouts.spec(durations, "/timeouts"),
		TrustedProxies: tfutil.Sorted(s.TrustedProxies),
		Frontends:      make(map[string]api.Frontend, len(s.Frontends)),
		Backends:       make(map[string]api.Backend, len(s.Backends)),
	}
	for name, f := range s.Frontends {
		spec.Frontends[name] = f.spec()
	}
	for name, b := range s.Backends {
		spec.Backends[name] = b.spec(durations, api.Pointer("/backends").At(name))
	}
	return spec, durations.Problem()
}

func (t *trafficTimeouts) spec(durations *tfutil.Durations, at api.Pointer) api.LoadBalancerTimeouts {
	defaults := api.DefaultTimeouts()
	if t == nil {
		return defaults
	}
	return api.LoadBalancerTimeouts{
		Connect:     durations.Or(t.Connect, defaults.Connect, at.At("connect")),
		Client:      durations.Or(t.Client, defaults.Client, at.At("client")),
		Server:      durations.Or(t.Server, defaults.Server, at.At("server")),
		Queue:       durations.Or(t.Queue, defaults.Queue, at.At("queue")),
		HTTPRequest: durations.Or(t.HTTPRequest, defaults.HTTPRequest, at.At("http_request")),
		KeepAlive:   durations.Or(t.KeepAlive, defaults.KeepAlive, at.At("keep_alive")),
		Tunnel:      durations.Or(t.Tunnel, defaults.Tunnel, at.At("tunnel")),
	}
}

func (f frontend) spec() api.Frontend {
	return api.Frontend{
		Address:   tfutil.Or(f.Address, api.DefaultFrontend().Address),
		Port:      f.Port,
		Backend:   f.Backend,
		LogFormat: tfutil.Or(f.LogFormat, ""),
	}
}

func (b backend) spec(durations *tfutil.Durations, at api.Pointer) api.Backend {
	spec := api.Backend{
		Algorithm: api.Algorithm(tfutil.Or(b.Algorithm, string(api.DefaultBackend().Algorithm))),
		Servers:   make(map[string]api.Server, len(b.Servers)),
	}
	if b.HealthCheck != nil {
		spec.HealthCheck = b.HealthCheck.spec(durations, at.At("health_check"))
	}
	for name, s := range b.Servers {
		spec.Servers[name] = s.spec()
	}
	return spec
}

func (h healthCheck) spec(durations *tfutil.Durations, at api.Pointer) *api.HealthCheck {
	defaults := api.DefaultHealthCheck()
	return &api.HealthCheck{
		Method:      tfutil.Or(h.Method, defaults.Method),
		Path:        tfutil.Or(h.Path, defaults.Path),
		Host:        tfutil.Or(h.Host, ""),
		Status:      tfutil.Or(h.Status, defaults.Status),
		BodyPattern: tfutil.Or(h.BodyPattern, ""),
		Interval:    durations.Or(h.Interval, defaults.Interval, at.At("interval")),
		Timeout:     durations.Or(h.Timeout, defaults.Timeout, at.At("timeout")),
		Rise:        tfutil.Or(h.Rise, defaults.Rise),
		Fall:        tfutil.Or(h.Fall, defaults.Fall),
	}
}

func (s server) spec() api.Server {
	defaults := api.DefaultServer()
	return api.Server{
		Address:        s.Address,
		Port:           s.Port,
		Weight:         tfutil.Or(s.Weight, defaults.Weight),
		Backup:         tfutil.Or(s.Backup, defaults.Backup),
		Drain:          tfutil.Or(s.Drain, defaults.Drain),
		MaxConnections: tfutil.Or(s.MaxConnections, defaults.MaxConnections),
		AgentCheckPort: tfutil.Or(s.AgentCheckPort, 0),
	}
}

// newSettings returns the attributes that show spec. It is the inverse of
// [settings.spec], with every default filled in.
func newSettings(spec api.LoadBalancer) settings {
	s := settings{
		Engine:          new(string(spec.Engine)),
		MaxConnections:  new(spec.MaxConnections),
		TrafficTimeouts: newTrafficTimeouts(spec.Timeouts),
		TrustedProxies:  tfutil.Sorted(spec.TrustedProxies),
		Frontends:       make(map[string]frontend, len(spec.Frontends)),
		Backends:        make(map[string]backend, len(spec.Backends)),
	}
	for name, f := range spec.Frontends {
		s.Frontends[name] = frontend{
			Address:   new(f.Address),
			Port:      f.Port,
			Backend:   f.Backend,
			LogFormat: tfutil.Optional(f.LogFormat),
		}
	}
	for name, b := range spec.Backends {
		s.Backends[name] = newBackend(b)
	}
	return s
}

func newTrafficTimeouts(t api.LoadBalancerTimeouts) *trafficTimeouts {
	return &trafficTimeouts{
		Connect:     new(t.Connect.String()),
		Client:      new(t.Client.String()),
		Server:      new(t.Server.String()),
		Queue:       new(t.Queue.String()),
		HTTPRequest: new(t.HTTPRequest.String()),
		KeepAlive:   new(t.KeepAlive.String()),
		Tunnel:      new(t.Tunnel.String()),
	}
}

func newBackend(spec api.Backend) backend {
	b := backend{
		Algorithm:   new(string(spec.Algorithm)),
		HealthCheck: newHealthCheck(spec.HealthCheck),
		Servers:     make(map[string]server, len(spec.Servers)),
	}
	for name, s := range spec.Servers {
		b.Servers[name] = server{
			Address:        s.Address,
			Port:           s.Port,
			Weight:         new(s.Weight),
			Backup:         new(s.Backup),
			Drain:          new(s.Drain),
			MaxConnections: new(s.MaxConnections),
			AgentCheckPort: tfutil.Optional(s.AgentCheckPort),
		}
	}
	return b
}

func newHealthCheck(h *api.HealthCheck) *healthCheck {
	if h == nil {
		return nil
	}
	return &healthCheck{
		Method:      new(h.Method),
		Path:        new(h.Path),
		Host:        tfutil.Optional(h.Host),
		Status:      new(h.Status),
		BodyPattern: tfutil.Optional(h.BodyPattern),
		Interval:    new(h.Interval.String()),
		Timeout:     new(h.Timeout.String()),
		Rise:        new(h.Rise),
		Fall:        new(h.Fall),
	}
}
