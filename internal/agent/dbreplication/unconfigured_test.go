package dbreplication

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// forgets are the ways in which a machine comes to lack the configuration that
// it had: of each the machine, and what happens there.
func forgets(r *rack, spec api.DBReplication) map[string]struct {
	machine string
	happens func() error
} {
	file := func(machine string) string { return filepath.Join(r.root, machine, "state", "notes", configFile) }
	return map[string]struct {
		machine string
		happens func() error
	}{
		"the file of a replica is damaged": {"web2", func() error {
			defer r.boot("web2")
			return os.WriteFile(file("web2"), []byte("x"), 0o600)
		}},
		"a replica has left, and was enlisted again": {"web2", func() error {
			if err := r.machines["web2"].node.Leave(r.t.Context(), "notes"); err != nil {
				return err
			}
			r.enlist(spec)
			return nil
		}},
		"the file of a witness is lost": {"lb1", func() error {
			defer r.boot("lb1")
			return os.Remove(file("lb1"))
		}},
		"the file of the coordinator is lost": {"web1", func() error {
			defer r.boot("web1")
			return os.Remove(file("web1"))
		}},
	}
}

// TestUnconfiguredMachineIsDrift: an apply that finds no drift has nothing to do, and
// would not tell the machine again.
func TestUnconfiguredMachineIsDrift(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	for name, test := range forgets(r, spec) {
		t.Run(name, func(t *testing.T) {
			if err := test.happens(); err != nil {
				t.Fatal(err)
			}
			drift, conditions, _ := r.observe(spec)
			if test.machine == "web1" {
				if drift[driftConfig].Detail == "" {
					t.Errorf("the drift is %v", drift)
				}
			} else if got := drift[test.machine+"/"+driftConfig]; got.Detail == "" || !slices.Contains(got.Pointers, placeOf(spec, replication.NodeID(test.machine))) {
				t.Errorf("the drift is %v", drift)
			}
			if len(conditions) > 0 {
				t.Errorf("it answers, and what is wrong is drift: %v", conditions)
			}
			r.must(&spec, &spec)
			if r.machines["web2"].source == nil {
				t.Error("web2 does not follow")
			}
		})
	}
}

// TestReplicationWithAnUntoldMachineEnds, and no database goes on following.
func TestReplicationWithAnUnconfiguredMachineEnds(t *testing.T) {
	for _, name := range []string{
		"the file of a replica is damaged", "a replica has left, and was enlisted again", "the file of a witness is lost", "the file of the coordinator is lost",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRack(t, "web1", "web2", "lb1")
			spec := r.spec("web2")
			r.must(nil, &spec)
			if err := forgets(r, spec)[name].happens(); err != nil {
				t.Fatal(err)
			}
			if _, err := r.apply(t.Context(), &spec, nil); err != nil {
				t.Fatal(err)
			}
			if source := r.machines["web2"].source; source != nil {
				t.Errorf("web2 follows %v", source)
			}
			for machine := range spec.Peers() {
				record, err := r.machines[machine].node.Record(t.Context(), "notes", api.DBCaller{Node: "web1"})
				if err != nil || record.Primary != "" {
					t.Errorf("%s has recorded %+v, %v", machine, record, err)
				}
			}
		})
	}
}

// TestRefusedDestroySendsNothing: another member is silent, so nothing ends, and
// the machines that have the configuration keep theirs, with its passwords.
func TestRefusedDestroySendsNothing(t *testing.T) {
	for _, name := range []string{"the file of a witness is lost", "the file of the coordinator is lost"} {
		t.Run(name, func(t *testing.T) {
			r := newRack(t, "web1", "web2", "web3", "lb1")
			spec := r.spec("web2", "web3")
			r.must(nil, &spec)
			if err := forgets(r, spec)[name].happens(); err != nil {
				t.Fatal(err)
			}
			before, known := r.machines["web1"].node.Config("notes")
			r.cut("web3", true)
			r.asked("PUT")
			_, err := r.apply(t.Context(), &spec, nil)
			wantProblem(t, err, "/members/web3", "web3", "forget_unreachable")
			if sent := r.asked("PUT"); len(sent) > 0 {
				t.Errorf("a destroy that is refused has called %v", sent)
			}
			if after, knows := r.machines["web1"].node.Config("notes"); knows != known || !maps.Equal(after.Users, before.Users) {
				t.Errorf("the coordinator's configuration is another one: %t, with %d passwords, not %t with %d", knows, len(after.Users), known, len(before.Users))
			}
			r.cut("web3", false)
			r.must(&spec, &spec)
			if after, _ := r.machines["web1"].node.Config("notes"); len(after.Users) != len(spec.Users) {
				t.Errorf("after the next apply the coordinator has %d passwords of %d", len(after.Users), len(spec.Users))
			}
		})
	}
}

// TestDestroyIsForced where a machine cannot take the configuration again.
func TestDestroyIsForced(t *testing.T) {
	for name, unfit := range map[string]func(t *testing.T, r *rack, spec api.DBReplication){
		"it refuses": func(t *testing.T, r *rack, spec api.DBReplication) {
			if err := forgets(r, spec)["the file of a replica is damaged"].happens(); err != nil {
				t.Fatal(err)
			}
			r.machines["web2"].refuses = &api.Problem{Type: api.ProblemInvalid, Title: "Its server takes part in another replication"}
		},
		"it is not in the last one": func(t *testing.T, r *rack, spec api.DBReplication) {
			one := r.spec()
			config, _ := r.machines["web1"].node.Config("notes")
			config.Spec = one
			if err := r.machines["web1"].node.SetConfig(t.Context(), "notes", config); err != nil {
				t.Fatal(err)
			}
			if err := forgets(r, spec)["the file of a replica is damaged"].happens(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRack(t, "web1", "web2", "lb1")
			spec := r.spec("web2")
			r.must(nil, &spec)
			unfit(t, r, spec)
			_, err := r.apply(t.Context(), &spec, nil)
			wantProblem(t, err, "/members/web2", "web2", "forget_unreachable")
			if _, err := r.apply(t.Context(), &spec, nil, "web2"); err != nil {
				t.Errorf("it was forgotten: %v", err)
			}
			record, err := r.machines["web1"].node.Record(t.Context(), "notes", api.DBCaller{Node: "web1"})
			if err != nil || record.Primary != "" {
				t.Errorf("the replication goes on: %+v, %v", record, err)
			}
		})
	}
}

// deaf is the coordinator's machine where its server takes part in something else.
type deaf struct{ Parts }

func (deaf) SetConfig(context.Context, string, api.DBConfig) error {
	return &api.Problem{Type: api.ProblemInvalid, Title: "Its server takes part in another replication"}
}

// TestDestroyIsForcedWithADeafCoordinator: it cannot take back the configuration
// that it lost, and the plan decides.
func TestDestroyIsForcedWithADeafCoordinator(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	if err := forgets(r, spec)["the file of the coordinator is lost"].happens(); err != nil {
		t.Fatal(err)
	}
	change := converge.Change{Name: "notes", From: version(t, spec)}
	k := r.kind("web1")
	k.Parts = deaf{k.Parts}
	wantProblem(t, k.Apply(t.Context(), change, nothing), "/members/web1", "web1", "forget_unreachable")
	change.Forget = []string{"web1"}
	if err := k.Apply(t.Context(), change, nothing); err != nil {
		t.Errorf("it was forgotten: %v", err)
	}
	if source := r.machines["web2"].source; source != nil {
		t.Errorf("web2 follows %v", source)
	}
}

// TestMachineThatRefusesDoesAnswer: neither in the plan of a new member nor in a
// destroy is it said to be silent.
func TestMachineThatRefusesDoesAnswer(t *testing.T) {
	r := newRack(t, "web1", "web2", "web3")
	two, three := r.spec("web2"), r.spec("web2", "web3")
	r.must(nil, &two)
	_, err := replication.Plan(r.look(three), replication.Goal{})
	if !replication.IsRefused(err, replication.RefusedUnconfigured) {
		t.Errorf("a new member that is not enlisted: %v", err)
	}
	if err := r.machines["web2"].node.Leave(t.Context(), "notes"); err != nil {
		t.Fatal(err)
	}
	_, err = r.apply(t.Context(), &two, nil)
	wantProblem(t, err, "/members/web2", "web2 ", "terraform apply")
	if problem := api.AsProblem(err); problem.Title == "A machine does not answer" {
		t.Errorf("it does answer: %v", err)
	}
}

// look takes the coordinator's snapshot of a replication.
func (r *rack) look(spec api.DBReplication) replication.Snapshot {
	r.t.Helper()
	c, err := r.kind("web1").coordinator(converge.Change{Name: "notes", To: version(r.t, spec)}, nothing)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.look(r.t.Context(), callTimeout)
}
