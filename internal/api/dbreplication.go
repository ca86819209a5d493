package api

import (
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"time"
)

// DBReplication is the spec of a replication: one primary, and replicas that
// follow it. The agent of the primary's machine coordinates what is done for
// it; every member and witness knows of it. Every field is given on the wire,
// apart from those that say otherwise; the defaults belong to the provider's
// schema, in [DefaultDBReplication].
type DBReplication struct {
	Engine DBEngine `json:"engine"`
	// Primary names the member that is to take the writes.
	Primary string `json:"primary"`
	// Members are the database servers that take part, by the name of the
	// machine that each is on. One alone is a replication too.
	Members map[string]DBMember `json:"members"`
	// Witnesses are machines without a database that count in a majority, by name.
	Witnesses map[string]DBPeer `json:"witnesses"`
	// Databases and Users are made on the primary and copied with the data.
	// One that is taken out of the spec stays; see Drop.
	Databases map[string]DBDatabase `json:"databases"`
	Users     map[string]DBUser     `json:"users"`
	// SecretsVersion is [DBReplication.PasswordsVersion]. The write's secrets
	// hold the password of each user by its name.
	SecretsVersion int64 `json:"secrets_version"`
	// MaxLag is what a replica may lag, 0 for any; it is reported when it lasts for LagHold.
	MaxLag  Duration `json:"max_lag"`
	LagHold Duration `json:"lag_hold"`
	// MinBinlogRetention is the shortest time for which members have to keep
	// binary logs, 0 for any: more than the longest outage and the time of a seed.
	MinBinlogRetention Duration `json:"min_binlog_retention"`
	// Reseed and Drop are consents that count once, nil if there is none.
	Reseed *DBReseed `json:"reseed,omitempty"`
	Drop   *DBDrop   `json:"drop,omitempty"`
}

// DBPeer is how the machines of a replication find and know each other's agent.
type DBPeer struct {
	// Address is where the agent is reached, "host:port".
	Address string `json:"address"`
	// Key is the pin of the machine's key, "" if it is not known.
	Key string `json:"key"`
	// Incarnation tells which machine of that name it is, 0 if that is not known.
	Incarnation int64 `json:"incarnation"`
}

// DBMember is one database server of a replication.
type DBMember struct {
	DBPeer
	// Server is the name of the database server on its machine.
	Server string `json:"server"`
	// ServerID is the server id that it is known to have.
	ServerID uint32 `json:"server_id"`
	// Host is the IP address at which the other members reach the server, Port its TCP port.
	Host string `json:"host"`
	Port int    `json:"port"`
	// Delay is how long the member, as a replica, holds changes back, in whole seconds.
	Delay Duration `json:"delay"`
}

// DBDatabase is a database. Empty values leave the server's default.
type DBDatabase struct {
	Charset   string `json:"charset"`
	Collation string `json:"collation"`
}

// DBUser is an account of an app. It may connect from wherever the members'
// allowed clients are.
type DBUser struct {
	// PasswordVersion changes when the password does, from 1.
	PasswordVersion int64 `json:"password_version"`
	// Grants are the privileges by database, see [DBPrivileges]; "ALL" stands for all of them.
	Grants map[string][]string `json:"grants"`
	// RequireTLS refuses connections that are not encrypted.
	RequireTLS bool `json:"require_tls"`
}

// DBReseed is the consent to discard what one member's data have and the
// primary's have not, and to copy the primary's. It counts once for each token.
type DBReseed struct {
	Node  string `json:"node"`
	Token string `json:"token"`
}

// DBDrop is the consent to drop databases and users that are not in the spec
// any more. It counts once for each token.
type DBDrop struct {
	Databases []string `json:"databases"`
	Users     []string `json:"users"`
	Token     string   `json:"token"`
}

// DefaultDBReplication returns a replication that lacks only its members and
// primary.
func DefaultDBReplication() DBReplication {
	return DBReplication{
		Engine: EngineMariaDB, Members: map[string]DBMember{}, Witnesses: map[string]DBPeer{},
		Databases: map[string]DBDatabase{}, Users: map[string]DBUser{},
		MaxLag: Duration(10 * time.Second), LagHold: Duration(30 * time.Second), MinBinlogRetention: Duration(24 * time.Hour),
	}
}

// DBPrivileges lists what may be granted on a database: all that MariaDB 11.8
// has on that level but GRANT OPTION.
func DBPrivileges(DBEngine) []string {
	return []string{
		"ALTER", "ALTER ROUTINE", "CREATE", "CREATE ROUTINE", "CREATE TEMPORARY TABLES", "CREATE VIEW", "DELETE", "DELETE HISTORY",
		"DROP", "EVENT", "EXECUTE", "INDEX", "INSERT", "LOCK TABLES", "REFERENCES", "SELECT", "SHOW CREATE ROUTINE", "SHOW VIEW", "TRIGGER", "UPDATE",
	}
}

// PasswordsVersion is the version of all passwords together: another one as
// soon as any user's is another, or the users are; 0 without users.
func (r DBReplication) PasswordsVersion() int64 {
	if len(r.Users) == 0 {
		return 0
	}
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(r.Users)) {
		_, _ = h.Write([]byte(strconv.Quote(name) + strconv.FormatInt(r.Users[name].PasswordVersion, 10) + ";"))
	}
	return max(int64(h.Sum64()>>2), 1) // positive, and exact in JSON readers that count in 62 bits
}

// Peers returns members and witnesses, by machine.
func (r DBReplication) Peers() map[string]DBPeer {
	peers := maps.Clone(r.Witnesses)
	if peers == nil {
		peers = map[string]DBPeer{}
	}
	for name, member := range r.Members {
		peers[name] = member.DBPeer
	}
	return peers
}

// Membership returns which machines the replication has, and what for.
func (r DBReplication) Membership() DBMembership {
	return DBMembership{Peers: r.Peers(), Members: slices.Sorted(maps.Keys(r.Members))}
}

// DBMembership is what PUT /v1/replications/{name}/membership tells a machine:
// which machines it takes part in a replication with. It is the word of who
// holds the deployment's seed, and counts for more than any machine's.
type DBMembership struct {
	// Peers are all machines of the replication. These, and no others, may from
	// then on look at the machine's part.
	Peers map[string]DBPeer `json:"peers"`
	// Members name the peers that have a database. Only they may coordinate the
	// replication and copy its data; the others are witnesses.
	Members []string `json:"members"`
}

// Member reports whether a machine is a member, which has a database.
func (m DBMembership) Member(machine string) bool { return slices.Contains(m.Members, machine) }

// DBApplied is what GET /v1/replications/{name}/component answers.
type DBApplied struct {
	// Applied tells whether the machine has the replication as a component, or an
	// operation is making it one.
	Applied bool `json:"applied"`
}

// DBCaller is the machine that calls about a replication: its name, and the pin
// of the key with which it proved to be that machine. A machine takes part if
// the membership has its name, with that key or with none.
type DBCaller struct {
	Node string `json:"node"`
	Key  string `json:"key"`
}

// DBLock is the body of PUT and DELETE /v1/replications/{name}/lock: the
// operation that the lock belongs to.
type DBLock struct {
	Operation string `json:"operation"`
}

// DBConfig is what the coordinator tells every machine of a replication before
// it gives orders: PUT /v1/replications/{name}.
type DBConfig struct {
	Spec DBReplication `json:"spec"`
	// Replication is the password of the account that replicas use.
	Replication Secret `json:"replication"`
	// Users are the passwords by user; only members are given them.
	Users map[string]Secret `json:"users,omitempty"`
}

// DBReplicationStatus is what moves by itself in a replication, merged from
// what those machines say that answer.
type DBReplicationStatus struct {
	// CurrentPrimary is who is primary of the epoch, "" if nobody is known to be.
	CurrentPrimary string `json:"current_primary"`
	Epoch          uint64 `json:"epoch"`
	// Writable tells whether the primary takes writes now.
	Writable  bool                       `json:"writable"`
	Members   map[string]DBMemberStatus  `json:"members"`
	Witnesses map[string]DBWitnessStatus `json:"witnesses"`
}

// DBRole is what a member is in its replication.
type DBRole string

// The roles of members.
const (
	DBRolePrimary DBRole = "primary"
	DBRoleReplica DBRole = "replica"
)

// DBMemberStatus is what one member shows.
type DBMemberStatus struct {
	// Reachable tells whether agent and database answered; Reason why not.
	Reachable bool   `json:"reachable"`
	Reason    string `json:"reason,omitempty"`
	Role      DBRole `json:"role"`
	// State says in a word what it does: "open", "fenced", "following",
	// "connecting", "stopped", "seeding", "joining", "unreachable".
	State string `json:"state"`
	// Version is the engine's, Epoch the one that its agent has recorded.
	Version  string `json:"version"`
	Epoch    uint64 `json:"epoch"`
	Writable bool   `json:"writable"`
	// Position is where its data stand, Source whom it follows, "" if nobody.
	Position string `json:"position"`
	Source   string `json:"source"`
	// Receiver and Applier are the states of a replica's threads, and their errors.
	Receiver      string `json:"receiver,omitempty"`
	ReceiverError string `json:"receiver_error,omitempty"`
	Applier       string `json:"applier,omitempty"`
	ApplierError  string `json:"applier_error,omitempty"`
	// LagMilliseconds is from the primary's heartbeat to its being applied
	// here, nil if it is not known, which is not 0.
	LagMilliseconds *int64 `json:"lag_milliseconds,omitempty"`
}

// DBWitnessStatus is what one witness shows.
type DBWitnessStatus struct {
	Reachable bool   `json:"reachable"`
	Reason    string `json:"reason,omitempty"`
	Epoch     uint64 `json:"epoch"`
}
