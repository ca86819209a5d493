//go:build lab

package acceptance

import "strings"

// drift is something that somebody changed by hand.
type drift struct {
	name string
	// at is the machine, and by the statements that root ran on its database.
	at, by string
	// places are where the plan names it, and address which resource changes
	// besides the replication, if any.
	places  []string
	address string
	// is answers yes when it is repaired.
	is string
	// status is the condition in the machine's own status, if any.
	status string
}

// drifts are the common ones.
func drifts() []drift {
	return []drift{
		{"StoppedReplica", "web2", "STOP REPLICA", []string{"web2/ReplicationStopped"}, "", "SELECT 1", "ReplicaNotFollowing"},
		{"Fault14StoppedReceiver", "web2", "STOP SLAVE IO_THREAD", []string{"web2/ReplicationStopped"}, "", "SELECT 1", "ReplicaNotFollowing"},
		{"Fault16WritableReplica", "web2", "SET GLOBAL read_only = OFF", []string{"TwoWritable", "web2/ReplicaWritable"}, "", "SELECT @@read_only", ""},
		{
			"Fault18ReplicaOfAnotherSource", "web2", "STOP REPLICA; CHANGE MASTER TO MASTER_HOST = '10.0.0.10'; START REPLICA",
			[]string{"web2/WrongSource"}, "", "SELECT 1", "",
		},
		{"ChangedSetting", "web2", "SET GLOBAL gtid_strict_mode = OFF", []string{"web2/StrictOff"}, db2, "SELECT @@gtid_strict_mode", ""},
		{"PrimaryFencedByHand", "web1", "SET GLOBAL read_only = ON", []string{"web1/NoWritablePrimary"}, "", "SELECT NOT @@read_only", ""},
	}
}

// repairs makes a change by hand, sees the plan name it, and an apply repair it
// without a new copy of the data.
func (c *cluster) repairs(d drift) {
	copies := c.copied("web2")
	c.sql(d.at, d.by)
	if d.status != "" { // where the machine itself is asked, at 3 a.m.
		c.until(d.at, "a status that says so", "foobar-agent status | grep -q "+d.status)
	}
	p := c.plan()
	p.drifts(d.places...)
	if d.address == "" {
		p.updates(db)
	} else {
		p.updates(db, d.address)
	}
	c.apply()
	if got := c.sql(d.at, d.is); got != "1" {
		c.t.Errorf("%s: %s is %s", d.name, d.is, got)
	}
	c.settled()
	if c.copied("web2") != copies {
		c.t.Errorf("%s: the replica was seeded anew", d.name)
	}
}

// forgets has machines lose their configuration, and sees one apply tell them.
func (c *cluster) forgets() {
	const shown, restart = parts + "config.json", "; systemctl restart foobar-agent"
	copies := c.copied("web2")
	for _, f := range []struct{ machine, how, place string }{
		{"web2", "echo x > " + shown + restart, "web2/Configuration"},
		{"lb1", "rm " + shown + restart, "lb1/Configuration"},
		{"web2", "foobar-agent replication leave notes", "web2/Membership"},
		{"web2", "echo x > " + shown + restart + "; until foobar-agent replication leave notes; do sleep 0.2; done", "web2/Membership"},
	} {
		c.lab.Exec(f.machine, "sh", "-c", f.how)
		if strings.HasSuffix(f.place, "Membership") && c.sql("web2", "SELECT COUNT(*) FROM information_schema.processlist WHERE command = \"Slave_IO\"") != "0" {
			c.t.Errorf("%s: web2 follows", f.how)
		}
		p := c.plan()
		p.drifts(f.place)
		p.updates(db)
		c.apply()
		c.follows()
		c.settled()
	}
	if c.copied("web2") != copies {
		c.t.Error("the replica was seeded anew")
	}
}

// reseeds sees a consent discard what web2 has, once: its token counts no more
// when the same thing happens again.
func (c *cluster) reseeds(token string, again func()) {
	c.t.Helper()
	before := c.copied("web2")
	c.replicate(reseeding(token)...)
	c.apply()
	c.settled()
	seeded := c.copied("web2")
	if seeded == before {
		c.t.Error("the consent did not have web2 seeded")
	}
	if again != nil {
		again()
		c.apply()
		if c.copied("web2") != seeded {
			c.t.Error("a token was used a second time")
		}
		c.replicate(reseeding(token + "-again")...)
		c.apply()
		c.settled()
	}
	c.replicate()
	c.apply()
}

// errant sees a write of the replica's own reported, left alone, and discarded by consent.
func (c *cluster) errant() {
	write := func() {
		c.sql("web2", "INSERT INTO notes.acknowledged VALUES ('errant', 1)")
		p := c.plan()
		p.empty()
		if why := p.condition("Errant"); !strings.Contains(why, "web2") || !strings.Contains(why, `reseed = { node = "web2", token = "<new text>" }`) {
			c.t.Errorf("the condition does not tell the way out: %s", why)
		}
	}
	write()
	copies := c.copied("web2")
	c.apply()
	if got := c.sql("web2", "SELECT COUNT(*) FROM notes.acknowledged WHERE writer = 'errant'"); got != "1" || c.copied("web2") != copies {
		c.t.Error("the errant write was repaired in silence")
	}
	c.reseeds("2026-11-22a", write)
	c.same("notes.seeded", "notes.acknowledged")
}
