//go:build lab

package mariadb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/enginetest"
)

// claimed returns two servers, of which the first has an origin and a database shop.
func claimed(t *testing.T) (source, replica enginetest.Server) {
	t.Helper()
	servers := start(t, 2, 0)
	source, replica = servers[0], servers[1]
	ctx := t.Context()
	must(t, source.Engine.Unfence(ctx))
	must(t, source.Engine.Claim(ctx, "origin", replication.Secrets{Replication: "repl"}))
	must(t, source.Exec(ctx, "CREATE DATABASE shop"))
	return source, replica
}

// seed has a server take over the data of another one. A copy that is not wanted to
// its end is closed, as the agent does: its donor would hold the source's backup lock.
func seed(ctx context.Context, to, from enginetest.Server) error {
	stream := donated(ctx, from)
	return errors.Join(to.Engine.Receive(ctx, "a", stream, nil), stream.Close())
}

// donated is a copy of a server's data as it comes.
func donated(ctx context.Context, from enginetest.Server) io.ReadCloser {
	in, out := io.Pipe()
	go func() { out.CloseWithError(from.Engine.Donate(ctx, out)) }()
	return in
}

// A server has more tables than a program may have files open unless it asks for more.
func TestSeedOfManyTables(t *testing.T) {
	const files, tables = 128, 200
	ctx := t.Context()
	source, replica := claimed(t)
	var one strings.Builder
	for i := range tables {
		fmt.Fprintf(&one, "CREATE TABLE shop.t%d (id INT PRIMARY KEY) ENGINE=InnoDB;", i)
	}
	must(t, source.Exec(ctx, "BEGIN NOT ATOMIC "+one.String()+" END"))
	must(t, source.Exec(ctx, "SET GLOBAL innodb_max_dirty_pages_pct = 0")) // a file whose first page is not written is not opened
	for dirty := ""; dirty != "0"; {
		var err error
		dirty, err = source.Query(ctx, "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'INNODB_BUFFER_POOL_PAGES_DIRTY'")
		must(t, err)
		time.Sleep(50 * time.Millisecond)
	}

	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: limit.Max})) // programs that are started have it too
	t.Cleanup(func() { must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)) })
	must(t, seed(ctx, replica, source))
	if n, err := replica.Query(ctx, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop'"); err != nil || n != fmt.Sprint(tables) {
		t.Errorf("%s tables came of %d: %v", n, tables, err)
	}
}
