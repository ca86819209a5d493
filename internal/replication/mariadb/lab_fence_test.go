//go:build lab

package mariadb_test

import (
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestFenceCutsWhoHoldsItUp: a server becomes read-only only once nobody holds
// table locks and no statement writes, however long those take.
func TestFenceCutsWhoHoldsItUp(t *testing.T) {
	s := fresh(t, 1)[0]
	ctx := t.Context()
	must(t, s.Engine.Unfence(ctx))
	for _, text := range []string{
		"CREATE DATABASE app", "CREATE TABLE app.t (n INT)", "INSERT INTO app.t VALUES (1)",
		"CREATE USER bob IDENTIFIED BY 'pw'", "GRANT ALL ON app.* TO bob",
	} {
		must(t, s.Exec(ctx, text))
	}
	bob := open(t, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Source.Port)), "bob", "pw")
	for name, hold := range map[string]func(*sql.Conn){
		"table locks": func(c *sql.Conn) {
			_, err := c.ExecContext(ctx, "LOCK TABLES app.t WRITE")
			must(t, err)
		},
		"a statement that takes a minute": func(c *sql.Conn) {
			go func() { _, _ = c.ExecContext(ctx, "UPDATE app.t SET n = n + SLEEP(60)") }()
			for busy := ""; busy != "1"; time.Sleep(20 * time.Millisecond) {
				var err error
				busy, err = s.Query(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'bob' AND state = 'User sleep'")
				must(t, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, s.Engine.Unfence(ctx))
			c, err := bob.Conn(ctx)
			must(t, err)
			defer c.Close() //nolint:errcheck // it was cut
			hold(c)
			must(t, s.Engine.Fence(ctx))
			if _, err := c.ExecContext(ctx, "UPDATE app.t SET n = 7"); err == nil {
				t.Error("who held it up goes on")
			}
			if got, err := s.Query(ctx, "SELECT CONCAT(@@read_only, (SELECT n FROM app.t))"); err != nil || got != "ON1" {
				t.Errorf("read_only and the row are %q, %v", got, err)
			}
		})
	}
}

// TestALogThatSomebodyRemoved is still listed. The server is looked at all the same.
func TestALogThatSomebodyRemoved(t *testing.T) {
	s := fresh(t, 1)[0]
	ctx := t.Context()
	must(t, s.Engine.Unfence(ctx))
	for _, text := range []string{"CREATE DATABASE app", "FLUSH BINARY LOGS", "CREATE TABLE app.t (n INT)"} {
		must(t, s.Exec(ctx, text))
	}
	before, err := s.Engine.Observe(ctx)
	must(t, err)
	first, err := s.Query(ctx, "SELECT @@log_bin_basename")
	must(t, err)
	logs, err := filepath.Glob(first + ".0*")
	must(t, err)
	if len(logs) < 2 {
		t.Fatalf("the logs are %v", logs)
	}
	must(t, os.Remove(logs[0]))
	after, err := s.Engine.Observe(ctx)
	must(t, err)
	if after.Oldest == before.Oldest || after.Oldest == "" || after.History != before.History {
		t.Errorf("without the first log the oldest is %q, before %q", after.Oldest, before.Oldest)
	}
}
