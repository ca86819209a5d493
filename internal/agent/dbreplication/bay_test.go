package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// bay is one machine, web1, whose node is under test: with a database, and
// other machines that only vote. Its clock moves only when somebody moves it.
type bay struct {
	*testing.T
	*Node

	dir    string
	db     *bayDB
	unit   *bayUnit
	voters *bayVoters
	now    *bayClock
	log    *strings.Builder
}

const notes = "notes"

// newBay returns a machine that was enlisted, and informed that it is the primary
// of a replication of itself, web2 and the witness lb1.
func newBay(t *testing.T) *bay {
	b := &bay{T: t, dir: t.TempDir(), db: &bayDB{}, unit: &bayUnit{life: 1}, now: &bayClock{at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}, log: &strings.Builder{}}
	b.voters = &bayVoters{clock: b.now, records: map[replication.NodeID]replication.Record{}, silent: map[replication.NodeID]bool{}}
	b.restart()
	b.must(b.Enlist(t.Context(), notes, "terraform@ci", membership("web1", "web2", "lb1")))
	b.must(b.SetConfig(t.Context(), notes, config("web1")))
	return b
}

// restart begins the agent's next life.
func (b *bay) restart() {
	b.Helper()
	if b.Node != nil {
		b.Close()
	}
	n, err := NewNode(Deps{
		State: filepath.Join(b.dir, "state"), Runtime: filepath.Join(b.dir, "run"), Hosts: filepath.Join(b.dir, "hosts"),
		Self: "web1", Deployment: "prod", Units: b.unit, Peers: b.voters, Clock: b.now,
		Log:     hclog.New(&hclog.LoggerOptions{Output: &bayLog{text: b.log}}),
		Servers: func() []string { return []string{"web1"} },
		Open: func(server string) (Database, error) {
			return Database{Engine: b.db, Unit: "foobar-db-" + server + ".service"}, nil
		},
	})
	b.must(err)
	b.Node = n
	b.Cleanup(n.Close)
}

// reboot starts agent and database anew. What does not outlive a boot is gone.
func (b *bay) reboot() {
	b.Helper()
	b.must(os.RemoveAll(filepath.Join(b.dir, "run")))
	b.crash()
	b.restart()
}

// crash starts the database anew: fenced, as always.
func (b *bay) crash() {
	b.unit.with(func(u *bayUnit) { u.life++ })
	b.db.with(func(d *bayDB) { d.writable, d.set = false, nil })
}

func (b *bay) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// records has the own record, and the others', be such.
func (b *bay) records(own replication.Record, others replication.Record) {
	b.Helper()
	b.must(b.part(notes).store.SetRecord(b.Context(), own))
	for _, voter := range []replication.NodeID{"web2", "lb1"} {
		b.voters.set(voter, others)
	}
}

func (b *bay) reconcile() { b.part(notes).reconcile(b.Context()) }

// isFenced and isOpen check the database; text is in the condition that says why.
func (b *bay) isFenced(text ...string) {
	b.Helper()
	if b.db.open() {
		b.Fatal("the database takes writes")
	}
	b.says(conditionFenced, text...)
}

func (b *bay) isOpen() {
	b.Helper()
	if !b.db.open() {
		b.Fatalf("the database is fenced: %+v", b.Conditions())
	}
	if all := b.amiss(); len(all) > 0 {
		b.Fatalf("the database is open, and yet: %+v", all)
	}
}

// Conditions are those that the node shows now.
func (b *bay) Conditions() []api.Condition { return b.Node.Conditions(b.Context()) }

// amiss returns the conditions but for the one that says which part the node has.
func (b *bay) amiss() []api.Condition {
	return slices.DeleteFunc(b.Conditions(), func(c api.Condition) bool { return c.Type == conditionPart })
}

// says wants a condition with words; without words none of that type.
func (b *bay) says(kind string, words ...string) {
	b.Helper()
	for _, condition := range b.Conditions() {
		if condition.Type != kind {
			continue
		}
		if len(words) == 0 {
			b.Fatalf("there is a condition %+v", condition)
		}
		for _, word := range words {
			if !strings.Contains(condition.Message, word) {
				b.Fatalf("%q does not say %q", condition.Message, word)
			}
		}
		return
	}
	if len(words) > 0 {
		b.Fatalf("no condition %s; there are %+v", kind, b.Conditions())
	}
}

func first(primary replication.NodeID) replication.Record {
	return replication.Record{Epoch: 1, Primary: primary, Spec: "x", Members: []replication.NodeID{"web1", "web2"}}
}

// membership is one in which the load balancers are witnesses.
func membership(names ...string) api.DBMembership {
	m := api.DBMembership{Peers: map[string]api.DBPeer{}}
	for _, name := range names {
		m.Peers[name] = api.DBPeer{Address: name + ":7000", Key: ""}
		if !strings.HasPrefix(name, "lb") {
			m.Members = append(m.Members, name)
		}
	}
	return m
}

// config is what the machine of the primary tells.
func config(primary string) api.DBConfig {
	spec := api.DefaultDBReplication()
	spec.Primary = primary
	for i, name := range []string{"web1", "web2"} {
		spec.Members[name] = api.DBMember{
			DBPeer: api.DBPeer{Address: name + ":7000"}, Server: name, ServerID: uint32(i + 1),
			Host: fmt.Sprintf("10.0.0.%d", i+1), Port: 3306,
		}
	}
	spec.Witnesses["lb1"] = api.DBPeer{Address: "lb1:7000"}
	return api.DBConfig{Spec: spec, Replication: "secret-of-replicas"}
}

// bayClock is a clock that stands still. Whoever sleeps moves it, or, where
// several sleep at a time, yields to the others.
type bayClock struct {
	mu     sync.Mutex
	at     time.Time
	yields bool
}

func (c *bayClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *bayClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (c *bayClock) Sleep(ctx context.Context, d time.Duration) error {
	if c.yields {
		return Wall{}.Sleep(ctx, time.Millisecond)
	}
	c.pass(d)
	return ctx.Err()
}

// bayLog is written to by several goroutines.
type bayLog struct {
	mu   sync.Mutex
	text *strings.Builder
}

func (l *bayLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// bayVoters are the other machines' agents.
type bayVoters struct {
	mu      sync.Mutex
	clock   *bayClock
	records map[replication.NodeID]replication.Record
	// applied are those that have the replication as a component; none answers
	// while it is nil.
	applied map[replication.NodeID]bool
	silent  map[replication.NodeID]bool
	takes   time.Duration // of an answer
	asked   int
}

func (v *bayVoters) set(voter replication.NodeID, record replication.Record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.records[voter] = record
}

func (v *bayVoters) silence(silent bool, voters ...replication.NodeID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, voter := range voters {
		v.silent[voter] = silent
	}
}

func (v *bayVoters) Record(_ context.Context, name string, peer replication.NodeID, at api.DBPeer) (replication.Record, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	v.clock.pass(v.takes)
	if v.silent[peer] || name != notes || at.Address != string(peer)+":7000" {
		return replication.Record{}, errors.New("no route")
	}
	return v.records[peer], nil
}

func (v *bayVoters) Applied(_ context.Context, _ string, peer replication.NodeID, _ api.DBPeer) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.applied == nil {
		return false, errors.New("no route")
	}
	return v.applied[peer], nil
}

// apply has voters say that they have the replication as a component, and the
// others that they have not.
func (v *bayVoters) apply(voters ...replication.NodeID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.applied = map[replication.NodeID]bool{}
	for _, voter := range voters {
		v.applied[voter] = true
	}
}

func (v *bayVoters) Copy(context.Context, string, replication.NodeID, api.DBPeer) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("copy")), nil
}

// bayUnit is the database's unit.
type bayUnit struct {
	mu   sync.Mutex
	life int
	down bool
}

func (u *bayUnit) with(f func(*bayUnit)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(u)
}

func (u *bayUnit) Status(context.Context, string) (systemd.Status, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down {
		return systemd.Status{ActiveState: "inactive"}, nil
	}
	return systemd.Status{ActiveState: "active", MainPID: 100, InvocationID: fmt.Sprint(u.life)}, nil
}

func (u *bayUnit) Start(context.Context, string) error {
	u.with(func(u *bayUnit) {
		if u.down {
			u.life, u.down = u.life+1, false
		}
	})
	return nil
}

func (u *bayUnit) Stop(context.Context, string) error {
	u.with(func(u *bayUnit) { u.down = true })
	return nil
}

// bayDB is a database in memory.
type bayDB struct {
	replication.Engine

	mu         sync.Mutex
	writable   bool
	dead       bool
	foreign    bool // no replication has claimed its data
	set        map[string]string
	beats      int
	fences     int
	lag        time.Duration
	sources    []replication.SourceView
	mark       *replication.SeedMark
	incomplete bool
	unfencing  func() error // instead of nothing, before it opens
	holds      chan struct{}
	reached    chan struct{}
}

func (d *bayDB) with(f func(*bayDB)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

func (d *bayDB) open() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writable
}

var errDead = errors.New("the database does not answer")

func (d *bayDB) Observe(context.Context) (replication.EngineView, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return replication.EngineView{}, errDead
	}
	view := replication.EngineView{Writable: d.writable, Empty: true, Origin: "0123456789abcdef", Sources: d.sources}
	if d.foreign {
		view.Origin = ""
	}
	if d.lag > 0 {
		view.Lag = &replication.Lag{Applied: api.Duration(d.lag)}
	}
	return view, nil
}

func (d *bayDB) Differences(context.Context, replication.Catalog, replication.Secrets) ([]string, error) {
	return nil, nil
}

func (d *bayDB) Fence(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	d.writable = false
	d.fences++
	return nil
}

func (d *bayDB) Unfence(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unfencing != nil {
		if err := d.unfencing(); err != nil {
			return err
		}
	}
	d.writable = true
	return nil
}

func (d *bayDB) Set(_ context.Context, settings map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	d.set = settings
	return nil
}

func (d *bayDB) Beat(_ context.Context, _ uint64, _ replication.NodeID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.writable {
		return errors.New("the server is running with --read-only")
	}
	d.beats++
	return nil
}

// Detach waits while the test holds it.
func (d *bayDB) Detach(ctx context.Context) error {
	d.mu.Lock()
	holds, reached := d.holds, d.reached
	d.mu.Unlock()
	if holds == nil {
		return nil
	}
	reached <- struct{}{}
	select {
	case <-holds:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *bayDB) Donate(_ context.Context, to io.Writer) error {
	_, err := to.Write([]byte("copy"))
	return err
}

func (d *bayDB) Receive(_ context.Context, donor replication.NodeID, from io.Reader, progress func(int64)) error {
	d.with(func(d *bayDB) { d.mark = &replication.SeedMark{Donor: donor} })
	progress(120e6)
	if d.reached != nil {
		d.reached <- struct{}{}
		<-d.holds
	}
	_, err := io.Copy(io.Discard, from)
	d.with(func(d *bayDB) { d.mark = nil })
	return err
}

func (d *bayDB) SeedState() (*replication.SeedMark, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mark == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	mark := *d.mark
	return &mark, nil
}

func (d *bayDB) ResumeSeed(context.Context) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mark == nil || d.incomplete {
		return d.mark != nil, nil
	}
	d.mark = nil
	return false, nil
}

func (d *bayDB) AbandonSeed(context.Context) error {
	d.with(func(d *bayDB) { d.mark = nil })
	return nil
}
