package operation_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// operated takes orders, and notes which of its components are drained, and by whom.
type operated struct {
	kind
	drained map[string]string
}

func (o operated) Drain(name, by string) error {
	o.drained[name] = by
	return nil
}

func (o operated) Undrain(name string) error {
	delete(o.drained, name)
	return nil
}

// operable starts a machine whose kind takes orders.
func operable(t *testing.T) *machine {
	t.Helper()
	m := start(t, t.TempDir())
	m.again(t, operated{m.kind, map[string]string{}})
	return m
}

// ordered returns an order's operation at its end.
func (m *machine) ordered(t *testing.T, order func(context.Context, api.ID, string) (api.Operation, error)) api.Operation {
	t.Helper()
	op, err := order(t.Context(), id("edge"), "root")
	if err != nil {
		return api.Operation{State: api.OperationFailed, Problem: api.AsProblem(err)}
	}
	return m.await(t, op.ID)
}

// says reports whether an operation has an event with a text.
func (m *machine) says(t *testing.T, op api.Operation, text string) bool {
	t.Helper()
	events, err := m.Events(t.Context(), op.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(events, func(e api.Event) bool { return strings.Contains(e.Message, text) })
}

func (m *machine) text(t *testing.T) string {
	t.Helper()
	var s operationtest.Spec
	if err := api.Decode(m.get(t, "edge").Spec, &s); err != nil {
		t.Fatal(err)
	}
	return s.Text
}

func TestARestartIsAReleaseOfWhatIsRecorded(t *testing.T) {
	m := operable(t)
	r := request("edge", 0, spec(80, "one"))
	r.Write.Owner = "a-lineage"
	r.Operation = api.OperationID(api.VerbApply, r.ID, 0, r.Write.Spec, r.Write.Owner)
	m.must(t, r)
	pid := func() int {
		status, err := m.units.Status(t.Context(), operationtest.Unit("edge"))
		if err != nil {
			t.Fatal(err)
		}
		return status.MainPID
	}
	before := pid()
	for i := range 2 {
		op := m.ordered(t, m.Restart)
		if op.State != api.OperationApplied || op.Generation != int64(i+2) || op.Actor != "root (restart)" {
			t.Fatalf("it ended as %+v", op)
		}
		if !m.says(t, op, "as tester at") && i == 0 {
			t.Error("nothing says what is started again")
		}
	}
	c := m.get(t, "edge")
	if pid() == before || c.Generation != 3 || c.Ownership.Owner != "a-lineage" || c.Ownership.Actor != "tester" || len(c.Drift) > 0 || m.text(t) != "one" {
		t.Errorf("the process was %d and is %d, the component is %+v", before, pid(), c)
	}
	wantProblem(t, m.ordered(t, m.Rollback), api.ProblemInvalid, "no other configuration") // a restart is no other one
}

func TestARollbackGoesBackAndForth(t *testing.T) {
	m := operable(t)
	wantProblem(t, m.ordered(t, m.Rollback), api.ProblemNotFound)
	m.must(t, request("edge", 0, spec(80, "one")))
	wantProblem(t, m.ordered(t, m.Rollback), api.ProblemInvalid, "nothing to roll back to", "tester")
	m.must(t, request("edge", 1, spec(81, "two")))
	m.must(t, request("edge", 2, spec(81, "two"))) // which changes nothing
	op := m.ordered(t, m.Rollback)
	if op.State != api.OperationApplied || op.Generation != 3 || m.text(t) != "one" || !m.says(t, op, "go back to generation 1, which tester applied at") {
		t.Fatalf("it ended as %+v, with %q", op, m.text(t))
	}
	if op := m.ordered(t, m.Rollback); op.Generation != 4 || m.text(t) != "two" {
		t.Errorf("the second one ended as %+v, with %q", op, m.text(t))
	}
	// Terraform, whose last read was before all that, learns who was here.
	wantProblem(t, m.do(t, request("edge", 2, spec(80, "three"))), api.ProblemGeneration, "root (rollback)")
	m.must(t, request("edge", 4, spec(80, "three")))
}

// The plan after a rollback looks like any update: only a warning says that it brings
// back what somebody has left.
func TestARollbackIsWarnedOfUntilItIsOver(t *testing.T) {
	for name, test := range map[string]struct {
		then  []string
		warns bool
	}{
		"at once":                      {nil, true},
		"after a restart":              {[]string{"restart", "restart"}, true},
		"after it went forth again":    {[]string{"rollback"}, false},
		"after it went back once more": {[]string{"rollback", "rollback"}, true},
		"after an apply":               {[]string{"apply"}, false},
		"after an apply and a restart": {[]string{"apply", "restart"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := operable(t)
			m.must(t, request("edge", 0, spec(80, "one")))
			m.must(t, request("edge", 1, spec(81, "two")))
			for _, verb := range append([]string{"rollback"}, test.then...) {
				switch verb {
				case "rollback":
					m.ordered(t, m.Rollback)
				case "restart":
					m.ordered(t, m.Restart)
				case "apply":
					m.must(t, request("edge", m.get(t, "edge").Generation, spec(82, "three")))
				}
			}
			var said string
			for _, c := range m.get(t, "edge").Conditions {
				if c.Type == "RolledBack" {
					said = c.Message
				}
			}
			if test.warns != strings.Contains(said, "was rolled back from generation") || test.warns != strings.Contains(said, "by root.") {
				t.Errorf("it says %q", said)
			}
			if warns := warnsOfRollback(t, m, spec(80, "one")); warns && name == "at once" {
				t.Error("a plan of what it was rolled back to warns")
			}
			if warns := warnsOfRollback(t, m, spec(81, "two")); warns != test.warns {
				t.Errorf("a plan of what was left warns: %t", warns)
			}
			if name == "after a restart" && !strings.Contains(said, "generation 2 at") {
				t.Errorf("after a restart it says %q", said)
			}
		})
	}
}

// warnsOfRollback reports whether the plan of a spec says that a rollback was ordered.
func warnsOfRollback(t *testing.T, m *machine, spec operationtest.Spec) bool {
	t.Helper()
	wanted := request("edge", m.get(t, "edge").Generation, spec)
	plan, err := m.Plan(t.Context(), wanted.ID, wanted.Base, wanted.Write)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(plan.Conditions, func(c api.Condition) bool {
		return c.Type == "RolledBack" && c.Severity == api.SeverityWarning
	})
}

func TestARollbackThatFailsLeavesWhatIs(t *testing.T) {
	m := operable(t)
	m.must(t, request("edge", 0, spec(80, "one")))
	m.must(t, request("edge", 1, spec(80, "two")))
	m.kind.Gate = func(_ context.Context, c converge.Change) error {
		if c.Undo {
			return nil
		}
		return errors.New("it does not start")
	}
	wantProblem(t, m.ordered(t, m.Rollback), api.ProblemRolledBack, "it does not start", "generation 2")
	m.kind.Gate = nil
	if op := m.ordered(t, m.Rollback); op.Generation != 3 || m.text(t) != "one" {
		t.Errorf("after the failure it ended as %+v, with %q", op, m.text(t))
	}
}

// What somebody applies while a rollback waits is not what it was meant for; a
// restart is as good for that.
func TestAnOrderThatWaited(t *testing.T) {
	m := operable(t)
	m.must(t, request("edge", 0, spec(80, "one")))
	m.must(t, request("edge", 1, spec(80, "two")))
	entered, release := make(chan struct{}, 9), make(chan struct{})
	m.kind.Gate = func(context.Context, converge.Change) error {
		entered <- struct{}{}
		<-release
		return nil
	}
	third := request("edge", 2, spec(80, "three"))
	if _, err := m.Apply(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	<-entered
	back, err := m.Rollback(t.Context(), id("edge"), "root")
	again, err2 := m.Restart(t.Context(), id("edge"), "root")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	close(release)
	wantProblem(t, m.await(t, back.ID), api.ProblemGeneration, "meant for generation 2", "while it waited", "roll back again")
	if op := m.await(t, again.ID); op.State != api.OperationApplied || op.Generation != 4 || m.text(t) != "three" {
		t.Errorf("the restart ended as %+v", op)
	}
}

func TestARollbackKeepsTheSecrets(t *testing.T) {
	m := operable(t)
	secret := func(base, version int64, text string) {
		t.Helper()
		s := spec(80, text)
		s.SecretsVersion = version
		r := request("edge", base, s)
		r.Write.Secrets = map[string]api.Secret{"TOKEN": "hunter2"}
		m.must(t, r)
	}
	secret(0, 1, "one")
	secret(1, 2, "one") // of secrets alone, which is nothing to go back from
	wantProblem(t, m.ordered(t, m.Rollback), api.ProblemInvalid)
	secret(2, 3, "two")
	op := m.ordered(t, m.Rollback)
	if op.State != api.OperationApplied || m.text(t) != "one" || !m.says(t, op, "the secrets stay those of version 3: those of version 2 are not held") {
		t.Errorf("it ended as %+v", op)
	}
	var s operationtest.Spec
	if err := api.Decode(m.get(t, "edge").Spec, &s); err != nil || s.SecretsVersion != 3 {
		t.Errorf("the secrets are of version %d, %v", s.SecretsVersion, err)
	}
}

func TestOnlyWhatExistsAndCanIsOrdered(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	wantProblem(t, m.ordered(t, m.Restart), api.ProblemInvalid, "an app server can")
	if err := m.Drain(t.Context(), id("edge"), true, "root"); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("a drain of a kind that cannot: %v", err)
	}
	drained := map[string]string{}
	m.again(t, operated{m.kind, drained})
	if err := m.Drain(t.Context(), id("other"), true, "root"); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("a drain of nothing: %v", err)
	}
	if err := m.Drain(t.Context(), id("edge"), true, "root"); err != nil || drained["edge"] != "root" {
		t.Errorf("drained is %v, %v", drained, err)
	}
	if err := m.Drain(t.Context(), id("edge"), false, "root"); err != nil || len(drained) > 0 {
		t.Errorf("drained is %v, %v", drained, err)
	}
}

var _ operation.Operable = operated{}

// TestAnAdoptedRollbackIsOneNoMore: the configuration asks for what runs.
func TestAnAdoptedRollbackIsOneNoMore(t *testing.T) {
	m := operable(t)
	m.must(t, request("edge", 0, spec(80, "one")))
	m.must(t, request("edge", 1, spec(80, "two")))
	m.ordered(t, m.Rollback) // generation 3 is "one"
	m.must(t, request("edge", 3, spec(80, "one")))
	if c := m.get(t, "edge"); c.Generation != 3 || len(c.Conditions) > 0 {
		t.Errorf("the component is %+v", c)
	}
	if warnsOfRollback(t, m, spec(80, "three")) {
		t.Error("the plan of a new release warns of a rollback that is over")
	}
	m.ordered(t, m.Rollback) // away from what the configuration says
	if !warnsOfRollback(t, m, spec(80, "one")) {
		t.Error("the plan of the configuration does not warn of the second rollback")
	}
}
