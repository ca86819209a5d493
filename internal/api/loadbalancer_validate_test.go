package api

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// testLoadBalancer returns a valid load balancer with two frontends and two servers.
func testLoadBalancer() LoadBalancer {
	check := DefaultHealthCheck()
	web1, web2 := DefaultServer(), DefaultServer()
	web1.Address, web1.Port = "10.0.0.1", 80
	web2.Address, web2.Port = "fd00::2", 80
	b := DefaultLoadBalancer()
	b.Frontends = map[string]Frontend{
		"admin": {Address: "10.0.0.10", Port: 8080, Backend: "web"},
		"www":   {Address: "*", Port: 80, Backend: "web"},
	}
	b.Backends = map[string]Backend{"web": {
		Algorithm: RoundRobin, HealthCheck: &check,
		Servers: map[string]Server{"web1": web1, "web2": web2},
	}}
	return b
}

func editFrontend(b *LoadBalancer, name string, edit func(*Frontend)) {
	f := b.Frontends[name]
	edit(&f)
	b.Frontends[name] = f
}

func editBackend(b *LoadBalancer, edit func(*Backend)) {
	backend := b.Backends["web"]
	edit(&backend)
	b.Backends["web"] = backend
}

func editCheck(b *LoadBalancer, edit func(*HealthCheck)) { edit(b.Backends["web"].HealthCheck) }

func editServer(b *LoadBalancer, name string, edit func(*Server)) {
	s := b.Backends["web"].Servers[name]
	edit(&s)
	b.Backends["web"].Servers[name] = s
}

func TestLoadBalancerValidateAdmits(t *testing.T) {
	for name, edit := range map[string]func(*LoadBalancer){
		"defaults":          func(*LoadBalancer) {},
		"another algorithm": func(b *LoadBalancer) { editBackend(b, func(x *Backend) { x.Algorithm = Source }) },
		"no health check":   func(b *LoadBalancer) { editBackend(b, func(x *Backend) { x.HealthCheck = nil }) },
		"trusted proxies":   func(b *LoadBalancer) { b.TrustedProxies = []string{"10.0.0.0/24", "fd00::/8", "192.0.2.1/32"} },
		"any text in one line": func(b *LoadBalancer) {
			editFrontend(b, "www", func(f *Frontend) { f.LogFormat = `%ci "é" 'x' # \ $HOME` })
		},
		"one port, two hosts": func(b *LoadBalancer) {
			editFrontend(b, "www", func(f *Frontend) { f.Address, f.Port = "10.0.0.11", 8080 })
		},
		"same port, two hosts":  func(b *LoadBalancer) { editServer(b, "web2", func(s *Server) { s.Address = "10.0.0.2" }) },
		"same host, two ports":  func(b *LoadBalancer) { editServer(b, "web2", func(s *Server) { s.Address, s.Port = "10.0.0.1", 81 }) },
		"host with a port":      func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Host = "www.foobar.test:8080" }) },
		"host that is IPv6":     func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Host = "[fd00::1]:80" }) },
		"path with a query":     func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Path = "/health?deep=1&x=%20" }) },
		"pattern":               func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.BodyPattern = `^ok( \w+)?$` }) },
		"two connections":       func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.MaxConnections = 2 }) },
		"an agent check":        func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.AgentCheckPort = 7081 }) },
		"a backend nobody uses": func(b *LoadBalancer) { b.Backends["spare"] = b.Backends["web"] },
	} {
		t.Run(name, func(t *testing.T) {
			b := testLoadBalancer()
			edit(&b)
			if v := b.Validate(); len(v) > 0 {
				t.Errorf("found %v", v.Problem())
			}
		})
	}
}

func TestLoadBalancerValidateRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		edit    func(*LoadBalancer)
		pointer Pointer
		says    string
	}{
		"unknown engine":       {func(b *LoadBalancer) { b.Engine = "squid" }, "/engine", `"squid" is unknown; allowed are: "haproxy"`},
		"no connections":       {func(b *LoadBalancer) { b.MaxConnections = 0 }, "/max_connections", "1 to 1000000"},
		"too many connections": {func(b *LoadBalancer) { b.MaxConnections = 1_000_001 }, "/max_connections", "1 to 1000000"},
		"timeout of nothing":   {func(b *LoadBalancer) { b.Timeouts.Connect = 0 }, "/timeouts/connect", "out of bounds"},
		"timeout beyond HAProxy's clock": {
			func(b *LoadBalancer) { b.Timeouts.Tunnel = Duration(25 * 24 * time.Hour) }, "/timeouts/tunnel", "576h",
		},
		"bad CIDR":         {func(b *LoadBalancer) { b.TrustedProxies = []string{"10.0.0.0/24", "10.0.0.0/33"} }, "/trusted_proxies/1", "is not a network"},
		"CIDR with a line": {func(b *LoadBalancer) { b.TrustedProxies = []string{"10.0.0.0/24\n"} }, "/trusted_proxies/0", "is not a network"},
		"no frontends":     {func(b *LoadBalancer) { b.Frontends = nil }, "/frontends", "there is no frontend"},
		"no backends": {
			func(b *LoadBalancer) {
				b.Backends, b.Frontends = nil, map[string]Frontend{"www": {Address: "*", Port: 80, Backend: "x"}}
			},
			"/backends", "there is no backend",
		},
		"frontend's name": {
			func(b *LoadBalancer) { b.Frontends["w w/w"] = Frontend{Address: "*", Port: 81, Backend: "web"} },
			"/frontends/w w~1w", "is not a name",
		},
		"frontend's address":        {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.Address = "localhost" }) }, "/frontends/www/address", `or "*" for all`},
		"frontend's address, zoned": {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.Address = "fe80::1%eth0" }) }, "/frontends/www/address", "is not an address"},
		"frontend's address, long":  {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.Address = "fd00:0::1" }) }, "/frontends/www/address", `write "fd00::1"`},
		"port 0":                    {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.Port = 0 }) }, "/frontends/www/port", "1 to 65535"},
		"port 70000":                {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.Port = 70000 }) }, "/frontends/www/port", "70000 is not a port"},
		"the agent's port":          {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.Port = DefaultPort }) }, "/frontends/www/port", "agent"},
		"two frontends on one port": {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.Port = 8080 }) }, "/frontends/www/port", `the frontend "admin" already`},
		"unknown backend":           {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.Backend = "wb" }) }, "/frontends/www/backend", `"wb" is not one of the backends: "web"`},
		"log format with a line": {
			func(b *LoadBalancer) {
				editFrontend(b, "www", func(f *Frontend) { f.LogFormat = "x\n    server evil" })
			},
			"/frontends/www/log_format", "line break",
		},
		"log format with a bell": {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.LogFormat = "\a" }) }, "/frontends/www/log_format", "cannot be seen"},
		"log format without end": {func(b *LoadBalancer) {
			editFrontend(b, "www", func(f *Frontend) { f.LogFormat = strings.Repeat("x", 4097) })
		}, "/frontends/www/log_format", "at most 4096"},
		"log format not UTF-8": {func(b *LoadBalancer) { editFrontend(b, "www", func(f *Frontend) { f.LogFormat = "\xff" }) }, "/frontends/www/log_format", "printable"},
		"backend's name":       {func(b *LoadBalancer) { b.Backends["Web"] = b.Backends["web"] }, "/backends/Web", "is not a name"},
		"unknown algorithm":    {func(b *LoadBalancer) { editBackend(b, func(x *Backend) { x.Algorithm = "random" }) }, "/backends/web/algorithm", `"round_robin", "least_connections", "source"`},
		"no servers":           {func(b *LoadBalancer) { editBackend(b, func(x *Backend) { x.Servers = nil }) }, "/backends/web/servers", "there is no server"},
		"server's name": {func(b *LoadBalancer) {
			editServer(b, "-", func(s *Server) { *s = DefaultServer(); s.Address, s.Port = "10.0.0.3", 1 })
		}, "/backends/web/servers/-", "is not a name"},
		"server by name":       {func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.Address = "web1.foobar.test" }) }, "/backends/web/servers/web1/address", "names are not looked up"},
		"server nowhere":       {func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.Address = "0.0.0.0" }) }, "/backends/web/servers/web1/address", "is not the address"},
		"server's port":        {func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.Port = -1 }) }, "/backends/web/servers/web1/port", "1 to 65535"},
		"server twice":         {func(b *LoadBalancer) { editServer(b, "web2", func(s *Server) { s.Address = "10.0.0.1" }) }, "/backends/web/servers/web2/address", `server "web1" already`},
		"weight 0":             {func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.Weight = 0 }) }, "/backends/web/servers/web1/weight", "drain = true"},
		"weight 257":           {func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.Weight = 257 }) }, "/backends/web/servers/web1/weight", "1 to 256"},
		"server's connections": {func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.MaxConnections = 1 }) }, "/backends/web/servers/web1/max_connections", "2 to 1000000"},
		"agent check's port":   {func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.AgentCheckPort = -1 }) }, "/backends/web/servers/web1/agent_check_port", "1 to 65535"},
		"agent check on the server's port": {
			func(b *LoadBalancer) { editServer(b, "web1", func(s *Server) { s.AgentCheckPort = 80 }) },
			"/backends/web/servers/web1/agent_check_port", "is the port of the server itself",
		},
		"check's method":           {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Method = "DELETE" }) }, "/backends/web/health_check/method", `"GET", "HEAD", "OPTIONS"`},
		"check's path, relative":   {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Path = "health" }) }, "/backends/web/health_check/path", `begin with "/"`},
		"check's path with quotes": {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Path = "/'" }) }, "/backends/web/health_check/path", "percent-encode"},
		"check's path with a line": {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Path = "/\r\nX: y" }) }, "/backends/web/health_check/path", "percent-encode"},
		"check's path, endless":    {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Path = "/" + strings.Repeat("x", 1024) }) }, "/backends/web/health_check/path", "at most"},
		"check's host with format": {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Host = "%[env(HOME)]" }) }, "/backends/web/health_check/host", "is not a Host header"},
		"check's host with space":  {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Host = "a b" }) }, "/backends/web/health_check/host", "is not a Host header"},
		"check's status":           {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Status = 600 }) }, "/backends/web/health_check/status", "100 to 599"},
		"check's pattern":          {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.BodyPattern = "a\nb" }) }, "/backends/web/health_check/body_pattern", "line break"},
		"pattern without a body":   {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Method, h.BodyPattern = "HEAD", "ok" }) }, "/backends/web/health_check/body_pattern", "no body"},
		"check's interval":         {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Interval = 0 }) }, "/backends/web/health_check/interval", "10ms to 1h"},
		"check's timeout":          {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Timeout = 0 }) }, "/backends/web/health_check/timeout", "1ms to 1h"},
		"check's rise":             {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Rise = 0 }) }, "/backends/web/health_check/rise", "1 to 100"},
		"check's fall":             {func(b *LoadBalancer) { editCheck(b, func(h *HealthCheck) { h.Fall = 101 }) }, "/backends/web/health_check/fall", "1 to 100"},
	} {
		t.Run(name, func(t *testing.T) {
			b := testLoadBalancer()
			test.edit(&b)
			v := b.Validate()
			if !slices.ContainsFunc(v, func(v Violation) bool { return v.Pointer == test.pointer && strings.Contains(v.Detail, test.says) }) {
				t.Errorf("no violation at %s says %q; found %v", test.pointer, test.says, v)
			}
			if len(v) > 1 && name != "no backends" {
				t.Errorf("one mistake gave more than one violation: %v", v)
			}
		})
	}
}

func TestLoadBalancerValidateTellsAllAtOnce(t *testing.T) {
	var b LoadBalancer
	pointers := map[Pointer]bool{}
	for _, v := range b.Validate() {
		pointers[v.Pointer] = true
	}
	for _, want := range []Pointer{"/engine", "/max_connections", "/timeouts/connect", "/timeouts/tunnel", "/frontends", "/backends"} {
		if !pointers[want] {
			t.Errorf("nothing at %s; found %v", want, slices.Sorted(maps.Keys(pointers)))
		}
	}
}

func TestLoadBalancerClaims(t *testing.T) {
	got := testLoadBalancer().Claims()
	want := []Claim{
		{Network: "tcp", Address: "10.0.0.10", Port: 8080, Pointer: "/frontends/admin/port"},
		{Network: "tcp", Address: "*", Port: 80, Pointer: "/frontends/www/port"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("claims are %v, expected %v", got, want)
	}
}
