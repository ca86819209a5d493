package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/gtid"
)

// observed are the settings that findings are made of.
const observed = "'GTID_STRICT_MODE', 'GTID_DOMAIN_ID', 'LOG_BIN', 'LOG_SLAVE_UPDATES', 'BINLOG_FORMAT', 'SYNC_BINLOG', " +
	"'INNODB_FLUSH_LOG_AT_TRX_COMMIT', 'SLAVE_PARALLEL_THREADS', 'SLAVE_CONNECTIONS_NEEDED_FOR_PURGE', 'BINLOG_EXPIRE_LOGS_SECONDS'"

// systemSchemas are the databases that are no user's.
const systemSchemas = "'mysql', 'information_schema', 'performance_schema', 'sys', '" + ownSchema + "'"

// Observe asks the server for all that findings are made of. It writes nothing.
func (e *Engine) Observe(ctx context.Context) (replication.EngineView, error) {
	var view replication.EngineView
	err := e.pinned(ctx, func(c *sql.Conn) error {
		for _, part := range []struct {
			what string
			look func(context.Context, *sql.Conn, *replication.EngineView) error
		}{
			{"identity", lookIdentity},
			{"sources", lookSources},
			{"positions", lookPositions},
			{"settings", lookSettings},
			{"data", lookData},
			{"privileged accounts", lookPrivileged},
			{"lag", lookLag},
		} {
			if err := part.look(ctx, c, &view); err != nil {
				return fmt.Errorf("ask for %s: %w", part.what, err)
			}
		}
		return nil
	})
	return view, err
}

func lookIdentity(ctx context.Context, c *sql.Conn, view *replication.EngineView) error {
	var readOnly bool
	err := c.QueryRowContext(ctx, "SELECT @@GLOBAL.version, @@GLOBAL.server_id, @@GLOBAL.read_only").Scan(&view.Version, &view.ServerID, &readOnly)
	view.Writable = !readOnly
	return err
}

func lookSources(ctx context.Context, c *sql.Conn, view *replication.EngineView) (err error) {
	view.Sources, err = sources(ctx, c)
	return err
}

// history returns every write that the data hold: what the binary log has
// seen, and where replication stands.
func history(ctx context.Context, c *sql.Conn) (gtid.Set, error) {
	var logged, applied string
	if err := c.QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_binlog_state, @@GLOBAL.gtid_slave_pos").Scan(&logged, &applied); err != nil {
		return gtid.Set{}, fmt.Errorf("ask for the positions: %w", err)
	}
	one, err := gtid.Parse(logged)
	if err != nil {
		return gtid.Set{}, err
	}
	other, err := gtid.Parse(applied)
	return one.Union(other), err
}

func lookPositions(ctx context.Context, c *sql.Conn, view *replication.EngineView) error {
	all, err := history(ctx, c)
	if err != nil {
		return err
	}
	view.History, view.Applied = all.String(), all.Position().String()
	view.Oldest, err = oldest(ctx, c)
	return err
}

// oldest returns where the first binary log begins that can be read: one may be
// purged between the two questions, or listed although somebody removed its file.
func oldest(ctx context.Context, c *sql.Conn) (string, error) {
	for range 3 { // all of a list may be purged meanwhile
		logs, err := table(ctx, c, "SHOW BINARY LOGS")
		if number(err) == errNoBinlog || err == nil && len(logs) == 0 {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		for _, log := range logs {
			var position sql.NullString
			err := c.QueryRowContext(ctx, "SELECT BINLOG_GTID_POS(?, 4)", log["Log_name"]).Scan(&position)
			if err != nil && number(err) != errNoSuchFile {
				return "", err
			}
			if position.Valid {
				return position.String, nil
			}
		}
	}
	return "", errors.New("none of the binary logs that SHOW BINARY LOGS lists can be read")
}

// sources reads SHOW ALL SLAVES STATUS by the names of its columns, which
// differ between releases in order and number.
func sources(ctx context.Context, c *sql.Conn) ([]replication.SourceView, error) {
	rows, err := table(ctx, c, "SHOW ALL SLAVES STATUS")
	if err != nil {
		return nil, fmt.Errorf("ask for the sources: %w", err)
	}
	var all []replication.SourceView
	for _, row := range rows {
		if row["Master_Host"] == "" {
			continue // a connection that was reset
		}
		all = append(all, sourceOf(row))
	}
	return all, nil
}

// sourceOf reads one row of SHOW ALL SLAVES STATUS.
func sourceOf(row map[string]string) replication.SourceView {
	integer := func(column string) int { n, _ := strconv.Atoi(row[column]); return n } // an empty cell is none
	serverID, _ := strconv.ParseUint(row["Master_Server_Id"], 10, 32)
	thread := func(half string) replication.Thread {
		states := map[string]replication.ThreadState{"Yes": replication.ThreadRunning, "Connecting": replication.ThreadConnecting, "Preparing": replication.ThreadConnecting}
		state, known := states[row["Slave_"+half+"_Running"]]
		if !known {
			state = replication.ThreadStopped
		}
		return replication.Thread{State: state, Errno: integer("Last_" + half + "_Errno"), Error: row["Last_"+half+"_Error"]}
	}
	return replication.SourceView{
		Channel: row["Connection_name"], Host: row["Master_Host"], Port: integer("Master_Port"), ServerID: uint32(serverID),
		Receiver: thread("IO"), Applier: thread("SQL"),
		AutoPosition: row["Using_Gtid"] == "Slave_Pos" || row["Using_Gtid"] == "Current_Pos",
		TLS:          row["Master_SSL_Allowed"] == "Yes" && row["Master_SSL_Verify_Server_Cert"] == "Yes",
		Delay:        api.Duration(time.Duration(integer("SQL_Delay")) * time.Second),
	}
}

func lookSettings(ctx context.Context, c *sql.Conn, view *replication.EngineView) error {
	rows, err := table(ctx, c, "SELECT variable_name AS name, variable_value AS value FROM information_schema.global_variables WHERE variable_name IN ("+observed+")")
	view.Settings = map[string]string{}
	for _, row := range rows {
		view.Settings[strings.ToLower(row["name"])] = row["value"]
	}
	return err
}

func lookData(ctx context.Context, c *sql.Conn, view *replication.EngineView) error {
	databases, origin, err := Data(ctx, c)
	view.Empty, view.Origin = len(databases) == 0, origin
	return err
}

// Data returns the users' databases of a server, and the origin of its data, ""
// if no replication has claimed them.
func Data(ctx context.Context, c *sql.Conn) (databases []string, origin string, err error) {
	databases, err = column[string](ctx, c, "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN ("+systemSchemas+") ORDER BY schema_name")
	if err != nil {
		return nil, "", err
	}
	origins, err := column[string](ctx, c, "SELECT id FROM "+ownSchema+".origin")
	if n := number(err); n == errNoSuchTable || n == errNoSuchDatabase {
		return databases, "", nil
	}
	if len(origins) > 0 {
		origin = origins[0]
	}
	return databases, origin, err
}

// lookPrivileged lists the accounts that may write to a read-only server. The
// server's own ones log in over the socket as users of the operating system.
func lookPrivileged(ctx context.Context, c *sql.Conn, view *replication.EngineView) error {
	rows, err := table(ctx, c, "SELECT grantee, GROUP_CONCAT(privilege_type ORDER BY privilege_type SEPARATOR ' and ') AS what FROM information_schema.user_privileges "+
		"WHERE privilege_type IN ('SUPER', 'READ_ONLY ADMIN', 'READ ONLY ADMIN', 'CONNECTION ADMIN') "+
		"AND grantee NOT IN ('''root''@''localhost''', '''mysql''@''localhost''') GROUP BY grantee ORDER BY grantee")
	for _, row := range rows {
		view.Privileged = append(view.Privileged, fmt.Sprintf("%s (%s)", row["grantee"], row["what"]))
	}
	return err
}

// skewTolerance is by how much a clock may be behind the primary's: those of
// machines that are kept in step differ by some milliseconds.
const skewTolerance = time.Second

// lookLag compares the last heartbeat that was applied here with the clock.
// Without a source, or a heartbeat, it is unknown.
func lookLag(ctx context.Context, c *sql.Conn, view *replication.EngineView) error {
	if len(view.Sources) == 0 || view.Origin == "" {
		return nil
	}
	behind, err := column[int64](ctx, c, "SELECT TIMESTAMPDIFF(MICROSECOND, beat, UTC_TIMESTAMP(6)) FROM "+ownSchema+".heartbeat")
	if err != nil || len(behind) == 0 {
		if number(err) == errNoSuchTable {
			return nil
		}
		return err
	}
	lag := time.Duration(behind[0]) * time.Microsecond
	view.Lag = &replication.Lag{Applied: api.Duration(max(lag, 0).Round(time.Millisecond)), Skewed: lag < -skewTolerance}
	return nil
}
