package replication

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// The findings.
const (
	NoWritablePrimary    Code = "NoWritablePrimary"
	TwoWritable          Code = "TwoWritable"
	EpochConflict        Code = "EpochConflict"
	PrimaryDiffers       Code = "PrimaryDiffers"
	RecordBehind         Code = "RecordBehind"
	ReplicaWritable      Code = "ReplicaWritable"
	SeedUnfinished       Code = "SeedUnfinished"
	WrongSource          Code = "WrongSource"
	ReplicationStopped   Code = "ReplicationStopped"
	IOError              Code = "IOError"
	SQLError             Code = "SQLError"
	PrimaryLost          Code = "PrimaryLost"
	Unclaimed            Code = "Unclaimed"
	PositionUnknown      Code = "PositionUnknown"
	Errant               Code = "Errant"
	ForeignData          Code = "ForeignData"
	CannotCatchUp        Code = "CannotCatchUp"
	LagHigh              Code = "LagHigh"
	NotAutoPosition      Code = "NotAutoPosition"
	PasswordOld          Code = "PasswordOld"
	StrictOff            Code = "StrictOff"
	BinlogOff            Code = "BinlogOff"
	LogUpdatesOff        Code = "LogUpdatesOff"
	NotRowFormat         Code = "NotRowFormat"
	NotDurable           Code = "NotDurable"
	SerialApply          Code = "SerialApply"
	PurgeRule            Code = "PurgeRule"
	BinlogRetentionShort Code = "BinlogRetentionShort"
	NoTLS                Code = "NoTLS"
	PrivilegedAppAccount Code = "PrivilegedAppAccount"
	CatalogDiffers       Code = "CatalogDiffers"
	DuplicateIdentity    Code = "DuplicateIdentity"
	VersionDirection     Code = "VersionDirection"
	ClockSkewed          Code = "ClockSkewed"
	Delayed              Code = "Delayed"
	Left                 Code = "Left"
	UnobservableNode     Code = "Unobservable"
)

// Texts that several rows use.
const (
	nextApply  = "terraform apply"
	nextReseed = `reseed = { node = "<member>", token = "<new text>" } discards that member's data and copies the primary's, with the next apply`
	nextServer = "the member's foobar_db_server shows it as drift, too: apply that"
)

// reseedOf says how to discard a member's data.
func reseedOf(id NodeID) string { return strings.Replace(nextReseed, "<member>", string(id), 1) }

// table is the table of findings. Rows of one severity are reported in this order.
func table() []rule {
	const info, warning, fault = api.SeverityInfo, api.SeverityWarning, api.SeverityError
	return []rule{
		{TwoWritable, fault, true, twoWritable, "an apply fences all but the primary of the highest epoch"},
		{EpochConflict, fault, false, epochConflict, "stop the apps' writes, compare the data of both by hand, destroy the replication, which deletes no data, and apply it again with the right member as primary"},
		{PrimaryLost, fault, false, primaryLost, ""},
		{NoWritablePrimary, fault, true, noWritablePrimary, "an apply opens it if a majority of the voters answers; foobar-agent status on it says why it is fenced"},
		{DuplicateIdentity, fault, false, duplicateIdentity, "give each member's foobar_db_server a server_id of its own"},
		{Errant, fault, false, related(diverged, "holds writes that the primary has not: "), nextReseed},
		{ForeignData, fault, false, related(unrelated, "holds data of another origin than the primary's"), nextReseed},
		{CannotCatchUp, fault, false, cannotCatchUp, nextReseed},
		{SeedUnfinished, fault, true, seedUnfinished, "terraform apply seeds it again; until then the database stays read-only"},
		{VersionDirection, fault, false, versionDirection, "rebuild the replica's machine from the primary's image"},

		{PrimaryDiffers, warning, false, primaryDiffers, "another configuration has made it so, and nothing is changed by itself: to take it over, remove the replication from the state, write that member as primary, and import it"},
		{RecordBehind, warning, true, recordBehind, nextApply + " records it again"},
		{ReplicaWritable, warning, true, each(sight.replicas, replicaWritable), "an apply sets it read-only; afterwards the plan tells if it holds writes of its own"},
		{WrongSource, warning, true, wrongSource, "an apply points it at the primary"},
		{ReplicationStopped, warning, true, eachSource(stopped), "an apply starts it"},
		{IOError, warning, true, ioError, "an apply sets address, account and certificates again"},
		{SQLError, warning, true, sqlError, nextReseed},
		{PositionUnknown, warning, false, positionUnknown, "without it nothing is known of what the data hold: ask the server for gtid_binlog_state and gtid_slave_pos, and seed it again if they are empty"},
		{Unclaimed, warning, true, unclaimed, nextApply + " claims it"},
		{CatalogDiffers, warning, true, catalogDiffers, nextApply},
		{NotAutoPosition, warning, true, eachSource(notAutoPosition), "an apply makes it follow by transaction ids"},
		{PasswordOld, warning, true, each(sight.replicas, passwordOld), nextApply + " gives it the present one"},
		{NoTLS, warning, true, eachSource(noTLS), "an apply sets TLS and the check of the certificate again"},
		{StrictOff, warning, true, setting("gtid_strict_mode", "ON"), nextApply + " sets it"},
		{NotRowFormat, warning, true, setting("binlog_format", "ROW"), nextApply + " sets it"},
		{NotDurable, warning, true, durable, nextApply + " sets it"},
		{PurgeRule, warning, true, purgeRule, nextApply + " sets it"},
		{BinlogOff, warning, false, setting("log_bin", "ON"), nextServer},
		{LogUpdatesOff, warning, false, setting("log_slave_updates", "ON"), nextServer},
		{BinlogRetentionShort, warning, false, retentionShort, "raise binlog_expire_logs_seconds in the settings of the member's foobar_db_server, or lower min_binlog_retention"},
		{PrivilegedAppAccount, warning, false, each(everybody, privileged), "REVOKE these privileges, or drop the account: it can write to a replica in spite of read-only"},
		{ClockSkewed, warning, false, each(sight.replicas, skewed), "set the clocks of both machines right (timedatectl tells of them): the lag is measured with them"},
		{LagHigh, warning, false, lagHigh, "reads go elsewhere until it has caught up; a long transaction or a slow disk is the usual cause"},
		{UnobservableNode, warning, false, unobservable, "run foobar-agent status on the machine to see why; until it answers, its data and role are not known, and nothing is assumed about them"},

		{SerialApply, info, true, each(sight.replicas, strays("slave_parallel_threads", "2")), nextApply + " sets it; a backlog takes long to apply otherwise"},
		{Delayed, info, true, eachSource(delayed), nextApply + " sets the delay"},
		{Left, info, true, left, nextApply + " detaches it; its data stay"},
	}
}

func twoWritable(v sight) []hit {
	open := v.writable()
	if len(open) < 2 {
		return nil
	}
	h := hit{detail: fmt.Sprintf("%s accept writes at the same time", join(open))}
	if !v.agreed || !slices.Contains(open, v.holder) {
		h.stuck, h.next = true, "the epochs do not tell which of them is right: set read_only=1 on the one with the older data, and plan again"
	}
	return []hit{h}
}

func epochConflict(v sight) []hit {
	if v.agreed {
		return nil
	}
	var claims []string
	records := v.records()
	for _, id := range slices.Sorted(maps.Keys(records)) {
		if record := records[id]; record.Epoch == v.Epoch() && record.Primary != "" {
			claims = append(claims, fmt.Sprintf("%s recorded %s", id, record.Primary))
		}
	}
	return []hit{{detail: fmt.Sprintf("epoch %d has two primaries: %s", v.Epoch(), strings.Join(claims, ", "))}}
}

func noWritablePrimary(v sight) []hit {
	open := v.writable()
	primary, ok := v.primary()
	switch {
	case slices.Contains(open, v.holder):
		return nil
	case len(open) > 0:
		h := hit{node: v.holder, detail: "the primary is read-only, and writes go to " + join(open), stuck: !ok || len(open) > 1}
		if h.stuck {
			h.next = "no apply opens it as long as that is so"
		}
		return []hit{h}
	case !ok && unconfigured(v, v.holder): // it may take writes as before
		return []hit{{node: v.holder, detail: "the primary does not have the replication's configuration, and stays read-only after a restart", next: "terraform apply sends it"}}
	case !ok:
		return []hit{{node: v.holder, detail: "nobody accepts writes, and the primary cannot be looked at", stuck: true, next: "bring the machine and its database back; foobar-agent status on it says what is wrong"}}
	}
	h := hit{node: primary.id, detail: "nobody accepts writes: the primary is read-only"}
	if lost, _ := lostTo(v); lost != "" {
		h.stuck, h.next = true, "its data are gone, so no apply opens it: PrimaryLost tells how to go on"
	}
	return []hit{h}
}

// lostTo returns the member that may have the data which the primary has not
// any more, "" if there is none, and the text of what to do then.
func lostTo(v sight) (holder NodeID, next string) {
	primary, ok := v.primary()
	if !ok || primary.Origin != "" || v.Epoch() == 0 {
		return "", ""
	}
	for _, id := range v.Desired.MemberIDs() {
		node := v.Nodes[id]
		if id != primary.id && (node.Origin != "" || node.Unobservable != nil || node.Seeding != nil) {
			return id, fmt.Sprintf("keep the data of %[1]s: dump them there with mariadb-dump, apply with %[1]s taken out of members, load the dump on %[2]s, and add %[1]s again with reseed = { node = %[1]q, token = \"<new text>\" }", id, primary.id)
		}
	}
	return "", ""
}

func primaryLost(v sight) []hit {
	other, next := lostTo(v)
	if other == "" {
		return nil
	}
	return []hit{{node: v.holder, next: next, detail: fmt.Sprintf("the primary %s has lost its data (was the machine rebuilt?), and %s may still have them", v.holder, other)}}
}

// unclaimed is a primary whose forming has stopped halfway.
func unclaimed(v sight) []hit {
	primary, ok := v.primary()
	if lost, _ := lostTo(v); !ok || lost != "" || primary.Origin != "" || v.Epoch() == 0 {
		return nil
	}
	return []hit{{node: primary.id, detail: "is primary, and its data are not marked as this replication's"}}
}

func positionUnknown(v sight) []hit {
	return each(everybody, func(m member) string {
		if m.Origin == "" {
			return "" // nothing is asked of data that take no part
		}
		if _, err := v.algebra.Missing(m.History, ""); err != nil || m.History == "" {
			return fmt.Sprintf("takes part, and shows no position that can be read: %q", m.History)
		}
		return ""
	})(v)
}

func duplicateIdentity(v sight) []hit {
	first := map[uint32]NodeID{}
	var hits []hit
	for _, m := range v.seen {
		if other, ok := first[m.ServerID]; ok {
			hits = append(hits, hit{node: m.id, detail: fmt.Sprintf("%s and %s both have server_id %d", other, m.id, m.ServerID)})
			continue
		}
		first[m.ServerID] = m.id
	}
	return hits
}

// related matches replicas whose data are in a relation to the primary's. A
// member that has not joined yet is none of it: the plan checks it.
func related(which relation, text string) func(sight) []hit {
	return func(v sight) []hit {
		primary, ok := v.primary()
		if !ok || primary.Origin == "" {
			return nil
		}
		var hits []hit
		for _, m := range v.replicas() {
			if found, missing := v.relate(m, primary); found == which {
				hits = append(hits, hit{node: m.id, detail: text + missing, next: reseedOf(m.id)})
			}
		}
		return hits
	}
}

func cannotCatchUp(v sight) []hit {
	hits := related(tooOld, "needs binary logs that the primary has purged")(v)
	for _, m := range v.replicas() {
		lost := slices.ContainsFunc(m.Sources, func(s SourceView) bool { return s.Receiver.Errno == errLogGone })
		if lost && !slices.ContainsFunc(hits, func(h hit) bool { return h.node == m.id }) {
			hits = append(hits, hit{node: m.id, detail: "the primary refuses to send what it needs (1236): " + m.Sources[0].Receiver.Error, next: reseedOf(m.id)})
		}
	}
	return hits
}

func seedUnfinished(v sight) []hit {
	var hits []hit
	for _, id := range v.Desired.MemberIDs() {
		if mark := v.Nodes[id].Seeding; mark != nil {
			h := hit{node: id, detail: fmt.Sprintf("a seed from %s, begun %s, has not ended", mark.Donor, mark.Started.UTC().Format(time.RFC3339))}
			if !v.seeding(id) {
				h.next = "it was begun in a membership that has ended since: an apply takes it back, and the data stay"
			}
			hits = append(hits, h)
		}
	}
	return hits
}

func versionDirection(v sight) []hit {
	primary, ok := v.primary()
	if !ok {
		return nil
	}
	return each(sight.replicas, func(m member) string {
		if newer, known := olderThan(m.Version, primary.Version); known && newer {
			return fmt.Sprintf("has %s, older than the primary's %s, which may write what it cannot read", m.Version, primary.Version)
		}
		return ""
	})(v)
}

// olderThan compares the release series of two versions, such as "11.8.6-MariaDB".
func olderThan(version, other string) (older, known bool) {
	a, okA := series(version)
	b, okB := series(other)
	return slices.Compare(a, b) < 0, okA && okB
}

func series(version string) ([]int, bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return nil, false
	}
	var numbers []int
	for _, part := range parts[:2] {
		number, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		numbers = append(numbers, number)
	}
	return numbers, true
}

func primaryDiffers(v sight) []hit {
	if v.holder == v.Desired.Primary {
		return nil
	}
	return []hit{{node: v.holder, detail: fmt.Sprintf("%s is primary of epoch %d, %s is declared", v.holder, v.Epoch(), v.Desired.Primary)}}
}

func recordBehind(v sight) []hit {
	if v.Epoch() == 0 || !v.agreed {
		return nil // there is none yet, which is no drift, or two, which is reported
	}
	want := Record{Epoch: v.Epoch(), Primary: v.holder, Spec: v.Desired.Hash(), Members: v.Desired.MemberIDs()}
	records := v.records()
	var hits []hit
	for _, id := range v.Desired.Voters() {
		switch record, ok := records[id]; {
		case !ok || record.Equal(want):
		case record.Epoch < want.Epoch:
			hits = append(hits, hit{node: id, detail: fmt.Sprintf("has recorded epoch %d, the others %d: it does not vote until an apply sends it the record", record.Epoch, want.Epoch)})
		case record.Primary == "":
			hits = append(hits, hit{node: id, detail: "has recorded the end of the replication"})
		default:
			hits = append(hits, hit{node: id, detail: "has recorded another configuration of the replication"})
		}
	}
	return hits
}

func replicaWritable(m member) string {
	if m.Writable {
		return "is a replica and accepts writes"
	}
	return ""
}

func wrongSource(v sight) []hit {
	if v.Epoch() == 0 {
		return nil // who has not joined yet follows nobody
	}
	want := v.Desired.Members[v.holder]
	hits := each(sight.replicas, func(m member) string { return misdirected(m, want) })(v)
	if primary, ok := v.primary(); ok && len(primary.Sources) > 0 {
		source := primary.Sources[0]
		hits = append(hits, hit{node: primary.id, detail: "is the primary and follows " + where(source.Host, source.Port), next: "an apply makes it follow nobody"})
	}
	return hits
}

func misdirected(m member, want Member) string {
	switch {
	case len(m.Sources) == 0:
		return "follows nobody"
	case len(m.Sources) > 1:
		return fmt.Sprintf("follows %d sources", len(m.Sources))
	case m.Sources[0].Channel != "":
		return fmt.Sprintf("follows over the named connection %q", m.Sources[0].Channel)
	case m.Sources[0].Host != want.Host || m.Sources[0].Port != want.Port:
		return fmt.Sprintf("follows %s instead of %s", where(m.Sources[0].Host, m.Sources[0].Port), where(want.Host, want.Port))
	}
	return ""
}

func stopped(_ member, s SourceView) string {
	var idle []string
	for _, half := range []struct {
		name string
		Thread
	}{{"the receiver (IO thread)", s.Receiver}, {"the applier (SQL thread)", s.Applier}} {
		if half.State == ThreadStopped && half.Errno == 0 {
			idle = append(idle, half.name)
		}
	}
	if len(idle) == 0 {
		return ""
	}
	return strings.Join(idle, " and ") + " stopped without an error: somebody stopped it"
}

func notAutoPosition(_ member, s SourceView) string {
	if s.AutoPosition {
		return ""
	}
	return "follows by file and offset, not by transaction ids"
}

func passwordOld(m member) string {
	if !m.PasswordOld || len(m.Sources) == 0 {
		return ""
	}
	return "follows with a password that is not the replication's any more, and will be refused when it connects again"
}

func noTLS(_ member, s SourceView) string {
	if s.TLS {
		return ""
	}
	return "receives without TLS, or without checking the primary's certificate"
}

func delayed(m member, s SourceView) string {
	if s.Delay == m.Delay {
		return ""
	}
	return fmt.Sprintf("holds changes back for %s, %s is declared", s.Delay, m.Delay)
}

func privileged(m member) string {
	if len(m.Privileged) == 0 {
		return ""
	}
	return "accounts that read-only does not stop: " + strings.Join(m.Privileged, ", ")
}

func catalogDiffers(v sight) []hit {
	primary, ok := v.primary()
	if !ok || len(primary.CatalogDiffers) == 0 {
		return nil
	}
	return []hit{{node: primary.id, detail: strings.Join(primary.CatalogDiffers, "; ")}}
}

func lagHigh(v sight) []hit {
	return each(sight.replicas, func(m member) string {
		if m.Lag == nil || m.Lag.AboveSince.IsZero() || v.Taken.Sub(m.Lag.AboveSince) < time.Duration(v.Desired.LagHold) {
			return ""
		}
		limit := v.Desired.MaxLag.String()
		if m.Delay > 0 {
			limit += " beyond its delay of " + m.Delay.String()
		}
		return fmt.Sprintf("lags %s, more than %s, since %s", m.Lag.Applied, limit, m.Lag.AboveSince.UTC().Format(time.RFC3339))
	})(v)
}

func skewed(m member) string {
	if m.Lag == nil || !m.Lag.Skewed {
		return ""
	}
	return "has a clock that is behind the primary's, so its lag is not known"
}

func left(v sight) []hit {
	var hits []hit
	for _, id := range slices.Sorted(maps.Keys(v.Nodes)) {
		if _, member := v.Desired.Members[id]; !member && !gone(v, id) {
			hits = append(hits, hit{node: id, detail: "is a member no more and still counts itself in"})
		}
	}
	return hits
}

// unobservable finds who does not answer. That a machine is not configured is drift of
// the coordinator's.
func unobservable(v sight) []hit {
	var hits []hit
	for _, id := range unobserved(v) {
		switch u := v.unobservable(id); {
		case u == nil:
			hits = append(hits, hit{node: id, detail: "was not looked at"})
		case !u.Unconfigured:
			hits = append(hits, hit{node: id, detail: fmt.Sprintf("could not be looked at since %s: %s", u.Since.UTC().Format(time.RFC3339), u.Reason)})
		}
	}
	return hits
}

// unconfigured reports whether a machine answers and lacks the replication's configuration.
func unconfigured(v sight, id NodeID) bool {
	u := v.unobservable(id)
	return u != nil && u.Unconfigured
}

// unobserved returns the machines that nothing but the record is known of.
func unobserved(v sight) []NodeID {
	var ids []NodeID
	for id, node := range v.Nodes {
		if node.Unobservable != nil {
			ids = append(ids, id)
		}
	}
	for id, witness := range v.Witnesses {
		if witness.Unobservable != nil {
			ids = append(ids, id)
		}
	}
	for _, id := range v.Desired.Voters() {
		_, node := v.Nodes[id]
		_, witness := v.Witnesses[id]
		if !node && !witness {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func join(ids []NodeID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = string(id)
	}
	return strings.Join(words, " and ")
}
