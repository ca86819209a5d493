package appserver

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

// withStatic is the spec of an app, or of a site of files, with static directories.
func withStatic(site bool, static map[string]string) api.AppServer {
	s := someSpec()
	if site {
		s.Command = nil
	}
	s.Static = map[string]api.StaticDirectory{}
	for prefix, directory := range static {
		s.Static[prefix] = api.StaticDirectory{Directory: directory}
	}
	return s
}

// Where one of the slots lacks a prefix, the next shorter one serves it there.
func TestStaticPrefixesOfBothSlots(t *testing.T) {
	type prefixes = map[string]string
	for name, c := range map[string]struct {
		live, spec prefixes
		want       map[string]string
	}{
		"the same ones":         {prefixes{"/a/": "one", "/": "top"}, prefixes{"/a/": "two", "/": "top"}, map[string]string{"/a/": "", "/": ""}},
		"another one":           {prefixes{"/a/": "one"}, prefixes{"/b/": "one"}, map[string]string{"/a/": "", "/b/": ""}},
		"one below another":     {prefixes{"/": "top"}, prefixes{"/": "top", "/a/": "one"}, map[string]string{"/": "", "/a/": "/"}},
		"no more below another": {prefixes{"/": "top", "/a/": "one"}, prefixes{"/": "top"}, map[string]string{"/": "", "/a/": "/"}},
		"below several": {
			prefixes{"/": "top", "/a/": "one", "/a/b/": "two"}, prefixes{"/": "top", "/a/b/c/": "three", "/ab/": "four"},
			map[string]string{"/": "", "/a/": "/", "/a/b/": "/a/", "/a/b/c/": "/a/b/", "/ab/": "/"},
		},
		"none before": {nil, prefixes{"/a/": "one"}, map[string]string{"/a/": ""}},
		"none now":    {prefixes{"/a/": "one"}, nil, map[string]string{"/a/": ""}},
	} {
		from := render(t, "notes", withStatic(false, c.live))
		f := inFront(layout{"notes"}, slotGreen, withStatic(false, c.spec), converge.InPlace{State: from.State, Spec: from.Spec})
		got := map[string]string{}
		for prefix, p := range f.static {
			got[prefix] = f.static.without(prefix)
			if _, ours := c.spec[prefix]; ours != (p.at != "") {
				t.Errorf("%s: %s comes from %q of the spec", name, prefix, p.at)
			}
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// In the slot that is live already there is no other release to serve.
func TestInPlaceOnlyTheNewPrefixesAreServed(t *testing.T) {
	from := render(t, "notes", withStatic(false, map[string]string{"/a/": "one"}))
	f := inFront(layout{"notes"}, slotBlue, withStatic(false, map[string]string{"/b/": "one"}), converge.InPlace{State: from.State, Spec: from.Spec})
	if got := slices.Collect(maps.Keys(f.static)); !slices.Equal(got, []string{"/b/"}) {
		t.Errorf("nginx serves %q", got)
	}
}

// The files of a release that takes the place of another one in its slot are served
// once it is known that the release has them and that its app is healthy.
func TestStaticFilesAreSwitchedInPlace(t *testing.T) {
	spec := withStatic(false, map[string]string{"/a/": "one", "/b/": "two"})
	spec.Strategy = api.StrategyRestart
	from := render(t, "notes", spec)
	to := renderBeside(t, "notes", edited(spec, func(s *api.AppServer) { s.Release.SHA256 = strings.Repeat("e", 64) }), converge.InPlace{State: from.State, Spec: from.Spec})
	for what, v := range map[string]converge.Version{"the first release": from, "the second": to} {
		for _, link := range v.State.Links {
			moves := path.Base(link.Path) == "current" || what == "the second" && strings.Contains(link.Path, "/static/")
			if link.Switch != moves {
				t.Errorf("%s: %s is switched: %t", what, link.Path, link.Switch)
			}
		}
	}
}

func TestStaticOfBothSlotsGolden(t *testing.T) {
	for name, site := range map[string]bool{"moved-app": false, "moved-site": true} {
		from := render(t, "notes", withStatic(site, map[string]string{"/": "public", "/old/": "old"}))
		to := withStatic(site, map[string]string{"/": "dist", "/new/": "dist/new"})
		to.Static["/new/"] = api.StaticDirectory{Directory: "dist/new", Cache: api.Duration(time.Hour)}
		l := layout{"notes"}
		text := newText()
		staticLocations(text, to, inFront(l, slotGreen, to, converge.InPlace{State: from.State, Spec: from.Spec}).static, servedSlot)
		golden.Compare(t, name+".golden", string(text.Content()))
	}
}

// All that a site is made of goes into the other slot together; the files of an app are
// the same process's.
func TestStaticDirectoriesOfASiteAreARelease(t *testing.T) {
	for _, c := range []struct {
		name   string
		site   bool
		static map[string]string
		want   string
	}{
		{"a site as it is", true, map[string]string{"/": "public"}, slotBlue},
		{"a site with another directory", true, map[string]string{"/": "dist"}, slotGreen},
		{"a site with another prefix", true, map[string]string{"/": "public", "/a/": "a"}, slotGreen},
		{"an app with another directory", false, map[string]string{"/": "dist"}, slotBlue},
	} {
		from := render(t, "notes", withStatic(c.site, map[string]string{"/": "public"}))
		to := renderBeside(t, "notes", withStatic(c.site, c.static), converge.InPlace{State: from.State, Spec: from.Spec})
		if got := liveSlot(layout{"notes"}, to.State); got != c.want {
			t.Errorf("%s goes into slot %s, want %s", c.name, got, c.want)
		}
	}
}

// What nginx decides by a map is decided here by the same lines: a request that may have
// a body goes to who has the traffic when it is complete.
func TestOnlyRequestsWithoutABodyKeepTheirSlot(t *testing.T) {
	text := newText()
	l := layout{"notes"}
	staticMaps(text, l, withStatic(false, map[string]string{"/a/": "one"}))
	found := regexp.MustCompile(`map "(\S+)" \$app_slot \{\n\s+default (\S+);\n\s+(\S+) (\S+);\n`).FindStringSubmatch(string(text.Content()))
	if found == nil {
		t.Fatalf("no map of the slots in\n%s", text.Content())
	}
	for _, c := range []struct {
		name, reads, length, encoding string
		want                          string
	}{
		{"GET", "1", "", "", servedSlot},
		{"GET with a body", "1", "1", "", l.current()},
		{"GET in chunks", "1", "", "chunked", l.current()},
		{"POST without a body", "", "0", "", l.current()},
		{"POST of one byte", "", "1", "", l.current()},
		{"POST of eleven", "", "11", "", l.current()},
		{"POST in chunks", "", "", "chunked", l.current()},
		{"POST of an encoding that nobody knows", "", "", "1", l.current()},
		{"POST without a length", "", "", "", l.current()},
	} {
		key := strings.NewReplacer("$reads", c.reads, "$content_length", c.length, "$http_transfer_encoding", c.encoding).Replace(found[1])
		got := found[2]
		if key == found[3] {
			got = found[4]
		}
		if got != c.want {
			t.Errorf("%s goes to %s, want %s", c.name, got, c.want)
		}
	}
}
