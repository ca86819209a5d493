//go:build lab && full

package acceptance

import (
	"strings"
	"testing"
)

// alone are edits that leave web1 alone in the replication.
func alone() []string {
	return []string{
		`    web2 = { server = foobar_db_server.notes["web2"] }` + "\n", "",
		`  witnesses = { lb1 = foobar_machine.vm["lb1"] }` + "\n", "",
	}
}

func TestReplicationGrowsFromOneMemberAndShrinksAgain(t *testing.T) {
	c := newCluster(t)
	c.replicate(alone()...)
	c.apply()
	c.app("web1", "web1", tables)
	purges := func(want string) {
		c.t.Helper()
		if got := c.sql("web1", "SELECT @@slave_connections_needed_for_purge"); got != want {
			c.t.Errorf("to purge binary logs, %s replicas are needed, not %s", got, want)
		}
	}
	c.step("OneMemberIsOpenAndPurgesItsBinlogs", func() {
		c.plan().empty()
		purges("0")
		c.sql("web1", "SET GLOBAL binlog_expire_logs_seconds = 1")
		c.until("web1", "a machine without old logs", `! mariadb --no-defaults -S /run/foobar-db-notes/mariadb.sock -N -e 'FLUSH BINARY LOGS; SHOW BINARY LOGS' | grep -q binlog.000001`)
		c.apply() // the expiry is repaired
		c.plan().empty()
		c.lab.Kill("web1")
		c.opens("web1")
	})
	c.step("ASecondMemberIsSeeded", func() {
		c.replicate()
		c.apply()
		c.settled()
		purges("1")
		c.same("notes.acknowledged")
	})
	c.step("AMemberThatLeavesIsDetachedAndFenced", func() {
		copies := c.copied("web2")
		c.replicate(alone()...)
		c.apply()
		c.plan().empty()
		purges("0")
		if got := c.sql("web2", "SELECT @@read_only") + c.sql("web2", "SHOW ALL SLAVES STATUS"); got != "1" {
			c.t.Errorf("the former member is not fenced, or follows: %s", got)
		}
		c.app("web1", "web1", "INSERT INTO notes.acknowledged VALUES ('alone', 1)")
		c.replicate()
		c.apply()
		c.settled()
		c.same("notes.acknowledged")
		if c.copied("web2") != copies {
			c.t.Error("to attach again, data were copied")
		}
	})
}

// TestRebuiltPrimaryIsNotFormedAnew sees that the replica's data, which are all
// that is left, are not copied over, and takes the way out that the guide tells.
func TestRebuiltPrimaryIsNotFormedAnew(t *testing.T) {
	c := formed(t)
	c.app("web2", "web1", "INSERT INTO notes.acknowledged VALUES ('precious', 1)")
	c.follows()
	c.lab.Reset("web1")
	c.met()
	why := c.refused("apply", "-auto-approve")
	for _, want := range []string{"web1", "keep the data of web2", "mariadb-dump", `reseed = { node = "web2"`} {
		if !strings.Contains(why, want) {
			t.Errorf("the error does not say %q: %s", want, why)
		}
	}
	const precious = "SELECT n FROM notes.acknowledged WHERE writer = 'precious'"
	if got := c.sql("web2", precious); got != "1" {
		t.Errorf("of the last copy of the data is left %q", got)
	}

	const socket = " --no-defaults --socket=/run/foobar-db-notes/mariadb.sock "
	dump := c.lab.Exec("web2", "sh", "-c", "mariadb-dump"+socket+"--single-transaction --databases notes | base64 --wrap=0")
	c.write("look.tf", "")
	c.replicate("    web2 = { server = foobar_db_server.notes[\"web2\"] }\n", "")
	c.apply()
	c.opens("web1")
	if got := c.sql("web2", precious); got != "1" {
		t.Errorf("while it is no member, of its data is left %q", got)
	}
	c.lab.Exec("web1", "sh", "-c", "echo "+dump+" | base64 -d | mariadb"+socket)
	c.replicate(reseeding("the primary is back")...)
	c.apply()
	c.write("look.tf", looked)
	c.apply()
	c.settled()
	c.same("notes.acknowledged")
	if got := c.sql("web2", precious); got != "1" {
		t.Errorf("of the data came back %q", got)
	}
}

// TestTwoAppliesAtOnce sees that neither harms the other.
func TestTwoAppliesAtOnce(t *testing.T) {
	c := formed(t)
	c.step("OneWinsOrBothDo", func() {
		c.sql("web2", "STOP REPLICA; SET GLOBAL read_only = OFF")
		one, other := c.begin(c.lab, "-lock=false"), c.begin(c.lab, "-lock=false")
		first, second := one.wait(), other.wait()
		if first != nil && second != nil {
			c.t.Errorf("both failed: %v; %v", first, second)
		}
		c.apply()
		c.settled()
	})
}
