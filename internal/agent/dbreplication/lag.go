package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// lagEvery is how often the keeper measures a replica's lag, so that it is known
// since when it has been too high whenever somebody looks.
const lagEvery = 5 * time.Second

// measure measures the lag. That a server cannot be asked is reported by those who look.
func (p *part) measure(ctx context.Context) {
	if p.database() == nil || p.config() == nil || !p.counted() || p.lived().Opened {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, replication.ObserveTimeout)
	defer cancel()
	if err := p.local().Measure(ctx); err != nil {
		p.log.Debug("the lag was not measured", "error", err)
	}
}

// checkFollows notes why a replica does not follow its primary, for whoever asks
// on its own machine: there nobody sees the whole replication. While an operation
// is at work, or once ctx has ended, nothing is decided. One check runs at a time,
// so that an earlier answer never replaces a later one.
func (p *part) checkFollows(ctx context.Context) {
	select {
	case p.checking <- struct{}{}:
		defer func() { <-p.checking }()
	case <-ctx.Done():
		return
	}
	record, err := p.store.Record(ctx)
	db := p.database()
	p.mu.Lock()
	busy, seeding := p.holder() != "", p.donor != ""
	p.mu.Unlock()
	switch {
	case err != nil || busy:
		return // a record that cannot be read is a condition of its own
	case db == nil, p.config() == nil, !p.counted(), record.Primary == p.node.Self(), seeding, p.lived().Opened:
		p.condition(conditionNotFollowing, nil)
		return
	}
	if running, err := p.current(ctx, db); err != nil || running == nil {
		p.condition(conditionNotFollowing, nil) // that it does not run is reported by its own kind
		return
	}
	view, err := p.look(ctx, db)
	p.mu.Lock()
	busy = p.holder() != ""
	p.mu.Unlock()
	switch why := replication.Stalled(p.node.Self(), view); {
	case busy || ctx.Err() != nil:
	case err != nil:
		p.condition(conditionNotFollowing, err)
	case why != "" && p.forgottenBy(ctx, record):
		p.condition(conditionNotFollowing, fmt.Errorf("%s does not follow its primary %s, which no longer has the replication in its record (was that machine rebuilt?), so that its data may be gone; "+
			"the plan of the foobar_db_replication says how to go on (PrimaryLost). Until then the data of %[1]s may be the only copy", p.node.Self(), record.Primary))
	case why != "":
		p.condition(conditionNotFollowing, fmt.Errorf("%s does not follow its primary %s: %w", p.node.Self(), record.Primary, errors.New(why)))
	default:
		p.condition(conditionNotFollowing, nil)
	}
}

// forgottenBy reports whether the primary of this machine's record answers that it
// has recorded no such epoch.
func (p *part) forgottenBy(ctx context.Context, own replication.Record) bool {
	answer := p.ask(ctx, []replication.NodeID{own.Primary})[own.Primary]
	return answer.Reason == "" && answer.Record.Epoch < own.Epoch
}
