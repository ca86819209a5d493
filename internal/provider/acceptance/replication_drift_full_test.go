//go:build lab && full

package acceptance

import (
	"slices"
	"testing"
)

func TestReplicationDriftsOfAllSortsAtOnce(t *testing.T) {
	c := formed(t)
	c.step("DriftsAreRepairedTogether", func() {
		c.sql("web1", "SET GLOBAL sync_binlog = 0; REVOKE INSERT ON notes.* FROM notes@'%'; DROP USER foobar_repl_web2@'%'")
		c.sql("web2", "SET GLOBAL read_only = OFF; STOP REPLICA; CHANGE MASTER TO MASTER_USE_GTID = no, MASTER_SSL_VERIFY_SERVER_CERT = 0, MASTER_DELAY = 60")
		c.plan().drifts("web1/NotDurable", "web1/CatalogDiffers", "TwoWritable", "web2/ReplicaWritable", "web2/ReplicationStopped", "web2/NotAutoPosition", "web2/NoTLS", "web2/Delayed")
		c.apply()
		c.settled()
	})
	// Fault 16: what was written while it was writable is looked for afterwards.
	c.step("Fault16ReplicaWasWritableAndWasWrittenTo", func() {
		c.sql("web2", "SET GLOBAL read_only = OFF; INSERT INTO notes.acknowledged VALUES ('errant', 2)")
		c.differ("TwoWritable", "web2/ReplicaWritable")
		c.apply()
		if got := c.sql("web2", "SELECT @@read_only"); got != "1" {
			c.t.Errorf("read_only is %s", got)
		}
		p := c.plan()
		p.empty()
		p.condition("Errant")
		c.reseeds("token", nil)
	})
}

func TestReplicationUsersAndDatabasesFollowTheConfiguration(t *testing.T) {
	c := formed(t)
	c.step("PasswordChangesWithItsVersion", func() {
		old := c.password
		c.password = "password-changed"
		c.env = append(slices.Clone(c.env), "TF_VAR_password="+c.password)
		c.plan().empty() // without another version nothing is compared
		c.replicate("password_wo_version = 1", "password_wo_version = 2")
		c.plan().updates(db)
		c.apply()
		c.settled()
		c.app("web2", "web1", "SELECT 1")
		c.app("web1", "web2", "SELECT 1")
		now := c.password
		c.password = old
		if _, err := c.tryApp("web2", "web1", "SELECT 1"); err == nil {
			c.t.Error("the old password still opens the database")
		}
		c.password = now
	})
	c.step("GrantsAreThoseOfTheConfiguration", func() {
		c.replicate("password_wo_version = 1", "password_wo_version = 2", `["ALL"]`, `["SELECT"]`)
		c.apply()
		c.settled()
		if _, err := c.tryApp("web2", "web1", "INSERT INTO notes.acknowledged VALUES ('no', 1)"); err == nil {
			c.t.Error("an account that may read was let write")
		}
		c.replicate("password_wo_version = 1", "password_wo_version = 2")
		c.apply()
		c.app("web2", "web1", "INSERT INTO notes.acknowledged VALUES ('yes', 1)")
		c.settled()
	})
}
