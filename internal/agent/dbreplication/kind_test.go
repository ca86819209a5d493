package dbreplication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
// returns what was told of it.
func (r *rack) apply(ctx context.Context, from, to *api.DBReplication, forget ...string) ([]string, error) {
	r.t.Helper()
	change := converge.Change{Name: "notes", Forget: forget}
	if from != nil {
		change.From = version(r.t, *from)
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
	told, _ := r.machines["web1"].node.Told("notes")
	other, _ := r.machines["web2"].node.Told("notes")
	witness, _ := r.machines["lb1"].node.Told("notes")
	if told.Replication == "" || other.Replication != told.Replication || other.Users["app"] != "hunter2" {
		t.Error("the members do not know the passwords")
	}
	if witness.Replication != "" || witness.Users != nil {
		t.Error("a witness was told passwords")
	}
	for _, secret := range []string{"hunter2", told.Replication.Reveal()} {
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
	before, _ := r.machines["web1"].node.Told("notes")
	if err := os.Remove(filepath.Join(r.machines["web1"].node.Dir("notes"), toldFile)); err != nil {
		t.Fatal(err)
	}
	r.boot("web1")
	r.must(&spec, &spec)
	told, _ := r.machines["web1"].node.Told("notes")
	if told.Replication == before.Replication || r.machines["web2"].source.Password != told.Replication {
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
		t.Errorf("that web3 was not detached is not told: %q", events)
	}
}

func TestWhatIsRefusedIsToldToNobody(t *testing.T) {
	r := newRack(t, "web1", "web2", "web3")
	spec := r.spec("web2")
	r.must(nil, &spec)
	foreign := r.spec("web2", "web3")
	r.machines["web3"].data = rackData{Databases: []string{"others"}}
	r.enlist(foreign)
	if err := r.machines["web3"].node.Hear(t.Context(), "notes", api.DBTold{Spec: foreign}); err != nil {
		t.Fatal(err) // an apply that failed has told it, so that it shows its data
	}
	r.asked()
	_, err := r.apply(t.Context(), &spec, &foreign)
	wantProblem(t, err, "/members/web3", "reseed", "web3 cannot join")
	if told := r.asked("PUT", "POST"); len(told) > 0 {
		t.Errorf("calls were made: %q", told)
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
	wantProblem(t, err, "", "has not been told of replication")
	r.must(nil, &two)
	r.cut("web3", true)
	_, err = r.apply(t.Context(), &two, &three)
	wantProblem(t, err, "/members/web3", "web3", "no route to host")
	if drift, _, _ := r.observe(two); drift[driftTold].Detail == "" {
		t.Errorf("that others were told the refused spec is no drift: %v", drift)
	}
	r.must(&two, &two)

	r.cut("web2", true)
	slower := r.spec("web2")
	slower.MaxLag = api.Duration(time.Minute)
	events, err := r.apply(t.Context(), &two, &slower)
	if err != nil || !slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "web2 cannot be told") }) {
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

func TestAConsentCountsOnce(t *testing.T) {
	r := newRack(t, "web1", "web2")
	spec := r.spec("web2")
	r.must(nil, &spec)
	consent := spec
	consent.Reseed = &api.DBReseed{Node: "web2", Token: "today"}
	consent.Drop = &api.DBDrop{Databases: []string{"old"}, Token: "today"}
	db := r.machines["web2"].rackDB
	db.data.Errant = true
	r.machines["web1"].data.Databases = append(r.machines["web1"].data.Databases, "old")
	events := r.must(&spec, &consent)
	text := strings.Join(events, "\n")
	if db.data.Errant || !strings.Contains(text, "copy of web1") || slices.Contains(r.machines["web1"].data.Databases, "old") {
		t.Errorf("the consent did not count: %q", events)
	}
	r.boot("web1")
	db.data.Errant = true
	r.machines["web1"].data.Databases = append(r.machines["web1"].data.Databases, "old")
	events, err := r.apply(t.Context(), &consent, &consent)
	if err != nil || !db.data.Errant || !slices.Contains(r.machines["web1"].data.Databases, "old") {
		t.Errorf("it counted twice: %v %q", err, events)
	}
	_, conditions, _ := r.observe(consent)
	if len(conditions) != 1 || conditions[0].Type != "Errant" || !strings.Contains(conditions[0].Message, "reseed") {
		t.Errorf("the conditions are %v", conditions)
	}
}

// TestAConsentThatWasWithdrawn was in an operation that was broken off: nothing
// is done by it any more, also not by the end of the replication.
func TestAConsentThatWasWithdrawn(t *testing.T) {
	for name, next := range map[string]func(*api.DBReplication) *api.DBReplication{
		"the same without it": func(spec *api.DBReplication) *api.DBReplication { return spec },
		"a consent for another": func(spec *api.DBReplication) *api.DBReplication {
			other := *spec
			other.Reseed = &api.DBReseed{Node: "web3", Token: "today"}
			return &other
		},
		"the end": func(*api.DBReplication) *api.DBReplication { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRack(t, "web1", "web2", "web3")
			spec := r.spec("web2", "web3")
			r.must(nil, &spec)
			consent := spec
			consent.Reseed = &api.DBReseed{Node: "web2", Token: "today"}
			web2 := r.machines["web2"]
			web2.data.Errant = true
			web2.before = func(order replication.Order) error {
				if order.Action.Verb == replication.DoSeed {
					return &api.Problem{Type: api.ProblemInternal, Title: "No room"}
				}
				return nil
			}
			if _, err := r.apply(t.Context(), &spec, &consent); err == nil {
				t.Fatal("it went on without room")
			}
			web2.before = nil
			to := next(&spec)
			if _, err := r.apply(t.Context(), &spec, to); err != nil {
				t.Fatal(err)
			}
			if !web2.data.Errant {
				t.Fatal("the data of web2 went by a consent that was withdrawn")
			}
			if to == nil {
				return
			}
			if _, err := r.apply(t.Context(), &spec, &consent); err != nil || !web2.data.Errant {
				t.Errorf("the same consent counted after it was withdrawn: %v", err)
			}
			consent.Reseed.Token = "tomorrow"
			r.must(&spec, &consent)
			if web2.data.Errant {
				t.Error("a new consent did not count")
			}
		})
	}
}

func TestWithdrawn(t *testing.T) {
	var given api.DBReplication
	given.Reseed = &api.DBReseed{Node: "web2", Token: "today"}
	given.Drop = &api.DBDrop{Databases: []string{"old"}, Users: []string{"bob"}, Token: "today"}
	action := func(consent string, drop replication.Drop) replication.Step {
		return replication.Step{Node: "web2", Do: replication.Action{Consent: consent, Drop: drop}}
	}
	for name, c := range map[string]struct {
		steps []replication.Step
		next  int
		want  bool
	}{
		"nothing to consent to": {steps: []replication.Step{action("", replication.Drop{})}},
		"both are given":        {steps: []replication.Step{action("today", replication.Drop{Databases: []string{"old"}, Users: []string{"bob"}})}},
		"another token":         {steps: []replication.Step{action("yesterday", replication.Drop{})}, want: true},
		"it was used":           {steps: []replication.Step{action("yesterday", replication.Drop{}), action("", replication.Drop{})}, next: 1},
		"another database":      {steps: []replication.Step{action("", replication.Drop{Databases: []string{"new"}, Users: []string{"bob"}})}, want: true},
		"another user":          {steps: []replication.Step{action("", replication.Drop{Databases: []string{"old"}, Users: []string{"eve"}})}, want: true},
	} {
		entry := replication.Entry{Operation: replication.Operation{Steps: c.steps}, Next: c.next}
		if got := withdrawn(entry, given); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if withdrawn(entry, api.DBReplication{}) != (c.next == 0 && name != "nothing to consent to") {
			t.Errorf("%s, and nothing is given", name)
		}
		entry.Undoing = "it failed"
		if withdrawn(entry, given) {
			t.Errorf("%s: taking back needs no consent", name)
		}
	}
}

func TestAConsentOutlivesAnApplyThatDidNotNeedItsMember(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	spec.Reseed = &api.DBReseed{Node: "web2", Token: "today"}
	r.cut("web2", true)
	if _, err := r.apply(t.Context(), &spec, &spec); err != nil {
		t.Fatal(err)
	}
	r.cut("web2", false)
	r.machines["web2"].data.Errant = true
	r.must(&spec, &spec)
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
			t.Errorf("killed at %d: it is not told that what was done stands: %v", at, err)
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

func TestPreviewWritesNothing(t *testing.T) {
	r := newRack(t, "web1", "web2", "web3", "lb1")
	spec, wider := r.spec("web2"), r.spec("web2", "web3")
	wider.Databases["more"] = api.DBDatabase{}
	show := func(from *api.DBReplication, to api.DBReplication) string {
		t.Helper()
		before := r.disk()
		change := converge.Change{Name: "notes", To: version(t, to)}
		if from != nil {
			change.From = version(t, *from)
		}
		r.asked()
		plan, err := r.kind("web1").Preview(t.Context(), "notes", change)
		if err != nil {
			t.Fatal(err)
		}
		if made := r.asked("PUT", "POST", "DELETE"); len(made) > 0 || r.disk() != before {
			t.Errorf("a preview made the calls %q, and the disk\n%s\nof\n%s", made, r.disk(), before)
		}
		var lines []string
		for _, c := range plan.Conditions {
			lines = append(lines, fmt.Sprintf("%s %s %s: %s\n", c.Severity, c.Type, c.Pointer, c.Message))
		}
		return strings.Join(lines, "")
	}
	text := "before anything:\n" + show(nil, spec)
	r.must(nil, &spec)
	text += "of what is well:\n" + show(&spec, spec)
	text += "of a member that was not told:\n" + show(&spec, wider)
	r.enlist(wider)
	if err := r.machines["web3"].node.Hear(t.Context(), "notes", api.DBTold{Spec: wider}); err != nil {
		t.Fatal(err)
	}
	text += "of a member that was:\n" + show(&spec, wider)
	r.machines["web2"].stopped = true
	text += "of a drift:\n" + show(&spec, spec)
	r.machines["web2"].stopped = false
	if err := r.machines["web1"].node.Hear(t.Context(), "notes", api.DBTold{Spec: wider}); err != nil {
		t.Fatal(err)
	}
	r.cut("web3", true)
	text += "of a member that was told and does not answer:\n" + show(&spec, wider)
	golden.Compare(t, "preview.golden", noTimes(text))
}

// noTimes replaces the times in a text.
func noTimes(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if _, err := time.Parse(time.RFC3339, word); err == nil {
			words[i] = "TIME"
		}
	}
	return strings.Join(words, " ")
}

// disk describes all files of the rack.
func (r *rack) disk() string {
	r.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(r.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s: %s\n", path, content)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return b.String()
}

func TestImpact(t *testing.T) {
	r := newRack(t, "web1", "web2")
	spec := r.spec("web2")
	limits := spec
	limits.MaxLag, limits.LagHold, limits.MinBinlogRetention = 1, 2, 3
	limits.Reseed, limits.Drop = &api.DBReseed{Node: "web2", Token: "a"}, &api.DBDrop{Token: "a"}
	dropping, again := limits, limits
	dropping.Drop = &api.DBDrop{Databases: []string{"old"}, Token: "b"}
	again.Drop = &api.DBDrop{Databases: []string{"old"}, Token: "a"}
	other := r.spec()
	for name, test := range map[string]struct {
		from, to *api.DBReplication
		want     api.Impact
	}{
		"a creation":            {nil, &spec, api.ImpactNone},
		"a deletion":            {&spec, nil, api.ImpactRuntime},
		"limits and consents":   {&spec, &limits, api.ImpactNone},
		"a new consent to drop": {&limits, &dropping, api.ImpactRuntime},
		"the first":             {&spec, &dropping, api.ImpactRuntime},
		"one that was used":     {&limits, &again, api.ImpactNone},
		"it is taken back":      {&dropping, &spec, api.ImpactNone},
		"a member less":         {&spec, &other, api.ImpactRuntime},
		"a drift, to be mended": {&spec, &spec, api.ImpactRuntime},
	} {
		change := converge.Change{Name: "notes"}
		if test.from != nil {
			change.From = &converge.Version{Spec: *test.from}
		}
		if test.to != nil {
			change.To = &converge.Version{Spec: *test.to}
		}
		if got := (&Kind{}).Impact(change); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestRender(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	state := version(t, r.spec("web2")).State
	var b strings.Builder
	for _, f := range state.Files {
		fmt.Fprintf(&b, "%s %o secret=%v\n%s\n", f.Path, f.Mode, f.Secret, f.Content)
	}
	golden.Compare(t, "render.golden", b.String())

	spec := r.spec("web2")
	k := &Kind{}
	again, err := k.Validate(api.Encode(spec))
	if err != nil || string(api.Encode(again)) != string(api.Encode(spec)) {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := k.Validate([]byte(`{"x":1}`)); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("an unknown member: %v", err)
	}
	spec.Primary = "web9"
	_, err = k.Validate(api.Encode(spec))
	wantProblem(t, err, "/primary")
	none, err := k.Render("notes", r.spec("web2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = passwordsOf("notes", r.spec("web2"), none)
	wantProblem(t, err, "/users/app", "no password")
	if err := r.kind("web2").Check(t.Context(), converge.NewStaged("notes", *version(t, r.spec("web2")), nil)); err == nil {
		t.Error("a machine that is not the primary's takes it")
	}
}

func TestTopology(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	spec.Reseed = &api.DBReseed{Node: "web2", Token: "a"}
	raw, err := json.MarshalIndent(topologyOf("notes", "shop", spec), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "topology.golden", string(raw)+"\n")
	hash := topologyOf("notes", "shop", spec).Hash()
	spec.Reseed = nil
	if topologyOf("notes", "shop", spec).Hash() != hash {
		t.Error("a consent is part of the topology")
	}
}

// Which names there are, the server is asked: another release has others.
func TestCheckAsksTheServerForNames(t *testing.T) {
	r := newRack(t, "web1", "web2")
	spec := r.spec("web2")
	check := func(charset string) error {
		spec.Databases = map[string]api.DBDatabase{"shop": {Charset: charset}, "notes": {}}
		return r.kind("web1").Check(t.Context(), converge.NewStaged("notes", *version(t, spec), nil))
	}
	if err := check("utf8mb4"); err != nil {
		t.Errorf("a name that the server knows: %v", err)
	}
	problem := api.AsProblem(check("utf7"))
	if problem == nil || len(problem.Violations) != 1 || problem.Violations[0].Pointer != "/databases/shop/charset" ||
		!strings.Contains(problem.Violations[0].Detail, "MariaDB 11.8.9 does not know this charset; the nearest that it knows are utf8mb4") {
		t.Errorf("one that it does not: %v", problem)
	}
	spec.Databases = map[string]api.DBDatabase{"shop": {Charset: "utf7", Collation: "zork"}, "notes": {Charset: "utf7", Collation: "zork"}}
	for range 20 { // in one order, which no map has
		var got []api.Pointer
		for _, v := range api.AsProblem(r.kind("web1").Check(t.Context(), converge.NewStaged("notes", *version(t, spec), nil))).Violations {
			got = append(got, v.Pointer)
		}
		if want := []api.Pointer{"/databases/notes/charset", "/databases/notes/collation", "/databases/shop/charset", "/databases/shop/collation"}; !slices.Equal(got, want) {
			t.Fatalf("the errors come as %v, want %v", got, want)
		}
	}
	r.machines["web1"].silent = true
	if err := check("utf7"); err != nil {
		t.Errorf("a server that is still to be made: %v", err)
	}
}

// What a step deletes is said by its kind, on the line of its consent.
func TestForetoldDataLoss(t *testing.T) {
	spec := api.DefaultDBReplication()
	spec.Members = map[string]api.DBMember{"web1": {}, "web2": {}}
	spec.Reseed = &api.DBReseed{Node: "web2", Token: "a"}
	step := func(node replication.NodeID, do replication.Action) replication.Step {
		return replication.Step{Node: node, Do: do}
	}
	drop := func(databases, users []string) replication.Action {
		return replication.Action{Verb: replication.DoProvision, Drop: replication.Drop{Databases: databases, Users: users}}
	}
	for name, test := range map[string]struct {
		step replication.Step
		at   api.Pointer
		says string
	}{
		"both":              {step("web1", drop([]string{"notes"}, []string{"notes"})), "/drop", `drop the database "notes" with all its data; drop the user "notes"`},
		"several databases": {step("web1", drop([]string{"a", "b"}, nil)), "/drop", `drop the databases "a", "b" with all their data.`},
		"several users":     {step("web1", drop(nil, []string{"a", "b"})), "/drop", `drop the users "a", "b".`},
		"a seed by consent": {step("web2", replication.Action{Verb: replication.DoSeed, Source: "web1", Consent: "a"}), "/reseed", "replace its data by a copy of web1"},
		"a seed without":    {step("web2", replication.Action{Verb: replication.DoSeed, Source: "web1"}), "/members/web2", "replace its data by a copy of web1"},
	} {
		got := foretell(spec, replication.Steps{test.step})
		if len(got) != 1 || got[0].Severity != api.SeverityWarning || got[0].Pointer != test.at || got[0].Machine != string(test.step.Node) || !strings.Contains(got[0].Message, test.says) {
			t.Errorf("%s: got %+v, want %q at %s", name, got, test.says, test.at)
		}
	}
}
