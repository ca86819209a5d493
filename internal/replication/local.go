package replication

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Local is a node as its own agent plays it: orders are carried out on the
// engine and the agent's records. Other agents reach it through the agents' API.
type Local struct {
	ID NodeID
	// Engine is the database's, nil on a witness.
	Engine  Engine
	Records Records
	// Wants returns what the member was given of the replication besides orders.
	Wants func(ctx context.Context) (Wants, error)
	// Copy opens the stream of a donor's data.
	Copy func(ctx context.Context, donor NodeID) (io.ReadCloser, error)
	// Progress gets the bytes of a copy that have arrived; it may be nil.
	Progress func(bytes int64)
	Now      func() time.Time

	mu         sync.Mutex
	aboveSince time.Time
}

// Records are what an agent keeps of a replication, durably: what was set is
// there after a power loss.
type Records interface {
	Record(ctx context.Context) (Record, error)
	SetRecord(ctx context.Context, record Record) error
	// Seeded is the order whose copy the data are or, from the beginning of a
	// seed, the data set that it copies; "" if there was none.
	Seeded(ctx context.Context) (string, error)
	SetSeeded(ctx context.Context, what string) error
	// Followed identifies the password that the engine was given to follow
	// with, "" if none was.
	Followed(ctx context.Context) (string, error)
	SetFollowed(ctx context.Context, password string) error
}

// Wants is what a member was given of its replication: the topology, and what
// is in none because it is secret or its own.
type Wants struct {
	Topology Topology
	Secrets  Secrets
	// TLS has the paths of CA, certificate and key that the engine's
	// connections to a source use; address and password are filled in.
	TLS Source
}

var _ Node = (*Local)(nil)

// Observe looks at records and engine. A database that does not answer is a
// view with Unobservable, not an error.
func (l *Local) Observe(ctx context.Context) (NodeView, error) {
	record, err := l.Records.Record(ctx)
	if err != nil {
		return NodeView{}, fmt.Errorf("read the record: %w", err)
	}
	view := NodeView{Taken: l.Now(), Record: record}
	if l.Engine == nil {
		return view, nil
	}
	if view.Seeding, err = l.Engine.SeedState(); err != nil {
		return NodeView{}, err
	}
	if view.EngineView, err = l.Engine.Observe(ctx); err == nil {
		err = l.compare(ctx, &view)
	}
	if err != nil {
		silent := &Unobservable{Since: view.Taken, Reason: err.Error()}
		return NodeView{Taken: view.Taken, Record: record, Seeding: view.Seeding, Unobservable: silent}, nil //nolint:nilerr // the view tells it
	}
	return view, l.judgeLag(ctx, &view.EngineView, view.Taken)
}

// Measure notes since when the lag has been above its limit. Whoever looks
// learns that; it is right as long as this is called all the time.
func (l *Local) Measure(ctx context.Context) error {
	if l.Engine == nil {
		return nil
	}
	taken := l.Now()
	view, err := l.Engine.Observe(ctx)
	if err != nil {
		return fmt.Errorf("measure the lag: %w", err)
	}
	return l.judgeLag(ctx, &view, taken)
}

// compare notes what differs from what the member was given.
func (l *Local) compare(ctx context.Context, view *NodeView) error {
	wants, err := l.Wants(ctx)
	if err != nil {
		return err
	}
	followed, err := l.Records.Followed(ctx)
	if err != nil {
		return err
	}
	view.PasswordOld = len(view.Sources) > 0 && followed != "" && followed != imprint(wants.Secrets.Replication)
	view.CatalogDiffers, err = l.Engine.Differences(ctx, wants.Topology.Catalog, wants.Secrets)
	return err
}

// imprint identifies a password that is too long to be guessed.
func imprint(password api.Secret) string {
	sum := sha256.Sum256([]byte(password.Reveal()))
	return hex.EncodeToString(sum[:])
}

// judgeLag notes since when the lag has been above its limit, which counts from
// the member's delay. A lag that is not known leaves that as it is.
func (l *Local) judgeLag(ctx context.Context, view *EngineView, taken time.Time) error {
	if view.Lag == nil {
		return nil
	}
	wants, err := l.Wants(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch t := wants.Topology; {
	case t.MaxLag == 0 || view.Lag.Applied <= t.MaxLag+t.Members[l.ID].Delay:
		l.aboveSince = time.Time{}
	case l.aboveSince.IsZero():
		l.aboveSince = taken
	}
	view.Lag.AboveSince = l.aboveSince
	return nil
}

// Do carries out an order, if the node's record admits it.
func (l *Local) Do(ctx context.Context, order Order) error {
	record, err := l.Records.Record(ctx)
	if err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	if err := order.Admit(l.ID, record); err != nil {
		return err
	}
	action := order.Action
	if action.Verb == DoRecord {
		return l.Records.SetRecord(ctx, *action.Record)
	}
	if l.Engine == nil {
		return fmt.Errorf("%s is a witness and has no database to %s", l.ID, action.Verb)
	}
	switch action.Verb {
	case DoFence:
		return l.Engine.Fence(ctx)
	case DoDetach:
		if err := l.Engine.AbandonSeed(ctx); err != nil {
			return err
		}
		return l.Engine.Detach(ctx)
	case DoSet:
		return l.Engine.Set(ctx, action.Settings)
	case DoRetire: // nobody will follow, and binary logs have to expire all the same
		return errors.Join(l.Engine.Retire(ctx), l.Engine.Set(ctx, map[string]string{purgeSetting: "0"}))
	case DoSeed:
		return l.seed(ctx, order)
	case DoRecord:
	case DoOpen, DoClaim, DoProvision, DoFollow:
		return l.informed(ctx, action)
	}
	return fmt.Errorf("the action %q is not known here: the agents' versions differ", action.Verb)
}

// informed carries out what takes more than the order says.
func (l *Local) informed(ctx context.Context, action Action) error {
	wants, err := l.Wants(ctx)
	if err != nil {
		return err
	}
	switch action.Verb {
	case DoOpen:
		return errors.Join(l.Assume(ctx), l.Engine.Unfence(ctx))
	case DoClaim:
		return l.Engine.Claim(ctx, action.Origin, wants.Secrets)
	case DoProvision:
		return l.Engine.Provision(ctx, wants.Topology.Catalog, action.Drop, wants.Secrets)
	default:
		source := wants.TLS
		source.Host, source.Port, source.Delay = action.At.Host, action.At.Port, action.At.Delay
		source.As, source.Password = l.ID, wants.Secrets.Replication
		if err := errors.Join(l.Assume(ctx), l.Engine.Follow(ctx, source)); err != nil {
			return err
		}
		return l.Records.SetFollowed(ctx, imprint(source.Password))
	}
}

// Assume gives a running server the settings that go with its part, which its
// configuration file does not know. The agent calls it whenever the server has
// started, and before it opens it after a boot.
func (l *Local) Assume(ctx context.Context) error {
	wants, err := l.Wants(ctx)
	if err != nil {
		return err
	}
	return l.Engine.Set(ctx, RuntimeSettings(wants.Topology, wants.Topology.Primary, l.ID))
}

// seed replaces the data by the donor's, once for each order: the second time
// there is nothing left to do. It is the last guard of data that are nowhere
// else: a mark counts for the data set alone for which it was set.
func (l *Local) seed(ctx context.Context, order Order) error {
	id, of := order.Operation+"/"+order.Step, "a copy of "+order.Action.Origin
	noted, err := l.Records.Seeded(ctx)
	if err != nil {
		return err
	}
	mark, err := l.Engine.SeedState()
	switch {
	case err != nil:
		return err
	case mark == nil && noted == id:
		return nil
	case mark != nil && noted == of: // an earlier life began it
		incomplete, err := l.Engine.ResumeSeed(ctx)
		if err == nil && incomplete {
			err = l.receive(ctx, order.Action.Source)
		}
		if err != nil {
			return err
		}
	default:
		if err := l.replace(ctx, order.Action, of); err != nil {
			return err
		}
	}
	return l.Records.SetSeeded(ctx, id)
}

// replace begins a seed, if the data may go. What is left of another one gives
// no leave to that.
func (l *Local) replace(ctx context.Context, action Action, of string) error {
	if err := l.Engine.AbandonSeed(ctx); err != nil {
		return err
	}
	copied, err := l.mayReplace(ctx, action)
	if err != nil || copied {
		return err
	}
	if err := l.Records.SetSeeded(ctx, of); err != nil {
		return err
	}
	return l.receive(ctx, action.Source)
}

// mayReplace refuses to replace data that are not nothing, without a consent.
// Data of the origin that is to be copied are the copy: the order was given for
// a server without any, and an earlier life ended just after it.
func (l *Local) mayReplace(ctx context.Context, action Action) (copied bool, err error) {
	if action.Consent != "" {
		return false, nil
	}
	view, err := l.Engine.Observe(ctx)
	switch {
	case err != nil:
		return false, fmt.Errorf("look at the data before they are replaced: %w", err)
	case view.Writable || !view.Empty && view.Origin != action.Origin:
		return false, fmt.Errorf("%s holds data and no consent was given to replace them; %s", l.ID, reseedOf(l.ID))
	}
	return view.Origin == action.Origin, nil
}

func (l *Local) receive(ctx context.Context, donor NodeID) error {
	stream, err := l.Copy(ctx, donor)
	if err != nil {
		return fmt.Errorf("ask %s for a copy: %w", donor, err)
	}
	return errors.Join(l.Engine.Receive(ctx, donor, stream, l.Progress), stream.Close())
}
