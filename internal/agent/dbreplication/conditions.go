package dbreplication

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// The conditions of a part.
const (
	// conditionFenced: a database that its own record makes the primary does
	// not take writes.
	conditionFenced = "DatabaseFenced"
	// conditionFence: a primary that another one has taken the place of cannot
	// be made read-only.
	conditionFence = "DatabaseFenceFailing"
	// conditionUnproven: a primary takes writes, and not by our doing.
	conditionUnproven = "DatabaseOpenUnproven"
	// conditionSeeding: its data are being replaced; conditionSeed: that has
	// begun, and does not go on by itself.
	conditionSeeding = "DatabaseSeeding"
	conditionSeed    = "SeedIncomplete"
	// conditionNotFollowing: a replica does not take what its primary writes.
	conditionNotFollowing = "ReplicaNotFollowing"
	// conditionHeartbeat and conditionKeeper: what the keeper does fails.
	conditionHeartbeat = "HeartbeatFailing"
	conditionKeeper    = "ReplicationKeeperFailing"
	// conditionRecord, conditionMembership and conditionConfig: a file of the
	// part cannot be read.
	conditionRecord     = "ReplicationRecordUnreadable"
	conditionMembership = "ReplicationMembershipUnreadable"
	conditionConfig     = "ReplicationUnconfigured"
	// conditionUnmanaged: nobody has applied the replication that the machine
	// takes part in.
	conditionUnmanaged = "ReplicationUnmanaged"
	// conditionPart is not amiss: only the coordinator has the component, and
	// whoever is at another machine wants to know what that is, too.
	conditionPart = "ReplicationPart"
)

// verdicts says how bad a condition is, and what comes after what is the case.
func verdicts(kind string) (severity api.Severity, then string) {
	switch kind {
	case conditionSeeding, conditionPart:
		return api.SeverityInfo, ""
	case conditionFence:
		return api.SeverityError, "If it goes on, stop the database's unit."
	case conditionRecord:
		return api.SeverityError, "It neither votes nor opens its database. If the file is lost for good, move it away and apply again, which sends it the others' record."
	case conditionMembership, conditionConfig:
		return api.SeverityError, "terraform apply sends it again."
	case conditionSeed:
		return api.SeverityWarning, "The database stays read-only until terraform apply receives the copy again."
	}
	return api.SeverityWarning, ""
}

// condition notes why something is not well, and logs it if that is new; nil ends it.
func (p *part) condition(kind string, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, known := p.conditions[kind]
	if why == nil {
		if delete(p.conditions, kind); known {
			p.log.Info("it is well again", "condition", kind)
		}
		return
	}
	severity, then := verdicts(kind)
	message := fmt.Sprintf("Replication %s: %s.", p.name, why)
	if then != "" {
		message += " " + then
	}
	p.conditions[kind] = api.Condition{Type: kind, Severity: severity, Message: message}
	if !known || before.Message != message {
		p.log.Warn("not all is well", "condition", kind, "why", why.Error())
	}
}

// askedAgain bounds how long [Node.Conditions] asks databases again: whoever asks
// how a machine is must not wait long for a database that hangs.
const askedAgain = time.Second

// Conditions returns what is to be reported of this machine's replications. What the
// keeper found wrong with a replica a moment ago is looked at again, so that no
// warning outlives its cause.
func (n *Node) Conditions(ctx context.Context) []api.Condition {
	parts := n.all()
	again, cancel := context.WithTimeout(ctx, askedAgain)
	defer cancel()
	var all []api.Condition
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if parts[name].has(conditionNotFollowing) {
			parts[name].checkFollows(again)
		}
		parts[name].managed(again)
		all = append(all, parts[name].present()...)
	}
	return all
}

func (p *part) has(kind string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.conditions[kind]
	return known
}

// present returns a part's conditions: what is amiss, in the order of their
// types, what is under way, and what the part is.
func (p *part) present() []api.Condition {
	arrived := p.arrived.Load()
	record, unread := p.store.recorded()
	p.condition(conditionRecord, unread)
	p.mu.Lock()
	defer p.mu.Unlock()
	if unread == nil && record.Epoch != p.fencedIn { // the keeper said it of an epoch that is over
		delete(p.conditions, conditionFenced)
	}
	var all []api.Condition
	for _, kind := range slices.Sorted(maps.Keys(p.conditions)) {
		all = append(all, p.conditions[kind])
	}
	inform := func(kind, message string) {
		severity, _ := verdicts(kind)
		all = append(all, api.Condition{Type: kind, Severity: severity, Message: message})
	}
	if donor := p.donor; donor != "" {
		inform(conditionSeeding, fmt.Sprintf("Replication %s: seeding from %s: %s.", p.name, donor, megabytes(arrived)))
	}
	if standing := p.standing(record); unread == nil && standing != "" {
		inform(conditionPart, p.name+": "+standing)
	}
	return all
}

// standing says what the machine is in the replication, by its own record; ""
// if the replication has ended, or was left. The part is locked.
func (p *part) standing(record replication.Record) string {
	self := p.node.Self()
	kind, role, counted := "witness", "witness", record.Primary != ""
	if p.enlistment.Member(p.node.Deps.Self) {
		kind, role, counted = "member", "replica", counts(record, self)
	}
	switch {
	case len(p.enlistment.Peers) == 0: // which has a condition of its own
		return ""
	case record.Epoch == 0:
		return kind + ", nothing recorded yet"
	case !counted:
		return ""
	case record.Primary == self:
		return fmt.Sprintf("primary of epoch %d, %s", record.Epoch, p.openness())
	}
	return fmt.Sprintf("%s, epoch %d, primary %s", role, record.Epoch, record.Primary)
}

// openness says what a primary's database is, as the keeper knows it. The part
// is locked.
func (p *part) openness() string {
	_, fenced := p.conditions[conditionFenced]
	switch {
	case fenced:
		return "fenced"
	case p.life.Opened && p.beats < beatsMissed:
		return "open"
	}
	return "not known to be open"
}

// receives notes whose copy arrives from now on, "" for none.
func (p *part) receives(donor replication.NodeID) {
	p.arrived.Store(0)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.donor = donor
}

func megabytes(bytes int64) string { return fmt.Sprintf("%d MB", bytes/1e6) }

// logEvery is how often the log tells how far a copy is.
const logEvery = 10 * time.Second

// progress returns what gets the bytes of a copy that have arrived.
func (p *part) progress() func(bytes int64) {
	var logged time.Time
	return func(bytes int64) {
		p.arrived.Store(bytes)
		if now := p.clock.Now(); now.Sub(logged) >= logEvery {
			logged = now
			p.log.Info("a copy arrives", "bytes", bytes)
		}
	}
}
