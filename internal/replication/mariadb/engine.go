// Package mariadb is the replication engine for MariaDB 11.8. It talks to one
// server over its Unix socket, as the operating system's user that the agent
// is; no password of a privileged account exists.
package mariadb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os/user"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/gtid"
)

var _ replication.Engine = (*Engine)(nil)

// Server starts and stops the server's process, as systemd does.
type Server interface {
	// Start begins to start the server, which has to come up read-only.
	Start(ctx context.Context) error
	// Stop ends it in good order and returns when it has ended.
	Stop(ctx context.Context) error
}

// Config tells where a server is.
type Config struct {
	// Socket is the path of its Unix socket.
	Socket string
	// DataDir is its data directory. A seed is prepared beside it, in
	// DataDir.seed, and what stood there goes to DataDir.old on the way: all
	// three need one file system, and room for both copies.
	DataDir string
	// Owner is the operating system's user that the server runs as.
	Owner string
	// Server starts and stops it.
	Server Server
	// Now is the clock, nil for the machine's.
	Now func() time.Time
}

// Engine is one MariaDB server.
type Engine struct {
	Config
	// admin is the agent's own account, beat that of the heartbeat, which has
	// no right to write to a read-only server.
	admin, beat *sql.DB
	// osUser is the user that the server's socket accounts are bound to.
	osUser string
}

// Accounts of the replication itself. Users of apps cannot have such names.
const (
	adminUser     = "root" // what mariadb-install-db creates for the socket of the operating system's root
	heartbeatUser = "foobar_hb"
	backupUser    = "foobar_backup"
	replicaPrefix = "foobar_repl_" // and the member's name
	// formerReplicaUser is on data that an earlier version of the agent made.
	formerReplicaUser = "foobar_repl"
)

// replicaUser is the account that a member follows with.
func replicaUser(id replication.NodeID) string { return replicaPrefix + string(id) }

// Timeouts of connections to the socket.
const (
	connectTimeout = 2 * time.Second
	startTimeout   = 2 * time.Minute // of a server with much to recover
	fenceTries     = 8               // of a second each: an order to fence has 15 s
)

// New returns the engine of a server, which need not run.
func New(cfg Config) (*Engine, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	who, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("find out which user this is: %w", err)
	}
	e := &Engine{Config: cfg, osUser: who.Username}
	for account, db := range map[string]**sql.DB{adminUser: &e.admin, heartbeatUser: &e.beat} {
		connector, err := connector(cfg.Socket, account)
		if err != nil {
			return nil, err
		}
		*db = sql.OpenDB(connector)
		(*db).SetMaxOpenConns(4)
		(*db).SetMaxIdleConns(1) // one stays open, for when the server has no connection left
	}
	return e, nil
}

// connector dials the socket. The SQL mode decides how strings are read, so it
// is not left to the server's settings.
func connector(socket, account string) (driver.Connector, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User = "unix", socket, account
	cfg.Timeout = connectTimeout
	// The socket lies in a directory of the server's own user.
	cfg.DialFunc = func(ctx context.Context, _, socket string) (net.Conn, error) { return foreign.Dial(ctx, socket) }
	cfg.Params = map[string]string{"sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'", "time_zone": "'+00:00'"}
	cfg.Logger = &mysql.NopLogger{}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up connections to %s: %w", socket, err)
	}
	return c, nil
}

// Close ends the engine's connections. Those to a server that has ended
// cannot be ended in good order, which is no fault.
func (e *Engine) Close() {
	_ = e.admin.Close()
	_ = e.beat.Close()
}

// Fence makes the server read-only and cuts its clients: one that holds a
// transaction open finds it rolled back. MariaDB becomes read-only only between
// statements and without anybody's table locks, so that who holds it up is cut
// and it is tried again. Accounts with READ ONLY ADMIN are not stopped by it,
// which Observe tells of.
func (e *Engine) Fence(ctx context.Context) error {
	return e.pinned(ctx, func(c *sql.Conn) error {
		if err := run(ctx, c, "SET SESSION lock_wait_timeout = 1"); err != nil {
			return fmt.Errorf("make the server read-only: %w", err)
		}
		for try := 1; ; try++ {
			err := run(ctx, c, "SET GLOBAL read_only = 1")
			if err != nil && (number(err) != errLockWait || try == fenceTries) {
				return fmt.Errorf("make the server read-only: %w", err)
			}
			if cut := e.cut(ctx, c); cut != nil || err == nil {
				return cut
			}
		}
	})
}

// cut ends the connections of all clients, but not those of replicas.
func (e *Engine) cut(ctx context.Context, c *sql.Conn) error {
	clients, err := column[uint64](ctx, c, `SELECT id FROM information_schema.processlist
		WHERE id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler', '`+adminUser+`')
		AND command NOT IN ('Binlog Dump', 'Daemon')`)
	if err != nil {
		return fmt.Errorf("list the clients: %w", err)
	}
	for _, id := range clients {
		if err := run(ctx, c, fmt.Sprintf("KILL CONNECTION %d", id)); err != nil && number(err) != errNoSuchThread {
			return fmt.Errorf("cut client %d: %w", id, err)
		}
	}
	return nil
}

// Unfence lets writes in. It refuses on a server that follows another one, or
// whose seed has not ended.
func (e *Engine) Unfence(ctx context.Context) error {
	if mark, err := e.SeedState(); err != nil || mark != nil {
		return errors.Join(errors.New("open the server: its seed has not ended"), err)
	}
	return e.pinned(ctx, func(c *sql.Conn) error {
		sources, err := sources(ctx, c)
		if err != nil {
			return err
		}
		if len(sources) > 0 {
			return fmt.Errorf("open the server: it follows %s", sources[0].Host)
		}
		if err := run(ctx, c, "SET GLOBAL read_only = 0"); err != nil {
			return fmt.Errorf("open the server: %w", err)
		}
		return nil
	})
}

// Beat writes the heartbeat as an account that read-only stops.
func (e *Engine) Beat(ctx context.Context, epoch uint64, writer replication.NodeID) error {
	_, err := e.beat.ExecContext(ctx, "UPDATE "+ownSchema+".heartbeat SET epoch = ?, writer = ?, beat = UTC_TIMESTAMP(6)", epoch, string(writer))
	if err != nil {
		return fmt.Errorf("write the heartbeat: %w", err)
	}
	return nil
}

// Position returns where the data stand.
func (e *Engine) Position(ctx context.Context) (string, error) {
	var position string
	err := e.pinned(ctx, func(c *sql.Conn) error {
		history, err := history(ctx, c)
		position = history.Position().String()
		return err
	})
	return position, err
}

// WaitFor returns once the data stand at position or later.
func (e *Engine) WaitFor(ctx context.Context, position string) error {
	goal, err := gtid.Parse(position)
	if err != nil {
		return err
	}
	return e.pinned(ctx, func(c *sql.Conn) error {
		for {
			have, err := history(ctx, c)
			if err != nil {
				return err
			}
			if have.Reached(goal) {
				return nil
			}
			var reached int // the server wakes us; a second at most, since what was written here does not count there
			if err := c.QueryRowContext(ctx, "SELECT MASTER_GTID_WAIT(?, 1)", goal.Position().String()).Scan(&reached); err != nil {
				return fmt.Errorf("wait for %s, at %s: %w", goal, have, err)
			}
		}
	})
}

// Set changes settings of the running server. Their names and values come from
// package replication; anything but words is refused.
func (e *Engine) Set(ctx context.Context, settings map[string]string) error {
	return e.pinned(ctx, func(c *sql.Conn) error {
		for name, value := range settings {
			if !isWord(name) || !isWord(value) {
				return fmt.Errorf("set %q to %q: letters, digits and _ are allowed", name, value)
			}
			if err := run(ctx, c, fmt.Sprintf("SET GLOBAL %s = %s", name, value)); err != nil {
				return fmt.Errorf("set %s to %s: %w", name, value, err)
			}
		}
		return nil
	})
}

// isWord reports whether text is a bare word of SQL: a number or a keyword.
func isWord(text string) bool {
	for _, r := range text {
		if r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return text != ""
}
