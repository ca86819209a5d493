package replication

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Goal is what a plan is to reach, beyond the desired topology.
type Goal struct {
	// Detach ends the replication: members follow nobody, data stay, an open
	// primary stays open until it boots.
	Detach bool `json:"detach,omitempty"`
	// Forget are machines that need not answer to a Detach.
	Forget []NodeID `json:"forget,omitempty"`
	// Reseed are one-shot consents, by member: its data may go. It is a
	// permission, no order: a member that is well is left alone. Whoever asks
	// for the plan sees to it that a token is given once.
	Reseed map[NodeID]string `json:"reseed,omitempty"`
	// Drop is the consent to drop databases and users.
	Drop Drop `json:"drop,omitzero"`
}

// Steps are a plan: what to do, in this order. None means that all is well, or
// that what is wrong is not an apply's to repair.
type Steps []Step

// Deadlines of steps: bounds on what is stuck, not estimates. A seed copies
// any amount of data; its stream has a deadline of its own for standing still.
const (
	shortDeadline = 15 * time.Second
	longDeadline  = time.Minute
	seedDeadline  = 24 * time.Hour
)

// Plan tells how to get from what was seen to what is desired, or why not: the
// error is a [Refusal]. It is pure; "terraform plan" and the agent call the
// same. After its steps the next plan is empty.
func Plan(s Snapshot, goal Goal) (Steps, error) {
	p := &planner{sight: newSight(s), goal: goal}
	work := p.converge
	if goal.Detach {
		work = p.detach
	}
	if err := work(); err != nil {
		return nil, err
	}
	for i := range p.steps {
		p.steps[i].ID = fmt.Sprintf("%02d-%s-%s", i+1, p.steps[i].Do.Verb, p.steps[i].Node)
	}
	return p.steps, nil
}

// planner collects the steps of one plan.
type planner struct {
	sight
	goal  Goal
	steps Steps
}

func (p *planner) add(step Step) {
	step.Deadline = cmp.Or(step.Deadline, shortDeadline)
	p.steps = append(p.steps, step)
}

// converge plans towards the desired topology: forming it, members that come
// and go, and drift are all the same.
func (p *planner) converge() error {
	if err := p.sense(); err != nil {
		return err
	}
	primary, err := p.usablePrimary()
	if err != nil {
		return err
	}
	p.fenceStrays()
	p.leave()
	p.abandonSeeds()
	p.recordEverywhere()
	p.openPrimary(primary)
	origin := cmp.Or(primary.Origin, p.newOrigin())
	for _, id := range p.Desired.MemberIDs() {
		if id == primary.id {
			continue
		}
		if err := p.join(id, primary, origin); err != nil {
			return err
		}
	}
	return p.needMajority()
}

// sense refuses what makes no sense, whoever is primary.
func (p *planner) sense() error {
	t := p.Desired
	if _, err := algebraOf(t.Engine); err != nil {
		return refuse(RefusedTopology, nil, "change engine", "%s", err)
	}
	if _, ok := t.Members[t.Primary]; !ok {
		return refuse(RefusedTopology, []NodeID{t.Primary}, fmt.Sprintf("set primary to one of %v, or add it to members", t.MemberIDs()), "the primary %q is not a member", t.Primary)
	}
	if hits := duplicateIdentity(p.sight); len(hits) > 0 {
		return refuse(RefusedIdentity, []NodeID{hits[0].node}, "give each member's foobar_db_server a server_id of its own", "%s", hits[0].detail)
	}
	if hits := epochConflict(p.sight); len(hits) > 0 {
		return refuse(RefusedEpochConflict, nil, "compare the data of both by hand, destroy the replication, which deletes no data, and apply it again with the right member as primary", "%s", hits[0].detail)
	}
	if open := p.writable(); len(open) > 1 && !slices.Contains(open, p.holder) {
		return refuse(RefusedTwoWritable, open, "set read_only=1 on the one with the older data, and plan again", "%s accept writes, and neither is the primary of the highest epoch", join(open))
	}
	return p.allAnswer()
}

// allAnswer refuses while a member that has to be joined does not answer.
// Other members may be away: the plan works around them.
func (p *planner) allAnswer() error {
	for _, id := range p.Desired.MemberIDs() {
		node, ok := p.Nodes[id]
		if ok && node.Unobservable == nil || p.seeding(id) || id == p.holder || p.established(id) {
			continue
		}
		return p.unseen(id, "is to join and ", "bring it back, or leave it out of members for now", "terraform apply sends the configuration")
	}
	return nil
}

// established tells whether the recorded replication counts a member in.
func (p *planner) established(id NodeID) bool {
	epoch := p.Epoch()
	for _, record := range p.records() {
		if epoch > 0 && record.Epoch == epoch && slices.Contains(record.Members, id) {
			return true
		}
	}
	return false
}

// unseen refuses a plan for a machine that was not observed. The way out is
// another one where it does answer, and lacks the configuration.
func (p *planner) unseen(id NodeID, then, ifSilent, ifUnconfigured string) error {
	reason, next := RefusedUnobservable, ifSilent
	what := p.unobservable(id)
	switch {
	case what == nil && p.Nodes[id].Seeding != nil:
		then += "has a seed that has not ended"
	case what == nil:
		then += "was not looked at"
	case what.Unconfigured:
		reason, next = RefusedUnconfigured, ifUnconfigured
		then += fmt.Sprintf("is not ready yet (%s)", what.Reason)
	default:
		then += fmt.Sprintf("does not answer since %s (%s)", what.Since.UTC().Format(time.RFC3339), what.Reason)
	}
	return refuse(reason, []NodeID{id}, next, "%s %s", id, then)
}

// usablePrimary returns the primary that the plan is built on.
func (p *planner) usablePrimary() (member, error) {
	if p.holder != p.Desired.Primary {
		return member{}, refuse(RefusedChangeOfPrimary, []NodeID{p.holder, p.Desired.Primary}, fmt.Sprintf("set primary back to %q", p.holder),
			"%s is primary of epoch %d, and this release cannot change that to %s: a change of primary needs a switchover, which it does not have", p.holder, p.Epoch(), p.Desired.Primary)
	}
	primary, ok := p.primary()
	if !ok {
		return member{}, p.unseen(p.holder, "is the primary and ", "bring it back: foobar-agent status on it says what is wrong", "terraform apply sends the configuration")
	}
	if lost := primaryLost(p.sight); len(lost) > 0 {
		return member{}, refuse(RefusedPrimaryLost, []NodeID{primary.id}, lost[0].next, "%s", lost[0].detail)
	}
	return primary, nil
}

// fenceStrays makes everybody read-only who is writable and not the primary.
func (p *planner) fenceStrays() {
	for _, id := range p.writable() {
		if id != p.holder {
			p.add(Step{Node: id, Do: Action{Verb: DoFence}, Verify: Predicate{Is: IsFenced}})
		}
	}
}

// leave detaches who is a member no more. Their data stay, also those that a
// seed was to replace.
func (p *planner) leave() {
	for _, hit := range left(p.sight) {
		node := p.Nodes[hit.node]
		if node.Unobservable != nil {
			continue
		}
		if len(node.Sources) > 0 || node.Seeding != nil {
			p.free(hit.node)
		}
		if record := p.record(); !node.Record.Equal(record) {
			p.addRecord(hit.node, record)
		}
	}
}

// abandonSeeds takes back the seeds of an earlier membership, before anybody
// records that their members are counted in again.
func (p *planner) abandonSeeds() {
	for _, m := range p.seen {
		if m.Seeding != nil {
			p.free(m.id)
		}
	}
}

// free has a node follow nobody and take back a seed that has not ended.
func (p *planner) free(id NodeID) {
	p.add(Step{Node: id, Do: Action{Verb: DoDetach}, Verify: Predicate{Is: IsDetached}, Deadline: longDeadline})
}

// gone tells whether a former member counts itself in no more, or cannot be
// asked. What it follows or takes writes for since then is not ours to decide.
func gone(v sight, id NodeID) bool {
	node := v.Nodes[id]
	return node.Unobservable != nil || !slices.Contains(node.Record.Members, id)
}

// record returns what every voter has to have recorded. A new epoch begins with
// a new primary, and where the end of the present one is recorded.
func (p *planner) record() Record {
	epoch, records := p.Epoch(), p.records()
	named, _ := p.Holder()
	ended := slices.ContainsFunc(p.Desired.Voters(), func(id NodeID) bool {
		record, ok := records[id]
		return ok && record.Epoch == epoch && record.Primary == ""
	})
	if named == "" || ended {
		epoch++
	}
	return Record{Epoch: epoch, Primary: p.holder, Spec: p.Desired.Hash(), Members: p.Desired.MemberIDs()}
}

// recordEverywhere records the epoch, before anybody opens in it, on every
// voter that answers.
func (p *planner) recordEverywhere() {
	want, records := p.record(), p.records()
	for _, id := range p.answering() {
		if !records[id].Equal(want) {
			p.addRecord(id, want)
		}
	}
}

func (p *planner) addRecord(id NodeID, record Record) {
	p.add(Step{Node: id, Do: Action{Verb: DoRecord, Record: &record}, Verify: Predicate{Is: IsRecorded, Record: &record}})
}

// answering returns the voters of which the agent answers.
func (p *planner) answering() []NodeID {
	records := p.records()
	return slices.DeleteFunc(p.Desired.Voters(), func(id NodeID) bool { _, ok := records[id]; return !ok })
}

// needMajority refuses a plan that records or opens while too few voters answer.
func (p *planner) needMajority() error {
	voters, answering := p.Desired.Voters(), p.answering()
	needed := slices.ContainsFunc(p.steps, func(s Step) bool { return s.Do.Verb == DoRecord || s.Do.Verb == DoOpen })
	if !needed || len(answering) >= Majority(len(voters)) {
		return nil
	}
	silent := slices.DeleteFunc(slices.Clone(voters), func(id NodeID) bool { return slices.Contains(answering, id) })
	return refuse(RefusedNoMajority, silent, "bring machines back until a majority answers", "%d of %d voters answer, %d are needed; silent: %s", len(answering), len(voters), Majority(len(voters)), join(silent))
}

// openPrimary makes the primary what it has to be.
func (p *planner) openPrimary(m member) {
	if len(m.Sources) > 0 && m.Seeding == nil { // see abandonSeeds
		p.free(m.id)
	}
	p.adjust(m)
	if !m.Writable {
		p.add(Step{Node: m.id, Do: Action{Verb: DoOpen}, Verify: Predicate{Is: IsOpen}, PointOfNoReturn: true})
	}
	if m.Origin == "" {
		origin := p.newOrigin()
		p.add(Step{Node: m.id, Do: Action{Verb: DoClaim, Origin: origin}, Verify: Predicate{Is: IsClaimed, Origin: origin}, Deadline: longDeadline})
	}
	if len(m.CatalogDiffers) > 0 || !p.goal.Drop.Empty() {
		p.add(Step{Node: m.id, Do: Action{Verb: DoProvision, Drop: p.goal.Drop}, Verify: Predicate{Is: IsProvisioned}, Deadline: longDeadline, PointOfNoReturn: !p.goal.Drop.Empty()})
	}
}

// newOrigin names a data set that is claimed for the first time: two of them
// are never the same, and a plan of the same snapshot is.
func (p *planner) newOrigin() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%d|%d", p.Desired.Name, p.holder, p.Epoch(), p.Taken.UnixNano()))
	return hex.EncodeToString(sum[:16])
}

// adjust sets what of a member's settings is not as replication needs it.
func (p *planner) adjust(m member) {
	loose := p.looseSettings(m)
	if len(loose) == 0 {
		return
	}
	before := map[string]string{}
	for name := range loose {
		before[name] = m.Settings[name]
	}
	p.add(Step{Node: m.id, Do: Action{Verb: DoSet, Settings: loose}, Undo: &Action{Verb: DoSet, Settings: before}, Verify: Predicate{Is: IsSet, Settings: maps.Clone(loose)}})
}

// join makes one member a replica of the primary, or keeps it one.
func (p *planner) join(id NodeID, primary member, origin string) error {
	if p.seeding(id) {
		p.seed(id, primary, origin, "") // the mark proves that the data were allowed to go
		return nil
	}
	i := slices.IndexFunc(p.seen, func(m member) bool { return m.id == id })
	if i < 0 {
		return nil // away, and counted in: see allAnswer
	}
	m := p.seen[i]
	obstacle := p.obstacle(m, primary)
	found, _ := p.relate(m, primary)
	switch token := p.goal.Reseed[id]; {
	case obstacle == "":
		p.adjust(m)
		if m.Seeding != nil || p.needsFollow(m) || returns(id, primary) {
			p.follow(m.id, primary)
		}
	case found == fresh, token != "":
		return p.copy(m, primary, origin, token)
	case p.established(id):
		p.adjust(m) // a condition tells of the obstacle; no data go in silence
	default:
		next := reseedOf(id)
		if p.Epoch() == 0 { // later that is refused, see usablePrimary
			next += "; or declare it the primary, if its data are the right ones"
		}
		return refuse(RefusedConsent, []NodeID{id}, next, "%s cannot join: it %s", id, obstacle)
	}
	return nil
}

// copy seeds a member, unless its server could not read the copy.
func (p *planner) copy(m, primary member, origin, token string) error {
	mine, okMine := series(m.Version)
	theirs, okTheirs := series(primary.Version)
	if okMine && okTheirs && !slices.Equal(mine, theirs) {
		return refuse(RefusedVersion, []NodeID{m.id, primary.id}, "install the same series on both", "%s has %s and cannot be seeded from %s with %s", m.id, m.Version, primary.id, primary.Version)
	}
	p.seed(m.id, primary, origin, token)
	return nil
}

func (p *planner) seed(id NodeID, primary member, origin, token string) {
	at := primary.Member
	p.add(Step{
		Node: id, Do: Action{Verb: DoSeed, Source: primary.id, At: &at, Origin: origin, Consent: token},
		Verify: Predicate{Is: IsSeeded, Origin: origin}, Deadline: seedDeadline, PointOfNoReturn: true,
	})
	p.follow(id, primary)
}

func (p *planner) follow(id NodeID, primary member) {
	at := primary.Member
	at.Delay = p.Desired.Members[id].Delay
	p.add(Step{
		Node: id, Do: Action{Verb: DoFollow, Source: primary.id, At: &at},
		Verify: Predicate{Is: IsFollowing, Host: at.Host, Port: at.Port}, Deadline: longDeadline,
	})
}

// returns tells whether a member comes back that the primary does not count in: one
// that ran on meanwhile was refused, and tries again by itself only later.
func returns(id NodeID, primary member) bool {
	return primary.Record.Epoch > 0 && !slices.Contains(primary.Record.Members, id)
}

// needsFollow tells whether a finding of the member is one that following anew repairs.
func (p *planner) needsFollow(m member) bool {
	if len(m.Sources) == 0 {
		return true
	}
	return slices.ContainsFunc(Analyze(p.Snapshot), func(f Finding) bool {
		return f.Node == m.id && f.Repaired && slices.Contains(followCodes(), f.Code)
	})
}

// followCodes are the findings that following anew repairs.
func followCodes() []Code {
	return []Code{WrongSource, ReplicationStopped, IOError, SQLError, NotAutoPosition, PasswordOld, NoTLS, SerialApply, Delayed}
}

// detach plans the end of the replication.
func (p *planner) detach() error {
	epoch := p.Epoch()
	if err := p.mayForget(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(p.Nodes)) {
		if node := p.Nodes[id]; node.Unobservable == nil && (len(node.Sources) > 0 || node.Seeding != nil) {
			p.free(id)
		}
	}
	if primary, ok := p.primary(); ok && primary.Writable && primary.Origin != "" && primary.Record.Primary == primary.id {
		p.add(Step{Node: primary.id, Do: Action{Verb: DoRetire}, Verify: Predicate{Is: IsAny}})
	}
	records := p.records()
	for _, id := range slices.Sorted(maps.Keys(records)) {
		if end := (Record{Epoch: epoch}); epoch > 0 && !records[id].Equal(end) {
			p.addRecord(id, end)
		}
	}
	return nil
}

// mayForget refuses while a machine is silent that may not be forgotten.
func (p *planner) mayForget() error {
	for _, id := range unobserved(p.sight) {
		if node := p.Nodes[id]; node.Seeding == nil && !slices.Contains(p.goal.Forget, id) {
			forget := fmt.Sprintf("or list it in the provider's forget_unreachable = [%q]", string(id))
			return p.unseen(id, "is to be detached and ", "bring it back, "+forget, "run terraform apply first, which sends the configuration, "+forget)
		}
	}
	return nil
}
