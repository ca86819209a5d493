package mariadb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Differences tells what of wanted is not so.
func (e *Engine) Differences(ctx context.Context, wanted replication.Catalog, secrets replication.Secrets) ([]string, error) {
	var says []string
	err := e.changes(ctx, wanted, replication.Drop{}, secrets, func(_ *sql.Conn, c change) error {
		says = append(says, c.says)
		return nil
	})
	return says, err
}

// Provision makes databases, users and grants as wanted, and the replication's
// own accounts with them.
func (e *Engine) Provision(ctx context.Context, wanted replication.Catalog, drop replication.Drop, secrets replication.Secrets) error {
	return e.changes(ctx, wanted, drop, secrets, func(c *sql.Conn, change change) error {
		if change.sql == "" {
			return errors.New(change.says)
		}
		if err := run(ctx, c, change.sql); err != nil {
			return fmt.Errorf("repair that %s: %w", change.says, err)
		}
		return nil
	})
}

// changes calls do with all that has to be done.
func (e *Engine) changes(ctx context.Context, wanted replication.Catalog, drop replication.Drop, secrets replication.Secrets, do func(*sql.Conn, change) error) error {
	goal, err := wantedState(wanted, secrets, e.osUser, e.Owner)
	if err != nil {
		return err
	}
	return e.pinned(ctx, func(c *sql.Conn) error {
		have, err := existing(ctx, c)
		if err != nil {
			return err
		}
		changes, err := converge(have, goal, drop)
		if err != nil {
			return err
		}
		for _, change := range changes {
			if err := do(c, change); err != nil {
				return err
			}
		}
		return nil
	})
}

// Claim writes the origin of the data set, and what replication needs.
func (e *Engine) Claim(ctx context.Context, origin string, secrets replication.Secrets) error {
	name, err := Text(origin)
	if err != nil {
		return fmt.Errorf("claim the data: %w", err)
	}
	err = e.pinned(ctx, func(c *sql.Conn) error {
		return run(ctx, c,
			"CREATE DATABASE IF NOT EXISTS "+ownSchema+" CHARACTER SET utf8mb4",
			"CREATE TABLE IF NOT EXISTS "+ownSchema+".heartbeat (one TINYINT PRIMARY KEY, epoch BIGINT UNSIGNED NOT NULL, writer VARCHAR(64) NOT NULL, beat DATETIME(6) NOT NULL) ENGINE=InnoDB",
			"CREATE TABLE IF NOT EXISTS "+ownSchema+".origin (one TINYINT PRIMARY KEY, id VARCHAR(64) NOT NULL) ENGINE=InnoDB",
		)
	})
	if err == nil {
		err = e.own(ctx, secrets)
	}
	if err == nil { // the origin last: who has one has all the rest
		err = e.pinned(ctx, func(c *sql.Conn) error {
			return run(ctx, c,
				"INSERT IGNORE INTO "+ownSchema+".heartbeat (one, epoch, writer, beat) VALUES (1, 0, '', UTC_TIMESTAMP(6))",
				"INSERT IGNORE INTO "+ownSchema+".origin (one, id) VALUES (1, "+name+")",
			)
		})
	}
	if err != nil {
		return fmt.Errorf("claim the data: %w", err)
	}
	return nil
}

// own makes the replication's own accounts.
func (e *Engine) own(ctx context.Context, secrets replication.Secrets) error {
	return e.Provision(ctx, replication.Catalog{}, replication.Drop{}, secrets)
}

// Retire removes the accounts that replicas use. The origin stays: it is what
// lets a member join again without a new copy.
func (e *Engine) Retire(ctx context.Context) error {
	return e.pinned(ctx, func(c *sql.Conn) error {
		have, err := existing(ctx, c)
		if err != nil {
			return err
		}
		var b builder
		for _, name := range slices.Sorted(maps.Keys(have.accounts)) {
			b.formerReplica(name, state{})
		}
		for _, change := range b.changes {
			if err := run(ctx, c, change.sql); err != nil {
				return fmt.Errorf("remove the replication's accounts: %w", err)
			}
		}
		return nil
	})
}

// existing reads what the server has of what can be managed.
func existing(ctx context.Context, c *sql.Conn) (state, error) {
	have := state{databases: map[string]replication.Database{}, accounts: map[string]account{}}
	databases, err := table(ctx, c, "SELECT schema_name AS name, default_character_set_name AS charset, default_collation_name AS collation FROM information_schema.schemata")
	if err != nil {
		return state{}, fmt.Errorf("list the databases: %w", err)
	}
	for _, row := range databases {
		have.databases[row["name"]] = replication.Database{Charset: row["charset"], Collation: row["collation"]}
	}
	accounts, err := table(ctx, c, "SELECT user, host, priv FROM mysql.global_priv WHERE host = '%' OR user IN ('"+heartbeatUser+"', '"+backupUser+"') AND host = 'localhost'")
	if err != nil {
		return state{}, fmt.Errorf("list the accounts: %w", err)
	}
	for _, row := range accounts {
		a, err := accountOf(row["user"], row["host"], row["priv"])
		if err != nil {
			return state{}, err
		}
		have.accounts[a.name] = a
	}
	return have, readPrivileges(ctx, c, have.accounts)
}

// accountOf reads a row of mysql.global_priv. Its error holds no hash.
func accountOf(name, host, priv string) (account, error) {
	var stored struct {
		Plugin  string `json:"plugin"`
		Secret  string `json:"authentication_string"`
		SSLType int    `json:"ssl_type"`
		Subject string `json:"x509_subject"`
		Issuer  string `json:"x509_issuer"`
		Cipher  string `json:"ssl_cipher"`
	}
	if err := json.Unmarshal([]byte(priv), &stored); err != nil {
		return account{}, fmt.Errorf("read the account %q: mysql.global_priv holds no JSON", name)
	}
	return account{
		name: name, host: host, secret: stored.Secret, socket: stored.Plugin == "unix_socket",
		require: requirement(stored.SSLType, stored.Subject, stored.Issuer, stored.Cipher), grants: map[string][]string{},
	}, nil
}
