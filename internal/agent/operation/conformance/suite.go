// Package conformance holds the tests that every kind of component has to
// pass, on a real machine and, for a fake kind, without one.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Units is the service manager of the machine that the suite runs on.
type Units interface {
	converge.Units
	Start(ctx context.Context, unit string) error
}

// Suite describes one kind.
type Suite struct {
	// Kind is under test. Its component is named Name.
	Kind operation.Kind
	Name string
	// First and Second are two specs that differ in as much as possible and
	// that both become healthy; Secrets are given with either.
	First, Second json.RawMessage
	Secrets       map[string]api.Secret
	// Broken is a spec that passes every check but does not become healthy.
	Broken json.RawMessage
	// Blobs are the artifacts that the specs name, by SHA-256.
	Blobs map[string][]byte
	// Breaks are what goes wrong with this kind in particular. Files, links,
	// trees and units are damaged by the suite itself.
	Breaks []Break
	// Beside tells that a repair can put a new state beside the one that is
	// damaged: then it is not that one which stands after it.
	Beside bool
	// Forward tells that Apply acts on other machines, too, where an update that
	// was killed is not undone: what differs then is drift, and the next apply
	// repairs it.
	Forward bool
	// Serves checks from outside whether the component does what a spec says.
	Serves func(ctx context.Context, spec json.RawMessage) error

	// The machine: nil and empty mean the real one that the test runs on.
	Root     string
	Units    Units
	Accounts converge.Accounts
}

// Break damages an applied component in a way that has to be seen, as drift or
// as an observed value, and that an apply has to repair.
type Break struct {
	Name string
	Do   func(ctx context.Context) error
}

// Run puts a kind through the suite. It leaves nothing on the machine.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if s.Units == nil {
		manager := systemd.New()
		t.Cleanup(manager.Close)
		s.Units = manager
	}
	if s.Accounts == nil {
		s.Accounts = converge.SystemAccounts{}
	}
	b := &bench{Suite: s, dir: t.TempDir(), runtime: t.TempDir()}
	if b.Root != "" {
		b.dir = "/var/lib/foobar"
	}
	t.Cleanup(func() { b.cleanUp(t) })
	b.restart(t, nil)
	for _, test := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"a plan writes nothing", b.planWritesNothing},
		{"what is observed is what was asked", b.observedEqualsSpec},
		{"apply is idempotent", b.applyIsIdempotent},
		{"an update takes effect", b.updateTakesEffect},
		{"a failure is rolled back", b.failureIsRolledBack},
		{"drift is seen and repaired", b.driftIsRepaired},
		{"a kill between any two steps recovers", b.killRecovers},
		{"a reboot's start starts what is recorded", b.startsRecorded},
		{"delete leaves nothing", b.deleteLeavesNothing},
	} {
		if !t.Run(test.name, test.run) {
			return // what follows builds on it
		}
	}
}

// bench is a suite under way, with the agent's runner in one of its lives.
type bench struct {
	Suite
	dir, runtime string
	runner       *operation.Runner
	blobs        *blob.Store
	stop         context.CancelFunc
	count        int
	// generation and spec are what was applied last.
	generation int64
	spec       json.RawMessage
}

func (b *bench) id() api.ID { return api.ID{Kind: b.Kind.Kind(), Name: b.Name} }

// lossless is a journal that dropped nothing.
type lossless struct{}

func (lossless) Dropped(context.Context, string, time.Time) (logs.Loss, error) {
	return logs.Loss{}, nil
}

// restart begins a new life of the agent over what the last one left.
func (b *bench) restart(t *testing.T, hook func(step string) error) {
	t.Helper()
	if b.stop != nil {
		b.stop()
		b.runner.Wait()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	b.stop = cancel
	var err error
	if b.blobs, err = blob.Open(filepath.Join(b.Root, b.dir, "blobs"), blob.DefaultQuota, time.Now); err != nil {
		t.Fatal(err)
	}
	for sum, content := range b.Blobs {
		b.upload(t, sum, content)
	}
	b.runner, err = operation.New(operation.Config{
		Dir: b.dir, Runtime: b.runtime, Kinds: []operation.Kind{b.Kind}, Units: b.Units, Journal: lossless{}, Blobs: b.blobs,
		Engine: &converge.Engine{
			Root: b.Root, Dir: filepath.Join(b.dir, "transactions"),
			Units: b.Units, Accounts: b.Accounts, Trees: b.blobs, Hook: hook,
		},
		Clock: time.Now, Logger: hclog.NewNullLogger(), Ctx: ctx,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.runner.Recover(ctx); err != nil {
		t.Error(err)
	}
}

func (b *bench) upload(t *testing.T, sum string, content []byte) {
	t.Helper()
	status, err := b.blobs.Status(t.Context(), sum)
	if err == nil && !status.Complete {
		if _, err = b.blobs.Append(t.Context(), sum, status.Offset, int64(len(content)), strings.NewReader(string(content[status.Offset:]))); err == nil {
			err = b.blobs.Finish(t.Context(), sum)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// cleanUp removes the component however far the suite came.
func (b *bench) cleanUp(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if record, err := b.runner.Get(ctx, b.id()); err == nil {
		op, err := b.runner.Delete(ctx, b.request(record.Generation, nil))
		if err == nil {
			op = b.await(ctx, t, op)
		}
		if err != nil || op.Problem != nil {
			t.Errorf("clean up: %v, %v", err, op.Problem)
		}
	}
	b.stop()
	b.runner.Wait()
}

func (b *bench) request(base int64, spec json.RawMessage) operation.Request {
	b.count++
	return operation.Request{
		ID: b.id(), Operation: fmt.Sprintf("conformance-%d", b.count), Base: base, Actor: "conformance",
		Write: api.Write{Spec: spec, Secrets: b.Secrets},
	}
}

// await returns an operation once it is done, or the context.
func (b *bench) await(ctx context.Context, t *testing.T, op api.Operation) api.Operation {
	t.Helper()
	var seq int64
	for !op.State.Done() && ctx.Err() == nil {
		events, err := b.runner.Events(ctx, op.ID, seq, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Seq != seq+1 && seq > 0 {
				t.Errorf("event %d follows event %d", e.Seq, seq)
			}
			seq = e.Seq
			t.Logf("%s %s: %s", op.ID, e.Phase, e.Message)
		}
		if op, err = b.runner.Operation(ctx, op.ID); err != nil {
			t.Fatal(err)
		}
	}
	return op
}

// try applies a spec over what stands and returns how that ended.
func (b *bench) try(t *testing.T, base int64, spec json.RawMessage) api.Operation {
	t.Helper()
	op, err := b.runner.Apply(t.Context(), b.request(base, spec))
	if err != nil {
		t.Fatal(err)
	}
	return b.await(t.Context(), t, op)
}

// apply applies a spec and sees that it is in force.
func (b *bench) apply(t *testing.T, spec json.RawMessage) {
	t.Helper()
	op := b.try(t, b.generation, spec)
	if op.State != api.OperationApplied {
		t.Fatalf("the operation failed: %v %q", op.Problem, op.Problem.Log)
	}
	b.generation, b.spec = op.Generation, spec
	b.inForce(t)
}

// inForce sees that the component is what was applied last, all of it.
func (b *bench) inForce(t *testing.T) {
	t.Helper()
	c := b.get(t)
	if c.Generation != b.generation {
		t.Errorf("the generation is %d, want %d", c.Generation, b.generation)
	}
	if want := b.encoded(t, b.spec); string(c.Spec) != want {
		t.Errorf("the spec is %s, want %s", c.Spec, want)
	}
	if string(c.Observed) != string(c.Spec) {
		t.Errorf("observed is %s, the spec %s", c.Observed, c.Spec)
	}
	if len(c.Drift) > 0 {
		t.Errorf("the drift is %v", c.Drift)
	}
	if err := b.Serves(t.Context(), b.spec); err != nil {
		t.Errorf("it does not serve as its spec says: %v", err)
	}
}

func (b *bench) get(t *testing.T) api.Component {
	t.Helper()
	c, err := b.runner.Get(t.Context(), b.id())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *bench) validate(t *testing.T, raw json.RawMessage) operation.Spec {
	t.Helper()
	spec, err := b.Kind.Validate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func (b *bench) encoded(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	return string(api.Encode(b.validate(t, raw)))
}

// state returns what a spec is rendered to where the component stands as it does
// now: what was applied, for the spec that was.
func (b *bench) state(t *testing.T, raw json.RawMessage) converge.State {
	t.Helper()
	return b.render(t, raw, converge.InPlace{State: b.standing(t)})
}

func (b *bench) render(t *testing.T, raw json.RawMessage, before converge.InPlace) converge.State {
	t.Helper()
	state, err := b.Kind.Render(b.Name, b.validate(t, raw), b.Secrets, before)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// standing returns the state that was applied last, from the component's record.
func (b *bench) standing(t *testing.T) converge.State {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.Root, b.dir, "components", string(b.Kind.Kind()), b.Name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return converge.State{}
	}
	var record operation.Record
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil {
		t.Fatal(err)
	}
	return record.Applied.State
}

// states returns all states that the specs can be rendered to: with nothing in
// place, and beside another one.
func (b *bench) states(t *testing.T) []converge.State {
	t.Helper()
	var all []converge.State
	for _, spec := range []json.RawMessage{b.First, b.Second, b.Broken} {
		alone := b.render(t, spec, converge.InPlace{})
		all = append(all, alone, b.render(t, spec, converge.InPlace{State: alone, Touched: alone.Everything()}))
	}
	return all
}

func (b *bench) path(p string) string { return filepath.Join(b.Root, p) }

// snapshot describes the files, links and units of all specs as they stand.
func (b *bench) snapshot(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, state := range b.states(t) {
		for _, f := range state.Files {
			found[f.Path] = describe(b.path(f.Path))
		}
		for _, l := range state.Links {
			found[l.Path] = describe(b.path(l.Path))
		}
		for _, u := range state.Units {
			status, err := b.Units.Status(t.Context(), u.Name)
			if err != nil {
				t.Fatal(err)
			}
			found[u.Name] = fmt.Sprint(status.LoadState, " ", status.ActiveState, " ", status.UnitFileState)
		}
	}
	return found
}

func describe(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return "nothing"
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, _ := os.Readlink(path) //nolint:errcheck // empty then
		return "link to " + target
	}
	content, _ := os.ReadFile(path) //nolint:errcheck // empty then
	return fmt.Sprintf("%v %s", info.Mode(), content)
}

func equal(t *testing.T, what string, want, got map[string]string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if want[key] != got[key] {
			t.Errorf("%s: %s was\n%s\nand is\n%s", what, key, want[key], got[key])
		}
	}
}

// pids returns the main processes of the units of a spec.
func (b *bench) pids(t *testing.T, spec json.RawMessage) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, u := range b.state(t, spec).Units {
		status, err := b.Units.Status(t.Context(), u.Name)
		if err != nil {
			t.Fatal(err)
		}
		found[u.Name] = status.MainPID
	}
	return found
}
