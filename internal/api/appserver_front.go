package api

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of what nginx does in front of an app.
const (
	// MaxStatic bounds the number of static directories, MaxStaticPath a URL
	// prefix or a directory, in characters: a prefix has to fit into the name of
	// a file (NAME_MAX of Linux, 255).
	MaxStatic     = 32
	MaxStaticPath = 200
	// MaxResponseHeaders bounds the number of response headers,
	// MaxResponseHeaderName and MaxResponseHeaderValue one of them and
	// MaxResponseHeaderBytes all of them, in bytes. A load balancer reads the
	// whole head of an answer into one buffer, HAProxy by default into one of
	// 16 KiB (tune.bufsize), which the app's own headers share. nginx reads a
	// value from a buffer of 4 KiB (NGX_CONF_BUFFER).
	MaxResponseHeaders     = 32
	MaxResponseHeaderName  = 64
	MaxResponseHeaderValue = 2000
	MaxResponseHeaderBytes = 8 << 10
)

// The rules for the texts of what nginx does in front of an app, as errors
// give them and docs quote them.
const (
	// StaticPrefixRule is that of the URL prefix of a static directory.
	StaticPrefixRule = `begin and end with "/", and use letters, digits and ". _ ~ -" between slashes`
	// StaticDirectoryRule is that of a static directory.
	StaticDirectoryRule = `a relative path, of letters, digits and ". _ + @ -" between slashes`
	// ResponseHeaderNameRule is that of the name of a response header.
	ResponseHeaderNameRule = "letters, digits and inner dashes, beginning with a letter"
	// ResponseHeaderValueRule is that of the value of a response header.
	ResponseHeaderValueRule = "printable ASCII characters, with no space at either end"
)

// StaticDirectory is a directory of the release whose files nginx serves by
// itself. nginx follows no symbolic links in it, and serves no file or directory whose
// name begins with a dot, except /.well-known/.
type StaticDirectory struct {
	// Directory is its path within the release; "." is the whole release.
	Directory string `json:"directory"`
	// Cache is how long a client may use a file without asking again; with 0
	// it asks each time whether the file has changed.
	Cache Duration `json:"cache"`
}

// AppRequestLimits bound the size of a request.
type AppRequestLimits struct {
	// BodyBytes bounds the body.
	BodyBytes int64 `json:"body_bytes"`
	// HeaderBytes bounds the request line and each header line; all of them
	// together may have four times as much.
	HeaderBytes int64 `json:"header_bytes"`
}

// AppRequestTimeouts bound how long nginx waits for either side.
type AppRequestTimeouts struct {
	// Headers bounds the time in which all headers of a request arrive.
	Headers Duration `json:"headers"`
	// Body bounds the client's silence while it sends a body, Send while it
	// receives an answer.
	Body Duration `json:"body"`
	Send Duration `json:"send"`
	// App bounds the app's silence, WebSocket that of both sides of a WebSocket.
	App       Duration `json:"app"`
	WebSocket Duration `json:"websocket"`
}

// StaticCacheBounds bound how long a client may use a static file without asking again.
func StaticCacheBounds() DurationBounds { return durations(0, 365*24*time.Hour) }

// RequestTimeoutBounds bound the timeouts of nginx in front of an app.
func RequestTimeoutBounds() DurationBounds { return durations(time.Second, 24*time.Hour) }

// HeaderByteBounds bound the length of a line of a request's head.
func HeaderByteBounds() Bounds { return Bounds{1 << 10, 64 << 10} }

var (
	staticPrefixPattern       = regexp.MustCompile(`^/([A-Za-z0-9._~-]+/)*$`)
	staticDirectoryPattern    = regexp.MustCompile(`^[A-Za-z0-9._+@-]+(/[A-Za-z0-9._+@-]+)*$`)
	responseHeaderNamePattern = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?$`)
	responseHeaderPattern     = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?$`)
)

// StaticSite reports whether the app server has no app: nginx serves the
// release's files and nothing runs beside it.
func (s AppServer) StaticSite() bool { return len(s.Command) == 0 }

// ReservedResponseHeaders lists the response headers, in lower case, that have to be
// nginx's or the app's own: those that frame an answer, that are about its
// content, or that would do harm if all answers had the same. Neither may a
// name begin with "X-Accel-", which are the app's orders to nginx.
func ReservedResponseHeaders() []string {
	return []string{
		"accept-ranges", "age", "cache-control", "connection", "content-encoding", "content-length", "content-range", "content-type",
		"date", "etag", "expires", "keep-alive", "last-modified", "location", "proxy-authenticate", "proxy-connection", "server", "set-cookie", "te",
		"trailer", "transfer-encoding", "upgrade", "vary", "via", "www-authenticate", "x-request-id",
	}
}

// validateStaticSite returns what an app server without a command must not have.
func (s AppServer) validateStaticSite(v *Violations) {
	if _, whole := s.Static["/"]; !whole {
		v.Add("/command", `no command is given; name the app's program and its arguments, such as ["./bin/app", "--verbose"]. A site of files alone has no command, and needs a directory for "/": static = { "/" = { directory = "." } }`)
		return
	}
	if len(s.AppPorts) > 0 {
		v.Add("/app_ports", "ports are given to an app, and without a command there is none; remove app_ports")
	}
	if len(s.Environment) > 0 {
		v.Add("/environment", "variables are given to an app, and without a command there is none; remove environment")
	}
	if s.SecretsVersion != 0 {
		v.Add("/secrets_version", "secrets are given to an app, and without a command there is none; remove them and their version")
	}
	if s.Liveness != nil {
		v.Add("/liveness", "liveness asks an app, and without a command there is none; remove liveness")
	}
	if s.AgentCheckPort != 0 {
		v.Add("/agent_check_port", "%d answers for an app, and without a command there is none; remove agent_check_port. The health check of a load balancer, %s, shows a drain as well", s.AgentCheckPort, AppHealthPath)
	}
}

func (s AppServer) validateStatic(v *Violations) {
	if len(s.Static) > MaxStatic {
		v.Add("/static", "%d static directories are listed; at most %d are allowed", len(s.Static), MaxStatic)
	}
	for _, prefix := range slices.Sorted(maps.Keys(s.Static)) {
		d, at := s.Static[prefix], Pointer("/static").At(prefix)
		validateStaticPrefix(v, at, prefix)
		s.validateStaticDirectory(v, at.At("directory"), d.Directory)
		between(v, at.At("cache"), d.Cache, StaticCacheBounds())
	}
}

func validateStaticPrefix(v *Violations, at Pointer, prefix string) {
	switch {
	case len(prefix) > MaxStaticPath:
		v.Add(at, "the URL prefix has %d characters; at most %d are allowed", len(prefix), MaxStaticPath)
	case !staticPrefixPattern.MatchString(prefix) || hasDotSegment(prefix):
		v.Add(at, `%q is not a URL prefix: %s, as in "/assets/"`, prefix, StaticPrefixRule)
	case strings.HasPrefix(prefix, HealthPrefix):
		v.Add(at, "nginx answers what is below %s by itself; choose another prefix", HealthPrefix)
	case hasHiddenName(prefix):
		v.Add(at, `%q has a name that begins with a dot, below which nginx serves no files; choose another prefix. Only "/.well-known/" is served`, prefix)
	}
}

func (s AppServer) validateStaticDirectory(v *Violations, at Pointer, directory string) {
	switch {
	case len(directory) > MaxStaticPath:
		v.Add(at, "the directory has %d characters; at most %d are allowed", len(directory), MaxStaticPath)
	case directory == ".":
		if !s.StaticSite() {
			v.Add(at, `"." is the whole release, with the app's own code and settings; name a directory that holds nothing but public files, such as "public"`)
		}
	case !staticDirectoryPattern.MatchString(directory) || hasDotSegment(directory):
		v.Add(at, `%q is not a directory of the release: %s, as in "public/assets"`, directory, StaticDirectoryRule)
	}
}

// hasDotSegment reports whether a path has "." or ".." between its slashes.
func hasDotSegment(text string) bool {
	return slices.ContainsFunc(strings.Split(text, "/"), func(s string) bool { return s == "." || s == ".." })
}

// hasHiddenName reports whether a URL prefix leads below a name that nginx serves no
// files of.
func hasHiddenName(prefix string) bool {
	return slices.ContainsFunc(strings.Split(prefix, "/"), func(s string) bool { return strings.HasPrefix(s, ".") && s != ".well-known" })
}

func validateResponseHeaders(v *Violations, headers map[string]string) {
	if len(headers) > MaxResponseHeaders {
		v.Add("/response_headers", "%d headers are listed; at most %d are allowed", len(headers), MaxResponseHeaders)
	}
	size, seen := 0, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value, lower := headers[name], strings.ToLower(name)
		size += len(name) + len(value) + len(": \r\n")
		problem := responseHeaderProblem(name, value)
		if other, twice := seen[lower]; twice && problem == "" {
			problem = say("%s and %s are the same header; keep one of them", other, name)
		}
		seen[lower] = name
		if problem != "" {
			v.Add(Pointer("/response_headers").At(name), "%s", problem)
		}
	}
	if size > MaxResponseHeaderBytes {
		v.Add("/response_headers", "the headers have %d bytes; at most %d are allowed", size, MaxResponseHeaderBytes)
	}
}

// responseHeaderProblem says what is wrong with a response header, "" if nothing.
func responseHeaderProblem(name, value string) string {
	lower := strings.ToLower(name)
	switch {
	case !responseHeaderNamePattern.MatchString(name) || len(name) > MaxResponseHeaderName:
		return say("%q is not the name of a header: %s; at most %d characters", name, ResponseHeaderNameRule, MaxResponseHeaderName)
	case lower == "cache-control":
		return "how long an answer may be cached is for the app to say, and for cache in static; remove it here"
	case slices.Contains(ReservedResponseHeaders(), lower) || strings.HasPrefix(lower, "x-accel-"):
		return say("%s is set by nginx or the app for each answer; remove it here", name)
	case len(value) > MaxResponseHeaderValue:
		return say("the value has %d bytes; at most %d are allowed", len(value), MaxResponseHeaderValue)
	case value != "" && !responseHeaderPattern.MatchString(value):
		return say("%q cannot be the value of a header: %s; an empty value removes the header", value, ResponseHeaderValueRule)
	}
	return ""
}

func (l AppRequestLimits) validate(v *Violations, at Pointer) {
	bytesWithin(v, at.At("body_bytes"), l.BodyBytes, ByteBounds())
	within(v, at.At("header_bytes"), l.HeaderBytes, HeaderByteBounds(), "bytes")
}

func (t AppRequestTimeouts) validate(v *Violations, at Pointer) {
	for _, timeout := range []struct {
		name  string
		value Duration
	}{{"headers", t.Headers}, {"body", t.Body}, {"send", t.Send}, {"app", t.App}, {"websocket", t.WebSocket}} {
		between(v, at.At(timeout.name), timeout.value, RequestTimeoutBounds())
	}
}

// Path returns the directory's path below a release.
func (d StaticDirectory) Path(release string) string { return path.Join(release, d.Directory) }
