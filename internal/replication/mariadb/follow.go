package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// applyInParallel can be set only while nothing is applied. It is what the
// server's file has.
const applyInParallel = "SET GLOBAL slave_parallel_threads = 8"

// Follow makes the server a fenced replica of source. A server that followed
// nobody begins where its data stand, which are then a part of the source's.
func (e *Engine) Follow(ctx context.Context, source replication.Source) error {
	change, err := changeMaster(source)
	if err != nil {
		return err
	}
	return e.pinned(ctx, func(c *sql.Conn) error {
		before, err := sources(ctx, c)
		if err != nil {
			return err
		}
		if err := run(ctx, c, "SET GLOBAL read_only = 1"); err != nil {
			return fmt.Errorf("make the replica read-only: %w", err)
		}
		if err := forget(ctx, c, before, func(s replication.SourceView) bool { return s.Channel == "" }); err != nil {
			return err
		}
		if len(before) == 0 {
			if err := startFromData(ctx, c); err != nil {
				return err
			}
		}
		if err := run(ctx, c, applyInParallel); err != nil {
			return fmt.Errorf("have the replica apply in parallel: %w", err)
		}
		if err := run(ctx, c, change); err != nil {
			return fmt.Errorf("set the source %s: %w", source.Host, err)
		}
		if err := run(ctx, c, "START SLAVE"); err != nil {
			return fmt.Errorf("start following %s: %w", source.Host, err)
		}
		return nil
	})
}

// startFromData sets the position to start from to where the data stand: those
// of a former primary stand further than it has followed.
func startFromData(ctx context.Context, c *sql.Conn) error {
	all, err := history(ctx, c)
	if err != nil {
		return err
	}
	position := all.Position()
	if position.Empty() {
		return fmt.Errorf("follow from an empty position: it is not known where the data stand; seed the server")
	}
	var now string
	if err := c.QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_slave_pos").Scan(&now); err != nil {
		return fmt.Errorf("ask for the position: %w", err)
	}
	if now == position.String() {
		return nil
	}
	if err := run(ctx, c, "SET GLOBAL gtid_slave_pos = "+quoted(position.String())); err != nil {
		return fmt.Errorf("set the position %s: %w", position, err)
	}
	return nil
}

// changeMaster builds the statement. What is left out would stay as it was, so
// nothing is.
func changeMaster(s replication.Source) (string, error) {
	if s.As == "" {
		return "", errors.New("set the source: it is not said which member follows")
	}
	texts := map[string]string{}
	for name, text := range map[string]string{
		"host": s.Host, "user": replicaUser(s.As), "password": s.Password.Reveal(), "ca": s.CA, "certificate": s.Certificate, "key": s.Key,
	} {
		quoted, err := Text(text)
		if err != nil {
			return "", fmt.Errorf("set the source: the %s: %w", name, err)
		}
		texts[name] = quoted
	}
	// Retry every 5 s; a heartbeat every 2 s finds a dead connection, with
	// slave_net_timeout=4.
	return fmt.Sprintf("CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %d, MASTER_USER = %s, MASTER_PASSWORD = %s, "+
		"MASTER_CONNECT_RETRY = 5, MASTER_HEARTBEAT_PERIOD = 2, MASTER_DELAY = %d, MASTER_SSL = 1, MASTER_SSL_CA = %s, MASTER_SSL_CERT = %s, MASTER_SSL_KEY = %s, "+
		"MASTER_SSL_VERIFY_SERVER_CERT = 1, MASTER_USE_GTID = slave_pos",
		texts["host"], s.Port, texts["user"], texts["password"], time.Duration(s.Delay)/time.Second, texts["ca"], texts["certificate"], texts["key"]), nil
}

// Detach makes the server follow nobody.
func (e *Engine) Detach(ctx context.Context) error {
	return e.pinned(ctx, func(c *sql.Conn) error {
		before, err := sources(ctx, c)
		if err != nil {
			return err
		}
		return forget(ctx, c, before, func(replication.SourceView) bool { return false })
	})
}

// forget stops all connections and removes those that are not to be kept. The
// position stays.
func forget(ctx context.Context, c *sql.Conn, sources []replication.SourceView, keep func(replication.SourceView) bool) error {
	if len(sources) == 0 {
		return nil
	}
	if err := run(ctx, c, "STOP ALL SLAVES"); err != nil {
		return fmt.Errorf("stop following: %w", err)
	}
	for _, source := range sources {
		if keep(source) {
			continue
		}
		channel, err := Text(source.Channel)
		if err != nil {
			return err
		}
		if err := run(ctx, c, "RESET SLAVE "+channel+" ALL"); err != nil {
			return fmt.Errorf("forget the source %s: %w", source.Host, err)
		}
	}
	return nil
}
