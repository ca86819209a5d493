package haproxy

import (
	"reflect"
	"testing"
)

func TestParseMessages(t *testing.T) {
	for name, test := range map[string]struct {
		output string
		want   []Message
	}{
		"log format": {
			"[NOTICE]   (7) : haproxy version is 3.0.11\n" +
				"[NOTICE]   (7) : path to executable is /usr/sbin/haproxy\n" +
				"[ALERT]    (7) : config : Parsing [/t/bad.cfg:33]: failed to parse log-format : no such format alias 'zz'. If you wanted to emit the '%' character verbatim, you need to use '%%'.\n" +
				"[ALERT]    (7) : config : Fatal errors found in configuration.\n",
			[]Message{{Alert, 33, "failed to parse log-format : no such format alias 'zz'. If you wanted to emit the '%' character verbatim, you need to use '%%'."}},
		},
		"regular expression": {
			"[ALERT]    (7) : config : parsing [/t/bad.cfg:55] : 'http-check expect' : regex 'a[' is invalid (error=missing terminating ] for character class, erroffset=2).\n" +
				"[ALERT]    (7) : config : Error(s) found in configuration file : /t/bad.cfg\n",
			[]Message{{Alert, 55, "'http-check expect' : regex 'a[' is invalid (error=missing terminating ] for character class, erroffset=2)."}},
		},
		"server keyword": {
			"[ALERT]    (7) : config : [/t/bad.cfg:58] : 'server web/web1' : unknown keyword 'fubar'.\n",
			[]Message{{Alert, 58, "'server web/web1' : unknown keyword 'fubar'."}},
		},
		"no line": {
			"[ALERT]    (7) : config : Proxy 'www': unable to find required default_backend: 'webx'.\n",
			[]Message{{Alert, 0, "Proxy 'www': unable to find required default_backend: 'webx'."}},
		},
		"warning over several lines": {
			"[WARNING]  (7) : config : missing timeouts for frontend 'x'.\n" +
				"   | While not properly invalid,\n   | with such a configuration.\n" +
				"[ALERT]    (7) : config : Some warnings were found and 'zero-warning' is set. Aborting.\n",
			[]Message{{Warning, 0, "missing timeouts for frontend 'x'. While not properly invalid, with such a configuration."}},
		},
		"path without its directories": {
			"[NOTICE]   (7) : config : config: Can't open global server state file '/run/foobar-lb-edge/servers': No such file or directory\n",
			[]Message{{Notice, 0, "config: Can't open global server state file 'servers': No such file or directory"}},
		},
		"other text": {"Configuration file is valid\n   | lost\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := ParseMessages(test.output)
			if len(got) == 0 && len(test.want) == 0 {
				return
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, expected %+v", got, test.want)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"":              `''`,
		"plain":         `'plain'`,
		"it's":          `'it'\''s'`,
		`a "b" \ $C #d`: `'a "b" \ $C #d'`,
		"''":            `''\'''\'''`,
	} {
		if got := Quote(text); got != want {
			t.Errorf("Quote(%q) is %s, expected %s", text, got, want)
		}
	}
}

func TestQuotePanicsOnALineBreak(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a line break was quoted")
		}
	}()
	Quote("a\nserver evil 10.0.0.9:80")
}

// FuzzQuote reads a quoted text as HAProxy does (its manual, section 2.2): it
// must be one word again, and the same.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "'", `\'`, `a b`, `#`, `"$HOME"`, `'\''`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range text {
			if r == '\n' || r == '\r' || r == 0 {
				return
			}
		}
		words := unquote(Quote(text))
		if len(words) != 1 || words[0] != text {
			t.Errorf("%q came back as %q", text, words)
		}
	})
}

// unquote cuts a line into words by HAProxy's rules, but for double quotes and
// escapes that Quote never writes.
func unquote(line string) []string {
	var words []string
	var word []byte
	inWord, quoted := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\'':
			quoted = false
		case quoted:
			word = append(word, c)
		case c == '\'':
			quoted, inWord = true, true
		case c == '\\' && i+1 < len(line):
			i++
			word, inWord = append(word, line[i]), true
		case c == '#':
			return words
		case c == ' ' || c == '\t':
			if inWord {
				words, word, inWord = append(words, string(word)), nil, false
			}
		default:
			word, inWord = append(word, c), true
		}
	}
	if inWord {
		words = append(words, string(word))
	}
	return words
}
