//go:build lab

package appserver_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

func TestStaticFilesOfARelease(t *testing.T) {
	s := newStand(t)
	spec := s.front()
	spec.Static = map[string]api.StaticDirectory{
		"/assets/": {Directory: "public/assets", Cache: api.Duration(time.Hour)},
		"/":        {Directory: "public"},
	}
	spec.ResponseHeaders = map[string]string{"X-Frame-Options": "DENY", "X-Powered-By": "", "X-Odd": `a"b\n $uri ${d}; } #`}
	s.apply("moody", spec, nil)

	const ofApp = "0123456789"
	for _, c := range []struct{ method, path, body string }{
		{http.MethodGet, "/robots.txt", "User-agent"}, {http.MethodGet, "/assets/app.css", "body {"}, {http.MethodGet, "/docs/", "<p>docs"},
		{http.MethodGet, "/assets/deep/er/", "deeper"}, {http.MethodGet, "/.well-known/security.txt", "Contact"}, {http.MethodGet, "//assets//app.css?v=1", "body {"},
		{http.MethodHead, "/robots.txt", ""},
		// No file, or none to be served.
		{http.MethodGet, "/", ofApp}, {http.MethodGet, "/docs", ofApp}, {http.MethodGet, "/assets", ofApp}, {http.MethodGet, "/assets/none.css", ofApp},
		{http.MethodPost, "/robots.txt", ofApp}, {http.MethodDelete, "/robots.txt", ofApp},
		{http.MethodGet, "/.env", ofApp}, {http.MethodGet, "/%2eenv", ofApp}, {http.MethodGet, "//.env", ofApp}, {http.MethodGet, "/.git/config", ofApp},
		{http.MethodGet, "/.well-known/.git/config", ofApp}, {http.MethodGet, "/assets/nested/.htpasswd", ofApp},
		{http.MethodGet, "/assets/python", ofApp}, {http.MethodGet, "/assets/code", ofApp}, {http.MethodGet, "/assets/same.css", ofApp},
		{http.MethodGet, "/assets/other/index.html", ofApp}, {http.MethodGet, "/assets/other/", ofApp},
		{http.MethodGet, "/assets/..%2f..%2fmain.py", ofApp}, {http.MethodGet, "/assets/%2e%2e/%2e%2e/robots.txt", ""},
		{http.MethodGet, "/robots.txt%00", ""}, {http.MethodGet, "/robots.txt%0a", ofApp},
	} {
		a := s.request(balancer, c.method, c.path, "", nil)
		bad := a.status == http.StatusBadRequest // which is no file either
		if !bad && (a.status != http.StatusOK || !strings.HasPrefix(a.body, c.body)) {
			t.Errorf("%s %s: %d %.40q, want %q", c.method, c.path, a.status, a.body, c.body)
		}
		if a.header.Get("X-Frame-Options") != "DENY" || len(a.header.Values("X-Frame-Options")) != 1 || a.header.Get("X-Odd") != spec.ResponseHeaders["X-Odd"] ||
			len(a.header.Values("X-Powered-By")) > 0 || a.header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: headers %v", c.method, c.path, a.header)
		}
	}
	css := s.request(balancer, http.MethodGet, "/assets/app.css", "", nil).header
	for name, want := range map[string]string{"Cache-Control": "public, max-age=3600", "Content-Type": "text/css; charset=utf-8", "Accept-Ranges": "bytes"} {
		if got := css.Get(name); got != want {
			t.Errorf("of a style sheet %s is %q, want %q", name, got, want)
		}
	}
	again := http.Header{"If-None-Match": {css.Get("Etag")}}
	if a := s.request(balancer, http.MethodGet, "/assets/app.css", "", again); a.status != http.StatusNotModified || a.header.Get("X-Odd") == "" {
		t.Errorf("an unchanged file: %+v", a)
	}
	if got := s.request(balancer, http.MethodGet, "/robots.txt", "", nil).header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("without a time to cache: %q", got)
	}
	if got := s.request(balancer, http.MethodGet, "/assets/app.wasm", "", nil).header.Get("Content-Type"); got != "application/wasm" {
		t.Errorf("of a .wasm: %q", got)
	}

	// Files are there without the app, and what is none is the dead app's.
	if err := s.units.Stop(context.Background(), moodyApp); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/robots.txt": 200, "/none": 425} {
		if a := s.request(balancer, http.MethodGet, path, "", nil); a.status != want {
			t.Errorf("%s without an app: %d, want %d", path, a.status, want)
		}
	}
	if a := s.request(balancer, http.MethodPost, "/robots.txt", "x", nil); a.status != 425 {
		t.Errorf("a POST to a file without an app: %d", a.status)
	}

	spec.Static = map[string]api.StaticDirectory{"/assets/": {Directory: "public/assetz"}}
	if problem := s.refused("moody", spec); len(problem.Violations) != 1 || problem.Violations[0].Pointer != "/static/~1assets~1/directory" {
		t.Errorf("a directory that the release lacks: %v", problem)
	}
}

// A site of files is released like an app, and needs none.
func TestASiteOfFiles(t *testing.T) {
	s := newStand(t)
	site := func(text string) api.AppServer {
		files := map[string]entry{
			"index.html": {text, 0o644}, "docs/index.html": {"docs", 0o644}, "empty/.keep": {"", 0o644}, ".env": {"hidden", 0o644},
			"python": {"/usr/bin/python3", link}, "twin": {"docs", link},
		}
		spec := s.spec(s.upload(files), 8081)
		spec.Command = []string{}
		spec.Static = map[string]api.StaticDirectory{"/": {Directory: "."}}
		return spec
	}
	for _, text := range []string{"one", "two", "three"} {
		s.apply("site", site(text), nil)
		if a := s.request(stranger, http.MethodGet, "/?x=y", "", nil); a.status != 200 || a.body != text {
			t.Errorf("release %s: %d %q", text, a.status, a.body)
		}
		if c, status := s.get("site"); len(c.Drift) > 0 || len(c.Conditions) > 0 || !status.Healthy {
			t.Errorf("release %s: drift %v, conditions %v, %+v", text, c.Drift, c.Conditions, status)
		}
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodHead, "/", 200}, {http.MethodGet, "/docs/", 200}, {http.MethodGet, "/docs?x=y", 301}, {http.MethodGet, "/none", 404},
		{http.MethodPost, "/", 405}, {http.MethodPut, "/new", 405}, {http.MethodGet, "/empty/", 404}, {http.MethodGet, "/.env", 404},
		{http.MethodGet, "/python", 404}, {http.MethodGet, "/twin/index.html", 404}, {http.MethodGet, "/a%0Ab", 404}, {http.MethodGet, api.AppHealthPath, 200},
	} {
		a := s.request(stranger, c.method, c.path, "", nil)
		if a.status != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, a.status, c.want)
		}
		if to := a.header.Get("Location"); c.want == 301 && to != "/docs/?x=y" {
			t.Errorf("%s leads to %s", c.path, to)
		}
	}
	bad := site("four")
	bad.HealthCheck.Path, bad.HealthCheck.StartTimeout = "/none", api.Duration(time.Second)
	if problem := s.refused("site", bad); !strings.Contains(problem.Error(), "404") {
		t.Errorf("a release without the checked file: %v", problem)
	}
	if a := s.request(stranger, http.MethodGet, "/", "", nil); a.body != "three" {
		t.Errorf("after a bad release: %q", a.body)
	}
}

// TestStaticFilesMoveWithTheirRelease releases back and forth while the URL prefixes and
// the directories of the static files change along: each answer is one of either release.
func TestStaticFilesMoveWithTheirRelease(t *testing.T) {
	// A text is of the file, by its release and directory; an app's answer begins otherwise.
	files := func(release string) map[string]entry {
		all := python(release)
		for _, directory := range []string{"public", "dist", "deep/top", "root"} {
			for _, at := range []string{"x.txt", "index.html", "static/x.txt", "assets/x.txt", "static/index.html"} {
				all[directory+"/"+at] = entry{release + " " + directory, 0o644}
			}
		}
		all["root/only/x.txt"], all["public/y.txt"] = entry{release + " root", 0o644}, entry{release + " public", 0o644}
		return all
	}
	type state struct {
		release string
		static  map[string]string
		want    map[string]string
	}
	states := func(ofNoFile string) []state {
		return []state{
			{"one", map[string]string{"/": "deep/top", "/static/": "public", "/only/": "public", "/same/": "public"}, map[string]string{
				"/static/x.txt": "one public", "/static/": "one public", "/assets/x.txt": "one deep/top", "/same/x.txt": "one public",
				"/only/x.txt": "one public", "/only/y.txt": "one public",
			}},
			{"two", map[string]string{"/": "root", "/assets/": "dist", "/same/": "dist"}, map[string]string{
				"/static/x.txt": "two root", "/static/": "two root", "/assets/x.txt": "two dist", "/same/x.txt": "two dist",
				"/only/x.txt": "two root", "/only/y.txt": ofNoFile,
			}},
		}
	}
	const address = "127.0.0.1:8081"
	for name, ofNoFile := range map[string]string{"of an app": `{"release": "two"`, "of a site": "404"} {
		t.Run(name, func(t *testing.T) {
			s, states := newStand(t), states(ofNoFile)
			var specs []api.AppServer
			for _, state := range states {
				spec := s.spec(s.upload(files(state.release)), 8081)
				spec.HealthCheck.MinHealthyTime = api.Duration(300 * time.Millisecond)
				spec.HealthCheck.Path = "/index.html"
				spec.Static = map[string]api.StaticDirectory{}
				for prefix, directory := range state.static {
					spec.Static[prefix] = api.StaticDirectory{Directory: directory}
				}
				if name == "of a site" {
					spec.Command = []string{}
				}
				specs = append(specs, spec)
			}
			began := time.Now()
			s.apply("moving", specs[0], nil)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var clients sync.WaitGroup
			var asked, reset, wrong atomic.Int64
			for client := range 8 {
				clients.Go(func() {
					c := &loadtest.Client{Address: address, Close: client%2 == 0, Texts: true}
					defer c.Drop()
					for ctx.Err() == nil {
						for path, want := range states[0].want {
							sent := c.Send(context.WithoutCancel(ctx), http.MethodGet, path, "", nil)
							asked.Add(1)
							if !c.Close && sent.Fault != "" {
								reset.Add(1) // nginx may do that to a kept connection as it is reloaded
								continue
							}
							got := bodyOf(sent)
							if !strings.HasPrefix(got, want) && !strings.HasPrefix(got, states[1].want[path]) && wrong.Add(1) < 20 {
								t.Errorf("%s: %.100q", path, got)
							}
						}
					}
				})
			}
			fresh := &loadtest.Client{Address: address, Close: true, Texts: true}
			for i := range 12 {
				at := (i + 1) % len(states)
				s.apply("moving", specs[at], nil)
				for path, want := range states[at].want {
					if got := bodyOf(fresh.Send(ctx, http.MethodGet, path, "", nil)); !strings.HasPrefix(got, want) {
						t.Errorf("after release %s %s answers %.100q, want %q", states[at].release, path, got, want)
					}
				}
			}
			cancel()
			clients.Wait()
			t.Logf("%d requests, %d wrong answers, %d without one as nginx was reloaded", asked.Load(), wrong.Load(), reset.Load())
			if most := int64(12 * 4); reset.Load() > most { // reloads, and clients that keep their connections
				t.Errorf("%d requests had no answer, at most %d can be on their way to a worker that ends", reset.Load(), most)
			}
			if wrong.Load() > 0 {
				t.Log(s.journal("foobar-app-moving-nginx.service", began))
			}
			if asked.Load() < 1000 {
				t.Error("these are too few requests to say anything")
			}
			if c, _ := s.get("moving"); len(c.Drift) > 0 {
				t.Errorf("drift %v", c.Drift)
			}
		})
	}
}

// bodyOf returns the body of an answer of 200, else what came instead.
func bodyOf(s loadtest.Sent) string {
	if s.Status != http.StatusOK {
		return fmt.Sprint(s.Status, " ", s.Fault)
	}
	return s.Text
}
