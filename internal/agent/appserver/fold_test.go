package appserver

import (
	"slices"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestFold(t *testing.T) {
	for _, c := range []struct{ lines, want []string }{
		{nil, nil},
		{[]string{"a"}, []string{"a"}},
		{[]string{"a", "b", "a"}, []string{"a", "b", "a"}},
		{[]string{"a", "a", "b", "c", "c", "c"}, []string{"a (2 times)", "b", "c (3 times)"}},
		{[]string{
			`2026/01/02 03:04:05 [error] 7#7: *12 directory index of "/x/" is forbidden`,
			`2026/01/02 03:04:06 [error] 8#8: *13 directory index of "/x/" is forbidden`,
			`2026/01/02 03:04:06 [error] 8#8: *13 directory index of "/y/" is forbidden`,
		}, []string{
			`2026/01/02 03:04:05 [error] 7#7: *12 directory index of "/x/" is forbidden (2 times)`,
			`2026/01/02 03:04:06 [error] 8#8: *13 directory index of "/y/" is forbidden`,
		}},
		{[]string{"", ""}, []string{" (2 times)"}},
	} {
		if got := fold(c.lines); !slices.Equal(got, c.want) {
			t.Errorf("%q became %q, want %q", c.lines, got, c.want)
		}
	}
}

func TestASiteWithoutAnIndexIsToldSo(t *testing.T) {
	f := newFake(t, render(t, "notes", specs()["socket"]))
	m := machine{f.root}
	static := map[string]api.StaticDirectory{"/": {Directory: "dist"}, "/docs/": {Directory: "pages"}}
	f.write("/release/pages/index.html", "x", 0o644)
	f.write("/release/dist/about/index.html", "x", 0o644)
	for path, want := range map[string]string{
		"/":           `there is no index.html in the directory of "/"; add one, or set health_check.path to a file of the site`,
		"/about/":     "",
		"/docs/":      "",
		"/index.html": "",
	} {
		if got := m.lacksIndex(static, "/release", path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
