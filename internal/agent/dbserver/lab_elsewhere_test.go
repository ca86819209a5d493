//go:build lab

package dbserver_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// An app's account keeps no table in another place, whatever engine and statement
// it tries: such a table breaks every copy, and one in /tmp is gone after a restart.
func TestLabNoTableElsewhere(t *testing.T) {
	s := newStand(t)
	s.apply(small())
	s.sql("CREATE DATABASE shop", "CREATE USER maker@localhost IDENTIFIED BY 'secret'", "GRANT ALL ON shop.* TO maker@localhost", "SET GLOBAL read_only = OFF")
	maker := func(statements string) {
		t.Helper()
		if err := command("mariadb", "--no-defaults", "-u", "maker", "-psecret", "-S", at.Socket, "shop", "-e", "SET sql_mode = ''; "+statements)(t.Context()); err != nil {
			t.Fatalf("%s: %v", statements, err)
		}
	}
	tables := 0
	for _, place := range []string{"/tmp", at.State + "/tmp", at.State + "/files"} {
		for _, engine := range []string{"InnoDB", "Aria", "MyISAM"} {
			for _, rest := range []string{
				"ENGINE=%[1]s DATA DIRECTORY='%[2]s' INDEX DIRECTORY='%[2]s'",
				"ENGINE=%[1]s PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10) DATA DIRECTORY='%[2]s')",
				"ENGINE=MEMORY; ALTER TABLE shop.t%[3]d ENGINE=%[1]s, DATA DIRECTORY='%[2]s'",
			} {
				tables++
				maker(fmt.Sprintf("CREATE TABLE t%[3]d (id INT) "+rest, engine, place, tables) + fmt.Sprintf("; INSERT INTO t%d VALUES (1)", tables))
			}
		}
	}
	// What data have that were adopted is reported.
	s.healthy()
	away := at.Data + "/shop/t1.isl"
	if err := os.WriteFile(away, []byte("/elsewhere/t1.ibd"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := s.get().Conditions; !slices.ContainsFunc(found, func(c api.Condition) bool {
		return c.Type == "DataElsewhere" && strings.Contains(c.Message, "shop.t1")
	}) {
		t.Errorf("the conditions are %v", found)
	}
	if err := os.Remove(away); err != nil {
		t.Fatal(err)
	}
	if err := s.units.Restart(t.Context(), at.Unit); err != nil {
		t.Fatal(err)
	}
	s.healthy()
	for i := 1; i <= tables; i++ {
		if rows := s.query(fmt.Sprintf("SELECT COUNT(*) FROM shop.t%d", i)); rows != "1" {
			t.Errorf("t%d has %s rows after a restart", i, rows)
		}
	}
}

// healthy fails if a condition tells of tables that are elsewhere.
func (s *stand) healthy() {
	s.Helper()
	if found := s.get().Conditions; len(found) > 0 {
		s.Errorf("the conditions are %v", found)
	}
}
