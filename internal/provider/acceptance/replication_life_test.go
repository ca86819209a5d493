//go:build lab

package acceptance

import "strconv"

// seeding is a shell command that succeeds while a copy arrives on a machine.
const seeding = "[ -e /var/lib/foobar-db/notes/data.seeding ] && [ -e /var/lib/foobar-db/notes/data.seed/ibdata1 ]"

// rebuilt gives web2 a new machine, on which one apply restores everything.
func (c *cluster) rebuilt() {
	c.lab.Reset("web2")
	c.met()
	c.plan().updates(`foobar_machine.vm["web2"]`, db2, db)
	load := c.load("write", "web1", "web1")
	c.apply()
	written := load.stop()
	c.settled()
	load.kept(written, "web1", "web2")
	c.same("notes.seeded", "notes.acknowledged")
}

// struck kills the agent of a rebuilt web2 in the middle of the seed: what is
// there then serves nobody, and the next apply finishes.
func (c *cluster) struck() {
	c.lab.Reset("web2")
	c.met()
	load := c.load("read", "web1", "web2")
	a := c.begin(c.lab)
	a.await(holds("web2", seeding))
	c.lab.Exec("web2", "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "foobar-agent.service")
	if err := a.wait(); err != nil {
		c.t.Logf("the apply says: %v", err)
	}
	c.apply()
	c.settled()
	load.meets("ok")
	c.whole(load.stop())
	c.same("notes.seeded", "notes.acknowledged")
}

// whole fails the test if a reader ever saw other than all that was seeded.
func (c *cluster) whole(o outcome) {
	c.t.Helper()
	want := c.sql("web1", "SELECT COUNT(*) FROM notes.seeded")
	if len(o.accepted) == 0 {
		c.t.Errorf("nothing was read: %v", o.refused)
	}
	for _, rows := range o.accepted {
		if strconv.Itoa(rows) != want {
			c.t.Fatalf("a reader saw %d rows of %s", rows, want)
		}
	}
}

// detached destroys the replication, which deletes nothing, and applies it
// again, which copies nothing.
func (c *cluster) detached() {
	copies, epoch := c.copied("web1")+c.copied("web2"), c.agreed().Epoch
	c.write("look.tf", "")
	c.must("destroy", "-no-color", "-input=false", "-auto-approve", "-target="+db)
	if primary := c.agreed().Primary; primary != "" {
		c.t.Errorf("after the destroy %s is recorded as primary", primary)
	}
	for _, machine := range []string{"web1", "web2"} {
		if left := c.lab.Exec(machine, "sh", "-c", "ls "+parts+" | grep membership || true"); left != "" {
			c.t.Errorf("after the destroy %s keeps %s", machine, left)
		}
	}
	if got := c.sql("web2", "SELECT @@read_only") + c.sql("web2", "SHOW ALL SLAVES STATUS"); got != "1" {
		c.t.Errorf("after the destroy the replica is not fenced, or follows: %s", got)
	}
	if got := c.sql("web1", "SELECT @@read_only") + c.sql("web1", "SELECT COUNT(*) FROM mysql.global_priv WHERE user LIKE 'foobar\\_repl%'"); got != "00" {
		c.t.Errorf("after the destroy the primary is not open, or keeps the account of replicas: %s", got)
	}
	c.app("web2", "web1", "INSERT INTO notes.acknowledged VALUES ('between', 1)")
	c.lab.Reboot("web1")
	c.sql("web1", "SELECT 1")
	if _, err := c.tryApp("web2", "web1", "INSERT INTO notes.acknowledged VALUES ('fenced', 1)"); err == nil {
		c.t.Error("a database that belongs to no replication came up writable")
	}

	c.form()
	c.settled()
	if now := c.copied("web1") + c.copied("web2"); now != copies {
		c.t.Error("to attach again, data were copied")
	}
	if now := c.agreed().Epoch; now <= epoch {
		c.t.Errorf("the epoch was %d and is %d", epoch, now)
	}
	c.same("notes.seeded", "notes.acknowledged")
}

// takenOut takes database and user out of the configuration: they stay until a
// consent names them.
func (c *cluster) takenOut() {
	const database, user = `databases = { notes = {} }`, "SELECT CONCAT(user, 0) FROM mysql.global_priv WHERE user = \"old\""
	more := []string{
		database, `databases = { notes = {}, old = {} }`,
		"  users = {\n", "  users = {\n    old = { password_wo = var.password, password_wo_version = 1, grants = { old = [\"SELECT\"] } }\n",
	}
	c.replicate(more...)
	c.apply()
	c.settled()
	c.sql("web1", "CREATE TABLE old.kept (id INT PRIMARY KEY)")
	c.replicate()
	c.apply()
	c.settled()
	for _, machine := range []string{"web1", "web2"} {
		if got := c.sql(machine, "SHOW TABLES IN old") + c.sql(machine, user); got != "keptold0" {
			c.t.Errorf("of what is in the configuration no more, %s has %q", machine, got)
		}
	}
	c.replicate(consenting(`drop = { databases = ["old"], users = ["old"], token = "2026-11-22a" }`)...)
	c.apply()
	c.settled()
	for _, machine := range []string{"web1", "web2"} {
		if got := c.sql(machine, "SHOW DATABASES LIKE \"old\"") + c.sql(machine, user); got != "" {
			c.t.Errorf("of what was to be dropped, %s has %q", machine, got)
		}
	}
	c.replicate()
	c.apply()
	c.settled()
}
