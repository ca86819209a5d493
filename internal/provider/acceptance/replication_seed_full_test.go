//go:build lab && full

package acceptance

import (
	"strings"
	"testing"
)

// TestReplicationIsFormedAroundALargePrimary seeds from one that holds more
// than 200 MB, without the logs of them, under writes.
func TestReplicationIsFormedAroundALargePrimary(t *testing.T) {
	c := newCluster(t)
	c.step("Seed", func() { c.formsAroundData(18) })
}

// TestReplicationSeedThatIsInterrupted ends a seed in the middle, in every way
// that there is, and sees the next apply finish it.
func TestReplicationSeedThatIsInterrupted(t *testing.T) {
	c := newCluster(t)
	c.step("Seed", func() { c.formsAroundData(17) })
	systemd := func(machine string) func(*application) {
		return func(*application) {
			c.lab.Exec(machine, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "foobar-agent.service")
		}
	}
	power := func(machine string) func(*application) {
		return func(*application) { c.lab.Kill(machine) }
	}
	for _, interruption := range []struct {
		name string
		by   func(*application)
		// reader is the machine, which goes on, of an app that reads from web2.
		reader string
	}{
		{"Fault33AgentOfTheReplicaKilled", systemd("web2"), "web1"},
		{"AgentOfThePrimaryKilled", systemd("web1"), "web1"},
		{"TerraformKilled", func(a *application) { a.kill(false) }, "web1"},
		{"PowerOfTheReplicaLost", power("web2"), "web1"},
		{"PowerOfTheDonorLost", power("web1"), "web2"},
		{"Fault34DonorDied", func(*application) {
			c.lab.PowerOff("web1")
			c.until("web2", "a machine that tells of the donor", "foobar-agent status | grep 'SeedIncomplete.*web1'")
			c.halfNeverServes()
			c.lab.Start("web1")
		}, "web2"},
	} {
		c.step(interruption.name, func() {
			c.sql("web2", "INSERT INTO notes.acknowledged VALUES ('errant', 1)")
			reader := c.load("read", interruption.reader, "web2")
			reader.meets("ok")
			c.replicate(reseeding(interruption.name)...)
			a := c.begin(c.lab)
			a.await(holds("web2", seeding))
			interruption.by(a)
			if err := a.wait(); err != nil {
				c.t.Logf("the apply says: %v", err)
			}
			c.halfNeverServes()
			c.opens("web1")
			c.apply()
			c.settled()
			c.same("notes.seeded", "notes.acknowledged")
			c.whole(reader.stop())
		})
	}
}

// halfNeverServes fails the test if there is half a copy on web2 and its
// database takes writes.
func (c *cluster) halfNeverServes() {
	c.t.Helper()
	if _, err := c.lab.TryExec("web2", "sh", "-c", "[ -e /var/lib/foobar-db/notes/data.seeding ] && "+asks("SELECT @@read_only", "0")); err == nil {
		c.t.Error("half a copy takes writes")
	}
}

// TestFault35SeedOntoAServerWithData is refused until a consent names the
// server, and refused again for another one.
func TestFault35SeedOntoAServerWithData(t *testing.T) {
	c := newCluster(t)
	c.step("ConsentIsNeeded", func() {
		c.apply()
		c.fill("web1", "web1-", 1)
		c.fill("web2", "web2-", 2)
		c.replicate()
		why := c.refused("apply", "-auto-approve")
		for _, want := range []string{`members["web2"]`, `reseed = { node = "web2", token = "<new text>" }`} {
			if !strings.Contains(why, want) {
				c.t.Errorf("the error does not say %q: %s", want, why)
			}
		}
		if got := c.sql("web2", "SELECT COUNT(*) FROM notes.seeded"); got != "4" {
			c.t.Errorf("of the data of web2, %s rows are left", got)
		}
		c.replicate(consenting(`reseed = { node = "web1", token = "for another" }`)...)
		c.refused("apply", "-auto-approve")
		c.replicate(reseeding("for web2")...)
		c.apply()
		c.write("look.tf", looked)
		c.settled()
		c.same("notes.seeded")
	})
}

// TestFault12BinlogsPurged has a replica away while the logs that it needs go.
func TestFault12BinlogsPurged(t *testing.T) {
	c := formed(t)
	c.step("IsToldAndSeededByConsent", func() {
		c.sql("web2", "STOP REPLICA")
		c.app("web2", "web1", "INSERT INTO notes.acknowledged VALUES ('purged', 1)")
		c.purge("web1")
		c.app("web2", "web1", "INSERT INTO notes.acknowledged VALUES ('purged', 2)")
		copies := c.copied("web2")
		why := c.plan().condition("CannotCatchUp")
		if !strings.Contains(why, `reseed = { node = "web2"`) {
			c.t.Errorf("the condition does not tell the way out: %s", why)
		}
		c.apply()
		c.plan().condition("CannotCatchUp")
		if c.copied("web2") != copies {
			c.t.Error("the replica was seeded without a consent")
		}
		c.reseeds("purged", nil)
		c.same("notes.acknowledged")
	})
}
