package api

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

const (
	// maxQuoted bounds what a message quotes of a caller's text, in bytes. A Host
	// header, the longest text that is valid and worth reading again, fits.
	maxQuoted = MaxHost
	// maxDetail bounds the message of a violation, in bytes. The longest of ours
	// lists all members of a spec.
	maxDetail = 4 << 10
	// maxListed bounds the values that a message lists.
	maxListed = 50
)

// Shorten returns a text whole if it has at most so many bytes, else its
// beginning and an ellipsis. A character is never cut in two.
func Shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// say is [fmt.Sprintf] for messages about what a caller sent: what is quoted (%q)
// is shortened.
func say(format string, args ...any) string {
	short := make([]any, len(args))
	for i, arg := range args {
		short[i] = arg
		if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
			if _, speaks := arg.(fmt.Stringer); !speaks {
				short[i] = callers(v.String())
			}
		}
	}
	return fmt.Sprintf(format, short...)
}

// errorf is [say] as an error.
func errorf(format string, args ...any) error { return errors.New(say(format, args...)) }

// callers is a text of a caller's, of any length.
type callers string

// Format implements [fmt.Formatter].
func (c callers) Format(f fmt.State, verb rune) {
	text := string(c)
	if verb == 'q' {
		text = Shorten(text, maxQuoted)
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), text)
}

// list names values for a person: `"a", "b"`.
func list[T ~string](values []T) string {
	if len(values) == 0 {
		return "there are none"
	}
	text := strings.Join(Quoted(values[:min(len(values), maxListed)]), ", ")
	if more := len(values) - maxListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Quoted returns each of some values in quotes, shortened.
func Quoted[T ~string](values []T) []string {
	quoted := make([]string, len(values))
	for i, value := range values {
		quoted[i] = say("%q", value)
	}
	return quoted
}
