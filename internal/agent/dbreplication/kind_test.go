package dbreplication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// apply changes the replication from one spec to another, nil for none, and
// returns what was reported of it.
func (r *rack) apply(ctx context.Context, from, to *api.DBReplication, forget ...string) ([]string, error) {
	r.t.Helper()
	change := converge.Change{Name: "notes", Forget: forget}
	if from != nil {
		change.From = version(r.t, *from)
		change.From.State = converge.NewApplied(nil, change.From.State).State // as it is recorded
	}
	if to != nil {
		change.To = version(r.t, *to)
		r.enlist(*to) //nolint:contextcheck // that one is to be cancelled
	}
	var events []string
	err := r.kind("web1").Apply(ctx, change, func(_ api.Phase, format string, args ...any) {
		events = append(events, fmt.Sprintf(format, args...))
	})
	return events, err
}

// must applies what has to work, after which all is well.
func (r *rack) must(from, to *api.DBReplication) []string {
	r.t.Helper()
	events, err := r.apply(r.t.Context(), from, to)
	if err != nil {
		r.t.Fatalf("%v, after %q", err, events)
	}
	r.well(*to)
	return events
}

func (r *rack) observe(spec api.DBReplication) (map[string]api.Drift, []api.Condition, api.DBReplicationStatus) {
	r.t.Helper()
	seen, err := r.kind("web1").Observe(r.t.Context(), "notes", *version(r.t, spec))
	if err != nil {
		r.t.Fatal(err)
	}
	status, ok := seen.Status.(api.DBReplicationStatus)
	if !ok || seen.Spec != nil {
		r.t.Fatalf("observed %+v", seen)
	}
	return seen.Drift, seen.Conditions, status
}

func (r *rack) well(spec api.DBReplication) {
	r.t.Helper()
	if drift, conditions, _ := r.observe(spec); len(drift)+len(conditions) > 0 {
		r.t.Errorf("not all is well: %v %v", drift, conditions)
	}
}

func wantProblem(t *testing.T, err error, at api.Pointer, words ...string) {
	t.Helper()
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok || problem.Type == api.ProblemInternal {
		t.Fatalf("the error is %v", err)
	}
	for _, word := range words {
		if !strings.Contains(problem.Error(), word) {
			t.Errorf("%q is not in: %v", word, problem)
		}
	}
	if at != "" && !slices.ContainsFunc(problem.Violations, func(v api.Violation) bool { return v.Pointer == at }) {
		t.Errorf("%s is not pointed at: %v", at, problem.Violations)
	}
}

func TestFormingAndApplyingTheSameAgain(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	events := r.must(nil, &spec)
	golden.Compare(t, "form.golden", strings.Join(events, "\n")+"\n")
	_, _, status := r.observe(spec)
	raw, err := json.MarshalIndent(status, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "status.golden", string(raw)+"\n")

	r.asked()
	if events := r.must(&spec, &spec); len(events) > 0 {
		t.Errorf("the same again did %q", events)
	}
	if orders := r.asked("POST"); len(orders) > 0 {
		t.Errorf("the same again gave the orders %q", orders)
	}
	config, _ := r.machines["web1"].node.Config("notes")
	other, _ := r.machines["web2"].node.Config("notes")
	witness, _ := r.machines["lb1"].node.Config("notes")
	if config.Replication == "" || other.Replication != config.Replication || other.Users["app"] != "hunter2" {
		t.Error("the members do not know the passwords")
	}
	if witness.Replication != "" || witness.Users != nil {
		t.Error("a witness was given passwords")
	}
	for _, secret := range []string{"hunter2", config.Replication.Reveal()} {
		if strings.Contains(strings.Join(events, "\n"), secret) || strings.Contains(string(raw), secret) {
			t.Error("a password is shown")
		}
	}
}

// TestCoordinatorThatForgotThePassword makes another one, which the replicas
// follow with although the connections stand that they have.
func TestCoordinatorThatForgotThePassword(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	before, _ := r.machines["web1"].node.Config("notes")
	if err := os.Remove(filepath.Join(r.machines["web1"].node.Dir("notes"), configFile)); err != nil {
		t.Fatal(err)
	}
	r.boot("web1")
	r.must(&spec, &spec)
	config, _ := r.machines["web1"].node.Config("notes")
	if config.Replication == before.Replication || r.machines["web2"].source.Password != config.Replication {
		t.Error("web2 does not follow with the new password")
	}
	if events := r.must(&spec, &spec); len(events) > 0 {
		t.Errorf("the same again did %q", events)
	}
}

func TestMembersComeAndGo(t *testing.T) {
	r := newRack(t, "web1", "web2", "web3", "lb1")
	two, other := r.spec("web2"), r.spec("web3")
	r.must(nil, &two)
	events := r.must(&two, &other)
	if r.machines["web2"].source != nil || r.machines["web3"].source == nil {
		t.Errorf("web2 follows %v, web3 %v, after %q", r.machines["web2"].source, r.machines["web3"].source, events)
	}
	r.cut("web3", true)
	one := r.spec()
	events = r.must(&other, &one)
	if !slices.ContainsFunc(events, func(e string) bool { return strings.Contains(e, "web3 is a member no more") }) {
		t.Errorf("that web3 was not detached is not reported: %q", events)
	}
}

func TestWhatIsRefusedIsReportedToNobody(t *testing.T) {
	r := newRack(t, "web1", "web2", "web3")
	spec := r.spec("web2")
	r.must(nil, &spec)
	foreign := r.spec("web2", "web3")
	r.machines["web3"].data = rackData{Databases: []string{"others"}}
	r.enlist(foreign)
	if err := r.machines["web3"].node.SetConfig(t.Context(), "notes", api.DBConfig{Spec: foreign}); err != nil {
		t.Fatal(err) // an apply that failed has sent it, so that it shows its data
	}
	r.asked()
	_, err := r.apply(t.Context(), &spec, &foreign)
	wantProblem(t, err, "/members/web3", "reseed", "web3 cannot join")
	if config := r.asked("PUT", "POST"); len(config) > 0 {
		t.Errorf("calls were made: %q", config)
	}
	r.enlist(spec) // as the next apply does
	r.well(spec)

	demoted := r.spec()
	demoted.Witnesses["web2"] = spec.Members["web2"].DBPeer
	change := converge.Change{Name: "notes", From: version(t, spec), To: version(t, demoted)}
	_, err = r.kind("web1").Preview(t.Context(), "notes", change)
	wantProblem(t, err, "/witnesses/web2", "take it out of members and apply, then make it a witness")
	_, err = r.apply(t.Context(), &spec, &demoted)
	wantProblem(t, err, "/witnesses/web2", "has to leave the replication first")
	r.enlist(spec)
	r.well(spec)

	exchanged := r.spec("web2")
	for machine, member := range exchanged.Members {
		member.Server = "others"
		exchanged.Members[machine] = member
	}
	change = converge.Change{Name: "notes", From: version(t, spec), To: version(t, exchanged)}
	_, err = r.kind("web1").Preview(t.Context(), "notes", change)
	wantProblem(t, err, "/members/web1/server", "the primary's server cannot be another one")
	_, err = r.apply(t.Context(), &spec, &exchanged)
	wantProblem(t, err, "/members/web2/server", `take it out of members and apply, then add it with "others"`)
	r.well(spec)

	moved := r.spec("web2")
	moved.Primary = "web2"
	for _, call := range []func(*Kind, converge.Change) error{
		func(k *Kind, c converge.Change) error { return k.Apply(t.Context(), c, nothing) },
		func(k *Kind, c converge.Change) error { _, err := k.Preview(t.Context(), "notes", c); return err },
	} {
		err := call(r.kind("web2"), converge.Change{Name: "notes", To: version(t, moved)})
		wantProblem(t, err, "/primary", "cannot change that")
		err = call(r.kind("web1"), converge.Change{Name: "notes", From: version(t, spec), To: version(t, moved)})
		wantProblem(t, err, "/primary", "this machine is web1")
	}
	r.well(spec)
}

func nothing(api.Phase, string, ...any) {}

func TestMachinesThatAreAway(t *testing.T) {
	r := newRack(t, "web1", "web2", "web3", "lb1")
	two, three := r.spec("web2"), r.spec("web2", "web3")
	if _, err := r.kind("web1").coordinator(converge.Change{Name: "notes"}, nothing); err != nil {
		t.Fatal(err)
	}
	err := r.kind("web1").Apply(t.Context(), converge.Change{Name: "notes", To: version(t, two)}, nothing)
	wantProblem(t, err, "", "takes no part in replication")
	r.must(nil, &two)
	r.cut("web3", true)
	_, err = r.apply(t.Context(), &two, &three)
	wantProblem(t, err, "/members/web3", "web3", "no route to host")
	if drift, _, _ := r.observe(two); drift[driftConfig].Detail == "" {
		t.Errorf("that others were given the refused spec is no drift: %v", drift)
	}
	r.must(&two, &two)

	r.cut("web2", true)
	slower := r.spec("web2")
	slower.MaxLag = api.Duration(time.Minute)
	events, err := r.apply(t.Context(), &two, &slower)
	if err != nil || !slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "web2 cannot be sent the configuration") }) {
		t.Errorf("%v, %q", err, events)
	}
	drift, conditions, status := r.observe(slower)
	if len(drift) > 0 || len(conditions) != 1 || conditions[0].Type != string(replication.UnobservableNode) || conditions[0].Pointer != "/members/web2" || status.Members["web2"].State != stateUnreachable {
		t.Errorf("%v %v %+v", drift, conditions, status)
	}
	r.cut("web2", false)
	if drift, _, _ := r.observe(slower); drift["web2/RecordBehind"].Detail == "" {
		t.Errorf("the drift is %v", drift)
	}
	r.must(&slower, &slower)

	r.machines["web2"].refuses = &api.Problem{Type: api.ProblemForbidden, Title: "Who are you?"}
	_, err = r.apply(t.Context(), &slower, &two)
	wantProblem(t, err, "/members/web2", "Who are you?")
}

// TestAnApplyThatIsKilled cancels the coordinator's context in each order in
// turn, starts its agent anew, and applies again.
func TestAnApplyThatIsKilled(t *testing.T) {
	for at := 0; ; at++ {
		r := newRack(t, "web1", "web2", "lb1")
		spec := r.spec("web2")
		ctx, kill := context.WithCancel(t.Context())
		left := at
		for _, m := range r.machines {
			m.before = func(replication.Order) error {
				if left--; left == -1 {
					kill()
				}
				return ctx.Err()
			}
		}
		_, err := r.apply(ctx, nil, &spec)
		killed := ctx.Err() != nil
		kill()
		if !killed {
			if err != nil || at < 3 {
				t.Errorf("after %d orders: %v", at, err)
			}
			return
		}
		for _, m := range r.machines {
			m.before = nil
		}
		if _, stands := errors.AsType[*converge.StandsError](err); !stands {
			t.Errorf("killed at %d: it does not say that what was done stands: %v", at, err)
		}
		r.boot("web1")
		if drift, _, _ := r.observe(spec); drift[driftUnfinished].Detail == "" {
			t.Errorf("killed at %d: the drift is %v", at, drift)
		}
		events := r.must(nil, &spec)
		if !strings.HasPrefix(events[0], "ending the operation") {
			t.Errorf("killed at %d: the events are %q", at, events)
		}
	}
}

// TestAnOperationThatCannotBeEnded is the one whose spec was wrong: what the
// user corrects must not be in the way of correcting it.
func TestAnOperationThatCannotBeEnded(t *testing.T) {
	r := newRack(t, "web1", "web2")
	spec := r.spec("web2")
	r.machines["web2"].before = func(o replication.Order) error {
		if o.Action.Verb == replication.DoFollow && o.Action.At.Port == 3306 {
			return &api.Problem{Type: api.ProblemInternal, Title: "Nobody listens there"}
		}
		return nil
	}
	_, err := r.apply(t.Context(), nil, &spec)
	wantProblem(t, err, "/members/web2", "Nobody listens there", "goes on from there")
	if err := r.kind("web1").Apply(t.Context(), converge.Change{Name: "notes", From: version(t, spec), Undo: true}, nothing); err != nil {
		t.Errorf("undoing it: %v", err)
	}
	right := r.spec("web2")
	primary := right.Members["web1"]
	primary.Port = 3307
	right.Members["web1"] = primary
	events := r.must(nil, &right)
	if !slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "it cannot be ended") }) {
		t.Errorf("the events are %q", events)
	}
}

func TestTheEnd(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	r.cut("lb1", true)
	_, err := r.apply(t.Context(), &spec, nil)
	wantProblem(t, err, "/witnesses/lb1", "forget_unreachable")
	if _, err := r.apply(t.Context(), &spec, nil, "lb1"); err != nil {
		t.Fatal(err)
	}
	web1, web2 := r.machines["web1"], r.machines["web2"]
	if web2.source != nil || !web1.writable || web2.writable || len(web2.data.Databases) == 0 {
		t.Errorf("web1 %+v, web2 %+v", web1.rackDB, web2.rackDB)
	}
	if err := (&Kind{Parts: newRack(t, "web1").machines["web1"].node}).Apply(t.Context(), converge.Change{Name: "other"}, nothing); err != nil {
		t.Errorf("the end of what nobody knows: %v", err)
	}
}

func TestDriftIsRepaired(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	web1, web2 := r.machines["web1"], r.machines["web2"]
	for key, damage := range map[string]func(){
		"web2/ReplicaWritable":    func() { web2.writable = true },
		"web2/ReplicationStopped": func() { web2.stopped = true },
		"web1/NoWritablePrimary":  func() { web1.writable = false },
		"web2/StrictOff":          func() { web2.settings["gtid_strict_mode"] = "OFF" },
		"web1/CatalogDiffers":     func() { web1.data.Databases = nil },
	} {
		damage()
		drift, _, _ := r.observe(spec)
		if drift[key].Detail == "" || len(drift[key].Pointers) == 0 {
			t.Errorf("%s is not seen: %v", key, drift)
		}
		r.must(&spec, &spec)
	}
}
