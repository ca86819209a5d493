package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// open opens the database by the boot rule: this machine's own record names it,
// and a majority of the voters knows of no higher epoch. The answers count for
// [replication.BallotLife], and the server is open within that, or fenced again.
// The caller has the part under its server lock, or its lock.
func (p *part) open(ctx context.Context) (replication.Verdict, error) {
	db, config := p.database(), p.config()
	if db == nil || config == nil {
		return replication.Verdict{}, p.unconfigured()
	}
	record, err := p.store.Record(ctx)
	if err != nil {
		return replication.Verdict{}, err
	}
	voters := topologyOf(p.name, p.node.Deployment, config.Spec).Voters()
	began := p.clock.Now()
	answers := p.ask(ctx, voters)
	verdict := replication.MayOpen(p.node.Self(), record, voters, answers, p.clock.Now().Sub(began))
	if reason := overruled(p.node.Self(), record, answers); reason != "" {
		verdict.Open = false
		return verdict, p.overrule(ctx, db, reason, false)
	}
	if !verdict.Open {
		return verdict, nil
	}
	if err := p.unfence(ctx, db, began); err != nil {
		return replication.Verdict{}, err
	}
	p.log.Info("the database is open for writes", "epoch", record.Epoch, "why", strings.Join(verdict.Reasons, "; "))
	return verdict, p.note(ctx, func(l *life) { l.Assumed, l.Decided, l.Opened, l.Overruled = true, true, true, "" })
}

// unfence opens while the answers count. What failed, or took longer, may have
// opened the server after all.
func (p *part) unfence(ctx context.Context, db *Database, began time.Time) error {
	left := replication.BallotLife - p.clock.Now().Sub(began)
	opening, cancel := context.WithTimeoutCause(ctx, left, errors.New("the answers of the voters were too old by then"))
	defer cancel()
	err := db.Engine.Unfence(opening)
	if err == nil && p.clock.Now().Sub(began) > replication.BallotLife {
		err = context.DeadlineExceeded
	}
	if err == nil {
		return nil
	}
	if opening.Err() == nil { // it refused; that it stayed as it was can be seen
		if view, look := p.look(ctx, db); look == nil && !view.Writable {
			return fmt.Errorf("open the database: %w", err)
		}
	}
	return errors.Join(fmt.Errorf("open the database: %w", err), p.fence(ctx, db))
}

// fence fences although ctx may be over.
func (p *part) fence(ctx context.Context, db *Database) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fenceTimeout)
	defer cancel()
	return db.Engine.Fence(ctx)
}

// overruled says why who was primary by its own record is not any more, or may
// not be, "" if nobody says so. The end of a replication leaves an open primary
// open until it is started anew.
func overruled(self replication.NodeID, own replication.Record, answers map[replication.NodeID]replication.Answer) string {
	if own.Primary != "" && own.Primary != self {
		return fmt.Sprintf("%s is primary of epoch %d", own.Primary, own.Epoch)
	}
	var worst string
	var epoch uint64
	for voter, answer := range answers {
		r := answer.Record
		if answer.Reason != "" || r.Primary == "" || r.Primary == self || r.Epoch < max(own.Epoch, epoch) {
			continue
		}
		if reason := fmt.Sprintf("%s has recorded epoch %d with primary %s", voter, r.Epoch, r.Primary); r.Epoch > epoch || worst == "" || reason < worst {
			worst, epoch = reason, r.Epoch
		}
	}
	return worst
}

// watch fences an open primary as soon as it hears that another one has taken
// its place. That is right at any time, whoever else is at work here.
func (p *part) watch(ctx context.Context) {
	db, config := p.database(), p.config()
	if db == nil || config == nil || !p.lived().Opened {
		p.condition(conditionFence, nil)
		return
	}
	record, err := p.store.Record(ctx)
	if err != nil {
		return // reconcile tells of it
	}
	answers := map[replication.NodeID]replication.Answer{}
	if record.Primary == p.node.Self() {
		answers = p.ask(ctx, topologyOf(p.name, p.node.Deployment, config.Spec).Voters())
	}
	reason := overruled(p.node.Self(), record, answers)
	if reason == "" {
		p.condition(conditionFence, nil)
		return
	}
	if err = p.overrule(ctx, db, reason, true); err != nil {
		err = fmt.Errorf("%s has to be read-only, as %s, and cannot be made so, which is tried again: %w", p.node.Self(), reason, err)
	}
	p.condition(conditionFence, err)
}

// overrule fences a server that another one has taken the place of, if it was
// us who opened it, or it is open and nobody has decided about it since its start.
func (p *part) overrule(ctx context.Context, db *Database, reason string, opened bool) error {
	view, err := p.look(ctx, db)
	if err == nil && !view.Writable && !opened {
		return nil
	}
	if err != nil || view.Writable {
		p.log.Error("another primary has taken over: the database is being made read-only", "why", reason)
		if err := p.fence(ctx, db); err != nil {
			return err
		}
	}
	p.fenced(reason)
	return p.note(ctx, func(l *life) { l.Decided, l.Opened, l.Overruled = true, false, reason })
}
