package operation_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestWhatIsAtWorkIsNamed to whoever reads the component, and to whoever waits for it: which
// operation, whose, and since when.
func TestWhatIsAtWorkIsNamed(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, m *machine) (api.Operation, string){
		"a change": func(t *testing.T, m *machine) (api.Operation, string) {
			op, err := m.Apply(t.Context(), request("edge", 1, spec(80, "two")))
			if err != nil {
				t.Fatal(err)
			}
			return op, "of tester"
		},
		"an order": func(t *testing.T, m *machine) (api.Operation, string) {
			op, err := m.Restart(t.Context(), id("edge"), "root on the machine")
			if err != nil {
				t.Fatal(err)
			}
			return op, "of root on the machine (restart)"
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := operable(t)
			m.must(t, request("edge", 0, spec(80, "one")))
			entered, release := make(chan struct{}, 9), make(chan struct{})
			m.kind.Gate = func(context.Context, converge.Change) error {
				entered <- struct{}{}
				<-release
				return nil
			}
			op, whose := start(t, m)
			<-entered
			want := op.ID + " " + whose
			c := m.get(t, "edge")
			if len(c.Conditions) != 1 || !strings.Contains(c.Conditions[0].Message, "Operation "+want+" is at work on it since 20") {
				t.Errorf("a reader sees %+v", c.Conditions)
			}
			waits, err := m.Restart(t.Context(), id("edge"), "another")
			if err != nil {
				t.Fatal(err)
			}
			if events, err := m.Events(t.Context(), waits.ID, 0, time.Minute); err != nil || !strings.Contains(events[0].Message, "wait for operation "+want+", which is at work on load-balancer/edge since 20") {
				t.Errorf("who waits is told %+v, %v", events, err)
			}
			close(release)
			m.await(t, waits.ID)
		})
	}
}

// TestTheLastChangeThatFailedIsShown until one works.
func TestTheLastChangeThatFailedIsShown(t *testing.T) {
	m := operable(t)
	fails := func(fault error) {
		m.kind.Gate = func(_ context.Context, c converge.Change) error {
			if c.Undo {
				return nil
			}
			return fault
		}
	}
	m.must(t, request("edge", 0, spec(80, "one")))
	if got := m.get(t, "edge").Failed; got != nil {
		t.Errorf("before: %+v", got)
	}
	fails(errors.New("it does\nnot start, " + strings.Repeat("ü", 500)))
	op := m.do(t, request("edge", 1, spec(80, "two")))
	got := m.get(t, "edge").Failed
	if got == nil || got.Operation != op.ID || got.Actor != "tester" || !got.At.Equal(op.Ended) || !strings.Contains(got.Error, "it does not start, ü") || len(got.Error) > 310 || !strings.HasSuffix(got.Error, "ü…") {
		t.Errorf("after a failure: %+v", got)
	}
	fails(errors.New("another fault"))
	m.ordered(t, m.Restart)
	if got := m.get(t, "edge").Failed; got == nil || got.Actor != "root (restart)" || !strings.Contains(got.Error, "another fault") {
		t.Errorf("after an order that failed: %+v", got)
	}
	m.again(t, operated{m.kind, nil}) // it outlives the agent
	if got := m.get(t, "edge").Failed; got == nil || !strings.Contains(got.Error, "another fault") {
		t.Errorf("after the agent's start: %+v", got)
	}
	fails(nil)
	m.must(t, request("edge", 1, spec(80, "one"))) // which has nothing to do
	if got := m.get(t, "edge").Failed; got != nil {
		t.Errorf("after a change that worked: %+v", got)
	}
}
