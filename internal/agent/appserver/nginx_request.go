package appserver

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// requestBounds bound the size of a request's head and the patience with clients.
func requestBounds(t *converge.Text, s api.AppServer) {
	t.From("/request_timeouts/headers", "    client_header_timeout %dms;", s.RequestTimeouts.Headers.Milliseconds())
	t.From("/request_timeouts/body", "    client_body_timeout %dms;", s.RequestTimeouts.Body.Milliseconds())
	t.From("/request_timeouts/send", "    send_timeout %dms;", s.RequestTimeouts.Send.Milliseconds())
	t.From("/request_limits/header_bytes", "    large_client_header_buffers 4 %d;", s.RequestLimits.HeaderBytes)
	if s.UnderscoresInHeaders {
		t.From("/underscores_in_headers", "    underscores_in_headers on;")
	}
	t.Own("")
}

// accessLog sends a JSON line a request to the journal, which knows the unit
// by itself. The path is the one that the client asked for, without the query,
// which is where tokens leak from.
func accessLog(t *converge.Text) {
	t.Own("    map $request_uri $path {",
		`        "~^(?<asked>[^?#]*)" $asked;`,
		"    }",
		"    log_format access escape=json",
		`        '{"time":"$time_iso8601","request_id":"$correlation_id","client":"$remote_addr",'`,
		`        '"peer":"$realip_remote_addr","method":"$request_method","host":"$host","path":"$path",'`,
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

// forwarded decides what the app is given of the request: what a trusted proxy
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

// proxyHeaders sets the headers that the app gets, of a request that came from
// client, an address or a variable, and how nginx passes requests on.
func proxyHeaders(t *converge.Text, s api.AppServer, f front, client string) {
	header := func(name, value string) { t.Own("        proxy_set_header " + name + " " + value + ";") }
	header("Host", "$requested_host")
	header("Connection", "$hop")
	header("Upgrade", "$upgrade_to")
	shown := [][2]string{
		{"X-Request-ID", "$correlation_id"}, {"X-Real-IP", client}, {"X-Forwarded-For", client},
		{"X-Forwarded-Proto", "$client_scheme"}, {"X-Forwarded-Host", "$requested_host"}, {"X-Forwarded-Port", `""`},
		{"Forwarded", `""`}, {"Proxy", `""`},
	}
	for _, h := range shown {
		header(h[0], h[1])
	}
	if len(f.ports) > 0 {
		header("Foobar-Trusted", "$trusted")
	}
	if s.UnderscoresInHeaders {
		// CGI, WSGI and Rack name a header with underscores for dashes: there
		// X_Forwarded_For is X-Forwarded-For, and would be what a client claims.
		known := []string{"Content-Length", "Content-Type", "Transfer-Encoding", "Foobar-Trusted"}
		for _, h := range shown {
			known = append(known, h[0])
		}
		for _, name := range known {
			for _, spelling := range otherSpellings(name) {
				t.From("/underscores_in_headers", `        proxy_set_header %s "";`, spelling)
			}
		}
	}
	t.Own("        proxy_http_version 1.1;",
		"        proxy_redirect off;",
		"        proxy_next_upstream off;",
		"        proxy_connect_timeout 2s;",
		"        # A request reaches the app when it is complete, which keeps slow clients from it. Its answer",
		"        # is collected in these buffers, unless it has X-Accel-Buffering: no, as a stream needs.",
		"        client_body_buffer_size 128k;",
		"        proxy_buffer_size 16k;",
		"        proxy_buffers 8 16k;",
		"        proxy_max_temp_file_size 0;",
		"")
}

// otherSpellings returns a header's name with underscores for some or all of its dashes.
func otherSpellings(name string) []string {
	spellings := []string{""}
	for part := range strings.SplitSeq(name, "-") {
		var longer []string
		for _, s := range spellings {
			if s == "" {
				longer = append(longer, part)
				continue
			}
			longer = append(longer, s+"-"+part, s+"_"+part)
		}
		spellings = longer
	}
	return slices.DeleteFunc(spellings, func(s string) bool { return s == name })
}
