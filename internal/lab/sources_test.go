package lab

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

const (
	archiveURL  = "http://mirror.example/debian"
	securityURL = "http://security.example/debian-security"
)

func TestMirrorsComeFromTheHostsApt(t *testing.T) {
	const debian822 = `Types: deb deb-src
# A comment.
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
`
	const foreign = "deb [arch=amd64 signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example bookworm main\n"
	for name, test := range map[string]struct {
		files map[string]string
		given string
		want  mirrors
		says  string // of the error
	}{
		"deb822": {map[string]string{"sources.list.d/debian.sources": debian822}, "", mirrors{archiveURL, securityURL}, ""},
		"one line each": {map[string]string{"sources.list": `
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [ arch=amd64 ] http://mirror.example/debian bookworm main contrib # the mirror
deb	http://security.example/debian-security bookworm-security main
deb http://mirror.example/debian bookworm-updates main
`}, "", mirrors{archiveURL, securityURL}, ""},
		"options without a space": {map[string]string{"sources.list": "deb [trusted=yes] http://mirror.example/debian trixie main\n"}, "", mirrors{archive: archiveURL}, ""},
		"a release by its place":  {map[string]string{"sources.list": "deb http://mirror.example/debian stable main\n"}, "", mirrors{archive: archiveURL}, ""},
		"vendors beside it":       {map[string]string{"sources.list": foreign, "sources.list.d/debian.sources": debian822}, "", mirrors{archiveURL, securityURL}, ""},
		"a vendor that apt trusts anyway": {map[string]string{
			"sources.list.d/a.list": "deb https://vendor.example bookworm main\n", "sources.list.d/debian.sources": debian822,
		}, "", mirrors{archiveURL, securityURL}, ""},
		"a list of mirrors, as clouds have it": {map[string]string{
			"sources.list.d/debian.sources": "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie trixie-updates\nComponents: main\n",
			"mirrors/debian.list":           "# ours\nhttp://mirror.example/debian priority:1\nhttp://other.example/debian\n",
		}, "", mirrors{archive: archiveURL}, ""},
		"disabled":             {map[string]string{"sources.list.d/debian.sources": "Enabled: no\n" + debian822}, "", mirrors{}, "no mirror of Debian is found in /etc/apt/sources.list and /etc/apt/sources.list.d of this host; set FOOBAR_LAB_MIRROR"},
		"not a source's name":  {map[string]string{"sources.list.d/debian.sources.disabled": debian822}, "", mirrors{}, "no mirror"},
		"no apt":               {nil, "", mirrors{}, "no mirror"},
		"only vendors":         {map[string]string{"sources.list": foreign}, "", mirrors{}, "no mirror"},
		"a disc":               {map[string]string{"sources.list": "deb cdrom:[Debian]/ bookworm main\n"}, "", mirrors{}, "is not on http or https"},
		"a password":           {map[string]string{"sources.list": "deb https://me:secret@mirror.example/debian bookworm main\n"}, "", mirrors{}, `"https://me:xxxxx@mirror.example/debian" has a password`},
		"a broken line":        {map[string]string{"sources.list": "deb\ndeb [\ndeb http://mirror.example/debian\ndebris\n"}, "", mirrors{}, "no mirror"},
		"given":                {map[string]string{"sources.list.d/debian.sources": debian822}, "http://given.example/debian", mirrors{"http://given.example/debian", securityURL}, ""},
		"given both":           {nil, "http://given.example/debian  http://given.example/sec", mirrors{"http://given.example/debian", "http://given.example/sec"}, ""},
		"given, and no apt":    {nil, "http://given.example/debian", mirrors{archive: "http://given.example/debian"}, ""},
		"given three":          {nil, "http://a.example http://b.example http://c.example", mirrors{}, "names 3 URLs: at most two"},
		"given, without a URL": {nil, "mirror.example", mirrors{}, `FOOBAR_LAB_MIRROR: "mirror.example" is not on http or https`},
	} {
		t.Run(name, func(t *testing.T) {
			host := fstest.MapFS{}
			for file, text := range test.files {
				host["etc/apt/"+file] = &fstest.MapFile{Data: []byte(text)}
			}
			got, err := findMirrors(host, test.given)
			if got != test.want || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %+v, %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the error has the password")
			}
		})
	}
}

func TestAnImagesSources(t *testing.T) {
	golden.Compare(t, "debian.sources.golden", mirrors{archiveURL, securityURL}.sources())
	m, err := findMirrors(fstest.MapFS{sourcesDir + "/debian.sources": {Data: []byte(mirrors{archiveURL, securityURL}.sources())}}, "")
	if err != nil || m != (mirrors{archiveURL, securityURL}) {
		t.Errorf("an image's own sources are read as %+v, %v", m, err)
	}
}

func FuzzSources(f *testing.F) {
	f.Add("deb [a=b] http://mirror.example/debian trixie main", "Types: deb\nURIs: x\n y\nSuites: trixie\n\n:")
	f.Fuzz(func(_ *testing.T, list, stanzas string) {
		choose(append(parseList(list), parseDeb822(stanzas)...))
	})
}

// Which mirror is used is the host's decision.
func TestTheTreeNamesNoMirror(t *testing.T) {
	mirror := regexp.MustCompile(`https?://([a-z0-9.-]+)/debian`)
	for _, dir := range []string{"../../images", "../../tools", "."} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range mirror.FindAllSubmatch(text, -1) {
				if !strings.HasSuffix(string(match[1]), ".example") {
					t.Errorf("%s names %s", path, match[0])
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
