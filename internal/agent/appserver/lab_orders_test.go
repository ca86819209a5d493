//go:build lab

package appserver_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// order carries out an order of an operator, which has to work.
func (s *stand) order(name string, start func(context.Context, api.ID, string) (api.Operation, error)) {
	s.Helper()
	op, err := start(s.Context(), app(name), "root")
	if err != nil {
		s.Fatal(err)
	}
	if op = s.wait(op); op.State != api.OperationApplied {
		s.Fatalf("%s: %v", name, op.Problem)
	}
}

// rollback goes back to what served before the last change.
func (s *stand) rollback(ctx context.Context, id api.ID, actor string) (api.Operation, error) {
	return s.runner.Rollback(ctx, id, 0, actor)
}

// TestOrdersUnderLoad rolls back and forth, restarts and drains while requests come
// in, and none fails.
func TestOrdersUnderLoad(t *testing.T) {
	const address = "127.0.0.1:8081"
	const url = "http://" + address + "/"
	s := newStand(t)
	spec := s.spec(s.countedRelease("one", ""), 8081)
	spec.HealthCheck.MinHealthyTime = api.Duration(time.Second)
	s.apply("shop", spec, nil)
	if err := os.RemoveAll(notes); err != nil {
		t.Fatal(err)
	}
	spec.Release.SHA256 = s.countedRelease("two", "")
	s.apply("shop", spec, nil)
	checked := func() int {
		response, _ := s.ask(http.MethodHead, "http://127.0.0.1:8081"+api.AppHealthPath, nil, nil)
		return response.status
	}

	s.nothingLost(loadtest.Load{Address: address, Name: "orders"}, func() {
		if _, err := s.runner.Drain(t.Context(), app("shop"), true, "root"); err != nil {
			t.Fatal(err)
		}
		s.order("shop", s.rollback)
		s.serves("one", url)
		slot := s.live("shop")
		s.order("shop", s.runner.Restart)
		s.serves("one", url)
		if after := s.live("shop"); after == slot {
			t.Errorf("the restart stayed in slot %s", after)
		}
		s.order("shop", s.rollback)
		s.serves("two", url)
		c, _ := s.get("shop")
		if got := checked(); got != http.StatusNotFound || len(c.Conditions) != 1 || !strings.Contains(c.Conditions[0].Message, "by root") || len(c.Drift) > 0 {
			t.Errorf("while it is drained, checks are answered with %d, and it is %+v %v", got, c.Conditions, c.Drift)
		}
		if _, err := s.runner.Drain(t.Context(), app("shop"), false, "root"); err != nil {
			t.Fatal(err)
		}
		if c, _ := s.get("shop"); checked() != http.StatusOK || len(c.Conditions) > 0 {
			t.Errorf("after the drain it is %+v", c.Conditions)
		}
	})
}

// TestARestartInPlace gives the app another process though nothing differs.
func TestARestartInPlace(t *testing.T) {
	s := newStand(t)
	spec := s.spec(s.release("one"), 8081)
	spec.Strategy = api.StrategyRestart
	s.apply("shop", spec, nil)
	_, before := s.get("shop")
	s.order("shop", s.runner.Restart)
	c, after := s.get("shop")
	if after.PID == before.PID || after.Slot != before.Slot || c.Generation != 2 || len(c.Drift) > 0 || !after.Healthy {
		t.Errorf("the process was %d and is %d in slot %s, generation %d, %v", before.PID, after.PID, after.Slot, c.Generation, c.Drift)
	}
}
