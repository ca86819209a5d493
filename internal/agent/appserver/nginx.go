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

// revisionMark stands for the revision while it is not known yet.
const revisionMark = "REVISION"

// nginxText writes the whole configuration of the app server's own nginx. Its
// revision is a checksum of all the rest.
func nginxText(l layout, s api.AppServer) *converge.Text {
	sum := sha256.Sum256(nginxOf(l, s, revisionMark).Content())
	return nginxOf(l, s, hex.EncodeToString(sum[:8]))
}

func nginxOf(l layout, s api.AppServer, revision string) *converge.Text {
	t := newText()
	t.Own("daemon off;",
		"pid "+l.nginxRuntimeDir()+"/nginx.pid;",
		"error_log stderr warn;",
		"worker_processes auto;")
	// What the app may take to finish, connections may take to end after a reload.
	t.From("/stop_timeout", "worker_shutdown_timeout %dms;", s.StopTimeout.Milliseconds())
	t.Own("", "events {", "    worker_connections 4096;", "}", "", "http {")
	httpDefaults(t)
	accessLog(t)
	clientAddress(t, s)
	forwarded(t)
	site(t, l, s)
	admin(t, l, revision)
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
		"    client_header_timeout 10s;",
		"    client_body_timeout 30s;",
		"    send_timeout 30s;",
		"    large_client_header_buffers 4 16k;",
		"    # Longer than a load balancer keeps an idle connection, so that it closes first.",
		"    keepalive_timeout 75s;",
		"    keepalive_requests 100000;",
		"")
}

// accessLog sends a JSON line a request to the journal, which knows the unit
// by itself. The query is left out: it is where tokens leak from.
func accessLog(t *converge.Text) {
	t.Own("    log_format access escape=json",
		`        '{"time":"$time_iso8601","request_id":"$correlation_id","client":"$remote_addr",'`,
		`        '"peer":"$realip_remote_addr","method":"$request_method","host":"$host","path":"$uri",'`,
		`        '"protocol":"$server_protocol","status":$status,"bytes_in":$request_length,'`,
		`        '"bytes_out":$bytes_sent,"seconds":$request_time,"app_status":"$upstream_status",'`,
		`        '"app_seconds":"$upstream_response_time","user_agent":"$http_user_agent"}';`,
		"    access_log syslog:server=unix:/dev/log,nohostname,facility=daemon,tag=nginx access;",
		"")
}

// clientAddress finds the client behind the trusted proxies, and remembers
// whether the request came from one.
func clientAddress(t *converge.Text, s api.AppServer) {
	t.Own("    geo $realip_remote_addr $trusted {", "        default 0;")
	for i, network := range s.TrustedProxies {
		t.From(api.Pointer("/trusted_proxies").At(i), "        %s 1;", canonical(network))
	}
	t.Own("    }")
	for i, network := range s.TrustedProxies {
		t.From(api.Pointer("/trusted_proxies").At(i), "    set_real_ip_from %s;", canonical(network))
	}
	t.Own("    real_ip_header X-Forwarded-For;", "    real_ip_recursive on;", "")
}

// canonical writes a valid network in its one form.
func canonical(network string) string {
	return netip.MustParsePrefix(network).String()
}

// forwarded decides what the app is told of the request: what a trusted proxy
// says, else what nginx sees, never what a client claims.
func forwarded(t *converge.Text) {
	t.Own(`    map "$trusted $http_x_forwarded_proto" $client_scheme {`,
		"        default $scheme;",
		`        "1 http" http;`,
		`        "1 https" https;`,
		"    }",
		`    map "$trusted $http_x_request_id" $correlation_id {`,
		"        default $request_id;",
		`        "~^1 (?<given>[A-Za-z0-9._:=+/-]{1,128})$" $given;`,
		"    }",
		"    # Only WebSockets are upgraded; anything else could hide requests from the proxies.",
		"    map $http_upgrade $upgrade_to {",
		`        default "";`,
		"        ~*^websocket$ websocket;",
		"    }",
		"    map $upgrade_to $hop {",
		"        default close;",
		"        websocket upgrade;",
		"    }",
		"    # An HTTP/1.0 request, such as a health check, need not name a host; some apps refuse that.",
		"    map $http_host $requested_host {",
		"        default $http_host;",
		`        "" localhost;`,
		"    }",
		"")
}

func site(t *converge.Text, l layout, s api.AppServer) {
	t.Own("    server {")
	for _, address := range listenAddresses(s) {
		t.From("/port", "        listen %s default_server;", address)
	}
	t.From("/max_body_bytes", "        client_max_body_size %d;", s.MaxBodyBytes)
	t.Own("        add_header X-Request-ID $correlation_id always;",
		"",
		"        proxy_http_version 1.1;",
		"        proxy_set_header Host $requested_host;",
		"        proxy_set_header Connection $hop;",
		"        proxy_set_header Upgrade $upgrade_to;",
		"        proxy_set_header X-Request-ID $correlation_id;",
		"        proxy_set_header X-Real-IP $remote_addr;",
		"        proxy_set_header X-Forwarded-For $remote_addr;",
		"        proxy_set_header X-Forwarded-Proto $client_scheme;",
		"        proxy_set_header X-Forwarded-Host $requested_host;",
		`        proxy_set_header X-Forwarded-Port "";`,
		`        proxy_set_header Forwarded "";`,
		`        proxy_set_header Proxy "";`,
		"        proxy_hide_header X-Request-ID;",
		"        proxy_redirect off;",
		"        proxy_next_upstream off;",
		"        proxy_connect_timeout 2s;",
		"        # The silence of an answer is bounded in front; that of a WebSocket here.",
		"        proxy_send_timeout 30s;",
		"        proxy_read_timeout 1h;",
		"        # A request reaches the app when it is complete, which keeps slow clients from it; the answer",
		"        # streams, and an app that sends X-Accel-Buffering: no streams it byte by byte.",
		"        client_body_buffer_size 128k;",
		"        proxy_buffer_size 16k;",
		"        proxy_buffers 8 16k;",
		"        proxy_max_temp_file_size 0;",
		"",
		"        location / {")
	t.From("/app_port", "            proxy_pass http://%s;", upstream(l, s))
	t.Own("        }", "")
	t.Own("        location "+api.HealthPrefix+" {", "            return 404;", "        }")
	t.Own("        location = "+api.AppHealthPath+" {",
		"            access_log off;",
		"            if (-e "+l.drainFile()+") {",
		"                return 404;",
		"            }",
		"            proxy_method GET;")
	t.From("/health_check/timeout", "            proxy_read_timeout %dms;", s.HealthCheck.Timeout.Milliseconds())
	t.From("/health_check/path", "            proxy_pass http://%s%s;", upstream(l, s), upstreamPath(s))
	t.Own("        }", "    }", "")
}

// upstream names the app for proxy_pass. The socket's link is followed with
// each connect, so another slot takes over without nginx being told.
func upstream(l layout, s api.AppServer) string {
	if s.AppPort != 0 {
		return fmt.Sprintf("127.0.0.1:%d", s.AppPort)
	}
	return "unix:" + l.currentSocket()
}

func upstreamPath(s api.AppServer) string {
	if s.AppPort != 0 {
		return s.HealthCheck.Path
	}
	return ":" + s.HealthCheck.Path
}

func listenAddresses(s api.AppServer) []string {
	if s.Address == "*" {
		return []string{fmt.Sprintf("0.0.0.0:%d", s.Port), fmt.Sprintf("[::]:%d", s.Port)}
	}
	return []string{netip.AddrPortFrom(netip.MustParseAddr(s.Address), uint16(s.Port)).String()} //nolint:gosec // a valid port fits
}

// admin tells the agent, and nobody else, which configuration is in force.
func admin(t *converge.Text, l layout, revision string) {
	t.Own("    server {",
		"        listen unix:"+l.adminSocket()+";",
		"        access_log off;",
		`        return 200 "`+revision+`";`,
		"    }")
}

var revisionPattern = regexp.MustCompile(`(?m)^ +return 200 "([0-9a-f]{16})";$`)

// revisionOf returns the revision that a configuration carries, "" if none.
func revisionOf(config []byte) string {
	if found := revisionPattern.FindSubmatch(bytes.TrimSpace(config)); found != nil {
		return string(found[1])
	}
	return ""
}
