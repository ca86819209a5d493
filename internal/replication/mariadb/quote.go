package mariadb

import (
	"crypto/sha1" //nolint:gosec // mysql_native_password is defined by it
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Longest names, in characters: MariaDB's identifier limits.
const (
	maxDatabaseName = 64
	maxUserName     = 80
)

// Text makes a string literal of text. It holds for the SQL mode of the
// engine's own connections, in which a backslash escapes.
func Text(text string) (string, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "", fmt.Errorf("it must be UTF-8 text without NUL")
	}
	return quoted(text), nil
}

var textEscaper = strings.NewReplacer(`\`, `\\`, `'`, `''`)

func quoted(text string) string { return "'" + textEscaper.Replace(text) + "'" }

// Identifier quotes the name of a database.
func Identifier(name string) (string, error) {
	if err := checkName(name, maxDatabaseName); err != nil {
		return "", err
	}
	return "`" + strings.ReplaceAll(name, "`", "``") + "`", nil
}

var patternEscaper = strings.NewReplacer(`\`, `\\`, `_`, `\_`, `%`, `\%`)

// grantPattern quotes a database's name for GRANT and REVOKE, which take it for
// a pattern: an underscore would be any character.
func grantPattern(name string) (string, error) {
	if err := checkName(name, maxDatabaseName); err != nil {
		return "", err
	}
	return "`" + strings.ReplaceAll(patternEscaper.Replace(name), "`", "``") + "`", nil
}

// plainPattern returns the name that a pattern stands for, and whether it
// stands for one name only.
func plainPattern(pattern string) (name string, single bool) {
	var b strings.Builder
	escaped := false
	for _, r := range pattern {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
			continue
		case r == '_' || r == '%':
			return "", false
		}
		b.WriteRune(r)
	}
	return b.String(), !escaped
}

// checkName refuses what no identifier can be. Control characters are allowed
// by the server and never meant.
func checkName(name string, longest int) error {
	switch {
	case name == "":
		return fmt.Errorf("a name is missing")
	case !utf8.ValidString(name):
		return fmt.Errorf("%q is not UTF-8", name)
	case utf8.RuneCountInString(name) > longest:
		return fmt.Errorf("%q has %d characters; at most %d are allowed", name, utf8.RuneCountInString(name), longest)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%q begins or ends with a space", name)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f || r > 0xffff { // identifiers are of the Basic Multilingual Plane
			return fmt.Errorf("%q has the character %U, which no name may have", name, r)
		}
	}
	return nil
}

// nativeHash returns what the server keeps of a password, so that the password
// itself is in no statement, log or process list: mysql_native_password is
// "*" and the SHA-1 of the SHA-1.
func nativeHash(password string) string {
	once := sha1.Sum([]byte(password)) //nolint:gosec // the server's own format
	twice := sha1.Sum(once[:])         //nolint:gosec // the server's own format
	return "*" + strings.ToUpper(hex.EncodeToString(twice[:]))
}
