//go:build lab && full

package acceptance

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// Memory, CPU and task limits are not enforced in the lab's machines, so a fork
// bomb and an app that takes all memory are tested in a VM.

// apart are two apps on the machine of a database: a quiet one, which notes its
// requests, and a noisy one.
const apart = `
resource "foobar_app_server" "notes" {
  machine     = foobar_machine.vm["web1"]
  name        = "notes"
  release     = { source = "quiet.tar.gz" }
  command     = ["python3", "main.py"]
  environment = { NOTES_SERVER = "web1" }
  port        = 80
}

resource "foobar_app_server" "noisy" {
  machine  = foobar_machine.vm["web1"]
  name     = "noisy"
  release  = { source = "noisy.tar.gz" }
  command  = ["python3", "main.py"]
  port     = 8090
  liveness = { path = "/", interval = "1s", timeout = "1s", failures = 2 }
}
`

// neighbours are a database, a quiet app and a noisy one on a machine, and clients
// that use the first two.
type neighbours struct {
	*cluster
	serial int
}

// newNeighbours returns them at work. The room, if it is given, makes a small disk
// of the machine for all their data.
func newNeighbours(t *testing.T, room func(*cluster)) *neighbours {
	t.Helper()
	c := newCluster(t)
	if room != nil {
		room(c)
	}
	c.form()
	c.app("web2", "web1", tables)
	c.write("quiet.tar.gz", string(countedRelease(t, "quiet")))
	c.write("noisy.tar.gz", string(packed(t, packedFile{"main.py", content(t, "testdata", "noisy", "main.py")})))
	c.write("apps.tf", apart)
	c.apply()
	return &neighbours{cluster: c}
}

// noise has the noisy app do something.
func (n *neighbours) noise(path string) {
	n.t.Helper()
	n.lab.Exec("web1", "sh", "-c", "curl -sS --max-time 1 http://127.0.0.1:8090"+path+" || true")
}

// observed is what the clients of database and quiet app saw of a time.
type observed struct {
	requests loadtest.Account
	writes   outcome
}

// during has clients use database and quiet app while something happens.
func (n *neighbours) during(what string, happens func()) observed {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.t.Context())
	defer cancel()
	n.serial++
	writer, sent := n.load("write", "web2", "web1"), make(chan []loadtest.Sent, 1)
	go func() {
		sent <- loadtest.Load{Address: "10.0.0.1:80", Name: fmt.Sprint("quiet-", n.serial), Clients: 8, Pause: 30 * time.Millisecond}.Run(ctx)
	}()
	happens()
	cancel()
	o := observed{writes: writer.stop()}
	o.requests = loadtest.Count(<-sent, notedBy(n.t, n.lab, "web1"))
	n.t.Logf("%s: %s; p99 %s; %d rows written, refused %v, p99 %s", what, o.requests, o.requests.P99.Round(time.Millisecond),
		len(o.writes.accepted), o.writes.refused, o.writes.p99().Round(time.Millisecond))
	writer.kept(o.writes, "web1")
	if len(o.requests.Lost)+len(o.requests.Twice) > 0 {
		n.t.Errorf("%s: lost %+v, twice %+v", what, o.requests.Lost, o.requests.Twice)
	}
	return o
}

// p99 is how long the slowest of a hundred writes took.
func (o outcome) p99() time.Duration {
	if len(o.took) == 0 {
		return 0
	}
	took := slices.Sorted(slices.Values(o.took))
	return took[len(took)*99/100]
}

// TestNeighboursOfABadApp: an app that hangs, floods its log or leaks descriptors
// costs the app and the database beside it nothing that fails.
func TestNeighboursOfABadApp(t *testing.T) {
	n := newNeighbours(t, nil)
	const time10 = 10 * time.Second
	alone := n.during("alone", func() { time.Sleep(time10) })
	for _, bad := range []struct{ path, shows string }{
		{"/hang", "foobar-agent status | grep -q AppWasHung"},
		{"/log", "foobar-agent logs -n 3 app-server/noisy | grep -q xxxx"},
		{"/leak", `[ "$(ls /proc/$(systemctl show --property=MainPID --value 'foobar-app-noisy@*.service' | grep '[1-9]')/fd | wc -l)" -gt 16000 ]`},
	} {
		with := n.during(bad.path, func() {
			n.noise(bad.path)
			n.until("web1", "a machine with an app that does "+bad.path, bad.shows)
			time.Sleep(time10)
		})
		t.Logf("%s: p99 with ÷ without: app %.2f, database %.2f", bad.path,
			float64(with.requests.P99)/float64(alone.requests.P99), float64(with.writes.p99())/float64(alone.writes.p99()))
		if len(with.requests.Failures) > 0 || len(with.writes.refused) > 0 {
			t.Errorf("%s: failed %+v, refused %v", bad.path, with.requests.Failures, with.writes.refused)
		}
	}
	n.plan().empty()
	n.follows()
}

// smallDisk puts the data of databases and apps of web1 on one small disk.
func smallDisk(c *cluster) {
	c.t.Helper()
	c.lab.Exec("web1", "sh", "-ec", `mkdir /mnt/small; mount -t tmpfs -o size=600m,mode=0755 tmpfs /mnt/small
		for name in foobar-app foobar-db; do
			mkdir -p /mnt/small/$name /var/lib/$name
			chmod --reference=/var/lib/$name /mnt/small/$name; chown --reference=/var/lib/$name /mnt/small/$name
			mount --bind /mnt/small/$name /var/lib/$name
		done`)
}

// TestNeighboursOfAnAppThatFillsTheDisk: what was acknowledged stays, the condition
// names the directory, and when that is emptied, all goes on.
func TestNeighboursOfAnAppThatFillsTheDisk(t *testing.T) {
	n := newNeighbours(t, smallDisk)
	n.during("a disk that is full and then is not", func() {
		time.Sleep(3 * time.Second)
		n.noise("/fill")
		n.until("web1", "a machine that says what fills its disk", `foobar-agent status | grep -q 'DiskFull.*largest directory there is /var/lib/foobar-app/noisy'`)
		n.plan().warns("DiskFull", "/var/lib/foobar-app/noisy")
		time.Sleep(5 * time.Second)
		n.lab.Exec("web1", "rm", "/var/lib/foobar-app/noisy/filled")
		n.until("web1", "a machine with room", "foobar-agent status >/run/told && ! grep -q DiskFull /run/told")
		// MariaDB looks for room once a minute (MY_WAIT_FOR_USER_TO_FIX_PANIC in its mysys).
		n.lab.Exec("web1", "timeout", "150", "sh", "-c", fmt.Sprintf(
			`until mariadb --no-defaults -S /run/foobar-db-notes/mariadb.sock -e "REPLACE INTO notes.acknowledged VALUES ('probe', %d)"; do sleep 0.5; done`, n.serial))
		time.Sleep(5 * time.Second)
	})
	after := n.during("afterwards", func() { time.Sleep(5 * time.Second) })
	if len(after.requests.Failures) > 0 || len(after.writes.refused) > 0 || after.requests.Sent["POST"] == 0 {
		t.Errorf("afterwards failed %+v, refused %v", after.requests.Failures, after.writes.refused)
	}
	n.plan().empty()
	n.follows()
}
