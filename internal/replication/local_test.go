package replication_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

func TestAdmit(t *testing.T) {
	order := func(verb replication.Verb, epoch uint64) replication.Order {
		return replication.Order{Epoch: epoch, Action: replication.Action{Verb: verb, Record: &replication.Record{Epoch: epoch, Primary: "a"}}}
	}
	mine, theirs := replication.Record{Epoch: 2, Primary: "a"}, replication.Record{Epoch: 2, Primary: "b"}
	for _, test := range []struct {
		name     string
		order    replication.Order
		record   replication.Record
		admitted bool
	}{
		{"an order of this epoch", order(replication.DoFollow, 2), mine, true},
		{"an order of a new epoch, before it is recorded here", order(replication.DoFollow, 3), mine, true},
		{"an order of an epoch that is over", order(replication.DoFollow, 1), mine, false},
		{"opening the primary", order(replication.DoOpen, 2), mine, true},
		{"opening another one", order(replication.DoOpen, 2), theirs, false},
		{"opening before the epoch is recorded here", order(replication.DoOpen, 3), mine, false},
		{"a record of the next epoch", order(replication.DoRecord, 3), theirs, true},
		{"a record of another primary", order(replication.DoRecord, 2), theirs, false},
	} {
		if err := test.order.Admit("a", test.record); (err == nil) != test.admitted {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestSeedIsGuardedWhereTheDataAre is I7, whatever a plan says, and fault 35.
func TestSeedIsGuardedWhereTheDataAre(t *testing.T) {
	w := pair(t)
	origin := w.nodes["a"].data.Origin
	seed := func(order, origin, consent string) error {
		return w.agents()["b"].Do(t.Context(), replication.Order{
			Operation: order, Epoch: 1, Step: "1", Action: replication.Action{Verb: replication.DoSeed, Source: "a", Origin: origin, Consent: consent},
		})
	}
	w.nodes["b"].data = data{Origin: "other", History: "0-2-1", Databases: []string{"precious"}}
	if err := seed("1", origin, ""); err == nil || w.nodes["b"].data.Origin != "other" || !strings.Contains(err.Error(), `reseed = { node = "b"`) {
		t.Fatalf("data went without consent, or the error names no way out: %v", err)
	}
	w.nodes["b"].data = data{}
	w.nodes["b"].writable = true
	if err := seed("2", origin, ""); err == nil {
		t.Fatal("a server that takes writes was seeded")
	}
	w.nodes["b"].writable = false
	w.nodes["b"].data = data{Origin: "other", Databases: []string{"given up"}}
	if err := seed("3", origin, "token"); err != nil || w.nodes["b"].data.Origin != origin {
		t.Fatalf("the consent did not count: %v", err)
	}
	w.nodes["b"].data = data{Origin: "other", Databases: []string{"precious"}}
	w.nodes["b"].mark = &replication.SeedMark{Donor: "a"}
	if err := seed("4", "another data set", ""); err == nil || w.nodes["b"].data.Origin != "other" {
		t.Fatalf("the mark of another seed was taken for a consent: %v", err)
	}
	w.nodes["b"].data = data{Origin: "other", Databases: []string{"given up"}}
	if err := seed("3", origin, "token"); err != nil {
		t.Fatal(err)
	}
	w.check = func() { t.Error("an order was carried out twice") }
	if err := seed("3", origin, "token"); err != nil {
		t.Fatal(err)
	}
}

// What keeps binary logs for those who follow would keep a replica's for ever.
func TestAssumeGoesByThePart(t *testing.T) {
	w := pair(t)
	w.join("c")
	for id, want := range map[replication.NodeID]string{"a": "2", "b": "0", "c": "0"} {
		w.nodes[id].settings["slave_connections_needed_for_purge"] = "7"
		local, ok := w.agents()[id].(*replication.Local)
		if !ok {
			t.Fatal("an agent is no local one")
		}
		if err := local.Assume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.nodes[id].settings["slave_connections_needed_for_purge"]; got != want {
			t.Errorf("%s purges binary logs with %s replicas, want %s", id, got, want)
		}
	}
}

// A former primary stays open until it is started anew, and goes on writing logs.
func TestRetiredPrimaryPurges(t *testing.T) {
	w := pair(t)
	w.nodes["a"].settings["slave_connections_needed_for_purge"] = "1"
	retire := replication.Order{Operation: "1", Step: "1", Epoch: 1, Action: replication.Action{Verb: replication.DoRetire}}
	if err := w.agents()["a"].Do(t.Context(), retire); err != nil {
		t.Fatal(err)
	}
	if got := w.nodes["a"].settings["slave_connections_needed_for_purge"]; got != "0" {
		t.Errorf("without a replication it purges binary logs with %s replicas", got)
	}
}

// TestLagIsMeasuredBetweenLooks: how long it has been too high does not begin
// with the first look, and what a delay holds back is no lag.
func TestLagIsMeasuredBetweenLooks(t *testing.T) {
	w := pair(t)
	w.desired.MaxLag, w.desired.LagHold = api.Duration(10*time.Second), api.Duration(30*time.Second)
	w.desired.Members["b"] = replication.Member{Host: "b", Port: 3306, Delay: api.Duration(time.Hour)}
	local, ok := w.agents()["b"].(*replication.Local)
	if !ok {
		t.Fatal("an agent is no local one")
	}
	for _, test := range []struct {
		lag   time.Duration
		found bool
	}{{time.Hour + 5*time.Second, false}, {time.Hour + 11*time.Second, true}, {time.Hour, false}} {
		w.nodes["b"].lag = &replication.Lag{Applied: api.Duration(test.lag)}
		if err := local.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.clock = w.clock.Add(time.Minute)
		view, err := local.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := w.look(t)
		s.Nodes["b"] = view
		found := slices.IndexFunc(replication.Analyze(s), func(f replication.Finding) bool { return f.Code == replication.LagHigh })
		if (found >= 0) != test.found {
			t.Errorf("a lag of %s: found is %v", test.lag, found >= 0)
		} else if test.found && replication.Analyze(s)[found].Severity != api.SeverityWarning {
			t.Error("no plan warns of it")
		}
	}
}

func TestWitnessTakesRecordsAlone(t *testing.T) {
	w := pair(t)
	if err := w.agents()["w"].Do(t.Context(), replication.Order{Epoch: 1, Action: replication.Action{Verb: replication.DoOpen}}); err == nil {
		t.Fatal("a witness was opened")
	}
}

// looker notes when it is looked at.
type looker struct {
	id    replication.NodeID
	mu    *sync.Mutex
	order *[]replication.NodeID
	view  replication.NodeView
	err   error
}

func (l looker) Observe(context.Context) (replication.NodeView, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.order = append(*l.order, l.id)
	return l.view, l.err
}

func TestGatherLooksAtThePrimaryLast(t *testing.T) {
	var mu sync.Mutex
	var order []replication.NodeID
	desired := replication.Topology{Primary: "a", Members: map[replication.NodeID]replication.Member{"a": {}, "b": {}, "c": {}}, Witnesses: []replication.NodeID{"w"}}
	open := replication.NodeView{EngineView: replication.EngineView{Writable: true}}
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	previous := &replication.Snapshot{
		Nodes:     map[replication.NodeID]replication.NodeView{"c": {Unobservable: &replication.Unobservable{Since: now.Add(-time.Hour)}}},
		Witnesses: map[replication.NodeID]replication.WitnessView{"w": {Unobservable: &replication.Unobservable{Since: now.Add(-time.Hour), Unconfigured: true}}},
	}
	s := replication.Gather(t.Context(), desired, map[replication.NodeID]replication.Observer{
		"a": looker{"a", &mu, &order, open, nil}, "b": looker{"b", &mu, &order, replication.NodeView{Taken: now.Add(time.Hour)}, nil},
		"c": looker{"c", &mu, &order, replication.NodeView{}, errors.New("no route")},
		"w": looker{"w", &mu, &order, replication.NodeView{}, errors.New("no route")},
	}, previous, func() time.Time { return now })
	if len(order) != 5 || order[4] != "a" || !slices.Contains(order[:4], "a") {
		t.Errorf("it looked at %v", order)
	}
	if taken := s.Nodes["b"].Taken; !taken.Equal(now) {
		t.Errorf("b was looked at %s, by its own clock, which is ahead", taken)
	}
	if c := s.Nodes["c"].Unobservable; c == nil || !c.Since.Equal(now.Add(-time.Hour)) || c.Reason != "no route" {
		t.Errorf("the time since when c is silent was lost: %+v", c)
	}
	if w := s.Witnesses["w"].Unobservable; w == nil || !w.Since.Equal(now) {
		t.Errorf("w is silent since just now, and answered without a configuration before: %+v", w)
	}
	if _, member := s.Nodes["w"]; member || s.Witnesses["w"].Unobservable == nil {
		t.Errorf("the witness is %+v", s.Witnesses)
	}
}
