package converge

import (
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestDiffLines(t *testing.T) {
	for name, test := range map[string]struct {
		before, after string
		added         []int
		removed       []int
		text          string
	}{
		"nothing":           {"a\nb\n", "a\nb\n", nil, nil, "the end of the last line"},
		"no final newline":  {"a\nb\n", "a\nb", nil, nil, "the end of the last line"},
		"change":            {"a\nb\nc\n", "a\nx\nc\n", []int{2}, []int{2}, "line 2"},
		"addition":          {"a\nc\n", "a\nb\nc\n", []int{2}, nil, "line 2"},
		"removal":           {"a\nb\nc\n", "a\nc\n", nil, []int{2}, "line 2 removed"},
		"all":               {"a\nb\n", "", nil, []int{1, 2}, "lines 1–2 removed"},
		"from nothing":      {"", "a\nb\n", []int{1, 2}, nil, "lines 1–2"},
		"two places":        {"a\nb\nc\nd\ne\n", "x\nb\nc\nd\ny\n", []int{1, 5}, []int{1, 5}, "lines 1, 5"},
		"moved":             {"a\nb\nc\n", "b\nc\na\n", []int{3}, []int{1}, "line 3"},
		"many small places": {strings.Repeat("a\nb\n", 10), strings.Repeat("a\nx\n", 10), nil, nil, "lines 2, 4, 6, 8, 10, 12, 14, 16, …"},
	} {
		t.Run(name, func(t *testing.T) {
			e := diffLines([]byte(test.before), []byte(test.after))
			if e.String() != test.text {
				t.Errorf("it reads %q, want %q", e, test.text)
			}
			if test.added == nil && test.removed == nil {
				return
			}
			if !slices.Equal(e.added, test.added) || !slices.Equal(e.removed, test.removed) {
				t.Errorf("added %v, removed %v; want %v and %v", e.added, e.removed, test.added, test.removed)
			}
		})
	}
}

func TestDiffLinesOfLargeTextsIsBounded(t *testing.T) {
	before, after := strings.Repeat("a\n", 5000), strings.Repeat("b\n", 5000)
	e := diffLines([]byte(before), []byte(after))
	if len(e.added) != 5000 || len(e.removed) != 5000 {
		t.Errorf("added %d, removed %d", len(e.added), len(e.removed))
	}
}

func TestRetireKeepsTheNewest(t *testing.T) {
	tree := func(name string) Tree { return Tree{Path: name, SHA256: name} }
	trees := func(names string) []Tree {
		var out []Tree
		for name := range strings.FieldsSeq(names) {
			out = append(out, tree(name))
		}
		return out
	}
	for name, test := range map[string]struct {
		from       *Applied
		to         *State
		kept, gone string
	}{
		"creation":              {nil, &State{Trees: trees("a")}, "", ""},
		"second":                {&Applied{State: State{Trees: trees("a")}}, &State{Trees: trees("b")}, "a", ""},
		"unchanged":             {&Applied{State: State{Trees: trees("a")}, Kept: trees("b")}, &State{Trees: trees("a")}, "b", ""},
		"sixth":                 {&Applied{State: State{Trees: trees("e")}, Kept: trees("d c b a")}, &State{Trees: trees("f")}, "e d c b", "a"},
		"return to a kept one":  {&Applied{State: State{Trees: trees("e")}, Kept: trees("d c b a")}, &State{Trees: trees("b")}, "e d c a", ""},
		"deletion":              {&Applied{State: State{Trees: trees("b")}, Kept: trees("a")}, nil, "", "b a"},
		"no tree is wanted now": {&Applied{State: State{Trees: trees("b")}, Kept: trees("a")}, &State{}, "b a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			kept, gone := retire(test.from, test.to)
			if !slices.Equal(kept, trees(test.kept)) || !slices.Equal(gone, trees(test.gone)) {
				t.Errorf("kept %v, gone %v", kept, gone)
			}
		})
	}
}

func TestDescribeUnit(t *testing.T) {
	for want, test := range map[string]struct {
		status  systemd.Status
		dropIns []string
	}{
		"":                                    {status: systemd.Status{LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled"}},
		"is not known to systemd, is stopped": {status: systemd.Status{LoadState: "not-found", ActiveState: "inactive"}},
		"cannot be loaded: bad-setting, is stopped": {status: systemd.Status{LoadState: "bad-setting", ActiveState: "inactive"}},
		"is activating": {status: systemd.Status{LoadState: "loaded", ActiveState: "activating", UnitFileState: "static"}},
		"is changed by /etc/systemd/system/a.service.d/override.conf": {
			status:  systemd.Status{LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled"},
			dropIns: []string{"/etc/systemd/system/a.service.d/override.conf"},
		},
	} {
		if got := describeUnit(test.status, test.dropIns); got != want {
			t.Errorf("it reads %q, want %q", got, want)
		}
	}
}

func TestSourceIsThatOfTheNearestLineBefore(t *testing.T) {
	f := File{Sources: map[int]api.Pointer{2: "/a", 5: "/b"}}
	for line, want := range map[int]api.Pointer{1: "", 2: "/a", 4: "/a", 5: "/b", 99: "/b"} {
		if got := f.Source(line); got != want {
			t.Errorf("line %d comes from %q, want %q", line, got, want)
		}
	}
}
