//go:build lab

package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab/labtest"
)

const (
	db1 = `foobar_db_server.notes["web1"]`
	db2 = `foobar_db_server.notes["web2"]`
)

// databaseServers is a configuration of two database servers that belong to
// no replication yet.
const databaseServers = `
terraform {
  required_providers {
    foobar = { source = "foobar-stack/foobar" }
  }
}

provider "foobar" {
  deployment = "demo"
}

variable "incarnations" {
  type = map(number)
}

locals {
  machines = { web1 = "10.0.0.1", web2 = "10.0.0.2" }
}

resource "foobar_machine" "vm" {
  for_each = local.machines

  name        = each.key
  address     = each.value
  incarnation = var.incarnations[each.key]
}

resource "foobar_db_server" "notes" {
  for_each = local.machines

  machine          = foobar_machine.vm[each.key]
  name             = "notes"
  engine           = "mariadb"
  listen_addresses = [each.value]
  allowed_clients  = [for machine in foobar_machine.vm : machine.address]

  settings = {
    innodb_buffer_pool_size = "64M"
    max_connections         = "60"
  }
}
`

// databases is a workspace with two database servers, not applied yet, on
// machines on which there is nothing yet.
type databases struct {
	*workspace
	lab *labtest.Lab
}

func newDatabases(t *testing.T) *databases {
	t.Helper()
	d := &databases{lab: labtest.New(t)}
	d.lab.Reset("web1", "web2")
	directory := t.TempDir()
	d.workspace = &workspace{t: t, directory: directory}
	d.configure()
	d.met()
	d.workspace = newWorkspace(t, directory)
	return d
}

// configure writes the configuration; each edit replaces a text in it.
func (d *databases) configure(edits ...string) {
	d.t.Helper()
	d.write("main.tf", strings.NewReplacer(edits...).Replace(databaseServers))
}

func (d *databases) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.directory, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// met tells the configuration which VMs there are.
func (d *databases) met() {
	d.t.Helper()
	incarnations := map[string]int{}
	for name, machine := range d.lab.Status().Machines {
		incarnations[name] = machine.Incarnation
	}
	text, err := json.Marshal(map[string]any{"incarnations": incarnations})
	if err != nil {
		d.t.Fatal(err)
	}
	d.write("test.auto.tfvars.json", string(text))
}

// sql runs a statement as root on a machine's database server.
func (d *databases) sql(machine, statement string) string {
	d.t.Helper()
	return strings.TrimSpace(d.lab.Exec(machine, "mariadb", "--no-defaults", "-S", "/run/foobar-db-notes/mariadb.sock", "-N", "-e", statement))
}

// fenced fails the test unless both servers refuse writes.
func (d *databases) fenced() {
	d.t.Helper()
	for _, machine := range []string{"web1", "web2"} {
		if got := d.sql(machine, "SELECT @@read_only"); got == "0" || got == "OFF" {
			d.t.Errorf("the server on %s is open: read_only is %s", machine, got)
		}
	}
}

// process returns the main process of a machine's database server.
func (d *databases) process(machine string) string {
	d.t.Helper()
	return strings.TrimSpace(d.lab.Exec(machine, "systemctl", "show", "-P", "MainPID", "foobar-db-notes.service"))
}

func TestDatabaseServersAreMadeFencedWithCertificatesAndForTheirClients(t *testing.T) {
	d := newDatabases(t)
	d.apply()
	d.plan().empty()
	d.fenced()
	state := d.state()
	first, second := fmt.Sprintf("%.0f", state[db1]["server_id"]), fmt.Sprintf("%.0f", state[db2]["server_id"])
	if first == second || d.sql("web1", "SELECT @@server_id") != first || d.sql("web2", "SELECT @@server_id") != second {
		t.Errorf("the server ids are %s and %s", first, second)
	}

	// The clients of web1 see a certificate that names it; others see nothing.
	// (With no account for anybody there is no handshake even.)
	d.sql("web1", "SET GLOBAL read_only = OFF; CREATE USER probe@'10.0.0.%' IDENTIFIED BY 'probe'; SET GLOBAL read_only = ON")
	const look = "openssl s_client -starttls mysql -connect 10.0.0.1:3306 -verify_return_error -verify_hostname web1.demo.internal " +
		"-CAfile /var/lib/foobar/identity/leaves/db-server.notes/ca.pem </dev/null"
	if out, err := d.lab.TryExec("web2", "sh", "-c", look); err != nil {
		t.Errorf("web2 does not trust the server on web1: %v\n%s", err, out)
	}
	if out, err := d.lab.TryExec("lb1", "timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/10.0.0.1/3306"); err == nil {
		t.Errorf("lb1 is no client, and reaches the server on web1\n%s", out)
	}
}

func TestDriftOfASettingIsNamedAndRepairedWithoutARestart(t *testing.T) {
	d := newDatabases(t)
	d.apply()
	before := d.process("web1")
	at := tfjsonpath.New("settings").AtMapKey("max_connections")
	d.sql("web1", "SET GLOBAL max_connections = 50")
	p := d.plan()
	p.updates(db1)
	p.differs(db1, at)
	if impact := p.planned(db1, tfjsonpath.New("impact")); impact != "runtime" {
		t.Errorf("the impact is %v, not runtime", impact)
	}
	d.apply()
	d.plan().empty()
	if got := d.sql("web1", "SELECT @@max_connections"); got != "60" {
		t.Errorf("max_connections is %s", got)
	}
	if now := d.process("web1"); now != before {
		t.Errorf("the server was restarted: process %s is %s", before, now)
	}
}

func TestPlanWarnsOfARestartAndAsksTheEngine(t *testing.T) {
	d := newDatabases(t)
	d.apply()
	d.configure(`"64M"`, `each.key == "web2" ? "96M" : "64M"`)
	out := d.must("plan", "-no-color", "-input=false")
	if want := `settings["innodb_buffer_pool_size"]`; !strings.Contains(out, "Warning: Restart on machine web2") || !strings.Contains(out, want) {
		t.Errorf("the plan does not warn at %s:\n%s", want, out)
	}
	p := d.plan()
	p.updates(db2)
	if impact := p.planned(db2, tfjsonpath.New("impact")); impact != "restart" {
		t.Errorf("the impact is %v, not restart", impact)
	}
	d.apply()
	d.plan().empty()
	d.fenced()
	if got := d.sql("web2", "SELECT @@innodb_buffer_pool_size"); got != "100663296" {
		t.Errorf("the buffer pool has %s bytes", got)
	}

	// What only the engine knows is wrong is an error at plan, on its place.
	d.configure(`max_connections `, "collation_server = \"utf8mb4_klingon_ci\"\n    max_connections ")
	if why := d.refused("plan"); !strings.Contains(why, `collation_server`) {
		t.Errorf("the error does not name the setting: %s", why)
	}
	// All of it is reported at once, with what this version of the engine allows.
	d.configure(`max_connections `, "collation_server = \"utf8mb4_klingon_ci\"\n    group_concat_max_len = \"3\"\n    max_allowed_packet = \"1025\"\n"+
		"    transaction_isolation = \"NEVER\"\n    max_connections ")
	why := d.refused("plan")
	for _, want := range []string{"klingon", "3; it allows 4 to", "1025; it allows 1K to", `know "NEVER"; it allows one of`} {
		if !strings.Contains(strings.Join(strings.Fields(why), " "), want) {
			t.Errorf("the error does not say %q: %s", want, why)
		}
	}
	// The same in other words is no change.
	d.configure(`"64M"`, `each.key == "web2" ? "98304K" : "67108864"`)
	d.plan().empty()
}

func TestDatabaseServersComeBackFenced(t *testing.T) {
	d := newDatabases(t)
	d.apply()
	for what, power := range map[string]func(...string){"reboot": d.lab.Reboot, "power loss": d.lab.Kill} {
		t.Log(what)
		for _, machine := range []string{"web1", "web2"} {
			d.sql(machine, "SET GLOBAL read_only = OFF") // as a replication would have opened it
		}
		power("web1", "web2")
		d.plan().empty()
		d.fenced()
	}
}

func TestImportOfDatabaseServers(t *testing.T) {
	d := newDatabases(t)
	d.apply()
	if err := os.Remove(filepath.Join(d.directory, "terraform.tfstate")); err != nil {
		t.Fatal(err)
	}
	var imports strings.Builder
	for machine, address := range map[string]string{"web1": "10.0.0.1", "web2": "10.0.0.2"} {
		fmt.Fprintf(&imports, "import {\n  to = foobar_machine.vm[%q]\n  id = %q\n}\n", machine, machine+"@"+address)
		fmt.Fprintf(&imports, "import {\n  to = foobar_db_server.notes[%q]\n  id = %q\n}\n", machine, machine+"@"+address+"/notes")
	}
	d.write("imports.tf", imports.String())
	d.plan().empty()
	d.apply()
	d.plan().empty()
}

func TestDestroyedDatabaseServerKeepsItsDataAndARebuiltOneBegins(t *testing.T) {
	d := newDatabases(t)
	d.apply()
	d.sql("web1", "SET GLOBAL read_only = OFF; CREATE DATABASE kept; SET GLOBAL read_only = ON")
	d.destroy()
	d.apply()
	d.plan().empty()
	d.fenced()
	if got := d.sql("web1", "SHOW DATABASES LIKE 'kept'"); got != "kept" {
		t.Error("the database is gone after a destroy and an apply")
	}

	d.lab.Reset("web2")
	d.met()
	d.plan().updates(`foobar_machine.vm["web2"]`, db2)
	d.apply()
	d.plan().empty()
	d.fenced()
}
