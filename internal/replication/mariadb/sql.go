package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// Errors of the server that are answers.
const (
	errNoSuchFile     = 29
	errNoSuchThread   = 1094
	errLockWait       = 1205
	errNoSuchTable    = 1146
	errNoSuchDatabase = 1049
	errNoBinlog       = 1381
)

// number returns the server's error number, 0 if err is none of the server's.
func number(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

// pinned calls do with one connection of the agent's account: settings of a
// session hold within it, which a pool does not promise.
func (e *Engine) pinned(ctx context.Context, do func(*sql.Conn) error) error {
	c, err := e.admin.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", e.Socket, err)
	}
	defer c.Close() //nolint:errcheck // it goes back to the pool
	return do(c)
}

// run executes statements one after the other. Their text is in no error: it
// may hold a password.
func run(ctx context.Context, c *sql.Conn, statements ...string) error {
	for _, statement := range statements {
		if _, err := c.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// column returns the one column of a query.
func column[T any](ctx context.Context, c *sql.Conn, query string) ([]T, error) {
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	var values []T
	for rows.Next() {
		var value T
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, rows.Err()
}

// table returns the rows of a query by column name; a null is the empty text.
func table(ctx context.Context, c *sql.Conn, query string) ([]map[string]string, error) {
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all []map[string]string
	for rows.Next() {
		cells := make([]sql.NullString, len(names))
		targets := make([]any, len(names))
		for i := range cells {
			targets[i] = &cells[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		row := map[string]string{}
		for i, name := range names {
			row[name] = cells[i].String
		}
		all = append(all, row)
	}
	return all, rows.Err()
}
