package api

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Nearest returns the n names that a word was most likely meant to be, the most
// likely first: those that contain it or are contained in it, then those that
// share the most parts between underscores with it, then those that take the
// fewest edits. Its result is never longer than names.
func Nearest(word string, names []string, n int) []string {
	type candidate struct {
		name           string
		rank, distance int
	}
	parts := strings.Split(word, "_")
	all := make([]candidate, 0, len(names))
	for _, name := range names {
		c := candidate{name: name, distance: distance(word, name)}
		if word != "" && (strings.Contains(name, word) || len(name) > 3 && strings.Contains(word, name)) {
			c.rank = len(parts) + 1
		} else {
			for _, part := range strings.Split(name, "_") {
				if slices.Contains(parts, part) {
					c.rank++
				}
			}
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var nearest []string
	for _, c := range all[:min(n, len(all))] {
		nearest = append(nearest, c.name)
	}
	return nearest
}

// NearestCharset is [Nearest] for names of character sets and of collations,
// in any case. For who writes them, utf8 and what looks like it is the character set
// that has all of Unicode.
func NearestCharset(word string, names []string, n int) []string {
	meant := map[string]string{} // by what it is looked for as
	for _, name := range names {
		meant[name] = name
	}
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, dbCharset); ok {
			meant[dbCharsetAlias+rest] = name
		}
	}
	var nearest []string
	for _, alias := range Nearest(strings.ToLower(word), slices.Sorted(maps.Keys(meant)), len(meant)) {
		if name := meant[alias]; len(nearest) < n && !slices.Contains(nearest, name) {
			nearest = append(nearest, name)
		}
	}
	return nearest
}

// distance is how many bytes have to be put in, left out or exchanged to make a
// word of another (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // the cell above and to the left
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, before+cost)
			before, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
