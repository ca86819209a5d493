package appserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// spoolDir is where nginx keeps what it cannot hold in memory: below its
// private /var/tmp, which is on disk and goes with the unit.
const spoolDir = "/var/tmp/"

// adminAppPath is where nginx passes the app's own health check on, on its admin
// socket alone: the path of the check itself may be one of a static file.
const adminAppPath = "/app"

// adminSlotPath is where it does that for the app of one slot, with or without the traffic.
func adminSlotPath(slot string) string { return "/slot/" + slot + adminAppPath }

// revisionMark stands for the revision while it is not known yet.
const revisionMark = "REVISION"

// nginxText writes the whole configuration of the app server's own nginx. Its
// revision is a checksum of all the rest.
func nginxText(l layout, s api.AppServer, f front) *converge.Text {
	sum := sha256.Sum256(nginxOf(l, s, f, revisionMark).Content())
	return nginxOf(l, s, f, hex.EncodeToString(sum[:8]))
}

func nginxOf(l layout, s api.AppServer, f front, revision string) *converge.Text {
	t := newText()
	t.Own("daemon off;",
		"pid "+l.nginxRuntimeDir()+"/nginx.pid;",
		"error_log stderr warn;",
		"worker_processes auto;")
	// As long as after a release, connections may take to end after a reload.
	t.From("/drain_timeout", "worker_shutdown_timeout %dms;", s.DrainTimeout.Milliseconds())
	t.Own("", "events {", "    worker_connections 4096;", "}", "", "http {")
	httpDefaults(t)
	requestBounds(t, s)
	content(t)
	gzipAnswers(t, s)
	accessLog(t)
	clientAddress(t, s)
	forwarded(t)
	if len(f.static) > 0 {
		staticMaps(t, l, s)
	}
	if len(s.ResponseHeaders) > 0 {
		t.Own("    geo $dollar {", `        default "$";`, "    }", "")
	}
	if !s.StaticSite() {
		deadApp(t, f)
	}
	site(t, l, s, f)
	slotServers(t, l, s, f)
	admin(t, l, s, f, revision)
	t.Own("}")
	return t
}

func httpDefaults(t *converge.Text) {
	t.Own("    server_tokens off;",
		"    client_body_temp_path "+spoolDir+"client-body;",
		"    proxy_temp_path "+spoolDir+"proxy;",
		"    fastcgi_temp_path "+spoolDir+"fastcgi;",
		"    uwsgi_temp_path "+spoolDir+"uwsgi;",
		"    scgi_temp_path "+spoolDir+"scgi;",
		"",
		"    # Longer than a load balancer keeps an idle connection, so that it closes first.",
		"    keepalive_timeout 75s;",
		"    keepalive_requests 100000;",
		"")
}

// upstream names the app of a slot for proxy_pass.
func upstream(slot string) string { return "unix:" + slotSocket(slot) }

func listenAddresses(s api.AppServer) []string {
	if s.Address == "*" {
		return []string{fmt.Sprintf("0.0.0.0:%d", s.Port), fmt.Sprintf("[::]:%d", s.Port)}
	}
	return []string{netip.AddrPortFrom(netip.MustParseAddr(s.Address), uint16(s.Port)).String()} //nolint:gosec // a valid port fits
}

// admin tells the agent, and nobody else, which configuration is in force, and
// passes the app's own health check on, the way that requests go.
func admin(t *converge.Text, l layout, s api.AppServer, f front, revision string) {
	t.Own("    server {",
		"        listen unix:"+l.adminSocket()+";",
		"        access_log off;",
		"        location / {",
		`            return 200 "`+revision+`";`,
		"        }")
	if !s.StaticSite() {
		proxyHeaders(t, s, f, "127.0.0.1")
		askApp(t, s, adminAppPath, l.current())
		for _, slot := range slots() {
			askApp(t, s, adminSlotPath(slot), l.slot(slot))
		}
	}
	t.Own("    }")
}

// askApp passes the health check on to the app of a slot.
func askApp(t *converge.Text, s api.AppServer, path, slot string) {
	t.Own("        location = "+path+" {", "            proxy_method GET;")
	t.From("/health_check/timeout", "            proxy_read_timeout %dms;", s.HealthCheck.Timeout.Milliseconds())
	t.From("/health_check/path", "            proxy_pass http://%s:%s;", upstream(slot), s.HealthCheck.Path)
	t.Own("        }")
}

var revisionPattern = regexp.MustCompile(`(?m)^ +return 200 "([0-9a-f]{16})";$`)

// revisionOf returns the revision that a configuration carries, "" if none.
func revisionOf(config []byte) string {
	if found := revisionPattern.FindSubmatch(bytes.TrimSpace(config)); found != nil {
		return string(found[1])
	}
	return ""
}
