package dbreplication

import (
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

func order(step string, action replication.Action) replication.Order {
	return replication.Order{Operation: "op", Epoch: 1, Step: step, Action: action}
}

func TestIncompleteOrdersAreRefused(t *testing.T) {
	b := newBay(t)
	b.must(b.UpdateConfig(t.Context(), notes, caller("web1"), config("web1")))
	for _, wrong := range []replication.Order{
		{Step: "1", Action: replication.Action{Verb: replication.DoFence}},
		order("1", replication.Action{Verb: replication.DoRecord}),
		order("1", replication.Action{Verb: replication.DoFollow, Source: "web2"}),
		order("1", replication.Action{Verb: replication.DoSeed}),
	} {
		_, err := b.Order(t.Context(), notes, caller("web1"), wrong, time.Minute)
		wantType(t, err, api.ProblemInvalid)
	}
}

// TestOrderIsJoined: whoever gives it again waits for the same, and hears of its
// end once; after that it is done again.
func TestOrderIsJoined(t *testing.T) {
	b := newBay(t)
	b.db.holds, b.db.reached = make(chan struct{}), make(chan struct{}, 9)
	detach := order("1", replication.Action{Verb: replication.DoDetach})
	done, err := b.Order(t.Context(), notes, caller("web1"), detach, 0)
	<-b.db.reached
	if done || err != nil {
		t.Fatalf("at first: %v, %v", done, err)
	}
	b.reconcile() // keeps off
	if b.db.set != nil {
		t.Error("the keeper worked beside an order")
	}
	other := detach
	other.Operation = "another"
	_, err = b.Order(t.Context(), notes, caller("web1"), other, 0)
	wantType(t, err, api.ProblemExists)
	b.must(b.Lock(t.Context(), notes, caller("web1"), "op")) // of its own operation, which is not waited for
	close(b.db.holds)
	if done, err := b.Order(t.Context(), notes, caller("web1"), detach, time.Minute); !done || err != nil {
		t.Fatalf("in the end: %v, %v", done, err)
	}
	if len(b.db.reached) != 0 {
		t.Fatal("it was done twice")
	}
	if done, err := b.Order(t.Context(), notes, caller("web1"), detach, time.Minute); !done || err != nil || len(b.db.reached) != 1 {
		t.Fatalf("again: %v, %v", done, err)
	}
}

func TestNextStepBreaksOffTheOneBefore(t *testing.T) {
	b := newBay(t)
	b.db.holds, b.db.reached = make(chan struct{}), make(chan struct{}, 9)
	_, err := b.Order(t.Context(), notes, caller("web1"), order("1", replication.Action{Verb: replication.DoDetach}), 0)
	b.must(err)
	<-b.db.reached
	b.db.with(func(d *bayDB) { d.writable = true })
	if done, err := b.Order(t.Context(), notes, caller("web1"), order("1-undo", replication.Action{Verb: replication.DoFence}), time.Minute); !done || err != nil || b.db.open() {
		t.Fatalf("the next step: %v, %v", done, err)
	}
}

// TestEndOfAnOrderIsNotKeptForEver: who asks much later wants it done.
func TestEndOfAnOrderIsNotKeptForEver(t *testing.T) {
	b := newBay(t)
	b.db.with(func(d *bayDB) { d.dead = true })
	fence := order("1", replication.Action{Verb: replication.DoFence})
	j, err := b.part(notes).begin(fence)
	b.must(err)
	<-j.done
	b.db.with(func(d *bayDB) { d.dead = false })
	b.now.pass(resultLife + 1)
	if done, err := b.Order(t.Context(), notes, caller("web1"), fence, time.Minute); !done || err != nil {
		t.Errorf("the order: %v, %v", done, err)
	}
}

func TestOrderIsInterruptedByTheAgentsEnd(t *testing.T) {
	b := newBay(t)
	b.db.holds, b.db.reached = make(chan struct{}), make(chan struct{}, 1)
	detach := order("1", replication.Action{Verb: replication.DoDetach})
	j, err := b.part(notes).begin(detach)
	b.must(err)
	<-b.db.reached
	b.Close()
	<-j.done
	wantType(t, j.err, api.ProblemInterrupted)
	_, err = b.Order(t.Context(), notes, caller("web1"), order("2", detach.Action), 0)
	wantType(t, err, api.ProblemInterrupted)
}

// TestOrderToOpenNeedsAMajority, whatever the coordinator believes.
func TestOrderToOpenNeedsAMajority(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.voters.silence(true, "web2", "lb1")
	open := order("1", replication.Action{Verb: replication.DoOpen})
	if done, err := b.Order(t.Context(), notes, caller("web1"), open, time.Minute); !done || err == nil || !strings.Contains(err.Error(), "1 of 3") || b.db.open() {
		t.Fatalf("without a majority: %v, %v", done, err)
	}
	b.voters.silence(false, "web2")
	if done, err := b.Order(t.Context(), notes, caller("web1"), open, time.Minute); !done || err != nil {
		t.Fatalf("with a majority: %v, %v", done, err)
	}
	b.isOpen()
	b.db.with(func(d *bayDB) { d.writable = false })
	b.restart()
	b.reconcile()
	if b.db.open() {
		t.Error("the keeper opened what an order had opened and somebody fenced")
	}
}

func TestFencedByOrderStaysFenced(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	if done, err := b.Order(t.Context(), notes, caller("web1"), order("1", replication.Action{Verb: replication.DoFence}), time.Minute); !done || err != nil {
		t.Fatalf("the order: %v, %v", done, err)
	}
	b.reconcile()
	b.isFenced("on purpose")
}
