package api

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainWord is a word of a sentence, rather than a name, a path, an address, an
// attribute or a component, which are written as they are.
var plainWord = regexp.MustCompile(`^\pL+('\pL+)?[,;.]?$`) //nolint:gochecknoglobals // compiled once, never changed

// Capital begins a text as a sentence. A name or command at its start keeps its
// letters: "db-server/main", "notes.tar.gz", "tcp *:80", "terraform apply".
func Capital(text string) string {
	first, rest, _ := strings.Cut(text, " ")
	second, _, _ := strings.Cut(rest, " ")
	if !plainWord.MatchString(first) || first == "terraform" || second == "=" || strings.Contains(second, ":") && (first == "tcp" || first == "udp") {
		return text
	}
	letter, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(letter)) + text[size:]
}
