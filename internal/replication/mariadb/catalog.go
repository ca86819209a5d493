package mariadb

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// ownSchema is the replication's own database.
const ownSchema = "foobar"

// Privileges lists what may be granted on a database. "ALL" stands for all of it.
func Privileges() []string { return api.DBPrivileges(api.EngineMariaDB) }

// state is what exists, or is to exist, of what is managed.
type state struct {
	databases map[string]replication.Database
	accounts  map[string]account
}

// account is one account of the server.
type account struct {
	name, host string
	// secret is the hash of its password, or the operating system's user that
	// its socket is bound to; "" is not known, and not compared.
	secret string
	socket bool
	// require is what its connections have to be, as SQL has it.
	require string
	// global are the privileges on everything, grants those by database.
	global []string
	grants map[string][]string
	// onTable limits the grants to that table of each database, "" is the database.
	onTable string
	// beyond is what it has on anything else, sorted by what that is.
	beyond []grant
}

// change is one statement, and what it is for in words that hold no secret. A
// change without a statement cannot be made: a password is missing.
type change struct{ says, sql string }

// converge returns what has to be done so that wanted exists. What exists
// beyond it stays, unless drop names it; the privileges of a wanted account
// become exactly the wanted ones. Pure.
func converge(have, wanted state, drop replication.Drop) ([]change, error) {
	var b builder
	for _, name := range slices.Sorted(maps.Keys(wanted.databases)) {
		b.database(name, have.databases, wanted.databases[name])
	}
	for _, name := range slices.Sorted(maps.Keys(wanted.accounts)) {
		b.account(have.accounts[name], wanted.accounts[name])
	}
	for _, name := range slices.Sorted(maps.Keys(have.accounts)) {
		b.formerReplica(name, wanted)
	}
	for _, name := range slices.Sorted(slices.Values(drop.Users)) {
		b.dropUser(name, have, wanted)
	}
	for _, name := range slices.Sorted(slices.Values(drop.Databases)) {
		b.dropDatabase(name, have, wanted)
	}
	return b.changes, b.err
}

// builder collects changes, and the first error.
type builder struct {
	changes []change
	err     error
}

func (b *builder) add(says, format string, args ...any) {
	b.changes = append(b.changes, change{says: says, sql: fmt.Sprintf(format, args...)})
}

// check keeps the first error and reports whether there was none.
func (b *builder) check(err error) bool {
	b.err = cmp.Or(b.err, err)
	return err == nil
}

func (b *builder) database(name string, have map[string]replication.Database, wanted replication.Database) {
	quoted, err := Identifier(name)
	if !b.check(err) || !b.check(checkWords(name, wanted.Charset, wanted.Collation)) {
		return
	}
	options := ""
	if wanted.Charset != "" {
		options += " CHARACTER SET " + wanted.Charset
	}
	if wanted.Collation != "" {
		options += " COLLATE " + wanted.Collation
	}
	now, exists := have[name]
	switch {
	case !exists:
		b.add(fmt.Sprintf("database %q does not exist", name), "CREATE DATABASE IF NOT EXISTS %s%s", quoted, options)
	case differs(now.Charset, wanted.Charset) || differs(now.Collation, wanted.Collation):
		b.add(fmt.Sprintf("database %q has charset %s and collation %s", name, now.Charset, now.Collation), "ALTER DATABASE %s%s", quoted, options)
	}
}

func differs(have, wanted string) bool { return wanted != "" && !strings.EqualFold(have, wanted) }

func checkWords(name string, words ...string) error {
	for _, word := range words {
		if word != "" && !isWord(word) {
			return fmt.Errorf("database %q: %q is no charset or collation", name, word)
		}
	}
	return nil
}

func (b *builder) account(have, wanted account) {
	who := quoted(wanted.name) + "@" + quoted(wanted.host)
	label := fmt.Sprintf("user %q", wanted.name)
	exists := have.name != ""
	switch secret, require := wanted.secret, " REQUIRE "+wanted.require; {
	case !exists && secret == "":
		b.changes = append(b.changes, change{says: label + " does not exist, and no password was given for it"})
		return
	case !exists:
		b.add(label+" does not exist", "CREATE USER IF NOT EXISTS %s %s%s", who, identified(wanted), require)
	case secret != "" && (have.secret != secret || have.socket != wanted.socket):
		b.add(label+" has another password", "ALTER USER %s %s%s", who, identified(wanted), require)
	case have.require != wanted.require:
		b.add(fmt.Sprintf("%s may connect with REQUIRE %s, and should with REQUIRE %s", label, have.require, wanted.require), "ALTER USER %s%s", who, require)
	}
	b.privileges(label, who, have, wanted)
}

func identified(a account) string {
	if a.socket {
		return "IDENTIFIED VIA unix_socket AS " + quoted(a.secret)
	}
	return "IDENTIFIED BY PASSWORD " + quoted(a.secret)
}

// without returns what of a is not in b, in order.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Sorted(slices.Values(a)), func(s string) bool { return slices.Contains(b, s) })
}

func (b *builder) dropUser(name string, have, wanted state) {
	_, still := wanted.accounts[name]
	if !b.check(checkUser(name)) || still {
		return // it was taken back into the configuration
	}
	if _, exists := have.accounts[name]; exists {
		b.add(fmt.Sprintf("user %q is to be dropped", name), "DROP USER IF EXISTS %s@'%%'", quoted(name))
	}
}

func (b *builder) dropDatabase(name string, have, wanted state) {
	quoted, err := Identifier(name)
	_, still := wanted.databases[name]
	if !b.check(err) || !b.check(checkDatabase(name)) || still {
		return
	}
	if _, exists := have.databases[name]; exists {
		b.add(fmt.Sprintf("database %q is to be dropped", name), "DROP DATABASE IF EXISTS %s", quoted)
	}
}

// wantedState is what a catalog asks for, with the replication's own accounts: of
// these, osUser is the agent's user and owner the server's.
func wantedState(catalog replication.Catalog, secrets replication.Secrets, osUser, owner string) (state, error) {
	s, err := ownState(secrets, osUser, owner)
	if err != nil {
		return state{}, err
	}
	for name, database := range catalog.Databases {
		if err := checkDatabase(name); err != nil {
			return state{}, err
		}
		s.databases[name] = database
	}
	for name, user := range catalog.Users {
		if err := checkUser(name); err != nil {
			return state{}, err
		}
		a := account{name: name, host: "%", require: requireNone, grants: map[string][]string{}}
		if user.RequireTLS {
			a.require = requireTLS
		}
		if password, ok := secrets.Users[name]; ok && password != "" {
			a.secret = nativeHash(password.Reveal())
		}
		for database, words := range user.Grants {
			if err := checkDatabase(database); err != nil {
				return state{}, fmt.Errorf("user %q: %w", name, err)
			}
			a.grants[database] = expand(words)
		}
		s.accounts[name] = a
	}
	return s, nil
}

// expand puts privileges in capitals, each once, and all in the place of "ALL".
func expand(words []string) []string {
	var all []string
	for _, word := range words {
		switch word = strings.ToUpper(strings.TrimSpace(word)); word {
		case "ALL", "ALL PRIVILEGES":
			return Privileges()
		default:
			all = append(all, word)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// checkDatabase refuses names of databases that are not a user's.
func checkDatabase(name string) error {
	if slices.Contains([]string{"mysql", "information_schema", "performance_schema", "sys", ownSchema}, strings.ToLower(name)) {
		return fmt.Errorf("the database %q is the server's own; choose another name", name)
	}
	return checkName(name, maxDatabaseName)
}

// checkUser refuses names of accounts that are not an app's.
func checkUser(name string) error {
	if slices.Contains([]string{"root", "mysql", "mariadb.sys", "public"}, strings.ToLower(name)) || strings.HasPrefix(strings.ToLower(name), ownSchema+"_") {
		return fmt.Errorf("the user %q is the server's own; choose another name", name)
	}
	return checkName(name, maxUserName)
}
