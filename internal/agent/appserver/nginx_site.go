package appserver

import (
	"maps"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// deadApp decides how nginx answers for an app that gave no answer. Trusted
// proxies learn from it whether another server may get the request: not if the
// app may have done its work already, unless the method is idempotent (RFC 9110,
// section 9.2.2).
//
//   - 425: nginx could not connect to the app, which never saw the request; or the
//     method is idempotent and the app sent no byte.
//   - 502: all else, and all other clients.
//
// Never no answer at all (444): after its last try HAProxy hands that on to the
// client, who may send a POST a second time and is left without a status.
//
// What is in front of a slot's port hears from the site whether it trusts the client.
func deadApp(t *converge.Text, f front) {
	t.Own("    # 425 tells a load balancer that another server may get the request.")
	deadMap(t, "$trusted", "$dead")
	if len(f.ports) > 0 {
		deadMap(t, "$http_foobar_trusted", "$dead_on_port")
	}
}

func deadMap(t *converge.Text, trusted, decision string) {
	t.Own(`    map "`+trusted+`:$request_method:$upstream_connect_time:$upstream_bytes_received" `+decision+` {`,
		"        default 502;",
		`        "~^1:(GET|HEAD|OPTIONS|PUT|DELETE):[0-9.-]*:[0-]?$" 425;`,
		`        "~^1:[^:]*:-?:" 425;`,
		"    }",
		"")
}

// site is what clients reach.
func site(t *converge.Text, l layout, s api.AppServer, f front) {
	t.Own("    server {")
	for _, address := range listenAddresses(s) {
		t.From("/port", "        listen %s default_server;", address)
	}
	t.From("/request_limits/body_bytes", "        client_max_body_size %d;", s.RequestLimits.BodyBytes)
	t.Own("        # Without it, nginx answers headers that are too large with 400.",
		"        error_page 494 =431 @header_too_large;",
		"        location @header_too_large {", "            return 431;", "        }")
	answerHeaders(t, s, "        ")
	t.Own("")
	if !s.StaticSite() {
		proxyHeaders(t, s, f, "$remote_addr")
		t.Own("        proxy_hide_header X-Request-ID;")
		for _, name := range slices.Sorted(maps.Keys(s.ResponseHeaders)) {
			t.From(api.Pointer("/response_headers").At(name), "        proxy_hide_header %s;", name)
		}
		t.Own("")
	}
	if len(f.static) > 0 {
		chooseSlotOnce(t, l)
	}
	staticLocations(t, s, f.static, servedSlot)
	if !s.StaticSite() {
		appLocations(t, l, s, f)
	}
	healthLocations(t, l)
	t.Own("    }", "")
}

// answerHeaders sets the headers that every answer has. A location that sets
// another header does not inherit them, and needs them again.
func answerHeaders(t *converge.Text, s api.AppServer, indent string) {
	t.Own(indent + "add_header X-Request-ID $correlation_id always;")
	for _, name := range slices.Sorted(maps.Keys(s.ResponseHeaders)) {
		if value := s.ResponseHeaders[name]; value != "" {
			t.From(api.Pointer("/response_headers").At(name), "%sadd_header %s %s always;", indent, name, quoteNginx(value))
		}
	}
}

// quoteNginx writes printable text as an argument in which nginx replaces
// variables. It knows no escape for a dollar sign, so a variable stands for it.
func quoteNginx(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, "${dollar}").Replace(text) + `"`
}

// appLocations pass requests to the app. error_page catches only what nginx
// itself answers: the app's own answers pass unchanged.
func appLocations(t *converge.Text, l layout, s api.AppServer, f front) {
	for _, from := range comingIn(l, f) {
		t.Own("        location "+from.name+" {",
			"            if ($upgrade_to) {", "                return 418;", "            }",
			"            error_page 418 = @websocket;",
			"            error_page 502 = @dead;",
			"            # Without it, a 502 of @websocket would not get to @dead.",
			"            recursive_error_pages on;")
		passToApp(t, from.slot, "/request_timeouts/app", s.RequestTimeouts.App)
		t.Own("        }")
	}
	t.Own("        location @websocket {",
		"            error_page 502 = @dead;")
	passToApp(t, l.current(), "/request_timeouts/websocket", s.RequestTimeouts.WebSocket)
	t.Own("        }",
		"        location @dead {",
		"            if ($dead = 425) {", "                return 425;", "            }",
		"            return 502;",
		"        }",
		"")
}

// slotServers stand in front of the slots whose traffic cannot go to a socket of
// the app's own: they pass it on to the port that the app listens on, as it comes,
// since the site has said all that there is to say of it; or they show the agent
// the files of a slot before the traffic goes there.
func slotServers(t *converge.Text, l layout, s api.AppServer, f front) {
	for _, slot := range slots() {
		port := f.ports[slot]
		if port == 0 && !s.StaticSite() {
			continue
		}
		t.Own("    server {",
			"        listen unix:"+l.shimSocket(slot)+";",
			"        access_log off;")
		if s.StaticSite() {
			staticLocations(t, s, f.static, l.slot(slot))
		} else {
			passToPort(t, port)
		}
		t.Own("    }", "")
	}
}

func passToPort(t *converge.Text, port int) {
	t.Own("        client_max_body_size 0;",
		"        gzip off;",
		"        proxy_http_version 1.1;",
		"        proxy_set_header Host $http_host;",
		"        proxy_set_header Connection $hop;",
		"        proxy_set_header Upgrade $upgrade_to;",
		`        proxy_set_header Foobar-Trusted "";`,
		"        # The app's orders to nginx are for the site.",
		"        proxy_ignore_headers X-Accel-Redirect X-Accel-Buffering X-Accel-Limit-Rate X-Accel-Charset;",
		"        proxy_pass_header X-Accel-Redirect;",
		"        proxy_pass_header X-Accel-Buffering;",
		"        proxy_pass_header X-Accel-Limit-Rate;",
		"        proxy_pass_header X-Accel-Charset;",
		"        proxy_redirect off;",
		"        proxy_next_upstream off;",
		"        proxy_request_buffering off;",
		"        proxy_buffering off;",
		"        proxy_connect_timeout 2s;",
		"        # The site ends what is silent for too long.",
		"        proxy_send_timeout 24h;",
		"        proxy_read_timeout 24h;",
		"        location / {",
		"            error_page 502 = @dead;")
	t.From("/app_ports", "            proxy_pass http://127.0.0.1:%d;", port)
	t.Own("        }",
		"        location @dead {",
		"            if ($dead_on_port = 425) {", "                return 425;", "            }",
		"            return 502;",
		"        }")
}

// appLocation is where requests for the app come in, and the slot that they go to.
type appLocation struct{ name, slot string }

// comingIn lists where: nothing else matches, or a file was looked for in vain.
func comingIn(l layout, f front) []appLocation {
	var all []appLocation
	if _, whole := f.static["/"]; !whole {
		all = append(all, appLocation{"/", l.current()})
	}
	if len(f.static) > 0 {
		all = append(all, appLocation{"@app", "$app_slot"})
	}
	return all
}

func passToApp(t *converge.Text, slot string, at api.Pointer, silence api.Duration) {
	t.From(at, "            proxy_read_timeout %dms;", silence.Milliseconds())
	t.From(at, "            proxy_send_timeout %dms;", silence.Milliseconds())
	t.Own("            proxy_pass http://" + upstream(slot) + ";")
}

// healthLocations answer the checks of load balancers. They do not ask the app:
// under load it is slow on all machines, and would be marked down on all of them.
func healthLocations(t *converge.Text, l layout) {
	t.Own("        location "+api.HealthPrefix+" {", "            return 404;", "        }",
		"        location = "+api.AppHealthPath+" {",
		"            access_log off;",
		"            if (-e "+l.drainFile()+") {",
		"                return 404;",
		"            }",
		"            return 200;",
		"        }")
}
