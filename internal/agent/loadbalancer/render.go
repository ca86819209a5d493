package loadbalancer

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Bounds of HAProxy's own that no attribute sets.
const (
	// hardStop ends a former worker that still has connections this long
	// after a reload. Without it old workers can stay for ever.
	hardStop = 60 * time.Second
	// fastInterval is the pause between checks of a server whose state is
	// changing, downInterval that of one that is down; never longer than the
	// interval of the spec.
	fastInterval = api.Duration(500 * time.Millisecond)
	downInterval = api.Duration(time.Second)
	// agentInterval is the pause between agent checks, and how long an answer may take.
	agentInterval = api.Duration(200 * time.Millisecond)
	// logLength bounds an access log line; HAProxy's own 1024 would cut JSON
	// short. systemd's journal takes lines of up to 48 KiB.
	logLength = 32768
)

// accessLog is the access log's format: one JSON object a line. Times are in
// milliseconds, -1 where the request did not come that far. There is no query
// string, as those carry secrets.
const accessLog = `%{+json}o` +
	` %(time)[date(0,ms),ms_utime("%Y-%m-%dT%H:%M:%S.%3NZ")] %(request_id)ID` +
	` %(client)ci %(client_port)cp %(frontend)ft %(backend)b %(server)s` +
	` %(method)HM %(host)[capture.req.hdr(0)] %(path)HPO %(protocol)HV %(status)ST` +
	` %(bytes_in)U %(bytes_out)B` +
	` %(time_request)TR %(time_queue)Tw %(time_connect)Tc %(time_response)Tr %(time_total)Ta` +
	` %(termination)ts %(retries)rc %(user_agent)[capture.req.hdr(1)]`

// Render turns a spec into a configuration and a unit. It has no secrets.
func (*Kind) Render(name string, spec operation.Spec, _ map[string]api.Secret, _ converge.InPlace) (converge.State, error) {
	typed, err := specOf(spec)
	if err != nil {
		return converge.State{}, err
	}
	p := pathsOf(name)
	return converge.State{
		Dirs: []converge.Dir{{Path: p.directory, Mode: 0o755, Owner: "root", Group: "root"}},
		Files: []converge.File{
			renderConfig(name, typed).File(p.config, 0o644),
			renderUnit(name, typed).File(p.unitFile, 0o644),
			logs.Config(p.unit),
		},
		Units: []converge.Unit{{Name: p.unit}},
	}, nil
}

func renderConfig(name string, spec api.LoadBalancer) *converge.Text {
	t := &converge.Text{}
	t.Own("# Load balancer " + name + ", written by foobar-agent. An edit shows as drift and goes with the next apply.")
	renderGlobal(t, name, spec)
	renderDefaults(t, spec)
	for _, name := range slices.Sorted(maps.Keys(spec.Frontends)) {
		renderFrontend(t, name, spec)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Backends)) {
		renderBackend(t, name, spec.Backends[name])
	}
	// What a worker was started with can be asked of it ("show info"), which
	// tells a worker that follows the file from one that has read another.
	revision := sha256.Sum256(withoutWeights(t.Content()))
	t.Own("", "global", "    description "+revisionPrefix+hex.EncodeToString(revision[:8]))
	return t
}

// revisionPrefix begins the name of a configuration without its weights.
const revisionPrefix = "revision-"

// revisionOf returns the revision that a configuration names, "" if none.
func revisionOf(config []byte) string {
	_, after, found := strings.Cut(string(config), "\n    description "+revisionPrefix)
	if !found {
		return ""
	}
	name, _, _ := strings.Cut(after, "\n")
	return revisionPrefix + name
}

func renderGlobal(t *converge.Text, name string, spec api.LoadBalancer) {
	t.Own("", "global",
		"    user haproxy",
		"    group haproxy",
		"    chroot /var/lib/haproxy",
		"    stats socket /run/"+pathsOf(name).runtime+"/admin.sock mode 660 level admin",
		"    server-state-file /run/"+pathsOf(name).runtime+"/"+stateFile)
	t.From("/max_connections", "    maxconn %d", spec.MaxConnections)
	t.Own(
		// Where the machine grants fewer descriptors than maxconn may need,
		// serving is better than not starting; Observe reports it.
		"    no strict-limits",
		// No close-spread-time: a worker that is to end would close kept connections
		// between two requests, in spite of idle-close-on-response (h1_refresh_timeout
		// in HAProxy's mux_h1.c), and a request that is on its way then is lost.
		"    hard-stop-after "+milliseconds(api.Duration(hardStop)))
}

func renderDefaults(t *converge.Text, spec api.LoadBalancer) {
	t.Own("", "defaults http",
		"    mode http",
		"    option dontlognull",
		"    option http-ignore-probes",
		// After a reload a connection of a client ends with an answer that says
		// so, never between two requests, where the next one would be lost. The
		// former worker stays for the keep-alive timeout, at most for hardStop.
		"    option idle-close-on-response",
		"    http-reuse safe",
		// A request that is sent again goes to another server at once.
		"    retries 3",
		"    option redispatch 1",
		// A machine that is lost without a word ends its connections in about 3 s
		// and not at the timeout of the server.
		"    option srvtcpka",
		"    srvtcpka-idle 1s",
		"    srvtcpka-intvl 1s",
		"    srvtcpka-cnt 2",
		"    load-server-state-from-file global")
	at := api.Pointer("/timeouts")
	t.From(at.At("connect"), "    timeout connect %s", milliseconds(spec.Timeouts.Connect))
	t.From(at.At("client"), "    timeout client %s", milliseconds(spec.Timeouts.Client))
	t.Own("    timeout client-fin 5000")
	t.From(at.At("server"), "    timeout server %s", milliseconds(spec.Timeouts.Server))
	t.From(at.At("queue"), "    timeout queue %s", milliseconds(spec.Timeouts.Queue))
	t.From(at.At("http_request"), "    timeout http-request %s", milliseconds(spec.Timeouts.HTTPRequest))
	t.From(at.At("keep_alive"), "    timeout http-keep-alive %s", milliseconds(spec.Timeouts.KeepAlive))
	t.From(at.At("tunnel"), "    timeout tunnel %s", milliseconds(spec.Timeouts.Tunnel))
}

func renderFrontend(t *converge.Text, name string, spec api.LoadBalancer) {
	f, at := spec.Frontends[name], api.Pointer("/frontends").At(name)
	t.Own("")
	t.From(at, "frontend %s from http", name)
	for _, bind := range binds(f) {
		t.From(at, "    bind %s", bind)
	}
	// Only here, not in defaults: what HAProxy has to say of servers goes to
	// the journal through its standard error already.
	t.Own("    log stdout len " + strconv.Itoa(logLength) + " format raw local0 info")
	if f.LogFormat != "" {
		t.From(at.At("log_format"), "    log-format %s", haproxy.Quote(f.LogFormat))
	} else {
		t.Own("    log-format " + haproxy.Quote(accessLog))
	}
	t.Own("    http-request capture req.hdr(Host) len 253",
		"    http-request capture req.hdr(User-Agent) len 256")
	renderForwarding(t, spec.TrustedProxies)
	t.Own("    http-request del-header X-Request-ID",
		"    unique-id-format %[uuid()]",
		"    unique-id-header X-Request-ID",
		// HAProxy's own answers have it, too.
		"    http-after-response set-header X-Request-ID %[unique-id]")
	renderRoute(t, at.At("backend"), f.Backend, spec.Backends[f.Backend])
}

// renderRoute chooses the pool of a backend: by whether any server passes its
// checks, then by what the method allows.
func renderRoute(t *converge.Text, at api.Pointer, name string, b api.Backend) {
	t.From(at, "    acl idempotent method %s", strings.Join(api.IdempotentMethods(), " "))
	for _, p := range slices.Backward(pools(b)) {
		condition := ""
		if p.unchecked {
			condition = " { nbsrv(" + name + ") lt 1 }"
		}
		if p.once {
			condition += " !idempotent"
		}
		if p.asks() {
			t.From(at, "    default_backend %s", p.of(name))
		} else {
			t.From(at, "    use_backend %s if%s", p.of(name), condition)
		}
	}
}

// renderForwarding has the servers believe only what a trusted proxy says of
// the client.
func renderForwarding(t *converge.Text, trusted []string) {
	for i, network := range trusted {
		t.From(api.Pointer("/trusted_proxies").At(i), "    acl trusted_proxy src %s", network)
	}
	unless, unlessSet := "", ""
	if len(trusted) > 0 {
		unless = " unless trusted_proxy"
		unlessSet = " unless trusted_proxy { req.hdr(X-Forwarded-Proto) -m found }"
	}
	t.Own("    http-request del-header X-Forwarded-For"+unless,
		"    http-request del-header Forwarded"+unless,
		"    http-request set-header X-Forwarded-Proto http"+unlessSet,
		"    option forwardfor")
}

func renderBackend(t *converge.Text, name string, b api.Backend) {
	for _, p := range pools(b) {
		renderPool(t, name, b, p)
	}
}

func renderPool(t *converge.Text, name string, b api.Backend, p pool) {
	at := api.Pointer("/backends").At(name)
	t.Own("")
	t.From(at, "backend %s from http", p.of(name))
	t.From(at.At("algorithm"), "    balance %s", balance(b.Algorithm))
	if b.Algorithm == api.Source {
		// A static hash would forbid changing weights at run time.
		t.From(at.At("algorithm"), "    hash-type consistent")
	}
	renderRetries(t, p)
	if b.HealthCheck != nil && p.asks() {
		renderHealthCheck(t, at.At("health_check"), *b.HealthCheck)
	}
	if drainsOn404(b) && !p.unchecked {
		// HAProxy wants it where a server is checked and where one follows that.
		t.From(at.At("health_check"), "    http-check disable-on-404")
	}
	for _, server := range slices.Sorted(maps.Keys(b.Servers)) {
		t.From(at.At("servers", server), "    %s", serverLine(member{name, server}, b, p))
	}
}

// renderRetries says which requests are sent again, to another server.
//
// The server behind is nginx in front of an app. If the app is dead it answers 425
// (too early) where the method is idempotent or the app has not seen the request.
// So an answer of the app itself, a 5xx too, is never a reason to send a request
// again. A connection that ends without an answer is one where nginx died: the app
// may have seen the request.
func renderRetries(t *converge.Text, p pool) {
	if p.once {
		t.Own("    retry-on conn-failure 425",
			// A connection that was kept can end just as the request arrives, and
			// then nobody knows whether the server has seen it.
			"    http-reuse never",
			"    option http-server-close")
	} else {
		t.Own("    retry-on conn-failure empty-response 425")
	}
	t.Own(
		// What has been read of a body can be sent again, up to tune.bufsize.
		"    option http-buffer-request",
		// The 425 was a message between nginx and HAProxy.
		"    http-response return status 503 default-errorfiles if { status 425 }")
}

// drainsOn404 reports whether a server drains itself by answering its health
// check with 404.
func drainsOn404(b api.Backend) bool {
	return b.HealthCheck != nil && b.HealthCheck.Status != http.StatusNotFound
}

func renderHealthCheck(t *converge.Text, at api.Pointer, h api.HealthCheck) {
	t.From(at, "    option httpchk")
	if h.Host != "" {
		t.From(at, "    http-check send meth %s uri %s ver HTTP/1.1 hdr Host %s", h.Method, haproxy.Quote(h.Path), haproxy.Quote(h.Host))
	} else {
		t.From(at, "    http-check send meth %s uri %s", h.Method, haproxy.Quote(h.Path))
	}
	t.From(at.At("status"), "    http-check expect status %d", h.Status)
	if h.BodyPattern != "" {
		t.From(at.At("body_pattern"), "    http-check expect rstring %s", haproxy.Quote(h.BodyPattern))
	}
	t.From(at.At("timeout"), "    timeout check %s", milliseconds(h.Timeout))
	t.From(at.At("interval"), "    default-server inter %s fastinter %s downinter %s",
		milliseconds(h.Interval), milliseconds(min(h.Interval, fastInterval)), milliseconds(min(h.Interval, downInterval)))
	// Two connections in a row that fail take a server down before its next check does.
	t.From(at, "    default-server check observe layer4 error-limit 2 on-error mark-down")
	t.From(at.At("rise"), "    default-server rise %d", h.Rise)
	t.From(at.At("fall"), "    default-server fall %d", h.Fall)
}

// serverLine is a server's whole line in a pool; [withoutWeights] knows its shape.
func serverLine(m member, b api.Backend, p pool) string {
	s := b.Servers[m.server]
	words := []string{
		"server", m.server, endpoint(s.Address, s.Port),
		"weight", strconv.Itoa(weightInForce(s)),
		"maxconn", strconv.Itoa(p.limit(s)),
	}
	if p.unchecked {
		return strings.Join(words, " ") // a backup too may be the only one that works
	}
	if s.Backup {
		words = append(words, "backup")
	}
	asked := s.AgentCheckPort != 0
	switch {
	case p.asks() && asked:
		words = append(words, "agent-check", "agent-port", strconv.Itoa(s.AgentCheckPort), "agent-inter", milliseconds(agentInterval))
	case !p.asks() && (asked || b.HealthCheck != nil):
		words = append(words, "track", m.String())
	}
	return strings.Join(words, " ")
}

// weightInForce returns the weight that HAProxy is given: 3.0 has no word for
// a drain in its configuration, there it is a weight of 0.
func weightInForce(s api.Server) int {
	if s.Drain {
		return 0
	}
	return s.Weight
}

// binds returns what a frontend binds. For every address it takes two
// sockets, so that clients over IPv4 keep their usual addresses.
func binds(f api.Frontend) []string {
	port := strconv.Itoa(f.Port)
	switch f.Address {
	case "*":
		return []string{"0.0.0.0:" + port, "[::]:" + port + " v6only"}
	case "::":
		return []string{"[::]:" + port + " v6only"}
	}
	return []string{endpoint(f.Address, f.Port)}
}

// endpoint writes a valid IP address and a port as HAProxy reads them.
func endpoint(address string, port int) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
		return "[" + address + "]:" + strconv.Itoa(port)
	}
	return address + ":" + strconv.Itoa(port)
}

func balance(a api.Algorithm) string {
	switch a {
	case api.LeastConnections:
		return "leastconn"
	case api.Source:
		return "source"
	case api.RoundRobin:
	}
	return "roundrobin"
}

// milliseconds writes a duration as HAProxy's timeouts have it by default.
func milliseconds(d api.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
