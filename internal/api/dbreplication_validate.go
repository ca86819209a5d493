package api

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a replication. MariaDB ends names of databases at 64 and of users
// at 80 characters; ours are those that need no quotes anywhere.
const (
	maxDBMembers = 9
	maxDBPeers   = 15
	maxDBObjects = 1000
)

var (
	dbNamePattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?$`)
	dbWordPattern = regexp.MustCompile(`^[A-Za-z0-9_]*$`)
)

// Names of character sets and collations: the one to advise, the one that
// MariaDB takes for another, and those collations that it takes without theirs.
const (
	dbCharset         = "utf8mb4"
	dbCharsetAlias    = "utf8"
	dbCharsetMeant    = "utf8mb3"
	dbCollationFamily = "uca1400"
)

// dbReservedDatabases and dbReservedUsers are the server's and our own.
func dbReservedDatabases() []string {
	return []string{"mysql", "information_schema", "performance_schema", "sys", "foobar"}
}

func dbReservedUsers() []string { return []string{"root", "mysql", "mariadb.sys", "public"} }

// dbReservedUserPrefix begins the names of the replication's own accounts.
const dbReservedUserPrefix = "foobar_"

// Claims returns nothing: the members' servers listen, not their replication.
func (DBReplication) Claims() []Claim { return nil }

// Validate returns what is wrong with the replication on any machine, in the
// order of its fields.
func (r DBReplication) Validate() Violations {
	var v Violations
	oneOf(&v, "/engine", r.Engine, DBEngines())
	if _, ok := r.Members[r.Primary]; !ok {
		v.Add("/primary", "%q is not a member; the members are: %s", r.Primary, list(slices.Sorted(maps.Keys(r.Members))))
	}
	r.validateMembers(&v)
	r.validateWitnesses(&v)
	for _, name := range slices.Sorted(maps.Keys(r.Databases)) {
		at := Pointer("/databases").At(name)
		validateDatabaseName(&v, at, name)
		r.Databases[name].validate(&v, r.Engine, at)
	}
	within(&v, "/databases", int64(len(r.Databases)), DBObjectBounds(), "databases")
	within(&v, "/users", int64(len(r.Users)), DBObjectBounds(), "users")
	for _, name := range slices.Sorted(maps.Keys(r.Users)) {
		validateUserName(&v, Pointer("/users").At(name), name)
		r.Users[name].validate(&v, r.Engine, Pointer("/users").At(name))
	}
	if want := r.PasswordsVersion(); r.SecretsVersion != want {
		v.Add("/secrets_version", "is %d; that of these users is %d", r.SecretsVersion, want)
	}
	between(&v, "/max_lag", r.MaxLag, LagBounds())
	between(&v, "/lag_hold", r.LagHold, LagBounds())
	between(&v, "/min_binlog_retention", r.MinBinlogRetention, LagBounds())
	r.validateConsents(&v)
	return v
}

func (r DBReplication) validateMembers(v *Violations) {
	within(v, "/members", int64(len(r.Members)), MemberBounds(), "members")
	ids, hosts := map[uint32]string{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(r.Members)) {
		at, member := Pointer("/members").At(name), r.Members[name]
		validateName(v, at, name)
		member.validate(v, at)
		if member.ServerID == 0 {
			within(v, at.At("server_id"), 0, ServerIDBounds(), "")
		} else if other, taken := ids[member.ServerID]; taken {
			v.Add(at.At("server_id"), "%d is the server id of %q too; give each member's foobar_db_server one of its own", member.ServerID, other)
		}
		if other, taken := hosts[member.endpoint()]; taken {
			v.Add(at.At("host"), "%s is where %q is reached too; a machine takes part once", member.endpoint(), other)
		}
		ids[member.ServerID], hosts[member.endpoint()] = name, name
	}
}

// Validate returns what is wrong with a membership.
func (m DBMembership) Validate() Violations {
	var v Violations
	within(&v, "/peers", int64(len(m.Peers)), Bounds{1, maxDBPeers}, "machines")
	for _, name := range slices.Sorted(maps.Keys(m.Peers)) {
		at := Pointer("/peers").At(name)
		validateName(&v, at, name)
		m.Peers[name].validate(&v, at)
	}
	within(&v, "/members", int64(len(m.Members)), MemberBounds(), "members")
	for i, name := range m.Members {
		at := Pointer("/members").At(i)
		if _, ok := m.Peers[name]; !ok {
			v.Add(at, "%q is not among the peers; they are: %s", name, list(slices.Sorted(maps.Keys(m.Peers))))
		}
		if slices.Contains(m.Members[:i], name) {
			v.Add(at, "%q is there twice", name)
		}
	}
	return v
}

func (m DBMember) endpoint() string { return net.JoinHostPort(m.Host, strconv.Itoa(m.Port)) }

func (m DBMember) validate(v *Violations, at Pointer) {
	m.DBPeer.validate(v, at)
	validateName(v, at.At("server"), m.Server)
	if address, err := netip.ParseAddr(m.Host); err != nil || address.Zone() != "" || address.IsUnspecified() || address.IsMulticast() {
		v.Add(at.At("host"), "%q is not an IP address at which the other members reach the server", m.Host)
	}
	validatePort(v, at.At("port"), m.Port)
	before := len(*v)
	between(v, at.At("delay"), m.Delay, DelayBounds())
	if len(*v) == before && time.Duration(m.Delay)%time.Second != 0 {
		v.Add(at.At("delay"), "%s is not in whole seconds, which is what the server counts in", m.Delay)
	}
}

func (p DBPeer) validate(v *Violations, at Pointer) {
	if _, port, err := net.SplitHostPort(p.Address); err != nil || port == "" {
		v.Add(at.At("address"), "%q is not the \"host:port\" of an agent", p.Address)
	}
	if p.Key != "" {
		if err := CheckKeyPin(p.Key); err != nil {
			v.Add(at.At("key"), "%s", err)
		}
	}
	if p.Incarnation < 0 {
		v.Add(at.At("incarnation"), "%d is no incarnation; they count from 1", p.Incarnation)
	}
}

func (r DBReplication) validateWitnesses(v *Violations) {
	within(v, "/witnesses", int64(len(r.Witnesses)), WitnessBounds(), "witnesses")
	for _, name := range slices.Sorted(maps.Keys(r.Witnesses)) {
		at := Pointer("/witnesses").At(name)
		validateName(v, at, name)
		r.Witnesses[name].validate(v, at)
		if _, member := r.Members[name]; member {
			v.Add(at, "%q is a member, which votes already; a witness is a machine without a database of the replication", name)
		}
	}
}

func (u DBUser) validate(v *Violations, engine DBEngine, at Pointer) {
	validateVersion(v, at.At("password_version"), u.PasswordVersion)
	for _, database := range slices.Sorted(maps.Keys(u.Grants)) {
		on := at.At("grants", database)
		validateDatabaseName(v, on, database)
		if len(u.Grants[database]) == 0 {
			v.Add(on, "there is no privilege; name some, or leave the database out")
		}
		for i, word := range u.Grants[database] {
			if word != "ALL" && !slices.Contains(DBPrivileges(engine), word) {
				v.Add(on.At(i), "%q is no privilege on a database; there are \"ALL\" and %s", word, list(DBPrivileges(engine)))
			}
		}
	}
}

func (r DBReplication) validateConsents(v *Violations) {
	if r.Reseed != nil {
		if _, ok := r.Members[r.Reseed.Node]; !ok || r.Reseed.Node == r.Primary {
			v.Add("/reseed/node", "%q is not a replica; name a member that is not the primary, or remove reseed if it has been used", r.Reseed.Node)
		}
		validateConsent(v, "/reseed/token", r.Reseed.Token)
	}
	if r.Drop == nil {
		return
	}
	validateConsent(v, "/drop/token", r.Drop.Token)
	for i, name := range r.Drop.Databases {
		if _, still := r.Databases[name]; still {
			v.Add(Pointer("/drop/databases").At(i), "%q is still in databases; take it out of databases, or out of drop", name)
		}
		validateDatabaseName(v, Pointer("/drop/databases").At(i), name)
	}
	for i, name := range r.Drop.Users {
		if _, still := r.Users[name]; still {
			v.Add(Pointer("/drop/users").At(i), "%q is still in users; take it out of users, or out of drop", name)
		}
		validateUserName(v, Pointer("/drop/users").At(i), name)
	}
}

func validateConsent(v *Violations, at Pointer, token string) {
	if !ConsentBounds().Hold(int64(len(token))) || strings.ContainsFunc(token, isControl) {
		v.Add(at, "%q is no token: write any text of %s bytes in one line, and another one each time", token, ConsentBounds())
	}
}

func validateDatabaseName(v *Violations, at Pointer, name string) {
	switch {
	case !dbNamePattern.MatchString(name):
		v.Add(at, "%q is not a name for a database: %s", name, DBNameRule)
	case slices.Contains(dbReservedDatabases(), strings.ToLower(name)):
		v.Add(at, "%q is the server's own; choose another name", name)
	}
}

func validateUserName(v *Violations, at Pointer, name string) {
	switch {
	case !dbNamePattern.MatchString(name):
		v.Add(at, "%q is not a name for a user: %s", name, DBNameRule)
	case slices.Contains(dbReservedUsers(), strings.ToLower(name)), strings.HasPrefix(strings.ToLower(name), dbReservedUserPrefix):
		v.Add(at, "%q is the server's own; choose another name", name)
	}
}

// validateWord reports whether there is a word that may be looked at further.
func validateWord(v *Violations, at Pointer, word string) bool {
	if !dbWordPattern.MatchString(word) {
		v.Add(at, "%q is not a word of letters, digits and underscores, such as %q", word, "utf8mb4")
		return false
	}
	return word != ""
}

// validate refuses names that the server takes and shows as others: what it
// shows would differ from the spec for ever. Which names there are is for the
// server to say: the agent asks it.
func (d DBDatabase) validate(v *Violations, engine DBEngine, at Pointer) {
	charset := strings.ToLower(d.Charset)
	if on := at.At("charset"); validateWord(v, on, d.Charset) {
		if charset == dbCharsetAlias {
			v.Add(on, "%q is another name of %q, which is what the server shows; write that, or better %q, which has all of Unicode", d.Charset, dbCharsetMeant, dbCharset)
			charset = dbCharsetMeant
		}
	}
	if on := at.At("collation"); validateWord(v, on, d.Collation) {
		d.validateCollation(v, engine, on, charset)
	}
}

// validateCollation is validate for the collation of a database with that
// character set, "" for the server's.
func (d DBDatabase) validateCollation(v *Violations, engine DBEngine, on Pointer, charset string) {
	collation := strings.ToLower(d.Collation)
	prefix, rest, _ := strings.Cut(collation, "_")
	switch {
	case prefix == dbCharsetAlias && rest != "":
		v.Add(on, "%q is another name of %q, which is what the server shows; write that, or better one of %q, which has all of Unicode", d.Collation, dbCharsetMeant+"_"+rest, dbCharset)
	case prefix == dbCollationFamily:
		v.Add(on, "%q lacks its character set, with which the server shows it; write %q", d.Collation, cmp.Or(charset, dbCharset)+"_"+collation)
	case rest == "" && collation != "binary":
		v.Add(on, "%q is not a collation of %s: those begin with their character set, as %q does", d.Collation, engine, dbCharset+"_bin")
	case charset != "" && charset != prefix:
		v.Add(on, "%q is a collation of the character set %q, not of %q", d.Collation, prefix, d.Charset)
	}
}
