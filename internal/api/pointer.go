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
			b.WriteString(escaper.Replace(fmt.Sprint(s)))
		}
	}
	return Pointer(b.String())
}

// Steps returns the unescaped reference tokens of p.
func (p Pointer) Steps() []string {
	if p == "" {
		return nil
	}
	steps := strings.Split(strings.TrimPrefix(string(p), "/"), "/")
	for i, s := range steps {
		steps[i] = unescaper.Replace(s)
	}
	return steps
}

// The two replacers are immutable; RFC 6901 section 3 fixes their order.
var (
	escaper   = strings.NewReplacer("~", "~0", "/", "~1")
	unescaper = strings.NewReplacer("~1", "/", "~0", "~")
)
