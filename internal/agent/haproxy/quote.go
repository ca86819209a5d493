package haproxy

import "strings"

// Quote returns text as one word of a configuration line, in which HAProxy
// interprets nothing (configuration manual, section 2.2, "strong quoting"). The
// text must be a single line: a line break cannot be quoted and would begin a
// new directive, so Quote panics on one.
func Quote(text string) string {
	if strings.ContainsAny(text, "\n\r\x00") {
		panic("haproxy: a text with a line break cannot be quoted")
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
