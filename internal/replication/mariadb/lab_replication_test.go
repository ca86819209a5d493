//go:build lab

package mariadb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/enginetest"
)

// cluster is a replication of real servers with agents in memory.
type cluster struct {
	servers map[replication.NodeID]enginetest.Server
	desired replication.Topology
	secrets replication.Secrets
	records map[replication.NodeID]*memory
	// refuseCopy breaks the next stream of a copy after that many bytes.
	refuseCopy int64

	entry *replication.Entry
	count int
}

// memory is an agent's records.
type memory struct {
	record           replication.Record
	seeded, followed string
}

func (m *memory) Record(context.Context) (replication.Record, error) { return m.record, nil }
func (m *memory) SetRecord(_ context.Context, r replication.Record) error {
	m.record = r
	return nil
}
func (m *memory) Seeded(context.Context) (string, error) { return m.seeded, nil }
func (m *memory) SetSeeded(_ context.Context, s string) error {
	m.seeded = s
	return nil
}

func (m *memory) Followed(context.Context) (string, error) { return m.followed, nil }
func (m *memory) SetFollowed(_ context.Context, s string) error {
	m.followed = s
	return nil
}

func (c *cluster) Load(context.Context) (*replication.Entry, error) { return c.entry, nil }
func (c *cluster) Save(_ context.Context, e replication.Entry) error {
	c.entry = &e
	return nil
}
func (c *cluster) Lock(context.Context, replication.NodeID, string) (func(), error) {
	return func() {}, nil
}
func (c *cluster) Now() time.Time { return time.Now() }
func (c *cluster) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	servers := start(t, 2, 0)
	c := &cluster{servers: map[replication.NodeID]enginetest.Server{"a": servers[0], "b": servers[1]}, records: map[replication.NodeID]*memory{"a": {}, "b": {}, "w": {}}}
	c.secrets = replication.Secrets{Replication: "repl", Users: map[string]api.Secret{"app": "app"}}
	c.desired = replication.Topology{
		Name: "main", Engine: api.EngineMariaDB, Primary: "a", Witnesses: []replication.NodeID{"w"}, Members: map[replication.NodeID]replication.Member{},
		Catalog: replication.Catalog{
			Databases: map[string]replication.Database{"shop": {}},
			Users:     map[string]replication.User{"app": {Grants: map[string][]string{"shop": {"ALL"}}}},
		},
	}
	c.secrets.Replicas = map[replication.NodeID]replication.Certificate{}
	for id, s := range c.servers {
		c.secrets.Replicas[id] = s.Certificate
		c.desired.Members[id] = replication.Member{Host: s.Source.Host, Port: s.Source.Port}
	}
	return c
}

func (c *cluster) nodes() map[replication.NodeID]replication.Node {
	nodes := map[replication.NodeID]replication.Node{"w": &replication.Local{ID: "w", Records: c.records["w"], Now: time.Now}}
	for id, s := range c.servers {
		nodes[id] = &replication.Local{
			ID: id, Engine: s.Engine, Records: c.records[id], Now: time.Now,
			Wants: func(context.Context) (replication.Wants, error) {
				return replication.Wants{Topology: c.desired, Secrets: c.secrets, TLS: s.Source}, nil
			},
			Copy: c.copy,
		}
	}
	return nodes
}

func (c *cluster) copy(ctx context.Context, donor replication.NodeID) (io.ReadCloser, error) {
	in, out := io.Pipe()
	go func() { out.CloseWithError(c.servers[donor].Engine.Donate(ctx, out)) }()
	if c.refuseCopy > 0 {
		cut := struct {
			io.Reader
			io.Closer
		}{io.LimitReader(in, c.refuseCopy), in}
		c.refuseCopy = 0
		return cut, nil
	}
	return in, nil
}

func (c *cluster) look(t *testing.T) replication.Snapshot {
	t.Helper()
	observers := map[replication.NodeID]replication.Observer{}
	for id, n := range c.nodes() {
		observers[id] = n
	}
	return replication.Gather(t.Context(), c.desired, observers, nil, time.Now)
}

// apply plans and runs, and returns the verbs of the plan.
func (c *cluster) apply(t *testing.T, goal replication.Goal) ([]replication.Verb, error) {
	t.Helper()
	s := c.look(t)
	steps, err := replication.Plan(s, goal)
	if err != nil {
		return nil, err
	}
	var verbs []replication.Verb
	for _, step := range steps {
		verbs = append(verbs, step.Do.Verb)
	}
	c.count++
	e := &replication.Executor{Journal: c, Locks: c, Nodes: c.nodes(), Clock: c}
	if err := e.Settle(t.Context()); err != nil {
		return verbs, err
	}
	return verbs, e.Run(t.Context(), replication.NewOperation(fmt.Sprint("op-", c.count), s, steps))
}

// well applies and fails unless nothing is left to do or to tell.
func (c *cluster) well(t *testing.T, goal replication.Goal, want ...replication.Verb) {
	t.Helper()
	verbs, err := c.apply(t, goal)
	if err != nil {
		t.Fatal(err)
	}
	if want != nil && !slices.Equal(verbs, want) {
		t.Fatalf("the steps were %v, want %v", verbs, want)
	}
	s := c.look(t)
	if findings := replication.Analyze(s); len(findings) > 0 {
		t.Fatalf("it is not well: %+v", findings)
	}
	if steps, err := replication.Plan(s, replication.Goal{}); err != nil || len(steps) > 0 {
		t.Fatalf("the next plan is not empty: %+v, %v", steps, err)
	}
}

// checksums waits until the replica has caught up and compares all tables.
func (c *cluster) checksums(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	position, err := c.servers["a"].Engine.Position(ctx)
	must(t, err)
	must(t, c.servers["b"].Engine.WaitFor(ctx, position))
	const sum = "SELECT CONCAT(COUNT(*), '/', SUM(CRC32(CONCAT(id, body)))) FROM shop.notes"
	one, err := c.servers["a"].Query(ctx, sum)
	must(t, err)
	other, err := c.servers["b"].Query(ctx, sum)
	must(t, err)
	if one != other || one == "" {
		t.Fatalf("the primary has %s, the replica %s", one, other)
	}
}

// TestReplication lives through the life of a replication on real servers:
// formed, broken, repaired, destroyed, formed again.
func TestReplication(t *testing.T) {
	c := newCluster(t)
	ctx := t.Context()
	a, b := c.servers["a"], c.servers["b"]
	row := "INSERT INTO shop.notes (body) VALUES (REPEAT('x', 1000))"

	// Form around one member that has data, without its logs, under writes.
	must(t, a.Exec(ctx, "CREATE DATABASE shop"))
	must(t, a.Exec(ctx, "CREATE TABLE shop.notes (id BIGINT AUTO_INCREMENT PRIMARY KEY, body TEXT)"))
	must(t, a.Exec(ctx, row))
	for range 14 {
		must(t, a.Exec(ctx, "INSERT INTO shop.notes (body) SELECT body FROM shop.notes")) // 16 MB
	}
	must(t, a.Exec(ctx, "FLUSH BINARY LOGS"))
	must(t, a.Exec(ctx, "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY"))
	writing, stop := context.WithCancel(ctx)
	var writer sync.WaitGroup
	writer.Go(func() {
		for writing.Err() == nil {
			_ = a.App(ctx, "app", "app", row) // refused until the account exists
		}
	})
	c.well(t, replication.Goal{}, replication.DoRecord, replication.DoRecord, replication.DoRecord, replication.DoSet, replication.DoOpen, replication.DoClaim, replication.DoProvision, replication.DoSeed, replication.DoFollow)
	stop()
	writer.Wait()
	c.checksums(t)
	c.well(t, replication.Goal{})

	// Plan and observation write nothing.
	before, err := a.Engine.Position(ctx)
	must(t, err)
	_, err = replication.Plan(c.look(t), replication.Goal{})
	must(t, err)
	if after, err := a.Engine.Position(ctx); err != nil || after != before {
		t.Fatalf("a plan wrote: %s became %s, %v", before, after, err)
	}

	// Drift of each kind is repaired by the step for it.
	for _, drift := range []struct {
		at, sql string
		want    []replication.Verb
	}{
		{"b", "STOP ALL SLAVES", []replication.Verb{replication.DoFollow}},
		{"b", "STOP SLAVE SQL_THREAD", []replication.Verb{replication.DoFollow}},
		{"b", "SET GLOBAL read_only = 0", []replication.Verb{replication.DoFence}},
		{"b", "SET GLOBAL gtid_strict_mode = OFF", []replication.Verb{replication.DoSet}},
		{"a", "SET GLOBAL sync_binlog = 0", []replication.Verb{replication.DoSet}},
		{"a", "ALTER USER foobar_repl_b@'%' REQUIRE X509", []replication.Verb{replication.DoProvision}},
		{"a", "ALTER USER foobar_repl_b@'%' IDENTIFIED BY 'by hand'", []replication.Verb{replication.DoProvision}},
		{"a", "REVOKE INSERT ON shop.* FROM app@'%'", []replication.Verb{replication.DoProvision}},
		{"a", "SET GLOBAL read_only = 1", []replication.Verb{replication.DoOpen}},
	} {
		must(t, c.servers[replication.NodeID(drift.at)].Exec(ctx, drift.sql))
		c.well(t, replication.Goal{}, drift.want...)
	}
	for _, text := range []string{"STOP ALL SLAVES", "SET GLOBAL slave_parallel_threads = 0", "START SLAVE"} {
		must(t, b.Exec(ctx, text))
	}
	c.well(t, replication.Goal{}, replication.DoFollow)
	must(t, a.App(ctx, "app", "app", row))
	c.checksums(t)

	// An errant write is reported, and nothing is repaired in silence (17).
	must(t, b.Exec(ctx, "INSERT INTO shop.notes (id, body) VALUES (99999999, 'errant')"))
	if verbs, err := c.apply(t, replication.Goal{}); err != nil || len(verbs) > 0 {
		t.Fatalf("an errant write led to %v, %v", verbs, err)
	}
	// By consent it is seeded; the stream breaks, and the next apply finishes (33, 34).
	c.refuseCopy = 2 << 20
	consent := replication.Goal{Reseed: map[replication.NodeID]string{"b": "token"}}
	var failed *replication.StepFailed
	if _, err := c.apply(t, consent); !errors.As(err, &failed) {
		t.Fatalf("half a copy was taken: %v", err)
	}
	c.entry = nil // another coordinator, which knows the mark alone
	c.well(t, replication.Goal{}, replication.DoSeed, replication.DoFollow)
	c.checksums(t)

	// Destroyed and formed again: attached without a copy.
	if _, err := c.apply(t, replication.Goal{Detach: true}); err != nil {
		t.Fatal(err)
	}
	must(t, a.App(ctx, "app", "app", row))
	must(t, a.Kill(ctx))
	must(t, a.Start(ctx))
	if err := a.App(ctx, "app", "app", row); err == nil {
		t.Fatal("a database without a replication booted writable")
	}
	c.well(t, replication.Goal{}, replication.DoRecord, replication.DoRecord, replication.DoRecord, replication.DoSet, replication.DoOpen, replication.DoProvision, replication.DoFollow)
	c.checksums(t)
}

// TestSeedIsResumedWhereverItWasKilled ends a seed's life at each of its states.
func TestSeedIsResumedWhereverItWasKilled(t *testing.T) {
	c := newCluster(t)
	ctx := t.Context()
	a, b := c.servers["a"], c.servers["b"]
	must(t, a.Engine.Unfence(ctx))
	must(t, a.Engine.Claim(ctx, "origin", c.secrets))
	must(t, a.Exec(ctx, "CREATE DATABASE shop"))
	dir, err := b.Query(ctx, "SELECT TRIM(TRAILING '/' FROM @@datadir)")
	must(t, err)
	for _, state := range []string{"staged", "moved away", "placed", "started"} {
		t.Run(state, func(t *testing.T) {
			stream, err := c.copy(ctx, "a")
			must(t, err)
			must(t, b.Engine.Receive(ctx, "a", stream, nil))
			// Lay the disk out as a kill in that state would have left it.
			must(t, os.WriteFile(dir+".seeding", []byte(`{"donor": "a"}`), 0o600))
			position, err := b.Query(ctx, "SELECT @@gtid_slave_pos")
			must(t, err)
			history, err := b.Query(ctx, "SELECT @@gtid_binlog_state")
			must(t, err)
			if state != "started" {
				must(t, b.Kill(ctx))
			}
			must(t, os.WriteFile(dir+"/foobar-seed.json", fmt.Appendf(nil, `{"history": %q, "position": %q}`, history, position), 0o600))
			switch state {
			case "staged":
				must(t, os.Rename(dir, dir+".seed"))
				must(t, os.Mkdir(dir, 0o700)) // what stood there before
			case "moved away":
				must(t, os.Rename(dir, dir+".seed"))
			}
			if mark, err := b.Engine.SeedState(); err != nil || mark == nil || mark.Placed != strings.Contains("placed started", state) {
				t.Fatalf("the mark is %+v, %v", mark, err)
			}
			if incomplete, err := b.Engine.ResumeSeed(ctx); err != nil || incomplete {
				t.Fatalf("it ended with %v, incomplete is %v", err, incomplete)
			}
			view, err := b.Engine.Observe(ctx)
			must(t, err)
			if mark, err := b.Engine.SeedState(); mark != nil || err != nil || view.Origin != "origin" || view.Writable || view.Applied != position {
				t.Fatalf("it shows %+v, mark %+v, %v", view, mark, err)
			}
			for _, left := range []string{dir + ".seed", dir + ".old", dir + ".seeding", dir + "/foobar-seed.json"} {
				if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left", left)
				}
			}
		})
	}
}
