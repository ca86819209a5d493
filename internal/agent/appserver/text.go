package appserver

import (
	"fmt"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// header stands at the top of every file.
const header = "# Written by foobar. A change by hand is drift, which the next apply undoes."

// text is a file in the making, with its source map.
type text struct {
	lines   []string
	sources map[int]api.Pointer
}

func newText() *text {
	return &text{lines: []string{header}, sources: map[int]api.Pointer{}}
}

// own adds lines that come from no value of the spec.
func (t *text) own(lines ...string) { t.lines = append(t.lines, lines...) }

// from adds what the value at p became; it may be several lines.
func (t *text) from(p api.Pointer, format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		t.lines = append(t.lines, line)
		t.sources[len(t.lines)] = p
	}
}

func (t *text) content() []byte { return []byte(strings.Join(t.lines, "\n") + "\n") }
