// Package gtid is the algebra of MariaDB's global transaction ids. All of it
// is pure; nothing here asks a server.
//
// A GTID is domain-server-sequence. With gtid_strict_mode the sequence grows
// within a domain whoever writes, so the last GTID of each domain tells where
// data stands: a position. It does not tell who wrote what before: for that
// there is a history (gtid_binlog_state), the last GTID of each server in each
// domain. Both are a [Set].
package gtid

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Origin is a server that writes in a domain.
type Origin struct {
	Domain, Server uint32
}

// Set holds the highest sequence number of each origin. It is immutable: what
// changes a set returns another. The zero value is the empty set, which means
// "nothing is known", never "caught up".
type Set struct {
	last map[Origin]uint64
}

// Parse reads GTIDs with commas between them, as the server writes them:
// "0-1-42,1-2-7". Of several of one origin the highest counts. The empty text
// is the empty set.
func Parse(text string) (Set, error) {
	set := Set{last: map[Origin]uint64{}}
	text = strings.TrimSpace(text)
	if text == "" {
		return set, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		origin, sequence, err := parseOne(strings.TrimSpace(part))
		if err != nil {
			return Set{}, fmt.Errorf("%q is not a list of GTIDs: %w", text, err)
		}
		set.last[origin] = max(set.last[origin], sequence)
	}
	return set, nil
}

func parseOne(text string) (Origin, uint64, error) {
	fields := strings.Split(text, "-")
	if len(fields) != 3 {
		return Origin{}, 0, fmt.Errorf("%q is not domain-server-sequence", text)
	}
	var numbers [3]uint64
	for i, bits := range []int{32, 32, 64} {
		number, err := strconv.ParseUint(fields[i], 10, bits)
		if err != nil {
			return Origin{}, 0, fmt.Errorf("%q is no number of %d bits", fields[i], bits)
		}
		numbers[i] = number
	}
	return Origin{Domain: uint32(numbers[0]), Server: uint32(numbers[1])}, numbers[2], nil //nolint:gosec // ParseUint bounds both to 32 bits
}

// String writes the set as [Parse] reads it, by domain and server.
func (s Set) String() string {
	origins := slices.SortedFunc(maps.Keys(s.last), func(a, b Origin) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Server, b.Server))
	})
	parts := make([]string, len(origins))
	for i, o := range origins {
		parts[i] = fmt.Sprintf("%d-%d-%d", o.Domain, o.Server, s.last[o])
	}
	return strings.Join(parts, ",")
}

// Empty reports whether nothing is in the set.
func (s Set) Empty() bool { return len(s.last) == 0 }

// Equal reports whether both hold the same.
func (s Set) Equal(other Set) bool { return maps.Equal(s.last, other.last) }

// Union returns the highest of both for every origin.
func (s Set) Union(other Set) Set {
	all := Set{last: map[Origin]uint64{}}
	for _, set := range []Set{s, other} {
		for origin, sequence := range set.last {
			all.last[origin] = max(all.last[origin], sequence)
		}
	}
	return all
}

// Missing returns what of history s is not in history other: an origin that
// other does not know, or knows up to a lower sequence number only. It is empty
// if s is a subset of other. If s was read before other and other is the source
// of s, what is missing there is errant.
func (s Set) Missing(other Set) Set {
	missing := Set{last: map[Origin]uint64{}}
	for origin, sequence := range s.last {
		if known, ok := other.last[origin]; !ok || known < sequence {
			missing.last[origin] = sequence
		}
	}
	return missing
}

// Position returns the last GTID of each domain: where data with history s stands.
func (s Set) Position() Set {
	highest := map[uint32]Origin{}
	for origin, sequence := range s.last {
		best, ok := highest[origin.Domain]
		if !ok || sequence > s.last[best] || sequence == s.last[best] && origin.Server > best.Server {
			highest[origin.Domain] = origin
		}
	}
	position := Set{last: map[Origin]uint64{}}
	for _, origin := range highest {
		position.last[origin] = s.last[origin]
	}
	return position
}

// Reached reports whether data at position s has everything of position goal,
// in the order that strict mode keeps.
func (s Set) Reached(goal Set) bool {
	here := s.sequences()
	for domain, sequence := range goal.sequences() {
		if at, ok := here[domain]; !ok || at < sequence {
			return false
		}
	}
	return true
}

// CanFollow reports whether a replica at position s can catch up from a source
// whose oldest binary log begins at oldest: nothing after s may be gone. A
// replica of which nothing is known can never: its data came from elsewhere.
func (s Set) CanFollow(oldest Set) bool { return !s.Empty() && s.Reached(oldest) }

// sequences returns the highest sequence number of each domain.
func (s Set) sequences() map[uint32]uint64 {
	highest := map[uint32]uint64{}
	for origin, sequence := range s.last {
		highest[origin.Domain] = max(highest[origin.Domain], sequence)
	}
	return highest
}
