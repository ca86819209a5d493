package api

import (
	"fmt"
	"strconv"
	"strings"
)

// Pointer is a JSON pointer (RFC 6901) into a spec: "" is the whole document,
// "/backends/web/servers/web1/port" a value in it.
type Pointer string

// At returns the pointer to a member (a string) or an element (an int) of the
// value that p points at.
func (p Pointer) At(steps ...any) Pointer {
	var b strings.Builder
	b.WriteString(string(p))
	for _, step := range steps {
		b.WriteByte('/')
		switch s := step.(type) {
		case int:
			b.WriteString(strconv.Itoa(s))
		default:
			b.WriteString(escape(fmt.Sprint(s)))
		}
	}
	return Pointer(b.String())
}

// maxStep bounds a step of the pointers in violations, in bytes. No valid name is
// nearly as long.
const maxStep = 300

// placed returns the pointer to what p points at or, where a step on the way is
// too long to be shown, to the value that it is in.
func (p Pointer) placed() Pointer {
	start := 0
	for start < len(p) {
		length := strings.IndexByte(string(p[start+1:]), '/')
		if length < 0 {
			length = len(p) - start - 1
		}
		if length > maxStep {
			return p[:start]
		}
		start += 1 + length
	}
	return p
}

// Steps returns the unescaped reference tokens of p.
func (p Pointer) Steps() []string {
	if p == "" {
		return nil
	}
	steps := strings.Split(strings.TrimPrefix(string(p), "/"), "/")
	for i, s := range steps {
		steps[i] = unescape(s)
	}
	return steps
}

// escape and unescape follow RFC 6901 section 3, which fixes their order.
func escape(step string) string {
	return strings.ReplaceAll(strings.ReplaceAll(step, "~", "~0"), "/", "~1")
}

func unescape(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}
