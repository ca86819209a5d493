package replication

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/gtid"
)

// Lexicon is an [Engine] that says which names in a catalog its server does not
// know. It asks the server, as another release knows others.
type Lexicon interface {
	// Unknown returns the character sets and collations of databases that the
	// server does not have, by database. It writes nothing.
	Unknown(ctx context.Context, databases map[string]Database) (map[string]UnknownNames, error)
}

// UnknownNames are names of one database that its server does not know; what is
// nil is known.
type UnknownNames struct {
	Charset, Collation *UnknownName
}

// UnknownName is a name that a server does not know.
type UnknownName struct {
	// Version is the server's, Nearest are names that it knows.
	Version string
	Nearest []string
}

// Engine is one database server, seen by the agent of its machine through the
// server's own local API. Every method can be called twice, and again after a
// crash anywhere in it. The tests of package enginetest say what each means.
type Engine interface {
	// Observe asks the server; it writes nothing.
	Observe(ctx context.Context) (EngineView, error)
	// Differences tells in words what of wanted is not so, and writes nothing.
	Differences(ctx context.Context, wanted Catalog, secrets Secrets) ([]string, error)

	// Fence makes the server refuse writes and cuts the clients that may be
	// in the middle of one. Unfence lets writes in; it is the one way to do so,
	// and only the agent calls it, when it knows that the server is primary.
	Fence(ctx context.Context) error
	Unfence(ctx context.Context) error

	// Position returns where the data stand, WaitFor returns once they are at
	// least there, or ctx's error.
	Position(ctx context.Context) (string, error)
	WaitFor(ctx context.Context, position string) error

	// Claim writes the origin of the data set on a primary that has none, and
	// what replication itself needs: accounts and the heartbeat's table. It
	// does not change an origin that is there.
	Claim(ctx context.Context, origin string, secrets Secrets) error
	// Provision makes databases, users and grants as wanted. What is wanted no
	// more stays, unless drop names it.
	Provision(ctx context.Context, wanted Catalog, drop Drop, secrets Secrets) error
	// Retire removes the replication's own accounts from a primary.
	Retire(ctx context.Context) error
	// Beat writes the heartbeat of a primary, as an account that the fence stops.
	Beat(ctx context.Context, epoch uint64, writer NodeID) error

	// Follow makes the server a fenced replica of source, from where its data
	// stand. Detach makes it follow nobody, and leaves the fence as it is.
	Follow(ctx context.Context, source Source) error
	Detach(ctx context.Context) error
	// Set changes settings of the running server.
	Set(ctx context.Context, settings map[string]string) error

	// Donate writes a copy of the server's data, taken while it serves.
	Donate(ctx context.Context, to io.Writer) error
	// Receive replaces the server's data by a donated copy: it stops the server,
	// never lets half a copy serve, and returns with the server up and fenced.
	// Progress, which may be nil, gets the bytes that have arrived.
	Receive(ctx context.Context, donor NodeID, from io.Reader, progress func(bytes int64)) error
	// SeedState returns the mark of a seed that has not ended, nil if there is none.
	SeedState() (*SeedMark, error)
	// ResumeSeed ends a seed of which the copy is whole; without a seed it does
	// nothing. It reports whether there was one that it cannot end, because the
	// copy is not whole: that has to be received again.
	ResumeSeed(ctx context.Context) (incomplete bool, err error)
	// AbandonSeed takes a seed back, with its mark: the data stay that it was to
	// replace. One whose copy took their place already is ended instead.
	AbandonSeed(ctx context.Context) error
}

// Source is what a replica follows.
type Source struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	// CA, Certificate and Key are paths that the server can read. The source
	// has to show a certificate for Host by CA.
	CA          string `json:"ca"`
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	// As is the member that follows: each has an account of its own. Password is
	// that of these accounts.
	As       NodeID     `json:"as,omitempty"`
	Password api.Secret `json:"-"`
	// Delay is how long changes are held back, in whole seconds.
	Delay api.Duration `json:"delay,omitempty"`
}

// Catalog is what is managed inside the databases.
type Catalog struct {
	Databases map[string]Database `json:"databases,omitempty"`
	Users     map[string]User     `json:"users,omitempty"`
}

// Database is one database. Empty values leave the server's default.
type Database struct {
	Charset   string `json:"charset,omitempty"`
	Collation string `json:"collation,omitempty"`
}

// User is an account of an app, which may connect from wherever the server's
// network rules let it. Its password is among the [Secrets].
type User struct {
	// Grants are the privileges by database, in the engine's words.
	Grants map[string][]string `json:"grants,omitempty"`
	// RequireTLS refuses connections that are not encrypted.
	RequireTLS bool `json:"require_tls,omitempty"`
	// PasswordVersion changes when the password does.
	PasswordVersion int64 `json:"password_version,omitempty"`
}

// Drop is the consent to drop what it names, and nothing else.
type Drop struct {
	Databases []string `json:"databases,omitempty"`
	Users     []string `json:"users,omitempty"`
}

// Empty reports whether nothing is to be dropped.
func (d Drop) Empty() bool { return len(d.Databases) == 0 && len(d.Users) == 0 }

// words says what is dropped, to follow what else is done.
func (d Drop) words() string {
	text := ""
	switch len(d.Databases) {
	case 0:
	case 1:
		text = fmt.Sprintf("; drop the database %q with all its data", d.Databases[0])
	default:
		text = "; drop the databases " + quoted(d.Databases) + " with all their data"
	}
	switch len(d.Users) {
	case 0:
	case 1:
		text += fmt.Sprintf("; drop the user %q", d.Users[0])
	default:
		text += "; drop the users " + quoted(d.Users)
	}
	return text
}

func quoted(names []string) string {
	all := make([]string, 0, len(names))
	for _, name := range names {
		all = append(all, strconv.Quote(name))
	}
	return strings.Join(all, ", ")
}

// Secrets are the passwords of a replication. They are in no snapshot, plan or journal.
type Secrets struct {
	// Replication is the password of the accounts that replicas use, and Replicas
	// are the certificates that they have to show as well, by member: whoever has
	// the password alone gets in nowhere. Each member has an account of its own;
	// that of one that is a member no more is removed.
	Replication api.Secret
	Replicas    map[NodeID]Certificate
	// Users are the passwords by user.
	Users map[string]api.Secret
}

// Certificate says which certificate somebody has to show: one that the server's
// CA has signed, with this subject and this issuer. Any certificate of a
// deployment's CA is signed by it, also an app's.
type Certificate struct {
	Subject, Issuer pkix.Name
}

// algebra compares the positions of an engine, in the engine's own text.
type algebra interface {
	// Missing returns what of history is not in other, "" if it is a subset.
	Missing(history, other string) (string, error)
	// CanFollow reports whether data at position applied can catch up from
	// logs that begin at oldest. What is not known cannot.
	CanFollow(applied, oldest string) (bool, error)
}

// algebraOf returns an engine's algebra.
func algebraOf(engine api.DBEngine) (algebra, error) {
	switch engine {
	case api.EngineMariaDB:
		return sequences{}, nil
	}
	return nil, fmt.Errorf("there is no replication for engine %q; there is for %v", engine, api.DBEngines())
}

// sequences is the algebra of MariaDB's GTIDs.
type sequences struct{}

func (sequences) Missing(history, other string) (string, error) {
	a, b, err := parseBoth(history, other)
	return a.Missing(b).String(), err
}

func (sequences) CanFollow(applied, oldest string) (bool, error) {
	a, b, err := parseBoth(applied, oldest)
	return err == nil && a.CanFollow(b), err
}

func parseBoth(one, other string) (a, b gtid.Set, err error) {
	if a, err = gtid.Parse(one); err == nil {
		b, err = gtid.Parse(other)
	}
	return a, b, err
}
