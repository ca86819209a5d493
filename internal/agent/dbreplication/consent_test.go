package dbreplication

import (
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

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
