package enginetest

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

func (b *bench) freshIsFenced(t *testing.T) {
	for _, s := range b.servers {
		view := b.observe(t, s)
		if view.Writable || !view.Empty || view.Origin != "" || view.ServerID == 0 || view.Version == "" || len(view.Sources) > 0 {
			t.Fatalf("it shows %+v", view.EngineView)
		}
	}
}

func (b *bench) claim(t *testing.T) {
	ctx := t.Context()
	b.catalog = replication.Catalog{
		Databases: map[string]replication.Database{"shop": {}, "s_op`x": {}},
		Users:     map[string]replication.User{appUser: {Grants: map[string][]string{"shop": b.Privileges, "s_op`x": b.Privileges[:1]}}},
	}
	b.secrets = replication.Secrets{
		Replication: replPassword, Replicas: map[replication.NodeID]replication.Certificate{"b": b.replica.Certificate},
		Users: map[string]api.Secret{appUser: appPassword},
	}
	ok(t, b.primary.Engine.Unfence(ctx))
	for range 2 { // all of it can be done twice
		ok(t, b.primary.Engine.Claim(ctx, origin, b.secrets))
		ok(t, b.primary.Engine.Provision(ctx, b.catalog, replication.Drop{}, b.secrets))
		ok(t, b.primary.Engine.Beat(ctx, 1, "a"))
	}
	ok(t, b.primary.Engine.Claim(ctx, "another", b.secrets))
	if view := b.observe(t, b.primary); !view.Writable || view.Empty || view.Origin != origin || len(view.Privileged) > 0 {
		t.Fatalf("it shows %+v", view.EngineView)
	}
	differences, err := b.primary.Engine.Differences(ctx, b.catalog, b.secrets)
	ok(t, err)
	if len(differences) > 0 {
		t.Fatalf("it still differs: %q", differences)
	}
	ok(t, b.primary.Exec(ctx, "CREATE TABLE shop.notes (id BIGINT AUTO_INCREMENT PRIMARY KEY, body TEXT)"))
	ok(t, b.write(ctx, b.primary))
	refused(t, "a write to a database that is not the app's", b.primary.App(ctx, appUser, appPassword, "CREATE TABLE `shop2`.x (id INT)"))
	refused(t, "a wrong password", b.primary.App(ctx, appUser, "wrong", "SELECT 1"))
	refused(t, "a wildcard of a database's name", b.primary.App(ctx, appUser, appPassword, "SHOW TABLES FROM `shop``x`"))
}

func (b *bench) dropsNothing(t *testing.T) {
	ctx := t.Context()
	ok(t, b.primary.Exec(ctx, "CREATE DATABASE stray"))
	ok(t, b.primary.Exec(ctx, "GRANT SELECT ON stray.* TO app@'%'"))
	smaller := replication.Catalog{Databases: map[string]replication.Database{"shop": {}}, Users: b.catalog.Users}
	differences, err := b.primary.Engine.Differences(ctx, smaller, b.secrets)
	ok(t, err)
	if len(differences) != 1 {
		t.Fatalf("the foreign grant alone is a difference, not %q", differences)
	}
	ok(t, b.primary.Engine.Provision(ctx, smaller, replication.Drop{}, b.secrets))
	for _, name := range []string{"stray", "s_op`x"} {
		if found, err := b.primary.Query(ctx, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '"+name+"'"); err != nil || found != "1" {
			t.Fatalf("%s was dropped without consent: %s, %v", name, found, err)
		}
	}
	ok(t, b.primary.Engine.Provision(ctx, b.catalog, replication.Drop{Databases: []string{"stray", "shop"}}, b.secrets))
	if found, err := b.primary.Query(ctx, "SELECT GROUP_CONCAT(schema_name) FROM information_schema.schemata WHERE schema_name IN ('stray', 'shop')"); err != nil || found != "shop" {
		t.Fatalf("%q are left, %v: the consent is for what is wanted no more", found, err)
	}
}

func (b *bench) seed(t *testing.T) {
	for range 200 {
		ok(t, b.write(t.Context(), b.primary))
	}
	ok(t, b.PurgeLogs(t.Context(), b.primary))
	ctx, stop := context.WithCancel(t.Context())
	whole := context.WithoutCancel(ctx) // a write that has begun is acknowledged or refused
	var writer sync.WaitGroup
	writer.Go(func() {
		for ctx.Err() == nil {
			if err := b.write(whole, b.primary); err != nil {
				t.Error(err)
				return
			}
		}
	})
	in, out := io.Pipe()
	err := b.copyData(t, in, out)
	stop()
	writer.Wait()
	ok(t, err)
	if view := b.observe(t, b.replica); view.Writable || view.Origin != origin || view.History == "" {
		t.Fatalf("the copy shows %+v", view.EngineView)
	}
	if mark, err := b.replica.Engine.SeedState(); mark != nil || err != nil {
		t.Fatalf("the seed has not ended: %+v, %v", mark, err)
	}
	ok(t, b.replica.Engine.Follow(t.Context(), b.source()))
	b.caughtUp(t)
}

func (b *bench) replicaIsWell(t *testing.T) {
	ctx := t.Context()
	b.become(t)
	refused(t, "a write to the replica", b.write(ctx, b.replica))
	refused(t, "a heartbeat of the replica's own", b.replica.Engine.Beat(ctx, 9, "b"))
	ok(t, b.primary.Engine.Beat(ctx, 2, "a"))
	b.caughtUp(t)
	view := b.observe(t, b.replica)
	if view.Lag == nil || time.Duration(view.Lag.Applied) > time.Minute {
		t.Fatalf("the lag is %+v", view.Lag)
	}
	if primary := b.observe(t, b.primary); primary.Lag != nil {
		t.Fatalf("the primary has a lag: %+v", primary.Lag)
	}
	refused(t, "opening a replica", b.replica.Engine.Unfence(ctx))
}

func (b *bench) stopped(t *testing.T) {
	ok(t, b.StopReplica(t.Context(), b.replica))
	b.become(t, replication.ReplicationStopped)
	ok(t, b.write(t.Context(), b.primary))
	ok(t, b.replica.Engine.Follow(t.Context(), b.source()))
	b.become(t)
	b.caughtUp(t)
}

func (b *bench) wrongSource(t *testing.T) {
	wrong := b.source()
	wrong.Port = b.replica.Source.Port // itself: a server that is there and is not the primary
	ok(t, b.replica.Engine.Follow(t.Context(), wrong))
	if got := b.findings(t); !slices.Contains(got, replication.WrongSource) {
		t.Fatalf("findings are %v", got)
	}
	ok(t, b.write(t.Context(), b.primary))
	ok(t, b.replica.Engine.Follow(t.Context(), b.source()))
	b.become(t)
	b.caughtUp(t)
}

func (b *bench) writable(t *testing.T) {
	ok(t, b.OpenReplica(t.Context(), b.replica))
	if got := b.findings(t); !slices.Contains(got, replication.ReplicaWritable) || !slices.Contains(got, replication.TwoWritable) {
		t.Fatalf("findings are %v", got)
	}
	for range 2 {
		ok(t, b.replica.Engine.Fence(t.Context()))
	}
	b.become(t)
	refused(t, "a write to the fenced replica", b.write(t.Context(), b.replica))
}

func (b *bench) setting(t *testing.T) {
	ok(t, b.primary.Engine.Set(t.Context(), map[string]string{b.Setting: b.Loose}))
	if got := b.findings(t); len(got) != 1 {
		t.Fatalf("findings are %v", got)
	}
	ok(t, b.primary.Engine.Set(t.Context(), map[string]string{b.Setting: b.Right}))
	b.become(t)
	refused(t, "a setting with SQL in it", b.primary.Engine.Set(t.Context(), map[string]string{b.Setting: b.Right + "; DROP DATABASE shop"}))
}

func (b *bench) password(t *testing.T) {
	ctx := t.Context()
	b.secrets.Replication = "another"
	ok(t, b.primary.Engine.Provision(ctx, b.catalog, replication.Drop{}, b.secrets))
	ok(t, b.StopReplica(ctx, b.replica))
	stale := b.source()
	stale.Password = replPassword
	ok(t, b.replica.Engine.Follow(ctx, stale))
	b.become(t, replication.IOError)
	ok(t, b.replica.Engine.Follow(ctx, b.source()))
	b.become(t)
	b.caughtUp(t)
}

func (b *bench) attach(t *testing.T) {
	ctx := t.Context()
	for range 2 {
		ok(t, b.replica.Engine.Detach(ctx))
	}
	if view := b.observe(t, b.replica); len(view.Sources) > 0 || view.Writable {
		t.Fatalf("it shows %+v", view.EngineView)
	}
	ok(t, b.write(ctx, b.primary))
	ok(t, b.replica.Engine.Follow(ctx, b.source()))
	b.become(t)
	b.caughtUp(t)
}

func (b *bench) killReplica(t *testing.T) {
	ctx := t.Context()
	ok(t, b.replica.Kill(ctx))
	if _, err := b.replica.Engine.Observe(ctx); err == nil {
		t.Fatal("a server that is dead was observed")
	}
	ok(t, b.write(ctx, b.primary))
	ok(t, b.replica.Start(ctx))
	b.become(t)
	b.caughtUp(t)
	refused(t, "a write to the replica", b.write(ctx, b.replica))
}

func (b *bench) killPrimary(t *testing.T) {
	ctx := t.Context()
	ok(t, b.primary.Kill(ctx))
	ok(t, b.primary.Start(ctx))
	refused(t, "a write to a primary that nobody has opened", b.write(ctx, b.primary))
	if got := b.findings(t); !slices.Contains(got, replication.NoWritablePrimary) {
		t.Fatalf("findings are %v", got)
	}
	ok(t, b.primary.Engine.Unfence(ctx))
	ok(t, b.write(ctx, b.primary))
	b.become(t)
	b.caughtUp(t)
}

func (b *bench) errant(t *testing.T) {
	ctx := t.Context()
	ok(t, b.replica.Exec(ctx, "INSERT INTO shop.notes (id, body) VALUES (1000000, 'errant')"))
	b.become(t, replication.Errant)
	ok(t, b.write(ctx, b.primary))
	b.become(t, replication.Errant, replication.SQLError) // and it stays errant once the sequence has passed
}

// cutStream ends the stream of a copy in the middle, and then at its last byte
// but some: neither copy may ever serve.
func (b *bench) cutStream(t *testing.T) {
	ctx := t.Context()
	for _, length := range []int64{100, 1 << 20} {
		in, out := io.Pipe()
		err := b.copyData(t, &cut{LimitedReader: io.LimitedReader{R: in, N: length}, pipe: in}, out)
		refused(t, "half a copy", err)
		if incomplete, err := b.replica.Engine.ResumeSeed(ctx); err != nil || !incomplete {
			t.Fatalf("half a copy counts for a whole one: %v", err)
		}
	}
	if mark, err := b.replica.Engine.SeedState(); err != nil || mark == nil || mark.Placed {
		t.Fatalf("the mark is %+v, %v", mark, err)
	}
	refused(t, "opening a server with half a copy", b.replica.Engine.Unfence(ctx))
}

// abandon takes back the seed that cutStream has left in the middle.
func (b *bench) abandon(t *testing.T) {
	before := b.observe(t, b.replica)
	ok(t, b.replica.Engine.AbandonSeed(t.Context()))
	if mark, err := b.replica.Engine.SeedState(); mark != nil || err != nil {
		t.Fatalf("the mark is %+v, %v", mark, err)
	}
	if after := b.observe(t, b.replica); after.History != before.History || after.Writable {
		t.Fatalf("the replica has %s, it had %s; writable is %v", after.History, before.History, after.Writable)
	}
}

// cut ends a stream early, as a connection that breaks does.
type cut struct {
	io.LimitedReader
	pipe *io.PipeReader
}

// Close lets the writer know that nobody reads.
func (c *cut) Close() error { return c.pipe.CloseWithError(io.ErrClosedPipe) }

func (b *bench) reseed(t *testing.T) {
	in, out := io.Pipe()
	ok(t, b.copyData(t, in, out))
	ok(t, b.replica.Engine.Follow(t.Context(), b.source()))
	b.become(t)
	b.caughtUp(t)
}

func (b *bench) retire(t *testing.T) {
	ctx := t.Context()
	ok(t, b.replica.Engine.Detach(ctx))
	for range 2 {
		ok(t, b.primary.Engine.Retire(ctx))
	}
	refused(t, "a write to a detached replica", b.write(ctx, b.replica))
	ok(t, b.write(ctx, b.primary))
	if view := b.observe(t, b.primary); view.Origin != origin || view.Empty {
		t.Fatalf("it shows %+v", view.EngineView)
	}
}
