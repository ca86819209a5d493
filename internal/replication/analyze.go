package replication

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Code names a finding. The codes are stable: they are the types of conditions
// and the keys of drift.
type Code string

// Finding is one thing that is not as it should be.
type Finding struct {
	Code     Code         `json:"code"`
	Severity api.Severity `json:"severity"`
	// Node is the member or witness that it is about, "" for the whole.
	Node NodeID `json:"node,omitempty"`
	// Repaired tells that an apply sets it right: it is drift. What is not is
	// a condition.
	Repaired bool `json:"repaired,omitempty"`
	// Detail says what was found, Next which command or attribute resolves it.
	Detail string `json:"detail"`
	Next   string `json:"next"`
}

// Analyze tells what is wrong with a snapshot: all that matches of the table of
// findings, the worst first. It is pure, and finds nothing in what is well.
func Analyze(s Snapshot) []Finding {
	sight := newSight(s)
	stuck := map[NodeID]bool{} // whose data stand in the way of following
	if primary, ok := sight.primary(); ok {
		for _, m := range sight.replicas() {
			obstacle := sight.obstacle(m, primary)
			found, _ := sight.relate(m, primary)
			stuck[m.id] = obstacle != "" && found != fresh
		}
	}
	var findings []Finding
	for _, row := range table() {
		for _, hit := range row.Match(sight) {
			unrepaired := hit.stuck || stuck[hit.node] && slices.Contains(followCodes(), row.Code)
			findings = append(findings, Finding{
				Code: row.Code, Severity: row.Severity, Node: hit.node, Repaired: row.Repaired && !unrepaired,
				Detail: hit.detail, Next: cmp.Or(hit.next, row.Next),
			})
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(rank(b.Severity), rank(a.Severity)) })
	return findings
}

func rank(severity api.Severity) int {
	return slices.Index([]api.Severity{api.SeverityInfo, api.SeverityWarning, api.SeverityError}, severity)
}

// rule is a row of the table of findings.
type rule struct {
	Code     Code
	Severity api.Severity
	// Repaired tells that an apply sets it right.
	Repaired bool
	// Match returns where the finding holds, and what was found there.
	Match func(sight) []hit
	// Next is the next command or attribute, unless a hit has its own.
	Next string
}

// hit is one place where a rule matches.
type hit struct {
	node   NodeID
	detail string
	next   string
	// stuck tells that no apply repairs this one although the rule says so.
	stuck bool
}

// sight is a snapshot with what follows from it, so that rules and plan check
// from the same facts.
type sight struct {
	Snapshot
	algebra algebra
	// holder is the primary of the highest epoch, else the declared one.
	holder NodeID
	agreed bool
	// seen are the members that are desired and observable, in the order of their names.
	seen []member
}

type member struct {
	id NodeID
	NodeView
	Member
}

func newSight(s Snapshot) sight {
	holder, agreed := s.Holder()
	known, err := algebraOf(s.Desired.Engine)
	if err != nil {
		known = sequences{} // Plan refuses an unknown engine; a look at it must not fail
	}
	v := sight{Snapshot: s, algebra: known, holder: cmp.Or(holder, s.Desired.Primary), agreed: agreed}
	for _, id := range s.Desired.MemberIDs() {
		if view, ok := s.Nodes[id]; ok && view.Unobservable == nil && !s.seeding(id) {
			v.seen = append(v.seen, member{id: id, NodeView: view, Member: s.Desired.Members[id]})
		}
	}
	return v
}

// primary returns the holder if it is observable.
func (v sight) primary() (member, bool) {
	for _, m := range v.seen {
		if m.id == v.holder {
			return m, true
		}
	}
	return member{}, false
}

// replicas returns the observable members besides the holder.
func (v sight) replicas() []member {
	return slices.DeleteFunc(slices.Clone(v.seen), func(m member) bool { return m.id == v.holder })
}

// writable returns the members that accept writes, also those who only count
// themselves in.
func (v sight) writable() []NodeID {
	var open []NodeID
	for id, view := range v.Nodes {
		_, member := v.Desired.Members[id]
		if view.Unobservable == nil && view.Writable && (member || !gone(v, id)) {
			open = append(open, id)
		}
	}
	slices.Sort(open)
	return open
}

// relation is what a member's data are to the primary's.
type relation int

const (
	unknown   relation = iota // cannot be determined: a position that cannot be read, or a primary that is not seen
	fresh                     // no data of a user
	subset                    // proven to be a part of the primary's, which can deliver the rest
	tooOld                    // a part of the primary's, which has purged what follows
	diverged                  // holds writes that the primary has not
	unrelated                 // another data set
)

// relate compares a member's data with the primary's. The second result is
// what the member has and the primary has not.
func (v sight) relate(m, primary member) (relation, string) {
	if m.Origin != primary.Origin || m.Origin == "" {
		if m.Empty && m.Origin == "" {
			return fresh, ""
		}
		return unrelated, ""
	}
	missing, err := v.algebra.Missing(m.History, primary.History)
	switch {
	case err != nil || m.History == "":
		return unknown, ""
	case missing != "" && m.Taken.After(primary.Taken):
		return unknown, "" // the primary may have written it since it was looked at
	case missing != "":
		return diverged, missing
	}
	can, err := v.algebra.CanFollow(m.Applied, primary.Oldest)
	switch {
	case err != nil:
		return unknown, ""
	case !can:
		return tooOld, ""
	}
	return subset, ""
}

// obstacle says why following the primary cannot make a member's data the
// primary's, "" if it can.
func (v sight) obstacle(m, primary member) string {
	found, missing := v.relate(m, primary)
	switch found {
	case fresh:
		return "has no data yet"
	case diverged:
		return "holds writes that the primary has not: " + missing
	case unrelated:
		return "holds data that are not proven to be a part of the primary's"
	case tooOld:
		return "needs binary logs that the primary has purged"
	case unknown:
		return "has a position that cannot be compared with the primary's"
	case subset:
	}
	for _, source := range m.Sources {
		switch {
		case source.Receiver.Errno == errLogGone:
			return "needs binary logs that the primary has not"
		case source.Applier.State != ThreadRunning && source.Applier.Errno != 0 && !applierErrors(source.Applier.Errno).cured:
			return "cannot apply what the primary sends: " + source.Applier.Error
		}
	}
	return ""
}

// each makes a match function of a check of single members: "" is well.
func each(members func(sight) []member, decide func(member) string) func(sight) []hit {
	return func(v sight) []hit {
		var hits []hit
		for _, m := range members(v) {
			if detail := decide(m); detail != "" {
				hits = append(hits, hit{node: m.id, detail: detail})
			}
		}
		return hits
	}
}

// eachSource checks every configured source of every replica.
func eachSource(decide func(member, SourceView) string) func(sight) []hit {
	return each(sight.replicas, func(m member) string {
		for _, source := range m.Sources {
			if detail := decide(m, source); detail != "" {
				return detail
			}
		}
		return ""
	})
}

// where formats a source's address.
func where(host string, port int) string { return fmt.Sprintf("%s:%d", host, port) }

func everybody(v sight) []member { return v.seen }
