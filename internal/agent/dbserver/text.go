package dbserver

import (
	"bytes"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// text is a configuration file in the making, with its source map.
type text struct {
	buffer  bytes.Buffer
	lines   int
	sources map[int]api.Pointer
}

// add writes one line that comes from the place p of the spec, or from none
// ("").
func (t *text) add(p api.Pointer, format string, args ...any) {
	t.lines++
	fmt.Fprintf(&t.buffer, format, args...)
	t.buffer.WriteByte('\n')
	if p == "" {
		return
	}
	if t.sources == nil {
		t.sources = map[int]api.Pointer{}
	}
	t.sources[t.lines] = p
}

// own writes lines that come from no place of the spec.
func (t *text) own(lines ...string) {
	for _, line := range lines {
		t.add("", "%s", line)
	}
}
