package api

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// MaxNearest is how many names are offered for one that is not known.
const MaxNearest = 3

// Nearest returns the names that a word was most likely meant to be, the most
// likely first and at most [MaxNearest]: those that contain it or are contained in
// it, then those that share the most parts between underscores with it, then those
// that take the fewest edits. A word that is more than twice as long as every name
// was meant to be none.
func Nearest(word string, names []string) []string {
	ranked := byLikeness(word, names)
	return ranked[:min(MaxNearest, len(ranked))]
}

func byLikeness(word string, names []string) []string {
	longest := 0
	for _, name := range names {
		longest = max(longest, len(name))
	}
	if len(word) > 2*longest { // the comparison of a word takes as long as it is
		return nil
	}
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
	ranked := make([]string, 0, len(all))
	for _, c := range all {
		ranked = append(ranked, c.name)
	}
	return ranked
}

// NearestCharset is [Nearest] for names of character sets and of collations,
// in any case. For who writes them, utf8 and what looks like it is the character set
// that has all of Unicode.
func NearestCharset(word string, names []string) []string {
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
	for _, alias := range byLikeness(strings.ToLower(word), slices.Sorted(maps.Keys(meant))) {
		if name := meant[alias]; len(nearest) < MaxNearest && !slices.Contains(nearest, name) {
			nearest = append(nearest, name)
		}
	}
	return nearest
}

// Suggest returns the part of a message that offers the nearest names, behind an
// introduction; "" if there are none.
func Suggest(introduction string, nearest []string) string {
	if len(nearest) == 0 {
		return ""
	}
	return introduction + strings.Join(nearest, ", ")
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
