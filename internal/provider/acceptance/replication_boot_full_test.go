//go:build lab && full

package acceptance

import (
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

func TestReplicaNeverTakesAWriteInTenRebootsAndTenPowerLosses(t *testing.T) {
	c := formed(t)
	c.step("web2", func() { c.replicaNeverWrites(10) })
}

func TestPrimaryKeepsEveryWriteInTenRebootsAndTenPowerLosses(t *testing.T) {
	c := formed(t)
	c.step("web1", func() { c.primaryNeedsMajority(10) })
}

// TestReplicationComesBackAsWhatItWas takes the power from machines, and the
// processes from databases, in every combination.
func TestReplicationComesBackAsWhatItWas(t *testing.T) {
	c := formed(t)
	for _, gone := range [][]string{{"web1", "web2"}, {"web1", "lb1"}, {"web2", "lb1"}, machines()} {
		c.step(fmt.Sprint("PowerLossOf", gone), func() {
			load := c.load("write", "web2", "web1")
			load.meets("ok")
			c.lab.Kill(gone...)
			c.opens("web1")
			written := load.stop()
			c.settled()
			load.kept(written, "web1", "web2")
		})
	}
	for _, machine := range []string{"web1", "web2"} {
		c.step("PowerOffOf "+machine, func() {
			c.lab.PowerOff(machine)
			c.lab.Start(machine)
			c.settled()
		})
		c.step("KilledDatabaseOf "+machine, func() {
			load := c.load("write", "web2", "web1")
			load.meets("ok")
			before := c.process(machine)
			c.lab.Exec(machine, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "foobar-db-notes.service")
			c.until(machine, "a machine with another process", fmt.Sprintf(`[ "$(systemctl show -P MainPID foobar-db-notes.service)" -gt 0 ] && [ "$(systemctl show -P MainPID foobar-db-notes.service)" != %s ]`, before))
			c.opens("web1")
			load.meets("ok")
			written := load.stop()
			c.settled()
			load.kept(written, "web1", "web2")
		})
		c.step("RestartedAgentOf "+machine, func() {
			load := c.load("write", "web2", "web1")
			load.meets("ok")
			c.lab.Exec(machine, "systemctl", "restart", "foobar-agent.service")
			c.settled()
			written := load.stop()
			load.kept(written, "web1")
			if len(written.refused) > 0 {
				c.t.Errorf("writes were refused while an agent was restarted: %v", written.refused)
			}
		})
	}
}

// TestFault20OldPrimaryWithAStaleConfig has the others record a later epoch
// while the primary is off, as a failover would have them do.
func TestFault20OldPrimaryWithAStaleConfig(t *testing.T) {
	c := formed(t)
	c.step("StaysFencedUntilTheEpochIsItsOwn", func() {
		before := c.agreed()
		c.lab.PowerOff("web1")
		later := before
		later.Epoch, later.Primary = before.Epoch+1, "web2"
		c.rewrite(later, "web2", "lb1")
		c.lab.Start("web1")
		c.explains("web1", fmt.Sprint(later.Epoch))
		c.rewrite(before, "web2", "lb1")
		c.opens("web1")
		c.settled()
	})
}

// rewrite changes by hand what machines have recorded.
func (c *cluster) rewrite(record replication.Record, machines ...string) {
	c.t.Helper()
	for _, machine := range machines {
		c.lab.Exec(machine, "systemctl", "stop", "foobar-agent.service")
		c.lab.Exec(machine, "sh", "-c", `printf %s "$1" >`+parts+`record.json`, "-", string(api.Encode(record)))
		c.lab.Exec(machine, "systemctl", "start", "foobar-agent.service")
	}
}

// TestFault04PrimaryCutOffFromItsReplicaOnly sees no change of roles: the
// witness still sees both.
func TestFault04PrimaryCutOffFromItsReplicaOnly(t *testing.T) {
	c := formed(t)
	c.step("NoRoleChanges", func() {
		epoch := c.agreed().Epoch
		c.lab.Partition([]string{"web1"}, []string{"web2"})
		load := c.load("write", "web1", "web1")
		load.meets("ok")
		p := c.plan()
		p.empty()
		p.condition("Unobservable")
		p.shows(member("web2", "reachable"), false)
		p.shows(member("web2", "lag_milliseconds"), nil)
		p.shows(tfjsonpath.New("current_primary"), "web1")
		c.lab.Kill("web1") // a majority is the witness and web1 itself
		c.opens("web1")
		again := c.load("write", "web1", "web1")
		again.meets("ok")
		c.lab.Heal()
		before, after := load.stop(), again.stop()
		c.settled()
		load.kept(before, "web1", "web2")
		again.kept(after, "web1", "web2")
		if now := c.agreed().Epoch; now != epoch {
			c.t.Errorf("the epoch was %d and is %d", epoch, now)
		}
	})
}
