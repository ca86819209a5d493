package appserver

import (
	"fmt"
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

// A site of files has nothing of an app in its nginx.
func TestStaticSiteGolden(t *testing.T) {
	s := someSpec()
	s.Command = nil
	s.Static = map[string]api.StaticDirectory{"/": {Directory: "."}, "/old/": {Directory: "archive", Cache: api.Duration(90 * time.Minute)}}
	s.ResponseHeaders = map[string]string{"X-Frame-Options": "DENY"}
	if err := s.Validate().Problem(); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "site.golden", string(nginxText(layout{name: "notes"}, s, inFront(layout{name: "notes"}, slotBlue, s, converge.InPlace{})).Content()))
}

func TestRevisionIsFoundInWhatWasRendered(t *testing.T) {
	for name, s := range specs() {
		text := nginxText(layout{name: "notes"}, s, inFront(layout{name: "notes"}, slotBlue, s, converge.InPlace{})).Content()
		if revision := revisionOf(text); len(revision) != 16 || strings.Count(string(text), revision) != 1 {
			t.Errorf("%s: revision %q", name, revision)
		}
	}
}

// What nginx decides by a map is decided here by the same expressions.
func TestDeadApp(t *testing.T) {
	text := newText()
	deadApp(text, front{})
	rows := regexp.MustCompile(`"~(\S+)" (\d+);`).FindAllStringSubmatch(string(text.Content()), -1)
	decide := func(key string) string {
		for _, row := range rows {
			if regexp.MustCompile(row[1]).MatchString(key) {
				return row[2]
			}
		}
		return "502"
	}
	for key, want := range map[string]string{
		"1:GET:-:0": "425", "1:GET::": "425", "1:HEAD:0.000:0": "425", "1:PUT:0.001:0": "425", "1:DELETE:1.5:-": "425", "1:OPTIONS:-:-": "425",
		"1:GET:0.000:1": "502", "1:GET:0.000:10": "502",
		"1:POST:-:0": "425", "1:PATCH::": "425", "1:PROPFIND:-:0": "425", "1:GETX:-:0": "425", "1::-:0": "425",
		"1:POST:0.000:0": "502", "1:PATCH:0.010:0": "502", "1:POST:0.000:100": "502", "1:GETX:0.000:0": "502",
		"0:GET:-:0": "502", "0:POST:-:0": "502", "0:GET:0.000:0": "502",
		// Two tries are one too many to tell.
		"1:POST:0.000, -:0, 0": "502", "1:GET:0.000 : -:0 : 0": "502",
	} {
		if got := decide(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

func TestOtherSpellings(t *testing.T) {
	for name, want := range map[string][]string{
		"Proxy":     {},
		"X-Real-IP": {"X-Real_IP", "X_Real-IP", "X_Real_IP"},
	} {
		if got := otherSpellings(name); !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestContentTypesAreListedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range contentTypes() {
		for _, name := range append(strings.Fields(c.extensions), c.name) {
			if seen[name] {
				t.Errorf("%s is listed twice", name)
			}
			seen[name] = true
		}
	}
}

// nginxArgument reads an argument in double quotes as nginx does
// (ngx_conf_read_token), then its variables.
func nginxArgument(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", fmt.Errorf("no quote at %q", text)
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text) && strings.IndexByte(`"'\`, text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		case c == '\\' && i+1 < len(text) && strings.IndexByte("trn", text[i+1]) >= 0:
			return "", "", fmt.Errorf("an escape in %q", text)
		case c == '$':
			after, ok := strings.CutPrefix(text[i:], "${dollar}")
			if !ok {
				return "", "", fmt.Errorf("a variable in %q", text)
			}
			b.WriteByte('$')
			i = len(text) - len(after) - 1
		default:
			b.WriteByte(c)
		}
	}
	return "", "", fmt.Errorf("no end in %q", text)
}

func FuzzResponseHeader(f *testing.F) {
	for _, seed := range []string{"", "plain", `a"b`, `\`, `\"`, `\n`, "$uri", "${uri}", "$", "; }", "a b", "#", "'", `"; return 200 "`, "é", "a\nb", "\\\\$\\"} {
		f.Add("X-Some", seed)
	}
	f.Add("X-Some x; return 200", "x")
	f.Fuzz(func(t *testing.T, name, value string) {
		s := someSpec()
		s.ResponseHeaders = map[string]string{name: value}
		if len(s.Validate()) > 0 || value == "" {
			return
		}
		text := newText()
		answerHeaders(text, s, "")
		lines := strings.Split(strings.TrimSuffix(string(text.Content()), "\n"), "\n")
		argument, ok := strings.CutPrefix(lines[len(lines)-1], "add_header "+name+" ")
		got, rest, err := nginxArgument(argument)
		if !ok || err != nil || got != value || rest != " always;" || strings.ContainsAny(name, " ;\"'{}$\\#") {
			t.Errorf("%q: %q is read back as %q, then %q, %v", name, value, got, rest, err)
		}
	})
}

// Whatever prefix and directory are valid, each is one word to nginx.
func FuzzStatic(f *testing.F) {
	for _, seed := range [][2]string{{"/", "public"}, {"/a b/", "p"}, {"/{/", "p;"}, {"/a/", "../x"}, {"/$x/", "$x"}, {"/a/", "x/../.."}, {"/a#/", "\"x"}, {"/.git/", ".git"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, prefix, directory string) {
		s := someSpec()
		s.Static = map[string]api.StaticDirectory{prefix: {Directory: directory}}
		if len(s.Validate()) > 0 {
			return
		}
		text := newText()
		l := layout{name: "notes"}
		staticLocations(text, s, inFront(l, slotBlue, s, converge.InPlace{}).static, servedSlot)
		root := "$slot/static/" + strings.ReplaceAll(prefix, "/", "+")
		link := root + strings.TrimSuffix(prefix, "/")
		want := "        location ^~ " + prefix + " {\n            root " + root + ";\n            disable_symlinks on from=" + link + ";\n"
		leads := staticLinks(l, slotBlue, s, false)[0]
		odd := leads.Path != strings.Replace(link, "$slot", "/srv/notes/slots/blue", 1) || leads.Target != path.Join(l.release(s.Release.SHA256), directory) || strings.ContainsAny(prefix+directory, " \t\r\n;\"'{}$\\#") || strings.Contains("/"+directory+"/", "/../")
		if !strings.Contains(string(text.Content()), want) || odd {
			t.Errorf("%q, %q:\n%s", prefix, directory, text.Content())
		}
	})
}
