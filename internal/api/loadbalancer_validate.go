package api

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a load balancer's texts, in bytes; they keep typing errors out.
const (
	MaxEngineText = 4096
	MaxHost       = 259 // a name of 253 characters and a port
)

var hostPattern = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// HealthCheckMethods lists the methods of health checks, the default first.
// They are the safe ones: a check is sent again and again.
func HealthCheckMethods() []string { return []string{"GET", "HEAD", "OPTIONS"} }

// Claims returns the ports that the load balancer listens on, in the order of
// the frontends' names.
func (b LoadBalancer) Claims() []Claim {
	claims := make([]Claim, 0, len(b.Frontends))
	for _, name := range slices.Sorted(maps.Keys(b.Frontends)) {
		f := b.Frontends[name]
		claims = append(claims, Claim{
			Network: "tcp", Address: f.Address, Port: f.Port,
			Pointer: Pointer("/frontends").At(name, "port"),
		})
	}
	return claims
}

// Validate returns what is wrong with the load balancer on any machine, in the
// order of its fields. What only the engine can tell, such as whether a log
// format makes sense, is left to the agent.
func (b LoadBalancer) Validate() Violations {
	var v Violations
	oneOf(&v, "/engine", b.Engine, Engines())
	within(&v, "/max_connections", int64(b.MaxConnections), ConnectionBounds(), "connections")
	b.Timeouts.validate(&v, "/timeouts")
	validateTrustedProxies(&v, b.TrustedProxies)
	b.validateFrontends(&v)
	if len(b.Backends) == 0 {
		v.Add("/backends", "there is no backend; a load balancer needs at least one to send requests to")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Backends)) {
		at := Pointer("/backends").At(name)
		validateName(&v, at, name)
		b.Backends[name].validate(&v, at)
	}
	return v
}

func (t LoadBalancerTimeouts) validate(v *Violations, at Pointer) {
	for _, timeout := range []struct {
		name  string
		value Duration
	}{
		{"connect", t.Connect}, {"client", t.Client}, {"server", t.Server}, {"queue", t.Queue},
		{"http_request", t.HTTPRequest}, {"keep_alive", t.KeepAlive}, {"tunnel", t.Tunnel},
	} {
		between(v, at.At(timeout.name), timeout.value, TrafficTimeoutBounds())
	}
}

func (b LoadBalancer) validateFrontends(v *Violations) {
	if len(b.Frontends) == 0 {
		v.Add("/frontends", "there is no frontend; a load balancer needs at least one to listen on")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Frontends)) {
		if v.full() {
			return
		}
		f, at := b.Frontends[name], Pointer("/frontends").At(name)
		validateName(v, at, name)
		f.validate(v, at)
		if _, ok := b.Backends[f.Backend]; !ok {
			v.Add(at.At("backend"), "%q is not one of the backends: %s", f.Backend, list(slices.Sorted(maps.Keys(b.Backends))))
		}
	}
	held := claims{}
	for _, claim := range b.Claims() {
		if earlier, taken := held.overlapping(claim); taken {
			v.Add(claim.Pointer, "%s is taken by the frontend %q already, as %s; give one of them another port or address", claim, earlier.Pointer.Steps()[1], earlier)
		}
		held.add(claim)
	}
}

func (f Frontend) validate(v *Violations, at Pointer) {
	if f.Address != "*" {
		address, err := netip.ParseAddr(f.Address)
		if err != nil || address.Zone() != "" || address.Is4In6() || address.IsMulticast() {
			v.Add(at.At("address"), "%q is not an address to listen on: %s", f.Address, ListenRule)
		} else if address.String() != f.Address { // claims are compared as text
			v.Add(at.At("address"), "%q is not in its shortest form; write %q", f.Address, address)
		}
	}
	validateListenPort(v, at.At("port"), f.Port)
	if !validateEngineText(v, at.At("log_format"), f.LogFormat) {
		return
	}
	if wrong := checkLogFormat(f.LogFormat); wrong != "" {
		v.Add(at.At("log_format"), "%s", wrong)
	}
}

func (b Backend) validate(v *Violations, at Pointer) {
	oneOf(v, at.At("algorithm"), b.Algorithm, Algorithms())
	if b.HealthCheck != nil {
		b.HealthCheck.validate(v, at.At("health_check"))
	}
	if len(b.Servers) == 0 {
		v.Add(at.At("servers"), "there is no server; a backend needs at least one")
	}
	seen := map[netip.AddrPort]string{}
	for _, name := range slices.Sorted(maps.Keys(b.Servers)) {
		s, at := b.Servers[name], at.At("servers", name)
		validateName(v, at, name)
		s.validate(v, at)
		address, err := netip.ParseAddr(s.Address)
		if err != nil {
			continue
		}
		target := netip.AddrPortFrom(address, uint16(s.Port)) //nolint:gosec // only compared; a port out of range is a violation of its own
		if twin, twice := seen[target]; twice {
			v.Add(at.At("address"), "%s is the address of the server %q already; give that one a higher weight instead", target, twin)
			continue
		}
		seen[target] = name
	}
}

func (s Server) validate(v *Violations, at Pointer) {
	address, err := netip.ParseAddr(s.Address)
	if err != nil || address.Zone() != "" || address.Is4In6() || address.IsMulticast() || address.IsUnspecified() {
		v.Add(at.At("address"), "%q is not the address of a server: write its IP address, names are not looked up", s.Address)
	}
	validatePort(v, at.At("port"), s.Port)
	if !WeightBounds().Hold(int64(s.Weight)) {
		v.Add(at.At("weight"), "%d is not a weight: %s. For a server that must get nothing new, set drain = true", s.Weight, WeightBounds())
	}
	within(v, at.At("max_connections"), int64(s.MaxConnections), ServerConnectionBounds(), "connections")
	if s.AgentCheckPort == 0 { // none
		return
	}
	validatePort(v, at.At("agent_check_port"), s.AgentCheckPort)
	if s.AgentCheckPort == s.Port {
		v.Add(at.At("agent_check_port"), "%d is the port of the server itself; the agent check needs a port of its own", s.AgentCheckPort)
	}
}

func (h HealthCheck) validate(v *Violations, at Pointer) {
	oneOf(v, at.At("method"), h.Method, HealthCheckMethods())
	validatePath(v, at.At("path"), h.Path)
	if h.Host != "" && (len(h.Host) > MaxHost || !hostPattern.MatchString(h.Host)) {
		v.Add(at.At("host"), `%q is not a Host header: a host name or an IP address, with ":PORT" if need be; at most %d characters`, h.Host, MaxHost)
	}
	within(v, at.At("status"), int64(h.Status), StatusBounds(), "")
	validateEngineText(v, at.At("body_pattern"), h.BodyPattern)
	if h.BodyPattern != "" && h.Method == "HEAD" {
		v.Add(at.At("body_pattern"), "the answer to HEAD has no body that could match; use the method GET")
	}
	between(v, at.At("interval"), h.Interval, CheckIntervalBounds())
	between(v, at.At("timeout"), h.Timeout, CheckTimeoutBounds())
	within(v, at.At("rise"), int64(h.Rise), CheckRunBounds(), "checks")
	within(v, at.At("fall"), int64(h.Fall), CheckRunBounds(), "checks")
}

// validateEngineText admits one line of printable text, whatever language the
// engine reads it in. Quoting it is the renderer's business.
func validateEngineText(v *Violations, at Pointer, text string) (valid bool) {
	switch {
	case len(text) > MaxEngineText:
		v.Add(at, "the text has %d bytes; at most %d are allowed", len(text), MaxEngineText)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		v.Add(at, "%q holds a line break or another character that cannot be seen; write it as one line of printable text", text)
	default:
		return true
	}
	return false
}

func validateName(v *Violations, at Pointer, name string) {
	if err := CheckName(name); err != nil {
		v.Add(at, "%s", err)
	}
}

func oneOf[T ~string](v *Violations, at Pointer, value T, allowed []T) {
	if !slices.Contains(allowed, value) {
		v.Add(at, "%q is unknown; allowed are: %s", string(value), list(allowed))
	}
}
