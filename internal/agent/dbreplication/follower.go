package dbreplication

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// startIt is the way out for who leaves while a database server does not answer.
func startIt(server string) string {
	return fmt.Sprintf("Start %s or, if it is not needed, destroy its foobar_db_server (its data stay), and leave again", server)
}

// mayFollow is the refusal of a machine that has left but for its database.
func (p *part) mayFollow(format string, args ...any) error {
	return refused("The database still takes part", "%s takes part in replication %q no more, but %s", p.node.Deps.Self, p.name, fmt.Sprintf(format, args...))
}

// candidate is a database that may take part, which nobody else changes meanwhile.
// The zero value is none.
type candidate struct {
	*Database
	release func()
}

func (c candidate) close() {
	if c.Database != nil {
		c.Database.close()
		c.release()
	}
}

// follower finds the database of a member that does not know its server any more:
// of those that take part in nothing else the one that follows a member, or is
// being seeded. There is none if none does, and an error if that cannot be determined
// for certain.
func (p *part) follower(ctx context.Context) (follower candidate, err error) {
	record, unread := p.store.recorded()
	if unread == nil && !counts(record, p.node.Self()) {
		return candidate{}, nil // it has never followed anybody
	}
	member := func(host string) bool { // of the deployment, if it is not known who that is
		name, of := strings.CutSuffix(host, pki.NodeDNSName(p.node.Deployment, ""))
		return of && name != "" && (unread != nil || slices.Contains(record.Members, replication.NodeID(name)))
	}
	found := map[string]candidate{}
	defer func() {
		for _, c := range found {
			if c.Database != follower.Database {
				c.close()
			}
		}
	}()
	for _, server := range p.node.Servers() {
		c, err := p.candidate(ctx, server, member)
		if err != nil {
			return candidate{}, err
		}
		if c.Database != nil {
			found[server] = c
		}
	}
	if len(found) > 1 {
		return candidate{}, p.mayFollow("which of these database servers took part is not known: %s. Destroy the foobar_db_server of those that did, and leave again",
			strings.Join(slices.Sorted(maps.Keys(found)), ", "))
	}
	for _, c := range found {
		follower = c
	}
	return follower, nil
}

// candidate returns a database if it may be the one that takes part, and keeps
// others from changing it. Whether it takes part elsewhere is looked at after that:
// somebody may just have taken it.
func (p *part) candidate(ctx context.Context, server string, member func(host string) bool) (found candidate, err error) {
	release, err := p.hold(ctx, p.node.serverLockFor(server))
	if err != nil {
		return candidate{}, err
	}
	defer func() {
		if found.Database == nil {
			release()
		}
	}()
	if p.node.usedBy(server, p.name) {
		return candidate{}, nil
	}
	db, err := p.node.Open(server)
	if err != nil {
		return candidate{}, fmt.Errorf("find the database server %s: %w", server, err)
	}
	view, unseen := db.Engine.Observe(ctx)
	mark, unread := db.Engine.SeedState()
	switch {
	case mark != nil || slices.ContainsFunc(view.Sources, func(s replication.SourceView) bool { return member(s.Host) }):
		return candidate{Database: &db, release: release}, nil
	case unread == nil && (unseen == nil || p.node.removed(ctx, &db)):
		db.close()
		return candidate{}, nil
	}
	db.close()
	if unread != nil {
		return candidate{}, p.mayFollow("it does not know which database server took part, and whether %q is being seeded cannot be read: %v. If it took part or is not needed, destroy its foobar_db_server (its data stay), and leave again", server, unread)
	}
	return candidate{}, p.mayFollow("it does not know which database server took part, and %q does not answer: %v. %s", server, unseen, startIt(fmt.Sprintf("database server %q", server)))
}

// usedBy reports whether another replication has the server, or is about to: until
// something is recorded it is only configured.
func (n *Node) usedBy(server, but string) bool {
	for name, p := range n.all() {
		if name == but || p.serves() != server {
			continue
		}
		record, err := p.store.recorded()
		if err != nil || record.Epoch == 0 || counts(record, n.Self()) {
			return true
		}
	}
	return false
}
