package appserver

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// staticMaps decide which requests may be for a file: GET and HEAD, of a path
// without a name that begins with a dot. A path with control characters names no
// file either: nginx would write a line break in it to its log, and the line after
// it would pass the filter of query strings. What finds none goes to the app of the
// same slot.
func staticMaps(t *converge.Text, l layout, s api.AppServer) {
	t.Own("    map $uri $public {",
		"        default 1;",
		`        "~/\.(?!well-known/)" "";`,
		`        "~[\x00-\x1f\x7f]" "";`,
		"    }",
		"    map $request_method $reads {",
		`        default "";`,
		"        GET 1;",
		"        HEAD 1;",
		"    }",
		`    map "$reads$public" $file {`,
		`        default "";`,
		"        11 $uri;",
		"    }",
		`    map "$reads$public$uri" $index {`,
		`        default "";`,
		`        "~^11/(.*/)?$" "${uri}index.html";`,
		"    }",
		"    # A map, because set evaluates $realpath_root twice, for the length and for the text.",
		"    map $realpath_root "+servedSlot+" {",
		"        default "+l.current()+";")
	for _, slot := range slots() {
		t.Own(`        "~/` + path.Base(l.slots()) + "/" + slot + `$" ` + l.slot(slot) + ";")
	}
	t.Own("    }", "")
	if !s.StaticSite() {
		t.Own("    # A request with a body may be long in coming, and goes to who has the traffic then.",
			`    map "$reads:$content_length:$http_transfer_encoding" $app_slot {`,
			"        default "+l.current()+";",
			"        1:: "+servedSlot+";",
			"    }",
			"")
	}
}

// servedSlot is nginx's variable for the slot that had the traffic when a request came.
const servedSlot = "$slot"

// chooseSlotOnce finds the slot for all that is looked for in a slot for one request:
// a switch in between must not mix two releases. It is found here, where the root is the
// link to it, and nginx keeps what a map has found. It costs each request of an app
// server with static files about 10 µs of nginx (realpath asks for each part of the
// path), where a file or an answer of the app costs it 40 to 70 µs without a log.
func chooseSlotOnce(t *converge.Text, l layout) {
	t.Own("        root "+l.current()+";",
		"        set $found "+servedSlot+";")
}

// staticLocations serve the files of a slot. Its links decide which URL prefixes it has.
func staticLocations(t *converge.Text, s api.AppServer, static staticPrefixes, slot string) {
	if len(static) == 0 {
		return
	}
	t.Own("        absolute_redirect off;",
		"        log_not_found off;",
		"        charset utf-8;",
		"        charset_types text/css text/plain text/javascript text/xml text/markdown text/csv text/calendar application/xml;")
	shorter := map[string]bool{}
	for prefix := range static {
		shorter[static.without(prefix)] = true
	}
	for _, prefix := range slices.Sorted(maps.Keys(static)) {
		staticLocation(t, s, static, "^~ "+prefix, prefix, slot)
		if shorter[prefix] {
			staticLocation(t, s, static, namedLocation(prefix), prefix, slot)
		}
	}
	if s.StaticSite() {
		t.Own("        location @missing {", "            return 404;", "        }")
	}
	t.Own("")
}

// staticLocation serves the files of a prefix. No link is followed below the slot's
// own, which leads to the directory of the release.
func staticLocation(t *converge.Text, s api.AppServer, static staticPrefixes, location, prefix, slot string) {
	p := static[prefix]
	t.From(p.at, "        location %s {", location)
	t.From(p.pointer("directory"), "            root %s;", staticRoot(slot, prefix))
	t.From(p.pointer("directory"), "            disable_symlinks on from=%s;", staticLink(slot, prefix))
	if shorter := static.without(prefix); shorter != "" {
		t.Own("            if (!-e "+staticLink(slot, prefix)+") {", "                return 418;", "            }",
			"            error_page 418 = "+namedLocation(shorter)+";")
	}
	if s.StaticSite() {
		t.Own("            index index.html;",
			`            if ($public = "") {`, "                return 404;", "            }",
			`            if ($reads = "") {`, "                return 405;", "            }",
			"            error_page 403 404 = @missing;")
	} else {
		t.Own("            try_files $file $index @app;")
	}
	if static.without(prefix) != "" {
		t.Own("            recursive_error_pages on;")
	}
	answerHeaders(t, s, "            ")
	t.From(p.pointer("cache"), `            add_header Cache-Control "%s";`, cacheControl(p.cache))
	t.Own("        }")
}

// namedLocation serves a prefix to requests of a longer one that the slot lacks.
func namedLocation(prefix string) string { return "@static" + staticKey(prefix) }

// cacheControl tells clients how long they may use a file.
func cacheControl(d api.Duration) string {
	if d == 0 {
		return "no-cache"
	}
	return fmt.Sprintf("public, max-age=%d", d.Milliseconds()/1000)
}
