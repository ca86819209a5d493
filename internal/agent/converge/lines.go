package converge

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// edit tells how a text differs from an earlier one, by lines from 1.
type edit struct {
	// added are lines of the new text, removed lines of the old one.
	added, removed []int
}

// diffLines compares two texts by lines. Beyond what is worth the memory it
// takes the whole differing middle as changed.
func diffLines(before, after []byte) edit {
	a, b := splitLines(before), splitLines(after)
	head := 0
	for head < len(a) && head < len(b) && bytes.Equal(a[head], b[head]) {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && bytes.Equal(a[len(a)-1-tail], b[len(b)-1-tail]) {
		tail++
	}
	e := middle(a[head:len(a)-tail], b[head:len(b)-tail])
	for i := range e.removed {
		e.removed[i] += head
	}
	for i := range e.added {
		e.added[i] += head
	}
	return e
}

func splitLines(text []byte) [][]byte {
	if len(text) == 0 {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

// middle finds the longest common subsequence in a table of lengths.
func middle(a, b [][]byte) edit {
	const worth = 4 << 20 // cells
	if len(a)*len(b) > worth {
		return edit{added: count(len(b)), removed: count(len(a))}
	}
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if bytes.Equal(a[i], b[j]) {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var e edit
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && bytes.Equal(a[i], b[j]):
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			i++
			e.removed = append(e.removed, i)
		default:
			j++
			e.added = append(e.added, j)
		}
	}
	return e
}

func count(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
	}
	return out
}

// String describes the edit for a person who looks at the new text: changed
// and added lines by their number in it, removed ones by what they were.
func (e edit) String() string {
	var parts []string
	if len(e.added) > 0 {
		parts = append(parts, ranges(e.added))
	}
	if len(e.removed) > 0 && len(e.added) == 0 {
		parts = append(parts, ranges(e.removed)+" removed")
	}
	if len(parts) == 0 {
		return "the end of the last line" // nothing else can differ without a line that does
	}
	return strings.Join(parts, ", ")
}

// ranges writes ascending numbers as "line 3" or "lines 3–5, 8".
func ranges(lines []int) string {
	var parts []string
	for i := 0; i < len(lines); {
		j := i
		for j+1 < len(lines) && lines[j+1] == lines[j]+1 {
			j++
		}
		part := fmt.Sprint(lines[i])
		if j > i {
			part += fmt.Sprintf("–%d", lines[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	word := "line "
	if len(lines) > 1 {
		word = "lines "
	}
	const shown = 8
	if len(parts) > shown {
		parts = append(slices.Clone(parts[:shown]), "…")
	}
	return word + strings.Join(parts, ", ")
}
