package replication_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// scenario is a world and what is to be done in it.
type scenario struct {
	name  string
	build func(t *testing.T) *world
	goal  replication.Goal
}

// pair is a healthy replication of two members and a witness.
func pair(t *testing.T) *world {
	t.Helper()
	w := newWorld("w")
	w.join("a", "b")
	w.desired.Catalog.Databases = map[string]replication.Database{"shop": {}}
	converge(t, w, replication.Goal{})
	return w
}

func scenarios() []scenario {
	after := func(change func(w *world)) func(t *testing.T) *world {
		return func(t *testing.T) *world {
			w := pair(t)
			change(w)
			return w
		}
	}
	consent := replication.Goal{Reseed: map[replication.NodeID]string{"b": "token"}}
	return []scenario{
		{"form from nothing", func(*testing.T) *world { w := newWorld("w"); w.join("a", "b"); return w }, replication.Goal{}},
		{"form around data", func(*testing.T) *world {
			w := newWorld("w")
			w.join("a", "b")
			w.nodes["a"].data = data{Databases: []string{"old"}, History: "0-1-7", Oldest: "0-1-5"}
			return w
		}, replication.Goal{}},
		{"form of one", func(*testing.T) *world { w := newWorld(); w.join("a"); return w }, replication.Goal{}},
		{"a member comes", after(func(w *world) { w.join("c") }), replication.Goal{}},
		{"a member goes", after(func(w *world) { delete(w.desired.Members, "b") }), replication.Goal{}},
		{"a replica was stopped", after(func(w *world) { w.nodes["b"].stopped = true }), replication.Goal{}},
		{"a replica is writable", after(func(w *world) { w.nodes["b"].writable = true }), replication.Goal{}},
		{"a replica follows another", after(func(w *world) { w.nodes["b"].source.Host = "z" }), replication.Goal{}},
		{"settings were changed", after(func(w *world) { w.nodes["a"].settings["gtid_strict_mode"] = "OFF" }), replication.Goal{}},
		{"the primary booted", after(func(w *world) { w.nodes["a"].boot() }), replication.Goal{}},
		{"the replica was rebuilt", after(func(w *world) { w.nodes["b"].reset(9) }), replication.Goal{}},
		{"the witness was rebuilt", after(func(w *world) { w.nodes["w"].record = replication.Record{} }), replication.Goal{}},
		{"the password was changed on the primary", after(func(w *world) { w.nodes["a"].data.Password = "x" }), replication.Goal{}},
		{"an errant write, by consent", after(func(w *world) { w.nodes["b"].write() }), consent},
		{"the logs are gone, by consent", after(func(w *world) {
			w.nodes["b"].stopped = true
			w.nodes["a"].write()
			w.nodes["a"].data.Oldest = w.nodes["a"].data.History
		}), consent},
		{"destroy", after(func(*world) {}), replication.Goal{Detach: true}},
		{"form again after a destroy", func(t *testing.T) *world {
			w := pair(t)
			converge(t, w, replication.Goal{Detach: true})
			w.nodes["a"].boot()
			return w
		}, replication.Goal{}},
	}
}

// attempt looks, plans and runs once.
func attempt(t *testing.T, w *world, goal replication.Goal, id string) error {
	t.Helper()
	e := w.executor()
	if err := e.Settle(t.Context()); err != nil {
		return err
	}
	s := w.look(t)
	steps, err := replication.Plan(s, goal)
	if err != nil {
		return err
	}
	return e.Run(t.Context(), replication.NewOperation(id, s, steps))
}

// converge runs until nothing is left to do.
func converge(t *testing.T, w *world, goal replication.Goal) {
	t.Helper()
	for round := range 3 {
		if err := attempt(t, w, goal, fmt.Sprintf("%p-%d-%d", w, w.clock.Unix(), round)); err != nil {
			t.Fatal(err)
		}
		steps, err := replication.Plan(w.look(t), goal)
		if err != nil {
			t.Fatal(err)
		}
		if len(steps) == 0 {
			return
		}
	}
	t.Fatal("there is always something left to do")
}

// TestKillAfterEveryEffect kills agents and coordinator before and after each
// write to any disk or database: in between at most the old primary is
// writable, or nobody, and afterwards the plan's goal is reached, both
// by resuming the same operation and by settling it and planning anew.
func TestKillAfterEveryEffect(t *testing.T) {
	for _, s := range scenarios() {
		for _, resume := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/resume=%v", s.name, resume), func(t *testing.T) {
				for kill, struck := 0, true; struck; kill++ {
					struck = killOnce(t, s, resume, kill)
				}
			})
		}
	}
}

// killOnce runs a scenario with a kill at one effect, and reports whether
// there was so late an effect.
func killOnce(t *testing.T, s scenario, resume bool, kill int) bool {
	t.Helper()
	w := s.build(t)
	before := w.nodes["a"].data
	start := w.open()
	w.check = func() {
		if open := w.open(); len(open) > 1 && !slices.Equal(open, start) {
			t.Fatalf("kill %d: %v are writable", kill, open)
		}
	}
	seen := w.look(t)
	steps, err := replication.Plan(seen, s.goal)
	if err != nil {
		t.Fatal(err)
	}
	op := replication.NewOperation("op", seen, steps)
	w.killAt = kill
	err = w.executor().Run(t.Context(), op)
	struck := w.dead
	w.revive()
	switch {
	case struck && resume:
		if err := w.executor().Run(t.Context(), op); err != nil {
			t.Fatalf("kill %d: resumed: %v", kill, err)
		}
	case !struck && err != nil:
		t.Fatal(err)
	}
	converge(t, w, s.goal)
	if open := w.open(); !slices.Equal(open, []replication.NodeID{"a"}) {
		t.Fatalf("kill %d: in the end %v are writable", kill, open)
	}
	for _, name := range before.Databases {
		if !slices.Contains(w.nodes["a"].data.Databases, name) {
			t.Fatalf("kill %d: database %s of the primary is gone", kill, name)
		}
	}
	return struck
}

func TestRunOfAnEndedOperationDoesNothing(t *testing.T) {
	w := newWorld("w")
	w.join("a", "b")
	s := w.look(t)
	steps, err := replication.Plan(s, replication.Goal{})
	if err != nil {
		t.Fatal(err)
	}
	op := replication.NewOperation("once", s, steps)
	for range 2 {
		if err := w.executor().Run(t.Context(), op); err != nil {
			t.Fatal(err)
		}
		w.check = func() { t.Error("an effect of an operation that has ended") }
	}
}

// TestOfTwoOperationsOneLoses is I12.
func TestOfTwoOperationsOneLoses(t *testing.T) {
	w := newWorld("w")
	w.join("a", "b")
	s := w.look(t)
	steps, err := replication.Plan(s, replication.Goal{})
	if err != nil {
		t.Fatal(err)
	}
	w.locks["b"] = "other"
	if err := w.executor().Run(t.Context(), replication.NewOperation("mine", s, steps)); err == nil || w.entry != nil || w.locks["a"] != "" {
		t.Fatalf("it ran beside another one: %v, %+v, %v", err, w.entry, w.locks)
	}
	delete(w.locks, "b")
	w.killAt = 5
	_ = w.executor().Run(t.Context(), replication.NewOperation("mine", s, steps))
	w.revive()
	var unsettled *replication.Unsettled
	if err := w.executor().Run(t.Context(), replication.NewOperation("next", s, steps)); !errors.As(err, &unsettled) {
		t.Fatalf("a second operation began over the first: %v", err)
	}
	for _, n := range w.nodes {
		n.record = replication.Record{Epoch: 7, Primary: "b"}
	}
	if err := w.executor().Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.executor().Run(t.Context(), replication.NewOperation("late", s, steps)); err == nil || len(w.open()) > 0 {
		t.Fatalf("a plan of an epoch that is over was carried out: %v, %v open", err, w.open())
	}
}

// TestNodeIsFreeAfterItsLastStep: a primary that restarts can open while another
// member is seeded, which may take hours.
func TestNodeIsFreeAfterItsLastStep(t *testing.T) {
	w := newWorld("w")
	w.join("a", "b")
	s := w.look(t)
	steps, err := replication.Plan(s, replication.Goal{})
	if err != nil {
		t.Fatal(err)
	}
	seeding := 0
	w.check = func() {
		if w.nodes["b"].mark == nil {
			return
		}
		if seeding++; w.locks["a"] != "" || w.locks["b"] == "" {
			t.Errorf("while b is seeded the locks are %v", w.locks)
		}
	}
	if err := w.executor().Run(t.Context(), replication.NewOperation("op", s, steps)); err != nil {
		t.Fatal(err)
	}
	if seeding == 0 || len(w.locks) > 0 {
		t.Errorf("%d effects of a seed were seen; afterwards the locks are %v", seeding, w.locks)
	}
}

// TestFailureBeforeThePointOfNoReturnIsTakenBack is I5.
func TestFailureBeforeThePointOfNoReturnIsTakenBack(t *testing.T) {
	w := pair(t)
	set := func(node replication.NodeID, value string) replication.Step {
		return replication.Step{
			ID: "set-" + string(node), Node: node, Deadline: 1e9,
			Do:     replication.Action{Verb: replication.DoSet, Settings: map[string]string{"sync_binlog": value}},
			Undo:   &replication.Action{Verb: replication.DoSet, Settings: map[string]string{"sync_binlog": "1"}},
			Verify: replication.Predicate{Is: replication.IsSet, Settings: map[string]string{"sync_binlog": value}},
		}
	}
	never := set("b", "3")
	never.Verify.Settings = map[string]string{"sync_binlog": "never"}
	op := replication.Operation{ID: "op", Epoch: 1, Steps: replication.Steps{set("a", "2"), never}}
	var failed *replication.StepFailed
	if err := w.executor().Run(t.Context(), op); !errors.As(err, &failed) || !failed.Undone {
		t.Fatalf("it ended with %v", err)
	}
	for _, id := range []replication.NodeID{"a", "b"} {
		if got := w.nodes[id].settings["sync_binlog"]; got != "1" {
			t.Errorf("%s was left with %s", id, got)
		}
	}
	stands := op
	stands.ID, stands.Steps = "stands", slices.Clone(op.Steps)
	stands.Steps[0].Undo = nil
	if err := w.executor().Run(t.Context(), stands); !errors.As(err, &failed) || failed.Undone {
		t.Fatalf("a step that cannot be taken back is said to be: %v", err)
	}
	op.ID, op.Steps[0].PointOfNoReturn = "committed", true
	if err := w.executor().Run(t.Context(), op); !errors.As(err, &failed) || failed.Undone || w.nodes["a"].settings["sync_binlog"] != "2" {
		t.Fatalf("it ended with %v", err)
	}
	if w.entry.Ended || w.entry.Next != 1 {
		t.Fatalf("the journal names step %d as the next, ended is %v", w.entry.Next, w.entry.Ended)
	}
}

// TestEndOfContextLeavesTheJournal: an agent that is asked to stop neither fails
// nor takes back.
func TestEndOfContextLeavesTheJournal(t *testing.T) {
	w := newWorld("w")
	w.join("a", "b")
	s := w.look(t)
	steps, err := replication.Plan(s, replication.Goal{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	count := 0
	w.check = func() {
		if count++; count == 9 {
			cancel()
			w.dead = true
		}
	}
	if err := w.executor().Run(ctx, replication.NewOperation("op", s, steps)); err == nil {
		t.Fatal("it went on")
	}
	if w.entry == nil || w.entry.Ended || w.entry.Undoing != "" {
		t.Fatalf("the journal says %+v", w.entry)
	}
}

// TestBrokenOffSeedEndsWithTheMembership: its mark gives no leave any more to
// replace the data that it left alone, and is in nobody's way.
func TestBrokenOffSeedEndsWithTheMembership(t *testing.T) {
	leave := func(w *world) { delete(w.desired.Members, "b") }
	for _, test := range []struct {
		name   string
		change func(t *testing.T, w *world)
		goal   replication.Goal
	}{
		{"it leaves", func(_ *testing.T, w *world) { leave(w) }, replication.Goal{}},
		{"the replication is destroyed", func(*testing.T, *world) {}, replication.Goal{Detach: true}},
		{"it left while it was silent, and comes back", func(t *testing.T, w *world) {
			leave(w)
			w.nodes["b"].silent = true
			converge(t, w, replication.Goal{})
			w.nodes["b"].silent = false
			w.join("b")
		}, replication.Goal{}},
		{"it is primary of another replication", func(_ *testing.T, w *world) {
			leave(w)
			w.join("b")
			delete(w.desired.Members, "a")
			delete(w.nodes, "a")
			w.desired.Primary = "b"
			w.nodes["b"].record, w.nodes["w"].record = replication.Record{}, replication.Record{}
		}, replication.Goal{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := pair(t)
			b := w.nodes["b"]
			b.data.Databases, b.data.Origin = []string{"precious"}, "other"
			b.mark, b.source, b.seeded = &replication.SeedMark{Donor: "a"}, nil, "a copy of "+w.nodes["a"].data.Origin
			test.change(t, w)
			if err := attempt(t, w, test.goal, test.name); err != nil || b.mark != nil {
				t.Fatalf("the mark is %v, %v", b.mark, err)
			}
			if !slices.Contains(b.data.Databases, "precious") {
				t.Errorf("its data went: %v", b.data)
			}
		})
	}
}

// TestNewPasswordReachesWhoFollows before it is refused: a connection that
// stands shows no error.
func TestNewPasswordReachesWhoFollows(t *testing.T) {
	w := pair(t)
	w.join("c")
	converge(t, w, replication.Goal{})
	w.password = "another"
	w.nodes["a"].data.Password = w.password // the replicas still follow, on the connections that they have
	converge(t, w, replication.Goal{})
	for _, id := range []replication.NodeID{"b", "c"} {
		if got := w.nodes[id].source.Password; got != w.password {
			t.Errorf("%s follows with %q", id, got.Reveal())
		}
	}
}

// TestNemesis breaks a replication at random, kills what repairs it at random,
// and looks after every effect at what must never be.
func TestNemesis(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := pair(t)
		w.join("c")
		converge(t, w, replication.Goal{})
		for round := range 12 {
			label := fmt.Sprintf("seed %d, round %d", seed, round)
			harm(w, random)
			start := w.open()
			kept := w.nodes["a"].data.History
			w.check = func() {
				if open := w.open(); len(open) > 1 && !slices.Equal(open, start) {
					t.Fatalf("%s: %v are writable", label, open)
				}
				if w.nodes["a"].mark != nil {
					t.Fatalf("%s: the primary was seeded", label)
				}
			}
			w.killAt = random.IntN(40) - 10
			_ = attempt(t, w, replication.Goal{}, label)
			w.revive()
			for _, n := range w.nodes {
				n.silent = false
			}
			goal := replication.Goal{Reseed: map[replication.NodeID]string{"b": label, "c": label}}
			converge(t, w, goal)
			if open := w.open(); !slices.Equal(open, []replication.NodeID{"a"}) {
				t.Fatalf("%s: in the end %v are writable", label, open)
			}
			if len(kept) > len(w.nodes["a"].data.History) {
				t.Fatalf("%s: the primary lost writes", label)
			}
			if findings := replication.Analyze(w.look(t)); len(findings) > 0 {
				t.Fatalf("%s: it is not well in the end: %+v", label, findings)
			}
		}
	}
}

// harm does something that happens to databases.
func harm(w *world, random *rand.Rand) {
	replica := w.nodes[[]replication.NodeID{"b", "c"}[random.IntN(2)]]
	switch random.IntN(10) {
	case 0:
		replica.stopped = true
	case 1:
		replica.writable = true
	case 2:
		replica.source = nil
	case 3:
		replica.write()
	case 4:
		replica.reset(replica.serverID)
	case 5:
		w.nodes["a"].boot()
	case 6:
		replica.silent = true
	case 7:
		w.nodes["w"].record = replication.Record{}
	case 8:
		w.nodes["a"].write()
		w.nodes["a"].data.Oldest = w.nodes["a"].data.History
	case 9:
		w.nodes["a"].data.Password = "changed"
	}
}
