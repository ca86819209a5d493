package dbserver

import (
	"context"
	"database/sql"
	"fmt"
)

const (
	// purges has a server without a replication purge its binary logs once it
	// runs. Data that have taken part in one keep them until the agent says what
	// the member needs, as the statement itself purges.
	purges = "SET GLOBAL slave_connections_needed_for_purge = (SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'foobar')"
	// reloadCertificate is LOCAL to stay out of the binary log, where it would be
	// a transaction that no other member has.
	reloadCertificate = "FLUSH LOCAL SSL"
)

// Started is what the unit of a server runs, as root, once it has started.
func Started(ctx context.Context, name string) error {
	return local{PathsOf(name).Socket}.run(ctx, purges)
}

// Reloaded is what the unit of a server runs, as root, at a reload, once the
// certificate is in its place.
func Reloaded(ctx context.Context, name string) error {
	return local{PathsOf(name).Socket}.run(ctx, reloadCertificate)
}

// run executes a statement as the superuser.
func (l local) run(ctx context.Context, statement string) error {
	return l.with(ctx, setTimeout, func(ctx context.Context, db *sql.DB) error {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		return nil
	})
}
