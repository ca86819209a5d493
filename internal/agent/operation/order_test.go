package operation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// operated takes orders, and notes which of its components are drained, and by whom.
type operated struct {
	kind
	drained map[string]*api.Drain
}

func (o operated) Drain(name, by string) (*api.Drain, error) {
	before := o.drained[name]
	o.drained[name] = &api.Drain{By: by}
	return before, nil
}

func (o operated) Undrain(name string) (*api.Drain, error) {
	before := o.drained[name]
	delete(o.drained, name)
	return before, nil
}

func (operated) Release(spec operation.Spec) string {
	s, _ := spec.(operationtest.Spec)
	return "release " + s.Text
}

// operable starts a machine whose kind takes orders.
func operable(t *testing.T) *machine {
	t.Helper()
	m := start(t, t.TempDir())
	m.again(t, operated{m.kind, map[string]*api.Drain{}})
	return m
}

// ordered returns an order's operation at its end.
// rollback is [operation.Runner.Rollback] to what served before the last change.
func (m *machine) rollback(ctx context.Context, id api.ID, actor string) (api.Operation, error) {
	return m.Rollback(ctx, id, 0, actor)
}

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
	wantProblem(t, m.ordered(t, m.rollback), api.ProblemInvalid, "no other configuration") // a restart is no other one
}

func TestARollbackGoesBackAndForth(t *testing.T) {
	m := operable(t)
	wantProblem(t, m.ordered(t, m.rollback), api.ProblemNotFound)
	m.must(t, request("edge", 0, spec(80, "one")))
	wantProblem(t, m.ordered(t, m.rollback), api.ProblemInvalid, "nothing to roll back to", "tester")
	m.must(t, request("edge", 1, spec(81, "two")))
	m.must(t, request("edge", 2, spec(81, "two"))) // which changes nothing
	op := m.ordered(t, m.rollback)
	if op.State != api.OperationApplied || op.Generation != 3 || m.text(t) != "one" || !m.says(t, op, "go back from generation 2 (release two, applied by tester at ") || !m.says(t, op, " to generation 1 (release one, applied by tester at ") || !m.says(t, op, "what differs: port, text") {
		t.Fatalf("it ended as %+v, with %q", op, m.text(t))
	}
	if op := m.ordered(t, m.rollback); op.Generation != 4 || m.text(t) != "two" {
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
					m.ordered(t, m.rollback)
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
	wantProblem(t, m.ordered(t, m.rollback), api.ProblemRolledBack, "it does not start", "generation 2")
	m.kind.Gate = nil
	if op := m.ordered(t, m.rollback); op.Generation != 3 || m.text(t) != "one" {
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
	back, err := m.Rollback(t.Context(), id("edge"), 0, "root")
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

// TestARollbackGoesBackToWhatServedBeforeTheLastChange and past nothing in silence: the values
// of former secrets are not held, so a change of the secrets alone cannot be undone.
func TestARollbackGoesBackToWhatServedBeforeTheLastChange(t *testing.T) {
	type change struct {
		text    string
		weight  int
		secrets int64
	}
	for name, c := range map[string]struct {
		changes []change
		restart bool
		to      int64
		want    change   // what is in place after it
		says    []string // its events, or the problem where it changes nothing
	}{
		"a release":                  {changes: []change{{"one", 1, 0}, {"two", 1, 0}}, want: change{"one", 1, 0}, says: []string{"from generation 2 (release two, ", "to generation 1 (release one, ", "what differs: text"}},
		"a setting alone":            {changes: []change{{"one", 1, 0}, {"two", 1, 0}, {"two", 2, 0}}, want: change{"two", 1, 0}, says: []string{"from generation 3 (release two, ", "to generation 2 (release two, ", "what differs: weight"}},
		"a setting and a restart":    {changes: []change{{"one", 1, 0}, {"one", 2, 0}}, restart: true, want: change{"one", 1, 0}, says: []string{"from generation 3 (", "to generation 1 ("}},
		"a generation that is named": {changes: []change{{"one", 1, 0}, {"two", 1, 0}}, to: 1, want: change{"one", 1, 0}},
		"one that is not there": {changes: []change{{"one", 1, 0}, {"two", 1, 0}, {"three", 1, 0}}, to: 1, want: change{"three", 1, 0},
			says: []string{"nothing to roll back to", "generation 1 of load-balancer/edge is not on this machine", "can be gone back to is generation 2 (release two, "}},
		"one where there is none": {changes: []change{{"one", 1, 0}}, to: 7, want: change{"one", 1, 0}, says: []string{"no other configuration"}},
		"the secrets alone": {changes: []change{{"one", 1, 1}, {"two", 1, 1}, {"two", 1, 2}}, want: change{"two", 1, 2},
			says: []string{"The last change was of the secrets alone", "differs from generation 2 in the secrets alone", "Nothing was changed", "To go back further, to generation 1 (release one, ", "foobar-agent rollback -to 1 load-balancer/edge"}},
		"the secrets alone, twice, and a restart": {changes: []change{{"one", 1, 1}, {"two", 1, 1}, {"two", 1, 2}, {"two", 1, 3}}, restart: true, want: change{"two", 1, 3},
			says: []string{"differs from generation 3 in the secrets alone", "rollback -to 1 "}},
		"past the secrets, as told": {changes: []change{{"one", 1, 1}, {"two", 1, 1}, {"two", 1, 2}}, to: 1, want: change{"one", 1, 2},
			says: []string{"from generation 3 (release two, ", "to generation 1 (release one, ", "the secrets stay those of version 2: those of version 1, which it had then, are not held any more"}},
		"to the generation of the former secrets": {changes: []change{{"one", 1, 1}, {"two", 1, 1}, {"two", 1, 2}}, to: 2, want: change{"two", 1, 2}, says: []string{"generation 2 of load-balancer/edge is not on this machine", "is generation 1 ("}},
		"the secrets alone, and nothing before":   {changes: []change{{"one", 1, 1}, {"one", 1, 2}}, want: change{"one", 1, 2}, says: []string{"of the secrets alone", "Set the secrets with Terraform"}},
		"a release with other secrets":            {changes: []change{{"one", 1, 2}, {"two", 1, 3}}, want: change{"one", 1, 3}, says: []string{"the secrets stay those of version 3: those of version 2, which"}},
		"a release with the first secrets":        {changes: []change{{"one", 1, 0}, {"two", 1, 3}}, want: change{"one", 1, 3}, says: []string{"the secrets stay, of version 3: it had none then"}},
		"a release without the secrets":           {changes: []change{{"one", 1, 2}, {"two", 1, 0}}, want: change{"one", 1, 0}, says: []string{"it stays without secrets: those of version 2, which it had then"}},
		"a release after the secrets":             {changes: []change{{"one", 1, 1}, {"one", 1, 2}, {"two", 1, 2}}, want: change{"one", 1, 2}, says: []string{"to generation 2 (release one, "}},
	} {
		t.Run(name, func(t *testing.T) {
			m := operable(t)
			for base, change := range c.changes {
				s := spec(80, change.text)
				s.Weight, s.SecretsVersion = change.weight, change.secrets
				r := request("edge", int64(base), s)
				if change.secrets > 0 {
					r.Write.Secrets = map[string]api.Secret{"TOKEN": "hunter2"}
				}
				m.must(t, r)
			}
			if c.restart {
				m.ordered(t, m.Restart)
			}
			before := m.get(t, "edge").Generation
			op := m.ordered(t, func(ctx context.Context, id api.ID, actor string) (api.Operation, error) {
				return m.Rollback(ctx, id, c.to, actor)
			})
			last := c.changes[len(c.changes)-1]
			if stays := c.want.text == last.text && c.want.weight == last.weight; stays {
				wantProblem(t, op, api.ProblemInvalid, c.says...)
				if now := m.get(t, "edge").Generation; now != before {
					t.Errorf("generation %d was applied", now)
				}
			} else {
				for _, want := range c.says {
					if !m.says(t, op, want) {
						t.Errorf("it does not say %q", want)
					}
				}
			}
			var s operationtest.Spec
			if err := api.Decode(m.get(t, "edge").Spec, &s); err != nil {
				t.Fatal(err)
			}
			if got := (change{s.Text, s.Weight, s.SecretsVersion}); got != c.want {
				t.Errorf("in place is %+v, not %+v", got, c.want)
			}
		})
	}
}

func TestOnlyWhatExistsAndCanIsOrdered(t *testing.T) {
	m := start(t, t.TempDir())
	m.must(t, request("edge", 0, spec(80, "one")))
	wantProblem(t, m.ordered(t, m.Restart), api.ProblemInvalid, "an app server can")
	if _, err := m.Drain(t.Context(), id("edge"), true, "root"); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("a drain of a kind that cannot: %v", err)
	}
	drained := map[string]*api.Drain{}
	m.again(t, operated{m.kind, drained})
	if _, err := m.Drain(t.Context(), id("other"), true, "root"); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("a drain of nothing: %v", err)
	}
	if told, err := m.Drain(t.Context(), id("edge"), true, "root"); err != nil || told.Before != nil || drained["edge"].By != "root" {
		t.Errorf("drained is %v, told %+v, %v", drained, told, err)
	}
	if told, err := m.Drain(t.Context(), id("edge"), true, "another"); err != nil || told.Before == nil || told.Before.By != "root" {
		t.Errorf("drained twice, told is %+v, %v", told, err)
	}
	if told, err := m.Drain(t.Context(), id("edge"), false, "root"); err != nil || told.Before == nil || len(drained) > 0 {
		t.Errorf("drained is %v, told %+v, %v", drained, told, err)
	}
}

var _ operation.Operable = operated{}

// TestAnAdoptedRollbackIsOneNoMore: the configuration asks for what runs.
func TestAnAdoptedRollbackIsOneNoMore(t *testing.T) {
	m := operable(t)
	m.must(t, request("edge", 0, spec(80, "one")))
	m.must(t, request("edge", 1, spec(80, "two")))
	m.ordered(t, m.rollback) // generation 3 is "one"
	m.must(t, request("edge", 3, spec(80, "one")))
	if c := m.get(t, "edge"); c.Generation != 3 || len(c.Conditions) > 0 {
		t.Errorf("the component is %+v", c)
	}
	if warnsOfRollback(t, m, spec(80, "three")) {
		t.Error("the plan of a new release warns of a rollback that is over")
	}
	m.ordered(t, m.rollback) // away from what the configuration says
	if !warnsOfRollback(t, m, spec(80, "one")) {
		t.Error("the plan of the configuration does not warn of the second rollback")
	}
}

// TestAnOrderThatWaitedIsNotLostInSilence when the agent ends before its turn: whoever
// reads it then, and the log, learn that nothing was done, and how it is asked for again.
func TestAnOrderThatWaitedIsNotLostInSilence(t *testing.T) {
	orders := map[string]func(m *machine) (api.Operation, error){
		"restart":  func(m *machine) (api.Operation, error) { return m.Restart(t.Context(), id("edge"), "root") },
		"rollback": func(m *machine) (api.Operation, error) { return m.Rollback(t.Context(), id("edge"), 0, "root") },
		"": func(m *machine) (api.Operation, error) {
			return m.Apply(t.Context(), request("edge", 2, spec(80, "four")))
		},
	}
	for order, give := range orders {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q, killed: %t", order, killed), func(t *testing.T) {
				m := operable(t)
				var log bytes.Buffer
				m.Logger = hclog.New(&hclog.LoggerOptions{Output: &log})
				m.must(t, request("edge", 0, spec(80, "one")))
				m.must(t, request("edge", 1, spec(80, "two")))
				entered := make(chan struct{}, 9)
				m.kind.Gate = func(ctx context.Context, c converge.Change) error {
					if c.Undo {
						return nil
					}
					entered <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				}
				first, err := m.Apply(t.Context(), request("edge", 2, spec(80, "three")))
				if err != nil {
					t.Fatal(err)
				}
				<-entered
				waits, err := give(m)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(m.root, stateDir, "operations", waits.ID+".json")
				asKilled, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				m.stop()
				m.Wait()
				if killed {
					log.Reset()
					if err := os.WriteFile(path, asKilled, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				m.kind.Gate = nil
				config := m.Config
				ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
				config.Ctx, m.stop = ctx, cancel
				if m.Runner, err = operation.New(config); err != nil {
					t.Fatal(err)
				}
				if err := m.Recover(ctx); err != nil {
					t.Fatal(err)
				}
				again := "apply again"
				if order != "" {
					again = "if it still has to be, give the order again: foobar-agent " + order + " load-balancer/edge"
				}
				op := m.await(t, waits.ID)
				wantProblem(t, op, api.ProblemInterrupted, "restarted before it began", "still waited for its turn on load-balancer/edge, and nothing was changed", again)
				if op.Order != order || m.text(t) != "two" || m.get(t, "edge").Generation != 2 {
					t.Errorf("it ended as %+v, in place is %q", op, m.text(t))
				}
				wantProblem(t, m.await(t, first.ID), api.ProblemInterrupted, "stopped in the middle", "apply again")
				for _, want := range []string{waits.ID, "restarted before it began", again} {
					if !strings.Contains(log.String(), want) {
						t.Errorf("the log does not say %q:\n%s", want, &log)
					}
				}
			})
		}
	}
}
