package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// A membership outlives the certificate with which it was given. So the machine keeps
// who that was and when, and warns of one whose replication nobody has applied.
const (
	// unmanagedGrace is how long a membership may have no replication: in a first
	// apply each machine learns of the others before it.
	unmanagedGrace = time.Minute
	// unmanagedLife is for how long the members' answers count.
	unmanagedLife = 30 * time.Second
)

// enlistment is the content of membership.json.
type enlistment struct {
	api.DBMembership

	// By is who gave the membership, and At when.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at,omitzero"`
}

// managers is what was found out about who has applied a replication.
type managers struct {
	asked time.Time
	// known tells that a member has it, or that not all have answered.
	known bool
}

// Coordinates has the node ask applied whether this machine has a replication as
// a component, which the machine of the primary has.
func (n *Node) Coordinates(applied func(name string) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.applied = applied
}

func (n *Node) coordinates(name string) bool {
	n.mu.Lock()
	applied := n.applied
	n.mu.Unlock()
	return applied != nil && applied(name)
}

// Applied reports, to a machine that takes part, whether this one has the
// replication as a component.
func (n *Node) Applied(_ context.Context, name string, by api.DBCaller) (bool, error) {
	if _, err := n.admit(name, by); err != nil {
		return false, err
	}
	return n.coordinates(name), nil
}

// Leave ends the machine's membership: no other machine may look at its part or
// give it orders. An apply that removes the replication, or this member from it,
// leaves nothing else to do. Without one the machine also stops what it does for
// the replication and forgets what that was to be; its database follows nobody.
// What is recorded stays, so that no epoch comes back.
func (n *Node) Leave(ctx context.Context, name string) error {
	p := n.part(name)
	if p == nil {
		return nil
	}
	if n.coordinates(name) {
		return refused("The machine has the replication", "%s has db-replication/%s as a component: remove that first, with terraform destroy of its foobar_db_replication", n.Deps.Self, name)
	}
	if err := p.remove(membershipFile, func() { p.enlistment = enlistment{} }); err != nil {
		return err
	}
	p.log.Info("the machine takes part no more")
	record, err := p.store.recorded()
	if over := err == nil && record.Epoch > 0 && !counts(record, n.Self()); over {
		return nil
	}
	return p.stop(ctx)
}

// stop breaks off what the part does, has its database follow nobody, and forgets
// what the replication was to be.
func (p *part) stop(ctx context.Context) error {
	p.mu.Lock()
	if p.job != nil {
		p.job.cancel(errors.New("the machine leaves the replication"))
	}
	p.lock = lock{}
	p.mu.Unlock()
	release, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	db, config := p.database(), p.config()
	if db == nil && (config == nil || config.Spec.Members[p.node.Deps.Self].Server != "") {
		found, err := p.follower(ctx)
		if err != nil {
			return err
		}
		defer found.close()
		db = found.Database
	}
	if db != nil {
		err := errors.Join(db.Engine.AbandonSeed(ctx), db.Engine.Detach(ctx))
		if err != nil && p.node.removed(ctx, db) {
			err = nil
		}
		if err != nil {
			return p.mayFollow("its database does not stop following: %v. %s", err, startIt("its database server"))
		}
	}
	var unused error
	err = p.remove(configFile, func() {
		p.configured = nil
		unused = p.use("")
	})
	return errors.Join(err, unused)
}

// removed reports whether the machine has no such database server any more, which
// then follows nobody: its component was destroyed.
func (n *Node) removed(ctx context.Context, db *Database) bool {
	status, err := n.Units.Status(ctx, db.Unit)
	return err == nil && status.Missing()
}

// remove removes a file of the part, and has forget drop what was read from it.
func (p *part) remove(file string, forget func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := os.Remove(p.store.path(file))
	if err == nil {
		err = syncDir(p.store.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("leave replication %s: %w", p.name, err)
	}
	forget()
	return nil
}

// managed finds out whether a machine of the replication has it as a component. As
// long as one does not answer, that is not known, and nothing is wrong: but of a
// replication that this machine was never configured of there is no other sign.
func (p *part) managed(ctx context.Context) {
	p.mu.Lock()
	given, config, before := p.enlistment, p.configured != nil, p.managers
	p.mu.Unlock()
	now := p.clock.Now()
	if len(given.Peers) == 0 || now.Sub(given.At) < unmanagedGrace || p.node.coordinates(p.name) {
		p.condition(conditionUnmanaged, nil)
		return
	}
	if before.asked.IsZero() || now.Sub(before.asked) >= unmanagedLife {
		has, silent := p.askManagers(ctx, given)
		before = managers{asked: now, known: has || len(silent) > 0 && (config || before.known)}
		p.mu.Lock()
		p.managers = before
		p.mu.Unlock()
	}
	if before.known {
		p.condition(conditionUnmanaged, nil)
		return
	}
	p.condition(conditionUnmanaged, errors.New(given.unmanaged(p.name)))
}

// askManagers asks the members, side by side, whether one of them has applied the
// replication, and returns which do not answer. One that takes no part has not.
func (p *part) askManagers(ctx context.Context, given enlistment) (has bool, silent []string) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, member := range given.Members {
		if member == p.node.Deps.Self {
			continue
		}
		all.Go(func() {
			applied, err := p.node.Peers.Applied(ctx, p.name, replication.NodeID(member), given.Peers[member])
			mu.Lock()
			defer mu.Unlock()
			has = has || err == nil && applied
			if err != nil && !api.IsProblem(err, api.ProblemForbidden) {
				silent = append(silent, member)
			}
		})
	}
	all.Wait()
	return has, silent
}

// unmanaged says what is known of a membership whose replication nobody has, and
// how it is ended.
func (e enlistment) unmanaged(name string) string {
	given := "this machine takes part in it"
	if e.By != "" {
		given = fmt.Sprintf("%s made this machine take part in it at %s", e.By, e.At.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s, with these machines: %s. None of them is known to have it as a component. "+
		"If there is a foobar_db_replication %q, apply it. If not, the audit log has more about who did this; to end it, run as root on this machine: foobar-agent replication leave %s",
		given, strings.Join(takingPart(e.DBMembership), ", "), name, name)
}

// takingPart lists who takes part, and as what.
func takingPart(m api.DBMembership) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m.Peers)) {
		role := "witness"
		if m.Member(name) {
			role = "member"
		}
		all = append(all, fmt.Sprintf("%s (%s)", name, role))
	}
	return all
}

// driftMembership: a machine was informed that other machines take part.
const driftMembership = "Membership"

// misled adds which machines were informed that others take part than do. An apply
// tells them again.
func (c *coordinator) misled(s replication.Snapshot, drift map[string]api.Drift) {
	shown := map[replication.NodeID]*api.DBMembership{}
	for id, view := range s.Nodes {
		shown[id] = view.Membership
	}
	for id, view := range s.Witnesses {
		shown[id] = view.Membership
	}
	want := c.spec.Membership()
	for id, got := range shown {
		if _, part := want.Peers[string(id)]; !part || got == nil {
			continue
		}
		if differs := differences(want, *got); differs != "" {
			drift[string(id)+"/"+driftMembership] = api.Drift{
				Detail:   fmt.Sprintf("%s has another list of the machines that take part: %s", id, differs),
				Pointers: []api.Pointer{placeOf(c.spec, id)},
			}
		}
	}
}

// lacking returns the machines that know that they take part, and have no
// configuration of the replication: it was lost there, or they had left.
func lacking(s replication.Snapshot) []replication.NodeID {
	var ids []replication.NodeID
	note := func(id replication.NodeID, u *replication.Unobservable, m *api.DBMembership) {
		if u != nil && u.Unconfigured && m != nil && len(m.Peers) > 0 {
			ids = append(ids, id)
		}
	}
	for id, view := range s.Nodes {
		note(id, view.Unobservable, view.Membership)
	}
	for id, view := range s.Witnesses {
		note(id, view.Unobservable, view.Membership)
	}
	slices.Sort(ids)
	return ids
}

// forgotten adds which other machines lack the replication's configuration. An
// apply sends it again.
func (c *coordinator) forgotten(s replication.Snapshot, drift map[string]api.Drift) {
	for _, id := range lacking(s) {
		if at := placeOf(c.spec, id); at != "" && id != c.Parts.Self() {
			drift[string(id)+"/"+driftConfig] = api.Drift{
				Detail:   fmt.Sprintf("%s does not have the replication's configuration; the next apply sends it", id),
				Pointers: []api.Pointer{at},
			}
		}
	}
}

// differences says how a membership differs from the one that is wanted, "" if it
// does not.
func differences(want, got api.DBMembership) string {
	names := maps.Clone(want.Peers)
	maps.Copy(names, got.Peers)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		wanted, due := want.Peers[name]
		found, has := got.Peers[name]
		switch {
		case !has:
			all = append(all, name+" is missing")
		case !due:
			all = append(all, name+" is too many")
		case want.Member(name) != got.Member(name) && got.Member(name):
			all = append(all, name+" is a member there, and a witness here")
		case want.Member(name) != got.Member(name):
			all = append(all, name+" is a witness there, and a member here")
		case wanted != found:
			all = append(all, name+" has another key, address or incarnation there")
		}
	}
	return strings.Join(all, "; ")
}
