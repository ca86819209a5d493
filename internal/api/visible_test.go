package api

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		"plain, é € 漢 😀\ttab":         "plain, é € 漢 😀\ttab",
		"\x1b]0;owned\x07\x1b[2J":     `\x1b]0;owned\x07\x1b[2J`,
		"ok\rforged":                  `ok\rforged`,
		"one\ntwo":                    `one\ntwo`,
		"\u009b31m":                   `\u009b31m`,
		"abc\u202edcba\u2066x\u200b":  `abc\u202edcba\u2066x\u200b`,
		"bad \xff\xfe utf-8":          `bad \xff\xfe utf-8`,
		"null \x00 delete \x7f":       `null \x00 delete \x7f`,
		"line\u2028separator\ufeff":   `line\u2028separator\ufeff`,
		"\U000e0041 of the tag plane": `\U000e0041 of the tag plane`,
		"a replacement \ufffd stays":  "a replacement \ufffd stays",
	} {
		if got := Visible(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := VisibleLines("one\n\x1btwo\r\n"); got != "one\n\\x1btwo\\r\n" {
		t.Errorf("lines became %q", got)
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("\x1b[2J\r\n\xff\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		got := Visible(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
			t.Errorf("%q became %q", text, got)
		}
		if again := Visible(got); again != got {
			t.Errorf("%q became %q when it was escaped twice", got, again)
		}
	})
}
