package replication

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Step is one thing that one member's agent does. A step is plain data, so that
// a plan can be shown, compared and journalled; it holds no secret.
type Step struct {
	ID   string `json:"id"`
	Node NodeID `json:"node"`
	Do   Action `json:"do"`
	// Verify must come to hold on the same node before the next step begins.
	Verify Predicate `json:"verify"`
	// Undo takes the step back if a later one fails; nil where nothing is to be
	// taken back.
	Undo *Action `json:"undo,omitempty"`
	// Deadline bounds doing and verifying.
	Deadline time.Duration `json:"deadline"`
	// PointOfNoReturn: from the moment this step begins nothing is undone any
	// more, the way on is forward.
	PointOfNoReturn bool `json:"point_of_no_return,omitempty"`
}

// Verb says what an action does.
type Verb string

// The verbs. Each can be done twice.
const (
	// DoRecord records [Action.Record] durably, if [Record.Accept] agrees.
	DoRecord Verb = "record"
	// DoFence makes the database read-only, DoOpen writable: the latter only if
	// the member's own record names it primary of the order's epoch.
	DoFence Verb = "fence"
	DoOpen  Verb = "open"
	// DoClaim writes the origin of the data set and the replication's accounts.
	DoClaim Verb = "claim"
	// DoProvision makes databases, users and grants.
	DoProvision Verb = "provision"
	// DoSeed replaces the data by a copy of Source's.
	DoSeed Verb = "seed"
	// DoFollow makes it a replica of Source, DoDetach of nobody, which takes a
	// seed back that has not ended.
	DoFollow Verb = "follow"
	DoDetach Verb = "detach"
	// DoSet sets Settings of the running server.
	DoSet Verb = "set"
	// DoRetire removes the replication's own accounts, and has binary logs expire
	// although nobody follows.
	DoRetire Verb = "retire"
)

// Action is what a step does; which fields count depends on the verb.
type Action struct {
	Verb   Verb    `json:"verb"`
	Record *Record `json:"record,omitempty"`
	// Origin is that of the data set: the one to write, or the one to expect.
	Origin string `json:"origin,omitempty"`
	// Source is the member to copy or follow, At where it is found.
	Source NodeID  `json:"source,omitempty"`
	At     *Member `json:"at,omitempty"`
	// Consent is the token under which data that may not be elsewhere go;
	// empty where nothing goes that is not proven to be elsewhere.
	Consent  string            `json:"consent,omitempty"`
	Settings map[string]string `json:"settings,omitempty"`
	Drop     Drop              `json:"drop,omitzero"`
}

// String says in a few words what an action does.
func (a Action) String() string {
	switch a.Verb {
	case DoRecord:
		if a.Record.Primary == "" {
			return fmt.Sprintf("record the end of epoch %d", a.Record.Epoch)
		}
		return fmt.Sprintf("record epoch %d with primary %s", a.Record.Epoch, a.Record.Primary)
	case DoFence:
		return "make it read-only"
	case DoOpen:
		return "open it for writes"
	case DoClaim:
		return "claim its data and create the replication's accounts"
	case DoProvision:
		return "create and change databases, users and grants" + a.Drop.words()
	case DoSeed:
		return "replace its data by a copy of " + string(a.Source)
	case DoFollow:
		return "follow " + string(a.Source)
	case DoDetach:
		return "follow nobody"
	case DoSet:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(a.Settings)) {
			parts = append(parts, name+"="+a.Settings[name])
		}
		return "set " + strings.Join(parts, ", ")
	case DoRetire:
		return "remove the replication's accounts"
	}
	return string(a.Verb)
}

// Predicate is what must hold of a node after a step. It is the action's
// counterpart and plain data like it.
type Predicate struct {
	Is PredicateKind `json:"is"`
	// The arguments, which count for the kind that needs them.
	Record   *Record           `json:"record,omitempty"`
	Origin   string            `json:"origin,omitempty"`
	Host     string            `json:"host,omitempty"`
	Port     int               `json:"port,omitempty"`
	Settings map[string]string `json:"settings,omitempty"`
}

// PredicateKind says what a predicate asks.
type PredicateKind string

// The kinds of predicates.
const (
	IsRecorded    PredicateKind = "recorded"
	IsFenced      PredicateKind = "fenced"
	IsOpen        PredicateKind = "open"
	IsClaimed     PredicateKind = "claimed"
	IsProvisioned PredicateKind = "provisioned"
	IsSeeded      PredicateKind = "seeded"
	IsFollowing   PredicateKind = "following"
	IsDetached    PredicateKind = "detached"
	IsSet         PredicateKind = "set"
	IsAny         PredicateKind = "any"
)

// Unmet says what of the predicate does not hold of a view, "" if it holds.
// What was not seen does not hold.
func (p Predicate) Unmet(v NodeView) string {
	if p.Is == IsRecorded {
		if p.Record != nil && v.Record.Equal(*p.Record) {
			return ""
		}
		return fmt.Sprintf("it has recorded epoch %d with primary %q", v.Record.Epoch, v.Record.Primary)
	}
	if v.Unobservable != nil {
		return "it cannot be looked at: " + v.Unobservable.Reason
	}
	if v.Seeding != nil {
		return "its seed has not ended"
	}
	switch p.Is {
	case IsFenced, IsOpen:
		if v.Writable != (p.Is == IsOpen) {
			return fmt.Sprintf("writable is %v", v.Writable)
		}
	case IsClaimed:
		if v.Origin != p.Origin {
			return fmt.Sprintf("its data are of origin %q", v.Origin)
		}
	case IsProvisioned:
		return strings.Join(v.CatalogDiffers, "; ")
	case IsSeeded:
		if v.Origin != p.Origin || v.Writable {
			return fmt.Sprintf("its data are of origin %q, writable is %v", v.Origin, v.Writable)
		}
	case IsFollowing:
		return p.unmetFollowing(v)
	case IsDetached:
		if len(v.Sources) > 0 {
			return "it still follows " + where(v.Sources[0].Host, v.Sources[0].Port)
		}
	case IsSet:
		for name, want := range p.Settings {
			if have := v.Settings[name]; !strings.EqualFold(have, want) {
				return fmt.Sprintf("%s is %s", name, have)
			}
		}
	case IsRecorded, IsAny:
	}
	return ""
}

func (p Predicate) unmetFollowing(v NodeView) string {
	if v.Writable {
		return "it is writable"
	}
	if len(v.Sources) != 1 {
		return fmt.Sprintf("it follows %d sources", len(v.Sources))
	}
	switch s := v.Sources[0]; {
	case s.Host != p.Host || s.Port != p.Port:
		return "it follows " + where(s.Host, s.Port)
	case s.Receiver.State != ThreadRunning:
		return fmt.Sprintf("its receiver is %s: %d %s", s.Receiver.State, s.Receiver.Errno, s.Receiver.Error)
	case s.Applier.State != ThreadRunning:
		return fmt.Sprintf("its applier is %s: %d %s", s.Applier.State, s.Applier.Errno, s.Applier.Error)
	case v.PasswordOld:
		return "it follows with an old password"
	case !s.TLS || !s.AutoPosition:
		return fmt.Sprintf("TLS is %v, following by transaction ids %v", s.TLS, s.AutoPosition)
	}
	return ""
}
