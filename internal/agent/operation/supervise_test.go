package operation_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

type kind = operation.Kind

// nurse notes which components it supervises, and with what.
type nurse struct {
	kind
	supervised chan operation.Supervised
	ended      chan error
}

func (n nurse) Supervise(ctx context.Context, c operation.Supervised) {
	n.supervised <- c
	<-ctx.Done()
	n.ended <- context.Cause(ctx)
}

func newNurse(k operation.Kind) nurse {
	return nurse{k, make(chan operation.Supervised, 9), make(chan error, 9)}
}

func textOf(t *testing.T, c operation.Supervised) string {
	t.Helper()
	select {
	case v := <-c.Applied:
		return v.Spec.(operationtest.Spec).Text //nolint:forcetypeassert // it is that kind's
	case <-time.After(time.Minute):
		t.Fatal("nothing was applied")
		return ""
	}
}

func TestComponentsAreAttendedFromCreationToRemoval(t *testing.T) {
	root := t.TempDir()
	m := start(t, root)
	n := newNurse(m.kind)
	m.again(t, n)
	m.must(t, request("edge", 0, spec(80, "one")))
	c := <-n.supervised
	if got := textOf(t, c); c.Name != "edge" || got != "one" {
		t.Errorf("%s is supervised with %q", c.Name, got)
	}
	m.must(t, request("edge", 1, spec(80, "two")))
	if got := textOf(t, c); got != "two" {
		t.Errorf("after the second operation it is supervised with %q", got)
	}
	m.do(t, request("edge", 2, spec(80, operationtest.Refused)))
	if got := textOf(t, c); got != "two" {
		t.Errorf("after one that failed it is supervised with %q", got)
	}

	m.again(t, n) // the agent restarts
	if err := <-n.ended; errors.Is(err, operation.ErrRemoved) {
		t.Error("the end of the agent is reported as a removal")
	}
	c = <-n.supervised
	if got := textOf(t, c); got != "two" {
		t.Errorf("after a restart of the agent it is supervised with %q", got)
	}
	m.remove(t, deletion("edge", 2))
	select {
	case err := <-n.ended:
		if !errors.Is(err, operation.ErrRemoved) {
			t.Errorf("the removal is reported as %v", err)
		}
	default:
		t.Error("the removal did not wait for whoever supervises it")
	}
	if len(n.supervised) > 0 {
		t.Error("a removed component is supervised")
	}
}

// between tries again, as whoever supervises does: an operation that has ended for who
// asked for it may have its turn for a moment longer.
func between(ctx context.Context, c operation.Supervised, do func(context.Context) error) error {
	for {
		if ran, err := c.Between(ctx, do); ran || err != nil {
			return err
		}
		runtime.Gosched()
	}
}

func TestWhoAttendsWaitsForNoOperation(t *testing.T) {
	m := start(t, t.TempDir())
	n := newNurse(m.kind)
	m.again(t, n)
	m.must(t, request("edge", 0, spec(80, "one")))
	c := <-n.supervised

	inside, leave := make(chan struct{}), make(chan struct{})
	go func() {
		_ = between(context.Background(), c, func(context.Context) error {
			close(inside)
			<-leave
			return nil
		})
	}()
	<-inside
	if got := m.get(t, "edge"); len(got.Conditions) != 1 || got.Conditions[0].Type != "OperationRunning" || !strings.Contains(got.Conditions[0].Message, "The agent itself is at work on it") {
		t.Errorf("meanwhile a reader sees %+v", got.Conditions)
	}
	op, err := m.Apply(t.Context(), request("edge", 1, spec(80, "two")))
	if err != nil {
		t.Fatal(err)
	}
	if ran, err := c.Between(t.Context(), func(context.Context) error { return nil }); ran || err != nil {
		t.Errorf("beside a waiting operation it ran: %t, %v", ran, err)
	}
	close(leave)
	if op = m.await(t, op.ID); op.State != api.OperationApplied {
		t.Errorf("the operation ended as %s: %v", op.State, op.Problem)
	}
	failure := errors.New("no")
	if err := between(t.Context(), c, func(context.Context) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("with nothing at work: %v", err)
	}
}

// again stops the agent and begins its next life, with another kind.
func (m *machine) again(t *testing.T, kind operation.Kind) {
	t.Helper()
	m.stop()
	m.Wait()
	config := m.Config
	config.Kinds, config.Logger = []operation.Kind{kind}, hclog.NewNullLogger()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	config.Ctx, m.stop = ctx, cancel
	var err error
	if m.Runner, err = operation.New(config); err != nil {
		t.Fatal(err)
	}
	if err := m.Recover(ctx); err != nil {
		t.Fatal(err)
	}
}
