package appserver

import (
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// contentType is a type of content of the web.
type contentType struct {
	name, extensions string
	// text says that it is made of text or otherwise repeats itself: gzip makes
	// it smaller.
	text bool
}

// contentTypes are the types of static files, by IANA's registry. They are not
// taken from the machine's mime.types, so that all machines serve them alike.
func contentTypes() []contentType {
	return []contentType{
		{"text/html", "html htm", true},
		{"text/css", "css", true},
		{"text/javascript", "js mjs", true},
		{"text/plain", "txt text log", true},
		{"text/xml", "xml xsl", true},
		{"text/markdown", "md", true},
		{"text/csv", "csv", true},
		{"text/calendar", "ics", true},
		{"text/vtt", "vtt", true},
		{"application/json", "json map", true},
		{"application/ld+json", "jsonld", true},
		{"application/geo+json", "geojson", true},
		{"application/manifest+json", "webmanifest", true},
		{"application/rss+xml", "rss", true},
		{"application/atom+xml", "atom", true},
		{"application/xhtml+xml", "xhtml", true},
		{"application/wasm", "wasm", true},
		{"application/pdf", "pdf", false},
		{"application/zip", "zip", false},
		{"application/gzip", "gz tgz", false},
		{"application/epub+zip", "epub", false},
		{"image/svg+xml", "svg", true},
		{"image/png", "png", false},
		{"image/apng", "apng", false},
		{"image/jpeg", "jpg jpeg", false},
		{"image/gif", "gif", false},
		{"image/webp", "webp", false},
		{"image/avif", "avif", false},
		{"image/jxl", "jxl", false},
		{"image/tiff", "tif tiff", false},
		{"image/bmp", "bmp", true},
		{"image/vnd.microsoft.icon", "ico", true},
		{"font/woff", "woff", false},
		{"font/woff2", "woff2", false},
		{"font/ttf", "ttf", true},
		{"font/otf", "otf", true},
		{"audio/mpeg", "mp3", false},
		{"audio/mp4", "m4a", false},
		{"audio/ogg", "ogg oga opus", false},
		{"audio/wav", "wav", false},
		{"audio/flac", "flac", false},
		{"video/mp4", "mp4 m4v", false},
		{"video/webm", "webm", false},
		{"video/ogg", "ogv", false},
		{"video/mp2t", "ts", false},
		{"application/vnd.apple.mpegurl", "m3u8", true},
	}
}

// content says of what type a static file is, by its name.
func content(t *converge.Text) {
	t.Own("    default_type application/octet-stream;", "    types {")
	for _, c := range contentTypes() {
		t.Own("        " + c.name + " " + c.extensions + ";")
	}
	t.Own("    }", "    sendfile on;", "    tcp_nopush on;", "")
}

// gzipAnswers compresses what gains by it. An event stream is not among it: it
// would wait for a full buffer.
func gzipAnswers(t *converge.Text, s api.AppServer) {
	if !s.Gzip {
		return
	}
	var types []string
	for _, c := range contentTypes() {
		if c.text && c.name != "text/html" { // nginx compresses that in any case
			types = append(types, c.name)
		}
	}
	types = append(types, "application/javascript", "application/xml", "application/problem+json") // as apps call them
	t.From("/gzip", "    gzip on;\n"+
		"    gzip_vary on;\n"+
		"    gzip_proxied any;\n"+
		"    gzip_comp_level 4;\n"+
		"    gzip_min_length 1024;\n"+
		"    gzip_types %s;", strings.Join(types, " "))
	t.Own("")
}
