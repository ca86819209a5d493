package appserver

import (
	"fmt"
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// staticMaps decide which requests may be for a file: GET and HEAD, of a path
// without a name that begins with a dot. A path with control characters names no
// file either: nginx would write a line break in it to its log, and the line after
// it would pass the filter of query strings.
func staticMaps(t *converge.Text) {
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
		"")
}

// staticLocations serve files of the release that root leads to. No link is
// followed below root, which is one itself.
func staticLocations(t *converge.Text, s api.AppServer, root string) {
	if len(s.Static) == 0 {
		return
	}
	t.Own("        disable_symlinks on from="+root+"/;",
		"        absolute_redirect off;",
		"        log_not_found off;",
		"        charset utf-8;",
		"        charset_types text/css text/plain text/javascript text/xml text/markdown text/csv text/calendar application/xml;")
	for _, prefix := range slices.Sorted(maps.Keys(s.Static)) {
		d, at := s.Static[prefix], api.Pointer("/static").At(prefix)
		t.From(at, "        location ^~ %s {", prefix)
		t.From(at.At("directory"), "            alias %s/;", d.Path(root))
		if s.StaticSite() {
			t.Own("            index index.html;",
				`            if ($public = "") {`, "                return 404;", "            }",
				`            if ($reads = "") {`, "                return 405;", "            }",
				"            error_page 403 404 = @missing;")
		} else {
			t.Own("            try_files $file $index @app;")
		}
		answerHeaders(t, s, "            ")
		t.From(at.At("cache"), `            add_header Cache-Control "%s";`, cacheControl(d.Cache))
		t.Own("        }")
	}
	if s.StaticSite() {
		t.Own("        location @missing {", "            return 404;", "        }")
	}
	t.Own("")
}

// cacheControl tells clients how long they may use a file.
func cacheControl(d api.Duration) string {
	if d == 0 {
		return "no-cache"
	}
	return fmt.Sprintf("public, max-age=%d", d.Milliseconds()/1000)
}
