package api

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns a text that others wrote, such as an app, a client or an
// engine, in a form that a terminal shows as one line and does not obey: each
// control character, line break, invisible or direction-changing character and
// byte that is not UTF-8 becomes an escape like "\x1b" or "\u202e". A tab stays.
func Visible(text string) string { return visible(text, "\t") }

// VisibleLines is [Visible] for a text of several lines: line breaks stay.
func VisibleLines(text string) string { return visible(text, "\t\n") }

func visible(text, kept string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return hidden(r) && !strings.ContainsRune(kept, r) }) {
		return text
	}
	var b strings.Builder
	for i, size := 0, 0; i < len(text); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !hidden(r) || strings.ContainsRune(kept, r):
			b.WriteRune(r)
		default:
			b.WriteString(shownAs(r))
		}
	}
	return b.String()
}

// hidden reports whether a terminal would not simply show a character.
func hidden(r rune) bool { return !unicode.IsPrint(r) }

func shownAs(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r < utf8.RuneSelf:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// Count returns a number with its noun, such as "1 line" or "2 lines".
func Count[N int | int64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
