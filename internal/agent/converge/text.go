package converge

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Text is a file in the making, with its source map. The zero Text is empty.
type Text struct {
	content bytes.Buffer
	lines   int
	sources map[int]api.Pointer
}

// Own adds lines that come from no place of the spec.
func (t *Text) Own(lines ...string) {
	for _, line := range lines {
		t.lines += 1 + strings.Count(line, "\n")
		t.content.WriteString(line + "\n")
	}
}

// From adds what the value at p of the spec became, which may be several lines.
func (t *Text) From(p api.Pointer, format string, args ...any) {
	before := t.lines
	t.Own(fmt.Sprintf(format, args...))
	if p == "" {
		return
	}
	if t.sources == nil {
		t.sources = map[int]api.Pointer{}
	}
	for line := before + 1; line <= t.lines; line++ {
		t.sources[line] = p
	}
}

// Content returns the text so far.
func (t *Text) Content() []byte { return bytes.Clone(t.content.Bytes()) }

// File returns the text as a file of root's at path.
func (t *Text) File(path string, mode fs.FileMode) File {
	return File{Path: path, Mode: mode, Owner: "root", Group: "root", Content: t.Content(), Sources: maps.Clone(t.sources)}
}
