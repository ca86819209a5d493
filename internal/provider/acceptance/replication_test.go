//go:build lab

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// purge deletes all binary logs that a machine's database has, whoever needs
// them. (One that was just ended may still be needed for recovery.)
func (c *cluster) purge(machine string) {
	c.t.Helper()
	c.sql(machine, "SET GLOBAL slave_connections_needed_for_purge = 0; FLUSH BINARY LOGS")
	const statements = "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY; SHOW BINARY LOGS"
	c.until(machine, "a machine without old logs", `[ "$(mariadb --no-defaults -S /run/foobar-db-notes/mariadb.sock -N -e '`+statements+`' | wc -l)" = 1 ]`)
	c.sql(machine, "SET GLOBAL slave_connections_needed_for_purge = 1")
}

// fill puts rows that hold a text into a table of a fenced database that
// belongs to no replication yet, about 1 kB each and 2 to the power of doublings
// of them, and leaves nothing of it in the binary logs.
func (c *cluster) fill(machine, text string, doublings int) {
	c.t.Helper()
	statements := []string{
		"SET GLOBAL read_only = OFF", "CREATE DATABASE IF NOT EXISTS notes", tables,
		fmt.Sprintf("INSERT INTO notes.seeded (body) VALUES (REPEAT('%s', %d))", text, 1000/len(text)),
	}
	for range doublings {
		statements = append(statements, "INSERT INTO notes.seeded (body) SELECT body FROM notes.seeded")
	}
	statements = append(statements, "SET GLOBAL read_only = ON")
	c.sql(machine, strings.Join(statements, ";"))
	c.purge(machine)
}

// formsAroundData forms the replication around a primary that holds data, two
// to the power of doublings kilobytes, and no logs of them any more, while an
// app writes. What crosses the network is encrypted.
func (c *cluster) formsAroundData(doublings int) {
	c.t.Helper()
	const text = "row-of-the-primary-"
	c.apply() // the database servers alone
	c.fill("web1", text, doublings)
	capture := c.capture("web2", text, c.password)
	load := c.load("write", "web1", "web1") // refused until the replication makes its account

	c.form()
	load.meets("ok")
	load.kept(load.stop(), "web1")
	c.same("notes.seeded", "notes.acknowledged")
	seen := capture.stop("web1", "10.0.0.2")
	if seen.Bytes < 1000<<doublings || seen.Missed > 0 {
		c.t.Errorf("the copy was not captured: %+v", seen)
	}
	for _, secret := range []string{text, c.password} {
		if n := seen.Seen[secret]; n > 0 {
			c.t.Errorf("%q crossed the network %d times in plain text", secret, n)
		}
	}
}

// TestReplication lives through the life of a replication.
func TestReplication(t *testing.T) {
	c := newCluster(t)
	c.step("IsFormedAroundAPrimaryWithData", func() { c.formsAroundData(14) })
	c.step("IsSettledAndTellsOfItself", c.tells)
	c.step("ReplicaPurgesItsBinaryLogs", c.replicaPurges)
	c.step("PlanWritesNothing", c.planWritesNothing)
	c.step("IsImportedFromAnEmptyState", c.imported)
	for _, d := range drifts() {
		c.step(d.name, func() { c.repairs(d) })
	}
	c.step("MachineThatLostItsConfiguration", c.forgets)
	c.step("Fault17ErrantTransaction", c.errant)
	c.step("WhatOnlyTheMachinesKnowIsRefusedAtPlan", c.refuses)
	c.step("ReplicaNeverTakesAWrite", func() { c.replicaNeverWrites(1) })
	c.step("PrimaryOpensOnlyWithAMajority", func() { c.primaryNeedsMajority(1) })
	c.step("RebuiltMachineIsRestoredByOneApply", c.rebuilt)
	c.step("Fault33AgentKilledWhileAMachineIsSeeded", c.struck)
	c.step("DestroyDetachesAndApplyAttaches", c.detached)
	c.step("WhatIsTakenOutIsNotDropped", c.takenOut)
	c.step("SecretsStayWhereTheyBelong", c.secrets)
}

// tells looks at everything that a healthy replication shows.
func (c *cluster) tells() {
	c.app("web2", "web1", "INSERT INTO notes.acknowledged VALUES ('by hand', 1)")
	c.follows()
	if got := c.app("web1", "web2", "SELECT COUNT(*) FROM notes.acknowledged WHERE writer = 'by hand'"); got != "1" {
		c.t.Errorf("the app reads %s rows from the replica", got)
	}
	c.settled()
	p := c.plan()
	for _, shown := range []struct {
		at   tfjsonpath.Path
		want any
	}{
		{tfjsonpath.New("current_primary"), "web1"},
		{tfjsonpath.New("writable"), true},
		{tfjsonpath.New("epoch"), c.record("lb1").Epoch},
		{tfjsonpath.New("conditions"), []any{}},
		{member("web1", "role"), "primary"},
		{member("web1", "state"), "open"},
		{member("web1", "writable"), true},
		{member("web2", "role"), "replica"},
		{member("web2", "state"), "following"},
		{member("web2", "writable"), false},
		{member("web2", "receiver"), "running"},
		{member("web2", "applier"), "running"},
		{tfjsonpath.New("witnesses").AtMapKey("lb1").AtMapKey("reachable"), true},
	} {
		p.shows(shown.at, shown.want)
	}
	if lag, err := tfjsonpath.Traverse(p.status(), member("web2", "lag_milliseconds")); err != nil || lag == nil {
		c.t.Errorf("the lag is not known: %v, %v", lag, err)
	}
	resource := c.state()[db]
	if got := fmt.Sprint(resource["current_primary"], resource["roles"]); got != "web1map[web1:primary web2:replica]" {
		c.t.Errorf("the resource shows %s", got)
	}
	if found := c.passwords().in(p.text + p.said); len(found) > 0 {
		c.t.Errorf("the plan shows %v", found)
	}
}

// replicaPurges fails the test unless a replica's binary logs, which nobody
// reads, go when they take more room than they may.
func (c *cluster) replicaPurges() {
	c.follows()
	const room = "SELECT @@max_binlog_total_size"
	before := c.sql("web2", room)
	c.sql("web2", "SET GLOBAL max_binlog_total_size = 4096")
	c.until("web2", "a replica without old logs", `! mariadb --no-defaults -S /run/foobar-db-notes/mariadb.sock -N -e 'FLUSH LOCAL BINARY LOGS; SHOW BINARY LOGS' | grep -q binlog.000001`)
	c.sql("web2", "SET GLOBAL max_binlog_total_size = "+before)
	c.settled()
}

// planWritesNothing fails the test if anything but the heartbeat was written
// to a database between before and after a plan.
func (c *cluster) planWritesNothing() {
	const first = "SELECT CONCAT(@@gtid_domain_id, \"-\", @@server_id, \"-\", SUBSTRING_INDEX(@@gtid_binlog_pos, \"-\", -1))"
	before := c.sql("web1", first)
	records := c.agreed()
	copies := c.copied("web1") + c.copied("web2")
	c.plan().empty()
	after := c.sql("web1", first)

	events := c.lab.Exec("web1", "sh", "-c", "cd /var/lib/foobar-db/notes/data && mariadb-binlog --no-defaults --base64-output=DECODE-ROWS --verbose "+
		fmt.Sprintf("--start-position=%s --stop-position=%s $(cat binlog.index)", before, after))
	transactions := strings.Count(events, "\tGTID ")
	beats := strings.Count(events, "### UPDATE `foobar`.`heartbeat`")
	if transactions == 0 || beats != transactions || strings.Count(events, "### UPDATE") != beats || strings.Contains(events, "### INSERT") || strings.Contains(events, "### DELETE") {
		c.t.Errorf("between %s and %s were %d transactions, %d of them of the heartbeat:\n%s", before, after, transactions, beats, events)
	}
	if now := c.agreed(); !now.Equal(records) || copies != c.copied("web1")+c.copied("web2") {
		c.t.Errorf("the record was %v and is %v", records, now)
	}
}

// imported forgets the state and imports the running replication, which owns
// it from then on: what follows goes on with the imported state.
func (c *cluster) imported() {
	file := filepath.Join(c.directory, "terraform.tfstate")
	before, built := content(c.t, file), c.state()[db]
	if err := os.Remove(file); err != nil {
		c.t.Fatal(err)
	}
	var imports strings.Builder
	add := func(to, id string) { fmt.Fprintf(&imports, "import {\n  to = %s\n  id = %q\n}\n", to, id) }
	for machine, address := range map[string]string{"lb1": "10.0.0.10", "web1": "10.0.0.1", "web2": "10.0.0.2"} {
		add(fmt.Sprintf("foobar_machine.vm[%q]", machine), machine+"@"+address)
		if machine != "lb1" {
			add(fmt.Sprintf("foobar_db_server.notes[%q]", machine), machine+"@"+address+"/notes")
		}
	}
	add(db, "web1@10.0.0.1/notes")
	c.write("imports.tf", imports.String())
	c.plan().empty()
	c.apply()
	c.settled()
	imported := c.state()[db]
	for _, attribute := range []string{"members", "witnesses", "users", "databases", "current_primary", "epoch", "generation"} {
		if fmt.Sprint(imported[attribute]) != fmt.Sprint(built[attribute]) {
			c.t.Errorf("%s was imported as\n%v\nnot\n%v", attribute, imported[attribute], built[attribute])
		}
	}
	c.write("imports.tf", "")
	c.overtaken(before)
}

// overtaken puts the state back that owned everything before the import, for as
// long as it takes to see that it says so, and would change nothing of a drift.
func (c *cluster) overtaken(former string) {
	c.t.Helper()
	current := content(c.t, c.directory, "terraform.tfstate")
	c.sql("web2", "STOP REPLICA")
	c.write("terraform.tfstate", former)
	p := c.plan()
	p.empty()
	p.warns("The component belongs to another state", "/notes on machine \"", "was taken over by", "(and 2 more similar warnings elsewhere)")
	c.write("terraform.tfstate", current)
	c.differ("web2/ReplicationStopped")
	c.apply()
	c.settled()
}

// refuses looks at mistakes that need the machines to be seen.
func (c *cluster) refuses() {
	for name, mistake := range map[string]struct {
		edits []string
		want  []string
	}{
		"a change of primary": {[]string{`primary = "web1"`, `primary = "web2"`}, []string{`primary = "web2"`, "switchover"}},
		"a member that becomes a witness in one step": {
			[]string{
				`    web2 = { server = foobar_db_server.notes["web2"] }`, ``,
				`{ lb1 = foobar_machine.vm["lb1"] }`, `{ lb1 = foobar_machine.vm["lb1"], web2 = foobar_machine.vm["web2"] }`,
			},
			[]string{`witnesses["web2"]`, "is a member as yet"},
		},
		"a member without a database server": {
			[]string{
				`  witnesses = { lb1 = foobar_machine.vm["lb1"] }`, ``,
				"members = {", "members = {\n" + `lb1 = { server = { machine = foobar_machine.vm["lb1"], name = "notes", engine = "mariadb", server_id = 9, port = 3306 } }`,
			},
			[]string{`members["lb1"]`},
		},
	} {
		c.replicate(mistake.edits...)
		why := c.refused("plan")
		for _, want := range mistake.want {
			if !strings.Contains(why, want) {
				c.t.Errorf("%s: the error does not say %q: %s", name, want, why)
			}
		}
	}
	c.replicate()
	c.settled()
}
