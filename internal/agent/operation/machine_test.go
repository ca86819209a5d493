package operation_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const stateDir = "/var/lib/foobar"

// mine gives everything to the user that runs the test.
type mine struct{}

func (mine) Ensure(context.Context, []converge.User) error { return nil }

func (mine) Lookup(string, string) (int, int, error) { return os.Getuid(), os.Getgid(), nil }

// machine is an agent's runner on a machine in a directory.
type machine struct {
	*operation.Runner
	root  string
	kind  *operationtest.Kind
	units *systemdtest.Systemd
	blobs *blob.Store
	lost  lost
	stop  context.CancelFunc
}

// lost is what a machine's journal did not take, by unit.
type lost map[string]logs.Loss

func (l lost) Dropped(_ context.Context, unit string, _ time.Time) (logs.Loss, error) {
	return l[unit], nil
}

// start begins a life of the agent on the machine in root.
func start(t *testing.T, root string) *machine {
	t.Helper()
	m := &machine{root: root, lost: lost{}, units: systemdtest.New(root, filepath.Join(root, "systemd.json"))}
	m.kind = &operationtest.Kind{Name: api.KindLoadBalancer, Root: root, Units: m.units}
	var err error
	if m.blobs, err = blob.Open(filepath.Join(root, stateDir, "blobs"), blob.DefaultQuota, time.Now); err != nil {
		t.Fatal(err)
	}
	runtime := filepath.Join(root, "run", "foobar")
	if err := os.MkdirAll(runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	m.stop = cancel
	m.Runner, err = operation.New(operation.Config{
		Dir: stateDir, Runtime: runtime, Kinds: []operation.Kind{m.kind}, Units: m.units, Journal: m.lost, Blobs: m.blobs,
		Engine:   &converge.Engine{Root: root, Dir: stateDir + "/transactions", Units: m.units, Accounts: mine{}, Trees: m.blobs},
		Reserved: []api.Claim{{Network: "tcp", Port: 9443}},
		Clock:    time.Now, Logger: hclog.NewNullLogger(), Ctx: ctx,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Recover(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.stop()
		m.Wait()
	})
	return m
}

func id(name string) api.ID { return api.ID{Kind: api.KindLoadBalancer, Name: name} }

func request(name string, base int64, spec operationtest.Spec) operation.Request {
	raw := api.Encode(spec)
	return operation.Request{
		ID: id(name), Base: base, Actor: "tester", Write: api.Write{Spec: raw},
		Operation: api.OperationID(api.VerbApply, id(name), base, raw, ""),
	}
}

func deletion(name string, base int64) operation.Request {
	return operation.Request{ID: id(name), Base: base, Actor: "tester", Operation: api.OperationID(api.VerbDelete, id(name), base, nil, "")}
}

// await returns an operation once it is done.
func (m *machine) await(t *testing.T, id string) api.Operation {
	t.Helper()
	for {
		op, err := m.Operation(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if op.State.Done() {
			return op
		}
		events, err := m.Events(t.Context(), id, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Events(t.Context(), id, int64(len(events)), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
}

// do applies a spec to the end; refused is reported as the operation's problem.
func (m *machine) do(t *testing.T, r operation.Request) api.Operation {
	t.Helper()
	op, err := m.Apply(t.Context(), r)
	if err != nil {
		return api.Operation{ID: r.Operation, State: api.OperationFailed, Problem: api.AsProblem(err)}
	}
	return m.await(t, op.ID)
}

// must applies a spec, which has to work.
func (m *machine) must(t *testing.T, r operation.Request) api.Operation {
	t.Helper()
	op := m.do(t, r)
	if op.State != api.OperationApplied {
		t.Fatalf("the operation failed: %v", op.Problem)
	}
	return op
}

func (m *machine) remove(t *testing.T, r operation.Request) api.Operation {
	t.Helper()
	op, err := m.Delete(t.Context(), r)
	if err != nil {
		return api.Operation{ID: r.Operation, State: api.OperationFailed, Problem: api.AsProblem(err)}
	}
	return m.await(t, op.ID)
}

func (m *machine) get(t *testing.T, name string) api.Component {
	t.Helper()
	c, err := m.Get(t.Context(), id(name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func spec(port int, text string) operationtest.Spec {
	return operationtest.Spec{Port: port, Text: text, Weight: 1}
}

func wantProblem(t *testing.T, op api.Operation, want api.ProblemType, words ...string) {
	t.Helper()
	if op.Problem == nil || op.Problem.Type != want {
		t.Fatalf("the operation ended as %s with %v, want %s", op.State, op.Problem, want)
	}
	for _, word := range words {
		if !strings.Contains(op.Problem.Error(), word) {
			t.Errorf("the problem does not mention %q: %v", word, op.Problem)
		}
	}
}
