package replication_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// randomSnapshot makes a snapshot in which anything may be the case.
func randomSnapshot(random *rand.Rand) (replication.Snapshot, replication.Goal) {
	one := func(n int) bool { return random.IntN(n) == 0 }
	pick := func(texts ...string) string { return texts[random.IntN(len(texts))] }
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	desired := replication.Topology{Name: "main", Engine: api.EngineMariaDB, Primary: "a", Members: map[replication.NodeID]replication.Member{}, Witnesses: []replication.NodeID{"w"}}
	members := []replication.NodeID{"a", "b", "c"}[:1+random.IntN(3)]
	for _, id := range members {
		desired.Members[id] = replication.Member{Host: string(id), Port: 3306}
	}
	if one(10) {
		desired.Primary = "b"
	}
	s := replication.Snapshot{Taken: now, Desired: desired, Nodes: map[replication.NodeID]replication.NodeView{}, Witnesses: map[replication.NodeID]replication.WitnessView{}}
	record := func() replication.Record {
		if one(4) {
			return replication.Record{}
		}
		r := replication.Record{Epoch: uint64(1 + random.IntN(2)), Primary: "a", Spec: pick(desired.Hash(), desired.Hash(), "old"), Members: members}
		if one(8) {
			r.Primary = replication.NodeID(pick("b", ""))
		}
		return r
	}
	gone := &replication.Unobservable{Since: now, Reason: "no route"}
	unconfigured := &replication.Unobservable{Since: now, Reason: "no configuration", Unconfigured: true}
	for i, id := range []replication.NodeID{"a", "b", "c"} {
		if one(6) {
			s.Nodes[id] = replication.NodeView{Unobservable: gone}
			continue
		}
		if one(12) {
			s.Nodes[id] = replication.NodeView{Unobservable: unconfigured, Record: record()}
			continue
		}
		view := replication.NodeView{Taken: now.Add(-time.Second), Record: record()}
		if id == "a" {
			view.Taken = now
		}
		if id != "a" && one(10) {
			view.Seeding = &replication.SeedMark{Donor: "a", Started: now}
		}
		view.EngineView = replication.EngineView{
			Version: pick("11.8.6-MariaDB", "11.8.6-MariaDB", "11.4.2-MariaDB"), ServerID: uint32(i + 1),
			Writable: one(3), Origin: pick("o", "o", "o", "", "p"), Empty: one(2),
			History: pick("0-1-100", "0-1-90", "0-1-100,0-2-101", "", "x"), Oldest: pick("", "0-1-50", "0-1-95"),
			Settings: map[string]string{"gtid_strict_mode": pick("ON", "ON", "OFF"), "slave_connections_needed_for_purge": pick("0", "1"), "slave_parallel_threads": pick("8", "8", "0")},
		}
		view.Applied, view.PasswordOld = view.History, one(9)
		if id != "a" && !one(4) || one(9) {
			view.Sources = []replication.SourceView{{
				Host: pick("a", "a", "a", "z"), Port: 3306, TLS: !one(9), AutoPosition: !one(9),
				Receiver: replication.Thread{State: replication.ThreadState(pick("running", "running", "stopped", "connecting")), Errno: []int{0, 0, 0, 1045, 1236, 2003}[random.IntN(6)]},
				Applier:  replication.Thread{State: replication.ThreadState(pick("running", "running", "stopped")), Errno: []int{0, 0, 0, 1062, 1205}[random.IntN(5)]},
			}}
		}
		s.Nodes[id] = view
	}
	s.Witnesses["w"] = replication.WitnessView{Record: record()}
	if one(5) {
		s.Witnesses["w"] = replication.WitnessView{Unobservable: gone}
	} else if one(12) {
		s.Witnesses["w"] = replication.WitnessView{Unobservable: unconfigured, Record: record()}
	}
	goal := replication.Goal{Detach: one(6)}
	if one(4) {
		goal.Reseed = map[replication.NodeID]string{"b": "token"}
	}
	return s, goal
}

// TestPlanKeepsTheInvariants tries those of the twelve that a plan can break.
func TestPlanKeepsTheInvariants(t *testing.T) {
	planned := 0
	for seed := range uint64(10000) {
		s, goal := randomSnapshot(rand.New(rand.NewPCG(seed, 2)))
		steps, err := replication.Plan(s, goal)
		again, _ := replication.Plan(s, goal)
		if !reflect.DeepEqual(steps, again) {
			t.Fatalf("seed %d: two plans of one snapshot differ", seed)
		}
		if wrong := decide(s, goal, steps, err); wrong != "" {
			t.Fatalf("seed %d: %s\nsnapshot %+v\nsteps %+v", seed, wrong, s, steps)
		}
		if len(steps) > 0 {
			planned++
		}
	}
	if planned < 500 {
		t.Fatalf("only %d snapshots had a plan: the test tries nothing", planned)
	}
}

// decide says which invariant a plan breaks, "" for none.
func decide(s replication.Snapshot, goal replication.Goal, steps replication.Steps, err error) string {
	findings := replication.Analyze(s)
	for _, f := range findings {
		if f.Code == "" || f.Detail == "" || f.Next == "" {
			return fmt.Sprintf("a finding does not explain itself: %+v", f)
		}
	}
	if err != nil {
		var refusal *replication.Refusal
		if !errors.As(err, &refusal) || refusal.Next == "" || len(steps) > 0 {
			return fmt.Sprintf("a refusal without reason, way out, or with steps: %v", err)
		}
		return ""
	}
	if wrong := judgeSteps(s, goal, steps); wrong != "" {
		return wrong
	}
	drift := slices.IndexFunc(findings, func(f replication.Finding) bool { return f.Repaired })
	if !goal.Detach && goal.Reseed == nil && s.Epoch() > 0 && (drift >= 0) != (len(steps) > 0) {
		return fmt.Sprintf("I9: drift and plan disagree: %+v", findings)
	}
	return ""
}

func judgeSteps(s replication.Snapshot, goal replication.Goal, steps replication.Steps) string {
	recorded := map[replication.NodeID]replication.Record{}
	open := map[replication.NodeID]bool{}
	for id, node := range s.Nodes {
		_, member := s.Desired.Members[id]
		recorded[id], open[id] = node.Record, node.Writable && (member || slices.Contains(node.Record.Members, id))
	}
	for id, witness := range s.Witnesses {
		recorded[id] = witness.Record
	}
	for _, step := range steps {
		node := s.Nodes[step.Node]
		silent := func(u *replication.Unobservable) bool { // who is not configured yet answers, and records
			return u != nil && (!u.Unconfigured || step.Do.Verb != replication.DoRecord)
		}
		if silent(node.Unobservable) && node.Seeding == nil || silent(s.Witnesses[step.Node].Unobservable) {
			return fmt.Sprintf("I8: %s is ordered about and does not answer", step.Node)
		}
		if step.Deadline <= 0 || step.ID == "" || step.Verify.Is == "" {
			return fmt.Sprintf("a step without id, deadline or predicate: %+v", step)
		}
		switch step.Do.Verb {
		case replication.DoFence:
			open[step.Node] = false
		case replication.DoFollow:
			open[step.Node] = false
			if step.Node == s.Desired.Primary {
				return "the primary is to follow"
			}
		case replication.DoRecord:
			if err := recorded[step.Node].Accept(*step.Do.Record); err != nil {
				return fmt.Sprintf("I1: %s refuses its record: %v", step.Node, err)
			}
			recorded[step.Node] = *step.Do.Record
		case replication.DoOpen:
			open[step.Node] = true
			if wrong := judgeOpen(s, step.Node, recorded, open); wrong != "" {
				return wrong
			}
		case replication.DoSeed:
			fresh := node.Empty && node.Origin == ""
			if step.Do.Consent == "" && !fresh && (node.Seeding == nil || !countedIn(s, step.Node)) || step.Do.Consent != goal.Reseed[step.Node] && step.Do.Consent != "" || step.Node == s.Desired.Primary {
				return fmt.Sprintf("I7: the data of %s would go", step.Node)
			}
		case replication.DoDetach, replication.DoRetire:
		case replication.DoClaim, replication.DoProvision, replication.DoSet:
			if goal.Detach {
				return "I11: a destroy changes more than it must"
			}
		}
	}
	return ""
}

// countedIn tells whether anybody else has recorded that a member takes part now.
func countedIn(s replication.Snapshot, id replication.NodeID) bool {
	for other, node := range s.Nodes {
		if other != id && node.Record.Epoch == s.Epoch() && slices.Contains(node.Record.Members, id) {
			return true
		}
	}
	w := s.Witnesses["w"]
	return w.Record.Epoch == s.Epoch() && slices.Contains(w.Record.Members, id)
}

// judgeOpen says what is wrong with opening a node where records are as given.
func judgeOpen(s replication.Snapshot, id replication.NodeID, recorded map[replication.NodeID]replication.Record, open map[replication.NodeID]bool) string {
	for other, writable := range open {
		if writable && other != id {
			return fmt.Sprintf("I1: %s and %s would be writable", other, id)
		}
	}
	voters, own := s.Desired.Voters(), recorded[id]
	knows := 0
	for _, voter := range voters {
		record := recorded[voter]
		if record.Epoch > own.Epoch {
			return fmt.Sprintf("I1: %s has recorded a higher epoch", voter)
		}
		if record.Epoch == own.Epoch && record.Primary == id {
			knows++
		}
	}
	if own.Primary != id || knows < replication.Majority(len(voters)) {
		return fmt.Sprintf("I1: %s would open while %d of %d voters know of it", id, knows, len(voters))
	}
	return ""
}

// FuzzPlan feeds the same with seeds of the fuzzer's choice.
func FuzzPlan(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, one, two uint64) {
		s, goal := randomSnapshot(rand.New(rand.NewPCG(one, two)))
		steps, err := replication.Plan(s, goal)
		if wrong := decide(s, goal, steps, err); wrong != "" {
			t.Fatal(wrong)
		}
	})
}
