package operation_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestAKindWithoutUnits takes a component that is nothing but files and an
// engine elsewhere through its life.
func TestAKindWithoutUnits(t *testing.T) {
	root := t.TempDir()
	m := start(t, root)
	m.kind.Unitless = true
	m.must(t, request("edge", 0, spec(80, "one")))
	if c := m.get(t, "edge"); len(c.Drift) != 0 || len(c.Conditions) != 0 || c.Generation != 1 {
		t.Errorf("after its creation: %+v", c)
	}
	m.must(t, request("edge", 1, spec(80, "two")))
	file := filepath.Join(root, operationtest.Config("edge"))
	content := func() string {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if !strings.Contains(content(), "two") {
		t.Errorf("after its change: %q", content())
	}

	// Another life of the agent, after a boot, has nothing to start.
	m.stop()
	m.Wait()
	m = start(t, root)
	m.kind.Unitless = true
	if err := m.StartRecorded(t.Context(), "boot-2"); err != nil {
		t.Error(err)
	}

	// What was edited by hand is drift, and the same again repairs it.
	if err := os.WriteFile(file, []byte("by hand\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c := m.get(t, "edge"); len(c.Drift) != 1 {
		t.Errorf("drift %+v, want the file", c.Drift)
	}
	m.must(t, request("edge", 2, spec(80, "two")))
	if c := m.get(t, "edge"); len(c.Drift) != 0 || !strings.Contains(content(), "two") {
		t.Errorf("after the repair: drift %+v, %q", c.Drift, content())
	}

	// A change that its engine does not follow is taken back.
	m.kind.Gate = func(_ context.Context, c converge.Change) error {
		if c.Undo {
			return nil
		}
		return errors.New("web2 does not answer")
	}
	failed := m.do(t, request("edge", 3, spec(80, "three")))
	wantProblem(t, failed, api.ProblemRolledBack, "web2 does not answer")
	if !strings.Contains(content(), "two") {
		t.Errorf("after the failure: %q", content())
	}
	if op := m.remove(t, deletion("edge", 3)); op.State != api.OperationFailed {
		t.Errorf("a deletion that its engine does not follow ended as %s", op.State)
	}
	m.kind.Gate = nil
	if op := m.remove(t, deletion("edge", 3)); op.State != api.OperationApplied {
		t.Errorf("the deletion ended as %s: %v", op.State, op.Problem)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("after the deletion the file is there: %v", err)
	}
}
