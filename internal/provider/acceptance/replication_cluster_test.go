//go:build lab

package acceptance

import (
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab/labtest"
)

const (
	db     = "foobar_db_replication.notes"
	dbData = "data.foobar_db_replication.notes"
)

// replicated is the configuration of a replication over the two database
// servers of [databaseServers], which are its members, with lb1 as witness.
const replicated = `
variable "password" {
  type      = string
  ephemeral = true
  sensitive = true
}

resource "foobar_db_replication" "notes" {
  name    = "notes"
  primary = "web1"
  members = {
    web1 = { server = foobar_db_server.notes["web1"] }
    web2 = { server = foobar_db_server.notes["web2"] }
  }
  witnesses = { lb1 = foobar_machine.vm["lb1"] }

  databases = { notes = {} }
  users = {
    notes = {
      password_wo         = var.password
      password_wo_version = 1
      grants              = { notes = ["ALL"] }
      require_tls         = true
    }
  }
}
`

// looked is the data source. It is there only while the replication is: it does
// not depend on that, so that a plan that changes something reads it too.
const looked = `
data "foobar_db_replication" "notes" {
  machine = foobar_machine.vm["web1"]
  name    = "notes"
}
`

// cluster is a workspace with two database servers and a replication over them.
type cluster struct {
	*databases
	password string
	loads    int
}

// newCluster returns a cluster, not applied yet, of machines on which there is nothing yet.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{databases: &databases{lab: labtest.New(t)}, password: "password-" + rand.Text()}
	c.lab.Reset(machines()...)
	directory := t.TempDir()
	c.workspace = &workspace{t: t, directory: directory}
	c.configure(`machines = { web1`, `machines = { lb1 = "10.0.0.10", web1`, `notes" {
  for_each = local.machines`, `notes" {
  for_each = { for name, address in local.machines : name => address if name != "lb1" }`)
	c.met()
	c.workspace = newWorkspace(t, directory)
	c.env = append(c.env, "TF_VAR_password="+c.password)
	return c
}

// formed returns a cluster that replicates, without data of an app's.
func formed(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t)
	c.form()
	c.app("web2", "web1", tables)
	return c
}

// form applies a configuration with the replication, and has plans look at it.
func (c *cluster) form() {
	c.t.Helper()
	c.replicate()
	c.apply()
	c.write("look.tf", looked)
}

// tables are those that a load uses.
const tables = `CREATE TABLE IF NOT EXISTS notes.acknowledged (writer VARCHAR(32), n BIGINT, PRIMARY KEY (writer, n));
CREATE TABLE IF NOT EXISTS notes.seeded (id BIGINT AUTO_INCREMENT PRIMARY KEY, body LONGTEXT);`

// replicate writes the configuration of the replication; each edit replaces a text in it.
func (c *cluster) replicate(edits ...string) {
	c.t.Helper()
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(replicated, edits[i]) {
			c.t.Fatalf("the configuration holds no %q to edit", edits[i])
		}
	}
	c.write("replication.tf", strings.NewReplacer(edits...).Replace(replicated))
}

// consenting are edits that add an attribute to the replication.
func consenting(attribute string) []string {
	const primary = "  primary = \"web1\"\n"
	return []string{primary, primary + attribute + "\n"}
}

// reseeding is the consent to discard web2's data.
func reseeding(token string) []string {
	return consenting(fmt.Sprintf(`reseed = { node = "web2", token = %q }`, token))
}

// step runs a subtest on the cluster that what follows builds on, and looks at
// the invariants at its end.
func (c *cluster) step(name string, do func()) {
	outer := c.t
	outer.Helper()
	ended := outer.Run(name, func(t *testing.T) {
		c.bind(t)
		defer c.bind(outer)
		start := time.Now()
		do()
		c.invariants()
		t.Logf("took %s", time.Since(start).Round(100*time.Millisecond))
	})
	if !ended {
		outer.FailNow()
	}
}

// bind has everything that follows fail that test.
func (c *cluster) bind(t *testing.T) {
	c.t, c.lab = t, labtest.New(t)
}

// settled fails the test unless the replica follows and nothing is left to do.
func (c *cluster) settled() {
	c.t.Helper()
	c.follows()
	p := c.plan()
	p.empty()
	if strings.Contains(p.said, "Warning") {
		c.t.Errorf("the plan warns: %s", p.said)
	}
}

// differ fails the test unless the plan changes just the replication, and names
// just these places of drift; each is NODE/CODE, and is shown at the member or,
// if it is one of databases and users, there; or only CODE, and concerns several.
func (c *cluster) differ(places ...string) plan {
	c.t.Helper()
	p := c.plan()
	p.updates(db)
	p.drifts(places...)
	return p
}

// drifts is the second half of [cluster.differ].
func (p plan) drifts(places ...string) {
	p.t.Helper()
	drift, err := tfjsonpath.Traverse(p.change(db).Before, tfjsonpath.New("drift"))
	found, ok := drift.(map[string]any)
	if err != nil || !ok {
		p.t.Fatalf("the plan shows no drift: %v", err)
	}
	for place := range found {
		at := tfjsonpath.New("drift").AtMapKey(place)
		p.differs(db, at)
		if node, code, ok := strings.Cut(place, "/"); ok {
			want := fmt.Sprintf("members[%q]", node)
			if node == "lb1" {
				want = fmt.Sprintf("witnesses[%q]", node)
			}
			if code == "CatalogDiffers" {
				want = "databases"
			}
			shown, err := tfjsonpath.Traverse(p.change(db).Before, at.AtMapKey("attributes").AtSliceIndex(0))
			if text, ok := shown.(string); !ok || !strings.HasPrefix(text, want) {
				p.t.Errorf("the drift %s is shown at %v, not at %s: %v", place, shown, want, err)
			}
		}
	}
	slices.Sort(places)
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, places) {
		p.t.Errorf("the plan names %v, not %v: %v\nand says %s", got, places, drift, p.said)
	}
}

// status returns what the data source shows with a plan.
func (p plan) status() map[string]any {
	p.t.Helper()
	if p.PriorState != nil && p.PriorState.Values != nil {
		for _, r := range p.PriorState.Values.RootModule.Resources {
			if r.Address == dbData {
				return r.AttributeValues
			}
		}
	}
	p.t.Fatal("the plan has not read the data source")
	return nil
}

// shows fails the test unless the data source shows a value at a place.
func (p plan) shows(at tfjsonpath.Path, want any) {
	p.t.Helper()
	if got, err := tfjsonpath.Traverse(p.status(), at); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("the data source shows %v at %s, not %v: %v", got, at, want, err)
	}
}

// condition returns the message of a condition that the data source shows, and
// fails the test if there is none or the plan does not warn of it.
func (p plan) condition(kind string) string {
	p.t.Helper()
	conditions, _ := p.status()["conditions"].([]any)
	for _, each := range conditions {
		found, _ := each.(map[string]any)
		if message, ok := found["message"].(string); ok && found["type"] == kind {
			p.warns(kind)
			return message
		}
	}
	p.t.Errorf("there is no condition %s: %v", kind, conditions)
	return ""
}

// member is a place of a member in the data source.
func member(name, attribute string) tfjsonpath.Path {
	return tfjsonpath.New("members").AtMapKey(name).AtMapKey(attribute)
}

// app runs statements as the app on a machine does, on the database of another.
func (c *cluster) app(from, to, statements string) string {
	c.t.Helper()
	out, err := c.tryApp(from, to, statements)
	if err != nil {
		c.t.Fatalf("the app on %s cannot use the database on %s: %v", from, to, err)
	}
	return out
}

func (c *cluster) tryApp(from, to, statements string) (string, error) {
	out, err := c.lab.TryExec(from, "env", "MYSQL_PWD="+c.password, "mariadb", "--no-defaults", "--user=notes", "--host="+host(to),
		"--ssl-verify-server-cert", "--ssl-ca=/run/foobar-db-notes.tls/ca.pem", "--connect-timeout=5", "-N", "-e", statements)
	return strings.TrimSpace(out), err
}

// host is the name in the certificate of a machine's database.
func host(machine string) string { return machine + "." + deployment + ".internal" }

// until waits until a shell command succeeds on a machine.
func (c *cluster) until(machine, what, command string) {
	c.t.Helper()
	seconds := strconv.Itoa(int(patience.Seconds()))
	if _, err := c.lab.TryExec(machine, "timeout", seconds, "sh", "-c", "until "+command+"; do sleep 0.1; done"); err != nil {
		out, _ := c.lab.TryExec(machine, "sh", "-c", command)
		status, _ := c.lab.TryExec(machine, "foobar-agent", "status")
		c.t.Fatalf("%s does not become %s: %v\n%s\n%s", machine, what, err, out, status)
	}
}

// asks is the shell command that succeeds if a query as root is answered so.
func asks(query, answer string) string {
	return fmt.Sprintf(`[ "$(mariadb --no-defaults -S /run/foobar-db-notes/mariadb.sock -N -e '%s' 2>/dev/null)" = "%s" ]`, query, answer)
}

// opens waits until a machine's database takes writes.
func (c *cluster) opens(machine string) {
	c.t.Helper()
	c.until(machine, "writable", asks("SELECT @@read_only", "0"))
}

// follows waits until the replica has applied everything that the primary has,
// receives more, and its agent has set what a start of its database undid.
func (c *cluster) follows() {
	c.t.Helper()
	c.opens("web1")
	position := c.sql("web1", "SELECT @@gtid_binlog_pos")
	c.until("web2", "a replica at "+position, asks(fmt.Sprintf(`SELECT MASTER_GTID_WAIT("%s", 5)`, position), "0"))
	c.until("web2", "a replica that receives", showing("Slave_IO_Running: Yes"))
	c.until("web2", "a replica of which its agent knows", asks("SELECT @@slave_connections_needed_for_purge", "0"))
	c.until("web1", "a primary of which its agent knows", asks("SELECT @@slave_connections_needed_for_purge", "1"))
}

// showing is the shell command that succeeds if the status of a replica shows a text.
func showing(text string) string {
	return `mariadb --no-defaults -S /run/foobar-db-notes/mariadb.sock -e 'SHOW SLAVE STATUS\G' | grep -q '` + text + "'"
}

// same fails the test unless a table is the same on both servers.
func (c *cluster) same(tables ...string) {
	c.t.Helper()
	c.follows()
	for _, table := range tables {
		one, other := c.sql("web1", "CHECKSUM TABLE "+table), c.sql("web2", "CHECKSUM TABLE "+table)
		if one != other || strings.HasSuffix(one, "NULL") {
			c.t.Errorf("on web1 is %s, on web2 %s", one, other)
		}
	}
}

// copied identifies the copy that a machine's data are: a seed makes another one.
func (c *cluster) copied(machine string) string {
	c.t.Helper()
	return c.lab.Exec(machine, "stat", "-c", "%i", "/var/lib/foobar-db/notes/data")
}

// content returns the text of a file.
func content(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
