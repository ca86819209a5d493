package dbreplication

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// The files of the coordinator, beside those of its part.
const (
	journalFile  = "journal.json"
	consentsFile = "tokens.json"
)

// journal is the coordinator's journal on the disk.
type journal struct{ dir string }

var _ replication.Journal = journal{}

func (j journal) path() string { return filepath.Join(j.dir, journalFile) }

// Load implements [replication.Journal].
func (j journal) Load(context.Context) (*replication.Entry, error) {
	entry, found, err := readDurably[replication.Entry](j.path())
	if err != nil || !found {
		return nil, err
	}
	return &entry, nil
}

// Save implements [replication.Journal].
func (j journal) Save(_ context.Context, entry replication.Entry) error {
	return writeDurably(j.path(), entry)
}

// last returns the operation that is journalled, "" if there is none.
func (j journal) last(ctx context.Context) string {
	entry, err := j.Load(ctx)
	if err != nil || entry == nil {
		return ""
	}
	return entry.Operation.ID
}

// consents keeps which consents were used up: each counts once, whatever else
// is applied with it again.
type consents struct{ dir string }

// consentBook is the content of tokens.json.
type consentBook struct {
	// Reseed are the tokens that were used up by member, Drop those to drop.
	Reseed map[replication.NodeID][]string `json:"reseed,omitempty"`
	Drop   []string                        `json:"drop,omitempty"`
	// Operation is the last one that was given a consent to drop, Token that
	// consent: the journal holds what is dropped, and not by which token.
	Operation string `json:"operation,omitempty"`
	Token     string `json:"token,omitempty"`
}

func (c consents) path() string { return filepath.Join(c.dir, consentsFile) }

// damaged returns why the book cannot be read, nil if it can.
func (c consents) damaged() *statefile.Damaged {
	_, _, err := readDurably[consentBook](c.path())
	return statefile.As(err)
}

func (c consents) load() (consentBook, error) {
	book, _, err := readDurably[consentBook](c.path())
	if book.Reseed == nil {
		book.Reseed = map[replication.NodeID][]string{}
	}
	return book, err
}

// goal returns what a spec consents to and was not used up.
func (c consents) goal(spec api.DBReplication) (replication.Goal, error) {
	book, err := c.load()
	if statefile.As(err) != nil {
		return replication.Goal{}, nil //nolint:nilerr // until the next apply has begun another book
	}
	if err != nil {
		return replication.Goal{}, err
	}
	var goal replication.Goal
	if r := spec.Reseed; r != nil && !book.reseeded(replication.NodeID(r.Node), r.Token) {
		goal.Reseed = map[replication.NodeID]string{replication.NodeID(r.Node): r.Token}
	}
	if d := spec.Drop; d != nil && !book.dropped(d.Token) {
		goal.Drop = replication.Drop{Databases: d.Databases, Users: d.Users}
	}
	return goal, nil
}

// mend goes on without the coordinator's own files that are damaged: each step
// can be done again, and a new look at the machines shows which have to. What is
// consented to now may have been used before, so that it counts as used.
func (c *coordinator) mend(ctx context.Context, given api.DBReplication) error {
	_, err := c.journal.Load(ctx)
	lost := statefile.As(err)
	if lost == nil && c.consents.damaged() == nil {
		return nil
	}
	c.progress(api.PhaseActivate, "a file of the coordinator is damaged: taking a new look; consents that are given now count as used up, give another token where one is needed")
	if err := c.consents.restart(given); err != nil || lost == nil {
		return err
	}
	_, err = statefile.SetAside(agentDir(lost.Path), lost.Path)
	return err
}

// restart takes what is consented to now as used up, in a new book if the
// present one is damaged.
func (c consents) restart(given api.DBReplication) error {
	book, err := c.load()
	if err != nil && statefile.As(err) == nil {
		return err
	}
	if given.Reseed != nil {
		book.useReseed(replication.NodeID(given.Reseed.Node), given.Reseed.Token)
	}
	if given.Drop != nil {
		book.useDrop(given.Drop.Token)
	}
	return writeDurably(c.path(), book)
}

// begin notes by which token an operation may drop.
func (c consents) begin(operation string, spec api.DBReplication) error {
	if spec.Drop == nil {
		return nil
	}
	book, err := c.load()
	if err != nil {
		return err
	}
	book.Operation, book.Token = operation, spec.Drop.Token
	return writeDurably(c.path(), book)
}

// settle notes what the steps of an operation that are done have used up.
func (c consents) settle(entry *replication.Entry) error {
	if entry == nil || entry.Undoing != "" {
		return nil
	}
	return c.use(func(book *consentBook) {
		for _, step := range entry.Operation.Steps[:entry.Next] {
			if step.Do.Consent != "" {
				book.useReseed(step.Node, step.Do.Consent)
			}
			if !step.Do.Drop.Empty() && book.Operation == entry.Operation.ID {
				book.useDrop(book.Token)
			}
		}
	})
}

// withdrawn tells whether what is left of an operation would use a consent that
// a spec does not give, or gives for something else.
func withdrawn(entry replication.Entry, given api.DBReplication) bool {
	if entry.Ended || entry.Undoing != "" {
		return false
	}
	return slices.ContainsFunc(entry.Operation.Steps[entry.Next:], func(step replication.Step) bool {
		reseed, drop := step.Do.Consent, step.Do.Drop
		return reseed != "" && (given.Reseed == nil || *given.Reseed != api.DBReseed{Node: string(step.Node), Token: reseed}) ||
			!drop.Empty() && (given.Drop == nil || !slices.Equal(drop.Databases, given.Drop.Databases) || !slices.Equal(drop.Users, given.Drop.Users))
	})
}

// finish notes that an apply of the spec has ended well. A consent that was not
// needed is used up, too, unless its member could not be looked at.
func (c consents) finish(spec api.DBReplication, s replication.Snapshot) error {
	return c.use(func(book *consentBook) {
		if spec.Reseed != nil {
			if id := replication.NodeID(spec.Reseed.Node); s.Nodes[id].Unobservable == nil {
				book.useReseed(id, spec.Reseed.Token)
			}
		}
		if spec.Drop != nil {
			book.useDrop(spec.Drop.Token)
		}
	})
}

// use changes the book, and writes it if that changed it.
func (c consents) use(change func(*consentBook)) error {
	book, err := c.load()
	if err != nil {
		return err
	}
	before := string(api.Encode(book))
	if change(&book); string(api.Encode(book)) == before {
		return nil
	}
	return writeDurably(c.path(), book)
}

func (b *consentBook) reseeded(node replication.NodeID, token string) bool {
	return slices.Contains(b.Reseed[node], token)
}

func (b *consentBook) dropped(token string) bool { return slices.Contains(b.Drop, token) }

func (b *consentBook) useReseed(node replication.NodeID, token string) {
	if !b.reseeded(node, token) {
		b.Reseed[node] = append(b.Reseed[node], token)
	}
}

func (b *consentBook) useDrop(token string) {
	if !b.dropped(token) {
		b.Drop = append(b.Drop, token)
	}
}
