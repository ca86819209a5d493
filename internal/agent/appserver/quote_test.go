package appserver

import (
	"maps"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// words reads a line of a unit file as systemd does (extract_first_word with
// EXTRACT_UNQUOTE|EXTRACT_CUNESCAPE, then specifiers), for what quoteArgument
// can write. It is no more than the test's idea of systemd; the lab's tests
// have the real one.
func words(line string) []string {
	var all []string
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		var word strings.Builder
		quoted := false
		i := 0
		for ; i < len(line) && (quoted || line[i] != ' '); i++ {
			switch c := line[i]; {
			case c == '"':
				quoted = !quoted
			case c == '\\' && i+1 < len(line):
				i++
				word.WriteByte(line[i])
			case c == '%' && i+1 < len(line) && line[i+1] == '%':
				i++
				word.WriteByte('%')
			case c == '%':
				word.WriteString("<specifier>")
			default:
				word.WriteByte(c)
			}
		}
		all, line = append(all, word.String()), line[i:]
	}
	return all
}

func FuzzQuoteArgument(f *testing.F) {
	for _, seed := range []string{"", "plain", `a"b`, `\`, `\"`, "%i", "%%", "a b", ";", "'", "$x", "ž", `" ExecStartPre=/bin/sh`, `\x41`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, argument string) {
		if strings.ContainsFunc(argument, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return // refused by Validate
		}
		got := words("before " + quoteArgument(argument) + " after")
		if len(got) != 3 || got[1] != argument {
			t.Errorf("%q is read back as %q", argument, got)
		}
	})
}

func FuzzEnvironment(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\"b", `\`, `\"`, "\n", "x\"\nB=evil", "$HOME", "`x`", "# no", "\r\n", "ž", "a\\\nb"} {
		f.Add(seed, "B", "other")
	}
	f.Fuzz(func(t *testing.T, value, name, other string) {
		s := someSpec()
		s.Environment = map[string]string{"A": value, name: other}
		if len(s.Validate()) > 0 {
			return
		}
		got, err := parseEnvironment(environmentFile(s.Environment, "").Content())
		if err != nil || !maps.Equal(got, s.Environment) {
			t.Errorf("%q is read back as %q, %v", s.Environment, got, err)
		}
	})
}

func FuzzParseEnvironment(f *testing.F) {
	for _, seed := range []string{"", "A=\"b\"\n", "A=\"b", "A=b\n", "# c\n\nA=\"\\\"\"\n", "=\"\"", "A=\"\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		variables, err := parseEnvironment([]byte(content))
		if err != nil {
			return
		}
		again, err := parseEnvironment(environmentFile(variables, "").Content())
		if err != nil || !maps.Equal(again, variables) {
			t.Errorf("%q, written and read again, is %q, %v", variables, again, err)
		}
	})
}

func TestParseEnvironmentTellsNoValues(t *testing.T) {
	for _, content := range []string{"A=\"hunter2", "hunter2\n", "A=hunter2\n", "A=\"b\"\nhunter2\nB=\"c\""} {
		_, err := parseEnvironment([]byte(content))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestEnvironmentSources(t *testing.T) {
	file := environmentFile(map[string]string{"B": "one\ntwo", "A": "x"}, "/environment").File("/app.env", 0o600)
	want := []api.Pointer{"", "/environment/A", "/environment/B", "/environment/B"}
	for i, p := range want {
		if got := file.Sources[i+1]; got != p {
			t.Errorf("line %d comes from %q, want %q", i+1, got, p)
		}
	}
}

func TestRedactor(t *testing.T) {
	redact := redactor([]string{"ab", "ab c\"d/é", "line one\nline two\n", "", "c"})
	for line, want := range map[string]string{
		`nothing here`:            `nothing here`,
		`x ab y`:                  `x (secret) y`,
		`x ab c"d/é y`:            `x (secret) y`,
		`json "ab c\"d/é"`:        `json "(secret)"`,
		`/?t=ab+c%22d%2F%C3%A9&x`: `/?t=(secret)&x`,
		`line two`:                `(secret)`,
		`line one\nline two\n`:    `(secret)\n(secret)\n`,
	} {
		if got := redact.Replace(line); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", line, got, want)
		}
	}
	if got := redactor(nil).Replace("as it is"); got != "as it is" {
		t.Errorf("without secrets: %s", got)
	}
}

// TestSecretsAreFoundInTheFormsOfOthers: as what wrote the line escapes them.
func TestSecretsAreFoundInTheFormsOfOthers(t *testing.T) {
	for secret, forms := range map[string][]string{
		`p"w&x`: {
			`p"w&x`, `p\"w&x`, `p\"w\u0026x`, `p%22w%26x`, `p%22w&x`, `p&#34;w&amp;x`, `p&quot;w&amp;x`,
		},
		`müller`:   {`müller`, `m\u00fcller`, `m\u00FCller`, `m\xfcller`, `m\xc3\xbcller`, `m%C3%BCller`, `m%c3%bcller`},
		`key😀9`:    {`key😀9`, `key\ud83d\ude009`, `key\uD83D\uDE009`, `key\U0001f6009`, `key\xf0\x9f\x98\x809`, `key%F0%9F%98%809`},
		"one\ntwo": {`"one\ntwo"`, `'one\ntwo'`, `one%0Atwo`, "one", "two"},
		`a\b/c d`:  {`a\b/c d`, `a\\b/c d`, `a\\b\/c d`, `a%5Cb%2Fc+d`, `a%5Cb%2Fc%20d`, `a%5Cb/c%20d`, `a%5cb/c%20d`},
		`it's(1)`:  {`it%27s%281%29`, `it's(1)`, `it&#39;s(1)`, `it&#x27;s(1)`},
	} {
		redact := redactor([]string{secret})
		for _, form := range forms {
			got := redact.Replace("<" + form + ">")
			left := strings.Trim(strings.ReplaceAll(got, redacted, ""), `<>"'`)
			if left != "" && left != `\n` && left != "%0A" {
				t.Errorf("%q as %s became %s", secret, form, got)
			}
		}
	}
}
