//go:build lab && full

package acceptance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// TestFault11DiskFullOnTheReplica fills it: the primary does not notice, and
// with room again the replica catches up.
func TestFault11DiskFullOnTheReplica(t *testing.T) {
	c := formed(t)
	c.step("PrimaryGoesOn", func() {
		const state = "/var/lib/foobar-db/notes"
		c.lab.Exec("web2", "sh", "-ec", "systemctl stop foobar-db-notes; mkdir /root/away; cp -a "+state+"/. /root/away; size=$(du -sm /root/away | cut -f1); "+
			"mount -t tmpfs -o mode=0755,size=$((size + 24))m tmpfs "+state+"; cp -a /root/away/. "+state+"; systemctl start foobar-db-notes")
		c.follows()
		load := c.load("write", "web1", "web1")
		c.app("web1", "web1", "INSERT INTO notes.seeded (body) VALUES (REPEAT('x', 1000000))")
		for range 6 {
			c.app("web1", "web1", "INSERT INTO notes.seeded (body) SELECT body FROM notes.seeded")
		}
		c.until("web2", "a machine with a full disk", "[ $(df --output=avail -k "+state+" | tail -n 1) -lt 64 ]")
		load.meets("ok")
		p := c.plan() // a server that waits for room does not even tell its state
		p.empty()
		p.warns("DiskNearlyFull", `members["web2"]`)
		c.lab.Exec("web2", "mount", "-o", "remount,size=1g", state)
		c.lab.Exec("web2", "systemctl", "restart", "foobar-db-notes") // it looks for room once a minute only
		load.kept(load.stop(), "web1")
		c.apply()
		c.settled()
		c.same("notes.seeded", "notes.acknowledged")
	})
}

// TestFault15EventThatCannotBeApplied is never skipped.
func TestFault15EventThatCannotBeApplied(t *testing.T) {
	c := formed(t)
	c.step("IsToldWithErrorAndTransaction", func() {
		c.sql("web2", "SET sql_log_bin = 0; INSERT INTO notes.acknowledged VALUES ('twice', 1)")
		c.app("web2", "web1", "INSERT INTO notes.acknowledged VALUES ('twice', 1)")
		c.until("web2", "a stopped replica", showing("Last_SQL_Errno: 1062"))
		why := c.plan().condition("SQLError")
		for _, want := range []string{"web2", "1062", "0-", `reseed = { node = "web2"`} {
			if !strings.Contains(why, want) {
				c.t.Errorf("the condition does not say %q: %s", want, why)
			}
		}
		copies := c.copied("web2")
		c.apply()
		c.plan().condition("SQLError")
		if c.copied("web2") != copies {
			c.t.Error("the replica was seeded without a consent")
		}
		c.reseeds("twice", nil)
		c.same("notes.acknowledged")
	})
}

// TestFault21DuplicateServerID is refused at plan.
func TestFault21DuplicateServerID(t *testing.T) {
	c := formed(t)
	c.step("IsRefusedNamingBoth", func() {
		one, two := c.sql("web1", "SELECT @@server_id"), c.sql("web2", "SELECT @@server_id")
		c.sql("web2", "STOP REPLICA; SET GLOBAL server_id = "+one)
		why := c.refused("plan")
		for _, want := range []string{"web1", "web2", one} {
			if !strings.Contains(why, want) {
				c.t.Errorf("the error does not say %q: %s", want, why)
			}
		}
		c.sql("web2", "SET GLOBAL server_id = "+two)
		c.apply()
		c.settled()
	})
}

// TestFault23PasswordOfReplicasChangedOnThePrimaryOnly is repaired on both
// sides, without a new copy.
func TestFault23PasswordOfReplicasChangedOnThePrimaryOnly(t *testing.T) {
	c := formed(t)
	c.step("IsRepairedWithoutAReset", func() {
		copies := c.copied("web2")
		c.sql("web1", "ALTER USER foobar_repl_web2@'%' IDENTIFIED BY 'by hand'")
		c.sql("web2", "STOP SLAVE IO_THREAD; START SLAVE IO_THREAD")
		c.until("web2", "a replica that is refused", showing("Last_IO_Errno: 1045"))
		p := c.differ("web1/CatalogDiffers", "web2/IOError")
		drift, err := tfjsonpath.Traverse(p.change(db).Before, tfjsonpath.New("drift").AtMapKey("web2/IOError"))
		if !strings.Contains(fmt.Sprint(drift), "1045") {
			c.t.Errorf("the drift does not name the error: %v, %v", drift, err)
		}
		c.apply()
		c.settled()
		if c.copied("web2") != copies {
			c.t.Error("the replica was seeded anew")
		}
	})
}

// TestFault36ClocksOutOfStep has the primary's heartbeat come from a clock that
// is a minute ahead, and one that is a minute behind. (The machines of a lab
// have one clock.)
func TestFault36ClocksOutOfStep(t *testing.T) {
	c := formed(t)
	for skew, decide := range map[string]func(p plan, lag any) bool{
		"+ INTERVAL 60 SECOND": func(p plan, lag any) bool { return lag == nil && p.condition("ClockSkewed") != "" },
		"- INTERVAL 60 SECOND": func(_ plan, lag any) bool { ms, ok := lag.(float64); return ok && ms >= 60_000 },
	} {
		c.step("Heartbeat"+skew, func() {
			c.lab.Exec("web1", "systemd-run", "--quiet", "--unit=skew", "mariadb", "--no-defaults", "-S", "/run/foobar-db-notes/mariadb.sock", "-e",
				"LOCK TABLES foobar.heartbeat WRITE; UPDATE foobar.heartbeat SET beat = UTC_TIMESTAMP(6) "+skew+"; DO SLEEP(600)")
			const off = "SELECT ABS(TIMESTAMPDIFF(SECOND, beat, UTC_TIMESTAMP(6))) > 30 FROM foobar.heartbeat"
			c.until("web2", "a replica with that heartbeat", asks(off, "1"))
			p := c.plan()
			p.empty()
			lag, err := tfjsonpath.Traverse(p.status(), member("web2", "lag_milliseconds"))
			if err != nil || !decide(p, lag) {
				c.t.Errorf("with a clock %s the lag is %v: %v", skew, lag, err)
			}
			c.lab.Exec("web1", "systemctl", "stop", "skew")
			c.until("web2", "a replica with the heartbeat of the agent", asks(off, "0"))
			c.settled()
		})
	}
}

// TestFault39RelayLogDamaged has the replica recover by itself from a crash,
// and by an apply without one.
func TestFault39RelayLogDamaged(t *testing.T) {
	c := formed(t)
	// Between the two the relay log holds what is not applied yet.
	damage := func() {
		c.sql("web2", "STOP SLAVE SQL_THREAD")
		for i := range 20 {
			c.app("web2", "web1", fmt.Sprintf("INSERT INTO notes.seeded (body) VALUES (REPEAT('%d', 10000))", i%10))
		}
		c.until("web2", "a replica that has received all", asks(`SELECT COUNT(*) FROM information_schema.processlist WHERE command = "Slave_IO" AND state LIKE "Waiting for master%"`, "1"))
		c.lab.Exec("web2", "sh", "-c", `cd /var/lib/foobar-db/notes/data && f=$(tail -n 1 relay.index) && size=$(stat -c %s $f) && dd if=/dev/urandom of=$f bs=1000 count=20 seek=$((size / 2000)) conv=notrunc status=none`)
	}
	c.step("AndTheReplicaCrashed", func() {
		damage()
		c.lab.Exec("web2", "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "foobar-db-notes.service")
		c.settled()
		c.same("notes.seeded")
	})
	c.step("AndReadOn", func() {
		copies := c.copied("web2")
		damage()
		c.sql("web2", "START SLAVE SQL_THREAD")
		c.until("web2", "a stopped replica", showing("Last_SQL_Errno: 1594"))
		c.differ("web2/SQLError")
		c.apply()
		c.settled()
		c.same("notes.seeded")
		if c.copied("web2") != copies {
			c.t.Error("the replica was seeded anew")
		}
	})
}
