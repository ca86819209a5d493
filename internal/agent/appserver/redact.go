package appserver

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// shower returns text of an app as people may see it.
type shower func(text string) string

// shows returns what shows the words of an app server's app, whether it logged them or
// sent them to a health check: without the values that its slots are started with and
// without the known ones, which are those of the versions that are on their way in or
// out. Where the values cannot be read, neither can the words be shown.
func (k *Kind) shows(l layout, known ...map[string]api.Secret) (shower, error) {
	var values []string
	for _, slot := range slots() {
		given, err := k.machine.secrets(l, slot)
		if err != nil {
			return nil, err
		}
		values = slices.AppendSeq(values, maps.Values(given))
	}
	for _, secrets := range known {
		for _, secret := range secrets {
			values = append(values, secret.Reveal())
		}
	}
	redact := redactor(values)
	return func(text string) string { return api.Visible(redact.Replace(text)) }, nil
}

// show is shows for a single text. It reads the values when it is called.
func (k *Kind) show(l layout, known ...map[string]api.Secret) shower {
	return func(text string) string {
		show, err := k.shows(l, known...)
		if err != nil {
			return "(what it said cannot be shown: " + err.Error() + ")"
		}
		return show(text)
	}
}

const redacted = "(secret)"

// redactor replaces secret values, however short, in what an app says. A value
// of several lines is replaced line by line, as the journal splits it, and in each form
// of [forms].
func redactor(values []string) *strings.Replacer {
	var found []string
	for _, value := range values {
		for line := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == '\n' || r == '\r' }) {
			for _, form := range forms() {
				text := form.of(line)
				found = append(found, text, otherCase(text))
			}
		}
	}
	// Longest first: a secret that is part of another must not leave its rest.
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, text := range slices.Compact(found) {
		pairs = append(pairs, text, redacted)
	}
	return strings.NewReplacer(pairs...)
}

// form is a way to write a text.
type form struct {
	name string
	of   func(text string) string
}

// forms are those in which programs write a text into logs, pages and URLs.
func forms() []form {
	return []form{
		{"as it is", func(text string) string { return text }},
		{"JSON", func(text string) string { return jsonText(text, false) }},
		{"JSON of Go, safe in HTML", func(text string) string { return jsonText(text, true) }},
		{"JSON of Python, in ASCII", func(text string) string { return inASCII(jsonText(text, false), jsonEscape) }},
		{"JSON of PHP, in ASCII", func(text string) string {
			return strings.ReplaceAll(inASCII(jsonText(text, false), jsonEscape), "/", `\/`)
		}},
		{"Go's %q", func(text string) string { return unquoted(strconv.Quote(text)) }},
		{"Go's %+q", func(text string) string { return unquoted(strconv.QuoteToASCII(text)) }},
		{"Python's ascii()", func(text string) string { return inASCII(strings.ReplaceAll(text, `\`, `\\`), pythonEscape) }},
		{"bytes of Python", func(text string) string { return inASCII(strings.ReplaceAll(text, `\`, `\\`), byteEscape) }},
		{"a query", url.QueryEscape},
		{"a path", url.PathEscape},
		{"quote() of Python", func(text string) string {
			return strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(text))
		}},
		{"encodeURIComponent() of JavaScript", func(text string) string {
			return strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*").Replace(url.QueryEscape(text))
		}},
		{"HTML of Go", html.EscapeString},
		{"HTML", func(text string) string {
			return strings.NewReplacer("&#34;", "&quot;", "&#39;", "&#x27;").Replace(html.EscapeString(text))
		}},
	}
}

// jsonText is the inside of a JSON string.
func jsonText(text string, safeInHTML bool) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(safeInHTML)
	_ = encoder.Encode(text) // a string always has a JSON form
	return unquoted(strings.TrimSuffix(b.String(), "\n"))
}

func unquoted(text string) string { return text[1 : len(text)-1] }

// inASCII escapes what is not in ASCII.
func inASCII(text string, escape func(r rune) string) string {
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			b.WriteString(escape(r))
		}
	}
	return b.String()
}

func jsonEscape(r rune) string {
	var b strings.Builder
	for _, unit := range utf16.AppendRune(nil, r) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return b.String()
}

func pythonEscape(r rune) string {
	switch {
	case r <= 0xff:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

func byteEscape(r rune) string {
	var b strings.Builder
	for _, c := range []byte(string(r)) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

// escapePattern finds escapes with hexadecimal digits.
var escapePattern = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}`)

// otherCase writes the digits of escapes in the other case: small ones in URLs, capital
// ones elsewhere.
func otherCase(text string) string {
	return escapePattern.ReplaceAllStringFunc(text, func(escape string) string {
		if strings.HasPrefix(escape, "%") {
			return strings.ToLower(escape)
		}
		return escape[:2] + strings.ToUpper(escape[2:])
	})
}
