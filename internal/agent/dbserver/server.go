package dbserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/mariadb"
)

const (
	// dialTimeout and answerTimeout bound a connection over the socket and one
	// answer. A change can take longer: a redo log is written anew.
	dialTimeout   = 2 * time.Second
	answerTimeout = 5 * time.Second
	setTimeout    = 60 * time.Second
)

// server is a running MariaDB.
type server interface {
	// Show returns its variables and what it does now.
	Show(ctx context.Context) (map[string]shown, status, error)
	// Bounds returns what it allows of each variable, and its version.
	Bounds(ctx context.Context) (all map[string]bounds, version string, err error)
	// Set gives a variable a value for all connections; name and literal are
	// SQL of the kind's own making.
	Set(ctx context.Context, name, literal string) error
}

// status is what a running server does now.
type status struct {
	version     string
	fenced      bool
	connections int
	databases   []string // nil if neither these nor the origin are known
	origin      string
}

// fill adds to what is shown of a server what it does now.
func (s status) fill(state *api.DBServerStatus) {
	state.Version, state.Fenced, state.Connections = s.version, s.fenced, s.connections
	state.Databases, state.Origin = s.databases, s.origin
	if more := len(s.databases) - api.MaxListedDatabases; more > 0 {
		state.Databases, state.MoreDatabases = s.databases[:api.MaxListedDatabases], more
	}
}

// local is the server behind a Unix socket, as its superuser: the account has
// no password and is open to the operating system's root alone.
type local struct{ socket string }

func connect(socket string) server { return local{socket} }

// with calls f on a connection of its own. An agent that keeps none never
// holds up a server that stops.
func (l local) with(ctx context.Context, timeout time.Duration, f func(context.Context, *sql.DB) error) (err error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr = "root", "unix", l.socket
	// The socket lies in a directory of the engine's account.
	config.DialFunc = func(ctx context.Context, _, socket string) (net.Conn, error) { return foreign.Dial(ctx, socket) }
	config.Timeout, config.ReadTimeout, config.WriteTimeout = dialTimeout, timeout, timeout
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", l.socket, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx, db)
}

// Show reads variables and state in one visit.
func (l local) Show(ctx context.Context) (map[string]shown, status, error) {
	variables, now := map[string]shown{}, status{}
	err := l.with(ctx, answerTimeout, func(ctx context.Context, db *sql.DB) error {
		const state = `SELECT VERSION(), @@GLOBAL.read_only, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'THREADS_CONNECTED'`
		if err := db.QueryRowContext(ctx, state).Scan(&now.version, &now.fenced, &now.connections); err != nil {
			return fmt.Errorf("ask MariaDB for its state: %w", err)
		}
		now.connections-- // this one
		if err := readVariables(ctx, db, variables); err != nil {
			return err
		}
		now = now.with(data(ctx, db))
		return nil
	})
	return variables, now, err
}

// data returns the users' databases, and the origin of the data set.
func data(ctx context.Context, db *sql.DB) (databases []string, origin string, err error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = c.Close() }()
	return mariadb.Data(ctx, c)
}

// with adds what data a server has. Where it does not say, they are not known, and
// all else that it has said counts.
func (s status) with(databases []string, origin string, err error) status {
	if err == nil {
		s.databases, s.origin = append([]string{}, databases...), origin
	}
	return s
}

func readVariables(ctx context.Context, db *sql.DB, into map[string]shown) error {
	const all = `SELECT VARIABLE_NAME, COALESCE(GLOBAL_VALUE, ''), GLOBAL_VALUE_ORIGIN, COALESCE(DEFAULT_VALUE, '') FROM information_schema.SYSTEM_VARIABLES WHERE GLOBAL_VALUE_ORIGIN IS NOT NULL`
	rows, err := db.QueryContext(ctx, all)
	if err != nil {
		return fmt.Errorf("ask MariaDB for its variables: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var s shown
		if err := rows.Scan(&name, &s.value, &s.origin, &s.fallback); err != nil {
			return fmt.Errorf("read MariaDB's variables: %w", err)
		}
		into[strings.ToLower(name)] = s
	}
	return rows.Err()
}

// Bounds reads what the server allows of its variables, and which names it has
// for those that are a name.
func (l local) Bounds(ctx context.Context) (map[string]bounds, string, error) {
	all, version := map[string]bounds{}, ""
	err := l.with(ctx, answerTimeout, func(ctx context.Context, db *sql.DB) error {
		const query = `SELECT VERSION(), VARIABLE_NAME, COALESCE(NUMERIC_MIN_VALUE, ''), COALESCE(NUMERIC_MAX_VALUE, ''),
			COALESCE(NUMERIC_BLOCK_SIZE, ''), COALESCE(ENUM_VALUE_LIST, '') FROM information_schema.SYSTEM_VARIABLES
			UNION ALL SELECT VERSION(), 'character_set_server', '', '', '', character_set_name FROM information_schema.character_sets
			UNION ALL SELECT VERSION(), 'collation_server', '', '', '', full_collation_name FROM information_schema.collation_character_set_applicability`
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return fmt.Errorf("ask MariaDB for its bounds: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var name, low, high, step, words string
			if err := rows.Scan(&version, &name, &low, &high, &step, &words); err != nil {
				return fmt.Errorf("read MariaDB's bounds: %w", err)
			}
			name = strings.ToLower(name)
			b := parseBounds(low, high, step, words)
			b.words = append(all[name].words, b.words...) // of a name there is a row for each
			all[name] = b
		}
		return rows.Err()
	})
	return all, version, err
}

// Set changes a variable of the running server.
func (l local) Set(ctx context.Context, name, literal string) error {
	return l.with(ctx, setTimeout, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "SET GLOBAL "+name+" = "+literal)
		return err
	})
}
