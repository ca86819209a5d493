package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Times of the keeper.
const (
	// attendEvery is how often it looks whether its server was started anew,
	// and asks again whether it may be opened.
	reconcileEvery = time.Second
	// reconcilePause and reconcileTries are how often, and how many times, a look
	// at a server that was started a moment ago asks whether it was reconciled:
	// 2 s, of which the keeper's pause is one and a ballot the other.
	reconcilePause = 100 * time.Millisecond
	reconcileTries = 20
	// watchEvery is how often an open primary asks the voters for a higher epoch.
	watchEvery = 2 * time.Second
	// beatEvery is how often an open primary writes its heartbeat, which the
	// replicas' lag is measured by; beatTimeout bounds one.
	beatEvery   = 400 * time.Millisecond
	beatTimeout = 2 * time.Second
	// beatsMissed in a row are worth telling of: 2 s.
	beatsMissed = 5
	// openPatience is for how long an order to open asks for a majority. Its
	// step has 15 s.
	openPatience = 10 * time.Second
	// fenceTimeout bounds a fence that nobody else waits for.
	fenceTimeout = 10 * time.Second
	// setTimeout bounds what a server assumes after its start.
	setTimeout = 10 * time.Second
)

// life is what was done to a server since it was started. It is kept where it
// outlives the agent and not the boot.
type life struct {
	// Process tells one run of the server from another.
	Process string `json:"process"`
	// Assumed: it has the settings that go with its part.
	Assumed bool `json:"assumed,omitempty"`
	// Decided: it was opened, or fenced on purpose. From then on it stays as it
	// is until somebody gives an order: what was changed by hand is reported, and
	// never changed back in silence.
	Decided bool `json:"decided,omitempty"`
	// Opened: it was opened by us as the primary.
	Opened bool `json:"opened,omitempty"`
	// Overruled says why we fenced it.
	Overruled string `json:"overruled,omitempty"`
}

// processOf names a run of a server.
func processOf(status systemd.Status) string {
	return fmt.Sprintf("%s/%d", status.InvocationID, status.MainPID)
}

func (p *part) readLife() life {
	noted, _, err := readDurably[life](p.lifePath())
	if err != nil {
		p.log.Warn("what was done to the server since its start is not known", "error", err)
	}
	return noted // of none, which only has the voters asked once more
}

// current returns the life of the server that runs; nil if none does.
func (p *part) current(ctx context.Context, db *Database) (*life, error) {
	status, err := p.node.Units.Status(ctx, db.Unit)
	if err != nil || !status.Active() {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if process := processOf(status); p.life.Process != process {
		p.life, p.beats = life{Process: process}, 0
	}
	now := p.life
	return &now, nil
}

// note notes what was done to the server that runs now.
func (p *part) note(ctx context.Context, change func(*life)) error {
	db := p.database()
	if db == nil {
		return nil
	}
	if running, err := p.current(ctx, db); err != nil || running == nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.life)
	return writeDurably(p.lifePath(), p.life)
}

func (p *part) lived() life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// duties are what the keeper does, each over and over until ctx ends. They are
// apart, so that none waits for a server that another one has asked.
func (p *part) duties() []func(ctx context.Context) {
	return []func(context.Context){
		p.every(reconcileEvery, p.reconcile),
		p.every(watchEvery, p.watch),
		p.every(beatEvery, p.beat),
		p.every(lagEvery, p.measure),
		p.every(lagEvery, p.checkFollows),
	}
}

func (p *part) every(pause time.Duration, duty func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		for ctx.Err() == nil {
			duty(ctx)
			if p.clock.Sleep(ctx, pause) != nil {
				return
			}
		}
	}
}

// reconcile does for a server that was started what its part takes. It keeps off
// while an order is carried out, or an operation has the lock.
func (p *part) reconcile(ctx context.Context) {
	record, err := p.store.Record(ctx)
	p.condition(conditionRecord, err)
	db := p.database()
	if db == nil {
		if p.config() == nil && record.Epoch > 0 {
			if _, found, err := readDurably[api.DBConfig](p.store.path(configFile)); !found && err == nil {
				p.condition(conditionConfig, errors.New("the replication's configuration on this machine is gone, and its database, if it has one, stays read-only"))
			}
		}
		return
	}
	serverLock := p.serverLock()
	select {
	case serverLock <- struct{}{}:
		defer func() { <-serverLock }()
	default:
		return
	}
	p.mu.Lock()
	locked := p.holder() != ""
	p.mu.Unlock()
	if locked {
		return
	}
	err = p.settle(ctx, db)
	p.mu.Lock()
	p.reconciledRun = p.life.Process
	p.mu.Unlock()
	if ctx.Err() == nil {
		p.condition(conditionKeeper, err)
	}
}

// awaitReconciled waits, 2 s at most, until the keeper has reconciled a server that
// was started a moment ago: a look must not take for drift what the keeper is
// about to do. It changes nothing, and waits for no operation.
func (p *part) awaitReconciled(ctx context.Context) {
	db := p.database()
	if db == nil || !p.node.keeps(p) {
		return
	}
	for range reconcileTries {
		now, err := p.current(ctx, db)
		if err != nil || now == nil {
			return
		}
		p.mu.Lock()
		pending := p.reconciledRun != now.Process && p.holder() == ""
		p.mu.Unlock()
		if !pending || p.clock.Sleep(ctx, reconcilePause) != nil {
			return
		}
	}
}

// settle ends a seed, has the server assume its part, and opens a primary. Of a
// replication that this machine is counted in no more it only says so.
func (p *part) settle(ctx context.Context, db *Database) error {
	record, err := p.store.Record(ctx)
	if err == nil && record.Epoch > 0 && !p.counted() {
		return p.ended(ctx, db, record)
	}
	if err != nil || record.Epoch > 0 { // else a seed is of an earlier membership, which the first order takes back
		if seeding, err := p.resume(ctx, db); seeding || err != nil {
			return err
		}
	}
	now, errNow := p.current(ctx, db)
	if errNow != nil {
		return errNow
	}
	switch {
	case now == nil:
		p.fenced() // a server that does not run is reported by its own kind
		return nil
	case err != nil:
		p.fenced(err.Error())
		return nil
	}
	if err := p.assume(ctx, now); err != nil {
		return err
	}
	switch {
	case record.Primary != p.node.Self():
		p.fenced() // a replica, as it should be, or nothing yet
		return nil
	case now.Decided:
		return p.inspect(ctx, db, *now)
	}
	return p.decide(ctx, db)
}

// assume gives a server that was started the settings that go with its part.
func (p *part) assume(ctx context.Context, now *life) error {
	if now.Assumed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, setTimeout)
	defer cancel()
	if err := p.local().Assume(ctx); err != nil {
		return fmt.Errorf("have the started server assume its part: %w", err)
	}
	return p.note(ctx, func(l *life) { l.Assumed = true })
}

// ended says why a database without a replication is read-only, if it is.
func (p *part) ended(ctx context.Context, db *Database, record replication.Record) error {
	for _, kind := range []string{conditionSeed, conditionUnproven, conditionHeartbeat} {
		p.condition(kind, nil)
	}
	var reasons []string
	if record.Primary == "" && p.node.takenBy(p.serves(), p.name) == "" {
		now, err := p.current(ctx, db)
		if err != nil {
			return err
		}
		if now != nil {
			view, err := p.look(ctx, db)
			if err != nil {
				return err
			}
			if !view.Writable {
				reasons = replication.MayOpen(p.node.Self(), record, nil, nil, 0).Reasons
			}
		}
	}
	p.fenced(reasons...)
	return nil
}

// look asks the database.
func (p *part) look(ctx context.Context, db *Database) (replication.EngineView, error) {
	ctx, cancel := context.WithTimeout(ctx, replication.ObserveTimeout)
	defer cancel()
	view, err := db.Engine.Observe(ctx)
	if err != nil {
		return view, fmt.Errorf("look at the database: %w", err)
	}
	return view, nil
}

// resume ends a seed that an earlier life of the agent or the machine began.
func (p *part) resume(ctx context.Context, db *Database) (seeding bool, err error) {
	mark, err := db.Engine.SeedState()
	if err != nil {
		return true, err
	}
	if mark == nil {
		p.condition(conditionSeed, nil)
		return false, nil
	}
	p.fenced()
	incomplete, err := db.Engine.ResumeSeed(ctx)
	if err != nil {
		return true, fmt.Errorf("end the seed that was begun from %s: %w", mark.Donor, err)
	}
	if incomplete {
		p.condition(conditionSeed, fmt.Errorf("the copy from %s, begun at %s, is not whole", mark.Donor, mark.Started.UTC().Format(time.RFC3339)))
		return true, nil
	}
	p.condition(conditionSeed, nil)
	return false, nil
}

// unclaimed is why a primary stays fenced whose data nothing marks as those of
// the replication: others may be in the place of those it had.
const unclaimed = "its data are not those of the replication; terraform apply opens them where they are its first, and else says what to do"

// decide opens a server that nobody has decided about since its start, if it has
// the data of the replication and a majority supports that. The first opening,
// which claims the data, is an order's.
func (p *part) decide(ctx context.Context, db *Database) error {
	view, err := p.look(ctx, db)
	if err != nil {
		return err
	}
	verdict := replication.Verdict{Reasons: []string{unclaimed}}
	if view.Origin != "" {
		verdict, err = p.open(ctx)
	}
	switch {
	case err != nil:
		return err
	case verdict.Open:
		p.condition(conditionUnproven, nil)
		p.fenced()
	case view.Writable:
		p.condition(conditionUnproven, fmt.Errorf("%s took writes, but was not opened by its agent, which would not: %s", p.node.Self(), strings.Join(verdict.Reasons, "; ")))
	default:
		p.condition(conditionUnproven, nil)
		p.fenced(verdict.Reasons...)
	}
	return nil
}

// inspect tells of a primary that does not do what a primary does.
func (p *part) inspect(ctx context.Context, db *Database, now life) error {
	p.condition(conditionUnproven, nil)
	p.mu.Lock()
	missed := p.beats
	p.mu.Unlock()
	switch {
	case now.Overruled != "":
		p.fenced(now.Overruled)
		return nil
	case now.Opened && missed < beatsMissed:
		p.fenced()
		return nil
	}
	view, err := p.look(ctx, db)
	switch {
	case err != nil:
		return err
	case view.Writable:
		p.fenced()
	default:
		p.fenced("it was made read-only on purpose since its start; terraform apply opens it again")
	}
	return nil
}

// fenced notes why the database of a primary is fenced; without reasons it is not.
func (p *part) fenced(reasons ...string) {
	if len(reasons) == 0 {
		p.condition(conditionFenced, nil)
		return
	}
	record, _ := p.store.recorded()
	p.condition(conditionFenced, fmt.Errorf("%s stays fenced: %s", p.node.Self(), strings.Join(reasons, "; ")))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fencedIn = record.Epoch
}

// beat writes the heartbeat of a primary that was opened.
func (p *part) beat(ctx context.Context) {
	db := p.database()
	if db == nil || !p.lived().Opened {
		p.condition(conditionHeartbeat, nil)
		return
	}
	record, err := p.store.Record(ctx)
	if err != nil || record.Primary != p.node.Self() {
		p.condition(conditionHeartbeat, nil)
		return
	}
	limited, cancel := context.WithTimeoutCause(ctx, beatTimeout, fmt.Errorf("not written in %s", beatTimeout))
	defer cancel()
	err = db.Engine.Beat(limited, record.Epoch, p.node.Self())
	p.mu.Lock()
	if p.beats++; err == nil {
		p.beats = 0
	}
	missed := p.beats
	p.mu.Unlock()
	switch {
	case err == nil:
		p.condition(conditionHeartbeat, nil)
	case missed >= beatsMissed && ctx.Err() == nil:
		if view, look := p.look(ctx, db); look == nil && !view.Writable {
			err = nil // what is fenced takes none, and that is a condition of its own
		}
		p.condition(conditionHeartbeat, err)
	}
}
