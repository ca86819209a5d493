// Package enginetest holds the tests that every engine of package replication
// has to pass, against real servers.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Server is one real server of the engine under test. A fresh one is empty,
// fenced, and has a server id of its own.
type Server struct {
	Engine replication.Engine
	// Source is how the others follow it, without the password.
	Source replication.Source
	// Certificate is what it shows when it follows.
	Certificate replication.Certificate
	// Exec runs SQL as an administrator, Query returns one value.
	Exec  func(ctx context.Context, sql string) error
	Query func(ctx context.Context, sql string) (string, error)
	// App runs SQL as a user of an app, over the network.
	App func(ctx context.Context, user, password, sql string) error
	// Kill ends the server as a power loss would, Start starts it again.
	Kill, Start func(ctx context.Context) error
}

// Suite describes an engine.
type Suite struct {
	// Kind is the engine's name in a topology.
	Kind api.DBEngine
	// Fresh makes that many servers, which end with the test.
	Fresh func(t *testing.T, n int) []Server
	// PurgeLogs makes a primary forget its logs up to now. StopReplica stops
	// both halves of a replica, OpenReplica makes it writable.
	PurgeLogs, StopReplica, OpenReplica func(ctx context.Context, s Server) error
	// Setting is one that an administrator may loosen, and its right value.
	Setting, Loose, Right string
	// Privileges are words for a grant that lets an app read and write.
	Privileges []string
}

const (
	appUser, appPassword = "app", `pa'ss\w"o rd`
	replPassword         = `re'pl\password`
	origin               = "0123456789abcdef"
)

// Run puts an engine through the suite.
func Run(t *testing.T, s Suite) {
	t.Helper()
	b := &bench{Suite: s, servers: s.Fresh(t, 2)}
	b.primary, b.replica = b.servers[0], b.servers[1]
	for _, test := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"a fresh server is empty and fenced", b.freshIsFenced},
		{"a claimed server opens and has what is wanted", b.claim},
		{"what is wanted no more stays until a consent names it", b.dropsNothing},
		{"a seed from a non-empty primary without its logs, under writes", b.seed},
		{"a replica is fenced, follows over TLS, and knows its lag", b.replicaIsWell},
		{"a stopped replica is seen and started", b.stopped},
		{"a wrong source is seen and set right", b.wrongSource},
		{"a writable replica is seen and fenced", b.writable},
		{"a changed setting is seen and set right", b.setting},
		{"a changed replication password is set on both sides", b.password},
		{"a detached replica attaches without a new copy", b.attach},
		{"a killed replica comes back as what it was", b.killReplica},
		{"a killed primary comes back fenced", b.killPrimary},
		{"a write of a replica's own is seen", b.errant},
		{"half a copy never serves", b.cutStream},
		{"a seed that broke off is taken back", b.abandon},
		{"a new copy heals the replica", b.reseed},
		{"what was detached keeps its data and its fence", b.retire},
	} {
		if !t.Run(test.name, test.run) {
			return // what follows builds on it
		}
	}
}

// bench is a suite under way.
type bench struct {
	Suite
	servers          []Server
	primary, replica Server
	catalog          replication.Catalog
	secrets          replication.Secrets
	rows             int
}

func (b *bench) observe(t *testing.T, s Server) replication.NodeView {
	t.Helper()
	view, err := s.Engine.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return replication.NodeView{Taken: time.Now(), EngineView: view}
}

// findings analyses the pair as a replication would.
func (b *bench) findings(t *testing.T) []replication.Code {
	t.Helper()
	desired := replication.Topology{Name: "suite", Engine: b.Kind, Primary: "a", Members: map[replication.NodeID]replication.Member{
		"a": {Host: b.primary.Source.Host, Port: b.primary.Source.Port},
		"b": {Host: b.replica.Source.Host, Port: b.replica.Source.Port},
	}}
	record := replication.Record{Epoch: 1, Primary: "a", Spec: desired.Hash(), Members: desired.MemberIDs()}
	nodes := map[replication.NodeID]replication.NodeView{"b": b.observe(t, b.replica)}
	nodes["a"] = b.observe(t, b.primary)
	for id, view := range nodes {
		view.Record = record
		nodes[id] = view
	}
	var codes []replication.Code
	for _, f := range replication.Analyze(replication.Snapshot{Taken: time.Now(), Desired: desired, Nodes: nodes}) {
		codes = append(codes, f.Code)
	}
	return codes
}

// become waits until exactly these findings are there.
func (b *bench) become(t *testing.T, want ...replication.Code) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	await(ctx, t, func() error {
		if got := b.findings(t); !slices.Equal(got, want) {
			return fmt.Errorf("findings are %v, want %v", got, want)
		}
		return nil
	})
}

// await calls try until it has no error.
func await(ctx context.Context, t *testing.T, try func() error) {
	t.Helper()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s was accepted", what)
	}
}

// write adds a row as the app.
func (b *bench) write(ctx context.Context, s Server) error {
	err := s.App(ctx, appUser, appPassword, "INSERT INTO shop.notes (body) VALUES ('row')")
	if err == nil && s.Source == b.primary.Source {
		b.rows++
	}
	return err
}

func (b *bench) source() replication.Source {
	source := b.replica.Source // it shows its own certificate
	source.Host, source.Port = b.primary.Source.Host, b.primary.Source.Port
	source.As, source.Password = "b", b.secrets.Replication
	return source
}

// caughtUp waits until the replica has all that the primary has, and compares both.
func (b *bench) caughtUp(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	position, err := b.primary.Engine.Position(ctx)
	ok(t, err)
	ok(t, b.replica.Engine.WaitFor(ctx, position))
	const sum = "SELECT CONCAT(COUNT(*), '/', SUM(id)) FROM shop.notes"
	want, err := b.primary.Query(ctx, sum)
	ok(t, err)
	got, err := b.replica.Query(ctx, sum)
	ok(t, err)
	if got != want || !strings.HasPrefix(got, fmt.Sprint(b.rows, "/")) {
		t.Fatalf("the replica has %s, the primary %s, %d rows were acknowledged", got, want, b.rows)
	}
}

// copyData seeds the replica from the primary.
func (b *bench) copyData(t *testing.T, from io.Reader, out *io.PipeWriter) error {
	t.Helper()
	donated := make(chan error, 1)
	go func() {
		err := b.primary.Engine.Donate(t.Context(), out)
		out.CloseWithError(err)
		donated <- err
	}()
	err := b.replica.Engine.Receive(t.Context(), "a", from, nil)
	if closer, ok := from.(io.Closer); ok {
		_ = closer.Close()
	}
	return errors.Join(err, <-donated)
}
