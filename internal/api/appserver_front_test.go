package api_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func static(prefix, directory string) func(*api.AppServer) {
	return func(s *api.AppServer) { s.Static = map[string]api.StaticDirectory{prefix: {Directory: directory}} }
}

func responseHeader(name, value string) func(*api.AppServer) {
	return func(s *api.AppServer) { s.ResponseHeaders = map[string]string{name: value} }
}

func TestValidFronts(t *testing.T) {
	for name, change := range map[string]func(*api.AppServer){
		"a static directory":       static("/assets/", "public/assets"),
		"files before the app":     static("/", "public"),
		"a well-known directory":   static("/.well-known/", "well-known"),
		"names with dots":          static("/v1.0/~me/", "v1.0/a..b/_c@2"),
		"a hidden directory":       static("/next/", ".next/static"),
		"a site of files":          func(s *api.AppServer) { s.Command = nil; static("/", ".")(s) },
		"a site of files and more": func(s *api.AppServer) { s.Command = nil; static("/", "dist")(s); s.Static["/old/"] = s.Static["/"] },
		"a directory for a year": func(s *api.AppServer) {
			s.Static = map[string]api.StaticDirectory{"/a/": {"a", api.Duration(8760 * time.Hour)}}
		},
		"a header":                     responseHeader("Strict-Transport-Security", "max-age=63072000; includeSubDomains"),
		"a header with all characters": responseHeader("X-Odd", `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~ a${b}`+"`"),
		"a header that is removed":     responseHeader("X-Powered-By", ""),
		"the longest header":           responseHeader(strings.Repeat("x", 64), strings.Repeat("x", 2000)),
	} {
		s := validAppServer()
		change(&s)
		if v := s.Validate(); len(v) > 0 {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func TestInvalidFrontsAreReportedWhereAndWhy(t *testing.T) {
	type change = func(*api.AppServer)
	site := func(more change) change {
		return func(s *api.AppServer) { s.Command = nil; static("/", ".")(s); more(s) }
	}
	limit := func(l api.AppRequestLimits) change { return func(s *api.AppServer) { s.RequestLimits = l } }
	timeout := func(change func(*api.AppRequestTimeouts)) change {
		return func(s *api.AppServer) { change(&s.RequestTimeouts) }
	}
	for _, c := range []struct {
		change  change
		pointer api.Pointer
		detail  string
	}{
		{limit(api.AppRequestLimits{BodyBytes: 0, HeaderBytes: 2048}), "/request_limits/body_bytes", "0 is out of bounds"},
		{limit(api.AppRequestLimits{BodyBytes: 1, HeaderBytes: 100}), "/request_limits/header_bytes", "1024 to 65536"},
		{limit(api.AppRequestLimits{BodyBytes: 1, HeaderBytes: 1 << 20}), "/request_limits/header_bytes", "1024 to 65536"},
		{timeout(func(t *api.AppRequestTimeouts) { t.Headers = 0 }), "/request_timeouts/headers", "1s to 24h"},
		{timeout(func(t *api.AppRequestTimeouts) { t.Body = 0 }), "/request_timeouts/body", "1s to 24h"},
		{timeout(func(t *api.AppRequestTimeouts) { t.Send = 1 }), "/request_timeouts/send", "1s to 24h"},
		{timeout(func(t *api.AppRequestTimeouts) { t.App = -1 }), "/request_timeouts/app", "1s to 24h"},
		{timeout(func(t *api.AppRequestTimeouts) { t.WebSocket = api.Duration(25 * time.Hour) }), "/request_timeouts/websocket", "1s to 24h"},

		{static("", "public"), "/static/", "is not a URL prefix"},
		{static("assets/", "public"), "/static/assets~1", "begin and end"},
		{static("/assets", "public"), "/static/~1assets", "begin and end"},
		{static("/a/../b/", "public"), "/static/~1a~1..~1b~1", "is not a URL prefix"},
		{static("/a/./b/", "public"), "/static/~1a~1.~1b~1", "is not a URL prefix"},
		{static("//", "public"), "/static/~1~1", "is not a URL prefix"},
		{static("/a b/", "public"), "/static/~1a b~1", "is not a URL prefix"},
		{static("/{/", "public"), "/static/~1{~1", "is not a URL prefix"},
		{static("/$uri/", "public"), "/static/~1$uri~1", "is not a URL prefix"},
		{static("/a\n/", "public"), "/static/~1a\n~1", "is not a URL prefix"},
		{static("/a%2f/", "public"), "/static/~1a%2f~1", "is not a URL prefix"},
		{static("/.git/", "public"), "/static/~1.git~1", "begins with a dot"},
		{static("/.well-known/.x/", "public"), "/static/~1.well-known~1.x~1", "begins with a dot"},
		{static("/_foobar/", "public"), "/static/~1_foobar~1", "choose another prefix"},
		{static("/_foobar/health/", "public"), "/static/~1_foobar~1health~1", "choose another prefix"},
		{static("/"+strings.Repeat("x", 300)+"/", "public"), "/static", "at most 200"},
		{static("/a/", ""), "/static/~1a~1/directory", "is not a directory of the release"},
		{static("/a/", "/etc"), "/static/~1a~1/directory", "a relative path"},
		{static("/a/", "public/"), "/static/~1a~1/directory", "a relative path"},
		{static("/a/", ".."), "/static/~1a~1/directory", "is not a directory of the release"},
		{static("/a/", "public/../.."), "/static/~1a~1/directory", "is not a directory of the release"},
		{static("/a/", "./public"), "/static/~1a~1/directory", "is not a directory of the release"},
		{static("/a/", "a;b"), "/static/~1a~1/directory", "is not a directory of the release"},
		{static("/a/", "a\"b"), "/static/~1a~1/directory", "is not a directory of the release"},
		{static("/a/", "$uri"), "/static/~1a~1/directory", "is not a directory of the release"},
		{static("/a/", "a\nb"), "/static/~1a~1/directory", "is not a directory of the release"},
		{static("/a/", strings.Repeat("x", 300)), "/static/~1a~1/directory", "at most 200"},
		{static("/a/", "."), "/static/~1a~1/directory", "the whole release"},
		{
			func(s *api.AppServer) {
				s.Static = map[string]api.StaticDirectory{"/a/": {"a", api.Duration(9000 * time.Hour)}}
			}, "/static/~1a~1/cache", "0s to 8760h",
		},
		{
			func(s *api.AppServer) {
				s.Static = map[string]api.StaticDirectory{}
				for i := range 33 {
					s.Static[fmt.Sprintf("/%d/", i)] = api.StaticDirectory{Directory: "a"}
				}
			}, "/static", "at most 32",
		},
		{func(s *api.AppServer) { s.Command = nil; static("/assets/", "a")(s) }, "/command", `no command is given; name the app's program`},
		{site(func(s *api.AppServer) { s.Liveness = new(api.DefaultAppLiveness()) }), "/liveness", "there is none"},
		{site(func(s *api.AppServer) { s.AgentCheckPort, s.TrustedProxies = 8081, []string{"10.0.0.10/32"} }), "/agent_check_port", "there is none"},
		{site(func(s *api.AppServer) { s.AppPorts = []int{8000, 8001} }), "/app_ports", "there is none"},
		{site(func(s *api.AppServer) { s.Environment = map[string]string{"A": "b"} }), "/environment", "there is none"},
		{site(func(s *api.AppServer) { s.SecretsVersion = 1 }), "/secrets_version", "there is none"},

		{responseHeader("", "x"), "/response_headers/", "is not the name of a header"},
		{responseHeader("X Y", "x"), "/response_headers/X Y", "is not the name of a header"},
		{responseHeader("X-", "x"), "/response_headers/X-", "is not the name of a header"},
		{responseHeader("X:Y", "x"), "/response_headers/X:Y", "is not the name of a header"},
		{responseHeader("X_Y", "x"), "/response_headers/X_Y", "is not the name of a header"},
		{responseHeader("X\r\nSet-Cookie", "x"), "/response_headers/X\r\nSet-Cookie", "is not the name of a header"},
		{responseHeader(strings.Repeat("x", 65), "x"), api.Pointer("/response_headers").At(strings.Repeat("x", 65)), "at most 64"},
		{responseHeader("transfer-encoding", "x"), "/response_headers/transfer-encoding", "set by nginx or the app"},
		{responseHeader("Set-Cookie", "x"), "/response_headers/Set-Cookie", "set by nginx or the app"},
		{responseHeader("X-Accel-Redirect", "/x"), "/response_headers/X-Accel-Redirect", "set by nginx or the app"},
		{responseHeader("Cache-Control", "no-store"), "/response_headers/Cache-Control", "for the app to say"},
		{responseHeader("X", "a\nb"), "/response_headers/X", "printable ASCII"},
		{responseHeader("X", "a\x00"), "/response_headers/X", "printable ASCII"},
		{responseHeader("X", " a"), "/response_headers/X", "printable ASCII"},
		{responseHeader("X", "a "), "/response_headers/X", "printable ASCII"},
		{responseHeader("X", "é"), "/response_headers/X", "printable ASCII"},
		{responseHeader("X", strings.Repeat("x", 2001)), "/response_headers/X", "at most 2000"},
		{func(s *api.AppServer) { s.ResponseHeaders = map[string]string{"X-A": "1", "x-a": "2"} }, "/response_headers/x-a", "are the same header"},
		{
			func(s *api.AppServer) {
				s.ResponseHeaders = map[string]string{}
				for i := range 6 {
					s.ResponseHeaders[fmt.Sprintf("X-%d", i)] = strings.Repeat("x", 1900)
				}
			}, "/response_headers", "at most 8192",
		},
		{
			func(s *api.AppServer) {
				s.ResponseHeaders = map[string]string{}
				for i := range 33 {
					s.ResponseHeaders[fmt.Sprintf("X-%d", i)] = "x"
				}
			}, "/response_headers", "at most 32",
		},
	} {
		s := validAppServer()
		c.change(&s)
		v := s.Validate()
		if len(v) != 1 || v[0].Pointer != c.pointer || !strings.Contains(v[0].Detail, c.detail) {
			t.Errorf("want %q at %s, got %.300s", c.detail, c.pointer, fmt.Sprint(v))
		}
	}
}

func TestReservedResponseHeadersAreLowerCase(t *testing.T) {
	for _, name := range api.ReservedResponseHeaders() {
		if name != strings.ToLower(name) {
			t.Errorf("%s", name)
		}
	}
}

func TestASiteOfFilesHasNoApp(t *testing.T) {
	s := validAppServer()
	if s.StaticSite() {
		t.Error("an app server with a command is taken for a site of files")
	}
	s.Command = []string{}
	s.Static = maps.Clone(map[string]api.StaticDirectory{"/": {Directory: "."}})
	if !s.StaticSite() || len(s.Validate()) > 0 {
		t.Errorf("a site of files: %t, %v", s.StaticSite(), s.Validate())
	}
}
