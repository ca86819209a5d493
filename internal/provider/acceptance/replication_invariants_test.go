//go:build lab

package acceptance

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/gtid"
)

// parts is the directory of what a machine keeps of the replication.
const parts = "/var/lib/foobar/replications/notes/"

// json reads what a machine keeps of the replication.
func (c *cluster) json(machine, file string, into any) {
	c.t.Helper()
	text := c.lab.Exec(machine, "cat", parts+file)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		c.t.Fatalf("read %s of %s: %v", file, machine, err)
	}
}

// record returns what a machine has recorded.
func (c *cluster) record(machine string) replication.Record {
	c.t.Helper()
	var record replication.Record
	c.json(machine, "record.json", &record)
	return record
}

// invariants fails the test unless the replication is as it must be whenever
// nothing is under way: at most one database takes writes, and only the one of
// which all machines have recorded that it is primary (I1, I4); the replica has
// nothing that the primary has not; no secret is in Terraform's state.
func (c *cluster) invariants() {
	c.t.Helper()
	record := c.agreed()
	var open []string
	for _, machine := range []string{"web2", "web1"} {
		if c.sql(machine, "SELECT @@read_only") == "0" {
			open = append(open, machine)
		}
	}
	want := []string{"web1"}
	if !slices.Equal(open, want) || record.Primary != "" && string(record.Primary) != want[0] {
		c.t.Errorf("writes are taken by %v, and the primary of epoch %d is %q", open, record.Epoch, record.Primary)
	}
	if slices.Contains(record.Members, "web2") {
		c.subset()
	}
	if found := c.passwords().in(content(c.t, filepath.Join(c.directory, "terraform.tfstate"))); len(found) > 0 {
		c.t.Errorf("in the state is %v", found)
	}
}

// passwords returns the hunt for those of the app and of the replicas.
func (c *cluster) passwords() *hunt {
	c.t.Helper()
	var shown api.DBConfig
	c.json("web1", "config.json", &shown)
	h := &hunt{forms: map[string][]string{}}
	h.add("the app's password", []byte(c.password))
	h.add("the replicas' password", []byte(shown.Replication.Reveal()))
	return h
}

// secrets fails the test if a password is in a machine's journal, or where
// everybody may read it.
func (c *cluster) secrets() {
	h, bird := c.passwords(), "canary-"+rand.Text()
	sought := strings.Join(slices.Concat(slices.Collect(maps.Values(h.forms))...), "\n")
	h.forms[canary] = []string{bird}
	for _, machine := range machines() {
		c.lab.Exec(machine, "logger", bird)
		h.clean(c.t, "the journal of "+machine, c.lab.Exec(machine, "sh", "-c", `set -e
			journalctl --sync
			if [ -S /run/systemd/journal.foobar-db-notes/io.systemd.journal ]; then journalctl --namespace=foobar-db-notes --sync; fi
			journalctl --namespace='*' --all --no-pager --output=cat`))
		open := c.lab.Exec(machine, "runuser", "--user", "nobody", "--", "sh", "-c",
			`echo "$1" >/tmp/sought; grep -rslIF "$1" /etc /opt /root /run /srv /tmp /var || true`, "-", sought)
		if open != "/tmp/sought\n" {
			c.t.Errorf("everybody on %s may read a password in %s", machine, open)
		}
		c.lab.Exec(machine, "rm", "/tmp/sought") // which everybody may read, and was found
	}
}

// agreed returns what all machines of the replication have recorded.
func (c *cluster) agreed() replication.Record {
	c.t.Helper()
	var shown struct {
		Spec api.DBReplication `json:"spec"`
	}
	c.json("web1", "config.json", &shown) // a destroy ends the membership, and leaves this
	first := c.record("web1")
	for machine := range shown.Spec.Peers() {
		if record := c.record(machine); !record.Equal(first) {
			c.t.Errorf("web1 has recorded %+v, %s %+v", first, machine, record)
		}
	}
	return first
}

// subset fails the test if the replica has writes that the primary has not. The
// primary is asked last, since it goes on.
func (c *cluster) subset() {
	c.t.Helper()
	replica := c.history("web2")
	if missing := replica.Missing(c.history("web1")); !missing.Empty() {
		c.t.Errorf("web2 has what web1 has not: %s", missing)
	}
}

// history returns every write that a machine's database has.
func (c *cluster) history(machine string) gtid.Set {
	c.t.Helper()
	text := strings.ReplaceAll(c.sql(machine, `SELECT CONCAT_WS(",", NULLIF(@@gtid_binlog_state, ""), NULLIF(@@gtid_slave_pos, ""))`), "\n", "")
	set, err := gtid.Parse(text)
	if err != nil {
		c.t.Fatal(fmt.Errorf("read the history of %s: %w", machine, err))
	}
	return set
}
