package dbreplication

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// unmanaged returns the conditions about replications that nobody has.
func unmanaged(conditions []api.Condition) []string {
	var found []string
	for _, c := range conditions {
		if c.Type == conditionUnmanaged && c.Severity == api.SeverityWarning {
			found = append(found, c.Message)
		}
	}
	return found
}

func TestMembershipThatSomebodyChangedIsDriftUntilTheNextApply(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	for name, test := range map[string]struct {
		machine string
		change  func(m *api.DBMembership)
		want    string
	}{
		"a member slipped in":      {"web2", func(m *api.DBMembership) { m.Peers["web9"] = m.Peers["web1"]; m.Members = append(m.Members, "web9") }, "web9 is too many"},
		"at the coordinator":       {"web1", func(m *api.DBMembership) { m.Peers["web9"] = m.Peers["web1"]; m.Members = append(m.Members, "web9") }, "web9 is too many"},
		"at a witness":             {"lb1", func(m *api.DBMembership) { m.Peers["web9"] = m.Peers["web1"]; m.Members = append(m.Members, "web9") }, "web9 is too many"},
		"a witness promoted":       {"web2", func(m *api.DBMembership) { m.Members = append(m.Members, "lb1") }, "lb1 is a member there, and a witness here"},
		"another key":              {"web2", func(m *api.DBMembership) { m.Peers["lb1"] = api.DBPeer{Address: "10.0.0.66:9443"} }, "lb1 has another key"},
		"the coordinator left out": {"web2", func(m *api.DBMembership) { delete(m.Peers, "web1"); m.Members = []string{"web2"} }, "web1 is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := spec.Membership()
			test.change(&changed)
			if err := r.machines[test.machine].node.Enlist(t.Context(), "notes", "thief", changed); err != nil {
				t.Fatal(err)
			}
			drift, _, _ := r.observe(spec)
			if got := drift[test.machine+"/"+driftMembership].Detail; !strings.Contains(got, test.want) {
				t.Errorf("the drift is %v, want %q", drift, test.want)
			}
			r.must(&spec, &spec)
		})
	}
}

func TestMembershipInAReplicationThatNobodyHasIsAWarning(t *testing.T) {
	b := newBay(t)
	b.must(b.Enlist(t.Context(), "evil", "thief@ci", membership("web1", "web9")))
	if got := unmanaged(b.Conditions()); got != nil {
		t.Errorf("in the middle of a first apply: %q", got)
	}
	b.now.pass(2 * unmanagedGrace)
	b.voters.apply()
	check := func(when string) {
		t.Helper()
		got := unmanaged(b.Conditions())
		if i := slices.IndexFunc(got, func(m string) bool { return strings.HasPrefix(m, "Replication evil: ") }); i < 0 {
			t.Errorf("%s: %q", when, got)
		} else {
			for _, word := range []string{"web9 (member)", "thief@ci", "2026-11-22T09:00:00Z", "foobar-agent replication leave evil"} {
				if !strings.Contains(got[i], word) {
					t.Errorf("%s: no %q in %q", when, word, got[i])
				}
			}
		}
	}
	check("nobody has it")
	b.restart()
	check("after a restart")
	b.voters.applied = nil
	b.now.pass(2 * unmanagedLife)
	check("nobody answers, and it was never configured")
	b.voters.apply("web9")
	b.now.pass(2 * unmanagedLife)
	for _, message := range unmanaged(b.Conditions()) {
		if strings.HasPrefix(message, "Replication evil: ") {
			t.Errorf("web9 has it: %q", message)
		}
	}
	b.voters.apply()
	b.now.pass(2 * unmanagedLife)
	b.must(b.Leave(t.Context(), "evil"))
	b.must(b.Leave(t.Context(), "evil"))
	b.must(b.Leave(t.Context(), "unheard"))
	if _, err := b.View(t.Context(), "evil", api.DBCaller{Node: "web9"}); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("web9 may still look: %v", err)
	}
	b.restart()
	for _, message := range unmanaged(b.Conditions()) {
		if strings.Contains(message, "evil") {
			t.Errorf("after it was left: %q", message)
		}
	}
}

func TestReplicationWhosePrimaryIsSilentIsNotUnmanaged(t *testing.T) {
	b := newBay(t) // it was informed of notes, and none of the others answers
	b.now.pass(2 * unmanagedGrace)
	if got := unmanaged(b.Conditions()); got != nil {
		t.Errorf("%q", got)
	}
	b.voters.apply()
	b.Coordinates(func(name string) bool { return name == notes })
	if got := unmanaged(b.Conditions()); got != nil {
		t.Errorf("this machine has it: %q", got)
	}
	if err := b.Leave(t.Context(), notes); !api.IsProblem(err, api.ProblemEngineRefused) {
		t.Errorf("the coordinator left: %v", err)
	}
}

func TestMemberThatLeavesFollowsNobodyAndObeysNobody(t *testing.T) {
	r := newRack(t, "web1", "web2")
	spec := r.spec("web2")
	r.must(nil, &spec)
	member := r.machines["web2"]
	if err := member.node.Leave(t.Context(), "notes"); err != nil {
		t.Fatal(err)
	}
	if member.source != nil || member.node.takenBy("main", "") != "" {
		t.Errorf("it follows %v and belongs to %q", member.source, member.node.takenBy("main", ""))
	}
	if _, known := member.node.Config("notes"); known {
		t.Error("it still knows what the replication was to be")
	}
	if _, err := member.node.Record(t.Context(), "notes", api.DBCaller{Node: "web1"}); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("it still votes: %v", err)
	}
	if drift, _, _ := r.observe(spec); drift["web2/"+driftMembership].Detail == "" {
		t.Errorf("the replication shows %v", drift)
	}
	r.must(&spec, &spec) // it was a mistake
	if member.source == nil {
		t.Error("an apply does not take it back")
	}
}

// TestMemberWithoutItsServerLeaves was scaled down: one apply has removed its
// database server and its membership.
func TestMemberWithoutItsServerLeaves(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec, one := r.spec("web2"), r.spec()
	r.must(nil, &spec)
	member := r.machines["web2"]
	member.dead = true
	r.must(&spec, &one)
	if err := member.node.Leave(t.Context(), "notes"); !api.IsProblem(err, api.ProblemEngineRefused) {
		t.Errorf("its server does not answer, and may follow: %v", err)
	}
	member.removed = true
	for range 2 {
		if err := member.node.Leave(t.Context(), "notes"); err != nil {
			t.Fatal(err)
		}
	}
	if _, known := member.node.Config("notes"); known {
		t.Error("it still knows what the replication was to be")
	}
	r.boot("web2")
	if got := unmanaged(member.node.Conditions(t.Context())); got != nil {
		t.Errorf("after it has left: %q", got)
	}
}

// TestForgottenMemberThatRanOnFollowsAtTheEndOfTheApply was refused by the primary
// meanwhile, and would try again by itself some time later.
func TestForgottenMemberThatRanOnFollowsAtTheEndOfTheApply(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec, one := r.spec("web2"), r.spec()
	r.must(nil, &spec)
	r.cut("web2", true)
	r.must(&spec, &one)
	r.cut("web2", false)
	r.machines["web2"].refused = true
	r.must(&one, &spec)
}

// TestReplicaOfARebuiltPrimaryPromisesNothing has data that its primary lost.
func TestReplicaOfARebuiltPrimaryPromisesNothing(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	web1, web2 := r.machines["web1"], r.machines["web2"]
	web2.refused = true
	follows := func() string {
		web2.node.part("notes").checkFollows(t.Context())
		for _, c := range web2.node.Conditions(t.Context()) {
			if c.Type == conditionNotFollowing {
				return c.Message
			}
		}
		return ""
	}
	if got := follows(); !strings.Contains(got, "cannot be reached") {
		t.Errorf("its primary only refuses it: %q", got)
	}
	if err := os.RemoveAll(filepath.Join(r.root, "web1", "state")); err != nil {
		t.Fatal(err)
	}
	web1.data = rackData{}
	r.boot("web1")
	r.enlist(spec)
	if got := follows(); !strings.Contains(got, "PrimaryLost") || strings.Contains(got, "starts it") {
		t.Errorf("its primary was rebuilt: %q", got)
	}
}
