package api

// DBEngine is the program behind a database server.
type DBEngine string

// EngineMariaDB is MariaDB 11.8.
const EngineMariaDB DBEngine = "mariadb"

// DBEngines lists the engines of database servers.
func DBEngines() []DBEngine { return []DBEngine{EngineMariaDB} }

// DBServer is the spec of a database server: one instance of an engine with a
// unit, a data directory and a configuration of its own. It always boots
// fenced, which is read-only, and stays so until a replication opens it. Every
// field is given on the wire; the defaults belong to the provider's schema, in
// [DefaultDBServer].
type DBServer struct {
	Engine DBEngine `json:"engine"`
	// ServerID tells the members of a replication apart, 1 to 4294967295.
	ServerID uint32 `json:"server_id"`
	// ListenAddresses are the IP addresses of the machine that it listens on;
	// "*" is every address. None means the Unix socket alone.
	ListenAddresses []string `json:"listen_addresses"`
	// Port is the TCP port on these addresses.
	Port int `json:"port"`
	// AllowedClients are the networks (CIDR) that may connect; all others are
	// cut off before the engine sees them.
	AllowedClients []string `json:"allowed_clients"`
	// Settings are the engine's own variables, by their name with underscores;
	// see [DBSettings] for those that may be given and what they may be.
	Settings map[string]string `json:"settings"`
}

// MaxListedDatabases is how many databases a status names.
const MaxListedDatabases = 20

// DBServerStatus is what moves by itself in a database server.
type DBServerStatus struct {
	// Version is the engine's version.
	Version string `json:"version"`
	// PID is the engine's process, 0 if there is none.
	PID int `json:"pid"`
	// Fenced tells whether the engine refuses writes.
	Fenced bool `json:"fenced"`
	// Connections are the clients that are connected now.
	Connections int `json:"connections"`
	// DataBytes is the size of the data directory, BinlogBytes of the binary logs in it.
	DataBytes   int64 `json:"data_bytes"`
	BinlogBytes int64 `json:"binlog_bytes"`
	// Databases are those of users, at most [MaxListedDatabases] by name and then
	// MoreDatabases, and Origin identifies the data set once a replication has
	// claimed it. Databases are nil where neither is known: the server does not
	// run, does not say, or is of an agent that does not ask.
	Databases     []string `json:"databases"`
	MoreDatabases int      `json:"more_databases,omitempty"`
	Origin        string   `json:"origin,omitempty"`
}
