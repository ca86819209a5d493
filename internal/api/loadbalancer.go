package api

// Engine is the program behind a load balancer.
type Engine string

// EngineHAProxy is HAProxy 3.0, the engine that loses nothing on a reload.
const EngineHAProxy Engine = "haproxy"

// Engines lists the engines of load balancers.
func Engines() []Engine { return []Engine{EngineHAProxy} }

// Algorithm is how a backend chooses the server for a request.
type Algorithm string

// The algorithms of a backend.
const (
	// RoundRobin takes the servers in turn, by weight.
	RoundRobin Algorithm = "round_robin"
	// LeastConnections takes the server with the fewest open connections.
	LeastConnections Algorithm = "least_connections"
	// Source keeps a client's address on one server.
	Source Algorithm = "source"
)

// Algorithms lists the algorithms, the default first.
func Algorithms() []Algorithm { return []Algorithm{RoundRobin, LeastConnections, Source} }

// LoadBalancer is the spec of a load balancer. Every field is given on the
// wire, apart from those that are pointers or say otherwise; the defaults
// belong to the provider's schema, in [DefaultLoadBalancer].
type LoadBalancer struct {
	Engine Engine `json:"engine"`
	// MaxConnections bounds the connections of all clients together, 1 to 1,000,000.
	MaxConnections int                  `json:"max_connections"`
	Timeouts       LoadBalancerTimeouts `json:"timeouts"`
	// TrustedProxies are the networks (CIDR) whose X-Forwarded-For is kept;
	// from all others it is removed.
	TrustedProxies []string `json:"trusted_proxies"`
	// Frontends are the listeners, by name.
	Frontends map[string]Frontend `json:"frontends"`
	// Backends are the pools of servers, by name.
	Backends map[string]Backend `json:"backends"`
}

// LoadBalancerTimeouts bound the waits on either side of a load balancer.
type LoadBalancerTimeouts struct {
	// Connect bounds the making of a connection to a server.
	Connect Duration `json:"connect"`
	// Client and Server bound the silence of a client and of a server.
	Client Duration `json:"client"`
	Server Duration `json:"server"`
	// Queue bounds the wait for a free server.
	Queue Duration `json:"queue"`
	// HTTPRequest bounds the arrival of a request's headers.
	HTTPRequest Duration `json:"http_request"`
	// KeepAlive bounds the wait for a client's next request.
	KeepAlive Duration `json:"keep_alive"`
	// Tunnel bounds the silence of an upgraded connection, such as a WebSocket.
	Tunnel Duration `json:"tunnel"`
}

// Frontend is a listener.
type Frontend struct {
	// Address is an IP address of the machine, or "*" for all.
	Address string `json:"address"`
	// Port is 1 to 65535.
	Port int `json:"port"`
	// Backend names the pool that serves what arrives.
	Backend string `json:"backend"`
	// LogFormat is an access log format in the engine's own language; empty
	// means JSON lines.
	LogFormat string `json:"log_format,omitempty"`
}

// Backend is a pool of servers.
type Backend struct {
	Algorithm Algorithm `json:"algorithm"`
	// HealthCheck is nil for servers that are only tried by traffic.
	HealthCheck *HealthCheck `json:"health_check,omitempty"`
	// Servers are the members of the pool, by name.
	Servers map[string]Server `json:"servers"`
}

// HealthCheck is a request that a server has to answer again and again.
type HealthCheck struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Host is the Host header; empty sends none.
	Host string `json:"host,omitempty"`
	// Status is the answer's expected status, 100 to 599.
	Status int `json:"status"`
	// BodyPattern is a regular expression, in the engine's own language, that
	// the answer's body has to match; empty accepts any body.
	BodyPattern string   `json:"body_pattern,omitempty"`
	Interval    Duration `json:"interval"`
	Timeout     Duration `json:"timeout"`
	// Rise and Fall are how many checks in a row bring a server up or down, 1 to 100.
	Rise int `json:"rise"`
	Fall int `json:"fall"`
}

// Server is a member of a backend.
type Server struct {
	// Address is an IP address. Names are refused: HAProxy would resolve them once, at start.
	Address string `json:"address"`
	Port    int    `json:"port"`
	// Weight is the server's share of the traffic, 1 to 256.
	Weight int `json:"weight"`
	// Backup servers get traffic only when no other server is up.
	Backup bool `json:"backup"`
	// Drain lets the server finish what it has and gives it nothing new.
	Drain bool `json:"drain"`
	// MaxConnections bounds the requests that the server gets at one time, 2 to
	// 1,000,000; what comes beyond waits in the queue. Half of it is for the
	// methods of [IdempotentMethods], half for the others: see [Server.Shares].
	MaxConnections int `json:"max_connections"`
	// AgentCheckPort is the port at which the server's machine gives one of
	// [AgentChecks], 1 to 65535; 0 asks nobody.
	AgentCheckPort int `json:"agent_check_port,omitempty"`
}

// IdempotentMethods lists the methods of HTTP that have the same effect once or
// twice (RFC 9110, section 9.2.2), as far as a load balancer sends them again to
// another server when one ends a connection without an answer.
func IdempotentMethods() []string { return []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"} }

// Shares returns how many requests the server gets at one time with a method
// that may be sent again, and with any other. HAProxy needs a pool of its own
// for each of the two, with limits that do not know of each other, so the sum is
// the limit. Each half has to be enough for the server alone, where all clients
// read or all write: with four times the app's workers each half is twice them,
// and a worker has its next request there when it ends one. With twice the
// workers in all, apps under three times the load did 0.81 to 0.89 of what they can.
func (s Server) Shares() (idempotent, other int) {
	return s.MaxConnections - s.MaxConnections/2, s.MaxConnections / 2
}

// LoadBalancerStatus is what moves by itself in a load balancer.
type LoadBalancerStatus struct {
	// Version is the engine's version.
	Version string `json:"version"`
	// PID is the process that serves new connections, 0 if there is none.
	PID int `json:"pid"`
	// Sessions are the open connections of clients.
	Sessions  int                       `json:"sessions"`
	Frontends map[string]FrontendStatus `json:"frontends"`
	Backends  map[string]BackendStatus  `json:"backends"`
}

// FrontendStatus is what moves by itself in a frontend.
type FrontendStatus struct {
	Sessions int `json:"sessions"`
	// Requests counts the HTTP requests since the worker started.
	Requests int64 `json:"requests"`
}

// BackendStatus is what moves by itself in a backend.
type BackendStatus struct {
	Servers map[string]ServerStatus `json:"servers"`
}

// ServerStatus is what moves by itself in a server of a backend.
type ServerStatus struct {
	// State is "up", "down", "drain" or "maintenance".
	State string `json:"state"`
	// Check is the engine's word for the last check's result, such as "L7OK"; empty without a check.
	Check string `json:"check,omitempty"`
	// Sessions are the connections to the server now.
	Sessions int `json:"sessions"`
	// Requests counts the HTTP requests since the worker started.
	Requests int64 `json:"requests"`
	// Weight is the weight in force; 0 while the server drains.
	Weight int `json:"weight"`
}
