package dbreplication

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

func TestOpenPrimaryMeetsAHigherEpoch(t *testing.T) {
	for name, meet := range map[string]func(b *bay){
		"at another voter": func(b *bay) { b.voters.set("lb1", replication.Record{Epoch: 2, Primary: "web2"}) },
		"here": func(b *bay) {
			b.must(b.part(notes).store.SetRecord(b.Context(), replication.Record{Epoch: 2, Primary: "web2"}))
		},
		"while an operation has the lock": func(b *bay) {
			b.must(b.LockOwn(b.Context(), notes, "op"))
			b.voters.set("lb1", replication.Record{Epoch: 2, Primary: "web2"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBay(t)
			b.records(first("web1"), first("web1"))
			b.reconcile()
			b.part(notes).watch(t.Context())
			b.isOpen()
			meet(b)
			b.part(notes).watch(t.Context())
			b.isFenced("web2")
			fences := b.db.fences
			b.restart()
			b.reconcile()
			b.part(notes).watch(t.Context())
			if b.db.open() || b.db.fences != fences {
				t.Error("it was opened or fenced again")
			}
		})
	}
}

// TestOpenPrimaryStaysOpen where nobody has taken its place.
func TestOpenPrimaryStaysOpen(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.reconcile()
	for _, others := range []replication.Record{{Epoch: 1}, {Epoch: 2}, {Epoch: 2, Primary: "web1"}, {}} {
		b.voters.set("web2", others)
		b.part(notes).watch(t.Context())
		b.isOpen()
	}
	b.voters.silence(true, "web2", "lb1")
	b.part(notes).watch(t.Context())
	b.isOpen()
	b.must(b.part(notes).store.SetRecord(t.Context(), replication.Record{Epoch: 1})) // destroyed
	b.part(notes).watch(t.Context())
	b.reconcile()
	b.isOpen()
	b.reboot()
	b.reconcile()
	b.isFenced("its replication was destroyed")
	said := strings.Count(b.log.String(), "not all is well")
	b.reconcile()
	if now := strings.Count(b.log.String(), "not all is well"); now != said {
		t.Error("the same was logged twice")
	}
	// A replication that takes the database again is the end of the reason, for who looks before the keeper does.
	again := replication.Record{Epoch: 2, Primary: "web1"}
	_, err := b.Order(t.Context(), notes, caller("web1"), order("again", replication.Action{Verb: replication.DoRecord, Record: &again}), time.Minute)
	b.must(err)
	b.says(conditionFenced)
}

func TestFenceIsTriedUntilItHolds(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.reconcile()
	b.voters.set("lb1", replication.Record{Epoch: 2, Primary: "web2"})
	b.db.with(func(d *bayDB) { d.dead = true })
	b.part(notes).watch(t.Context())
	b.says(conditionFence, "cannot be made so", "web2")
	b.db.with(func(d *bayDB) { d.dead = false })
	b.part(notes).watch(t.Context())
	b.isFenced("epoch 2")
	b.says(conditionFence)
}

// TestWhatWasFencedByHandStaysFenced, also across the agent's lives: it is
// drift, which an apply repairs. A new start of the server begins anew.
func TestWhatWasFencedByHandStaysFenced(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.reconcile()
	b.restart()
	b.part(notes).beat(t.Context())
	if b.db.beats != 1 {
		t.Fatal("no heartbeat after the agent's restart")
	}
	b.db.with(func(d *bayDB) { d.writable = false })
	asked := b.voters.asked
	for range beatsMissed {
		b.part(notes).beat(t.Context())
	}
	b.reconcile()
	b.isFenced("terraform apply opens it again")
	b.says(conditionHeartbeat) // nothing is expected of what is fenced
	b.restart()
	b.reconcile()
	if b.db.open() || b.voters.asked != asked {
		t.Fatal("the keeper was about to open what somebody fenced")
	}
	b.crash()
	b.reconcile()
	b.isOpen()
	b.part(notes).beat(t.Context())
	b.isOpen()
}

func TestSettingsChangedByHandStay(t *testing.T) {
	b := newBay(t)
	b.records(first("web2"), first("web2"))
	b.reconcile()
	if b.db.set == nil {
		t.Fatal("the started server did not assume its part")
	}
	b.db.with(func(d *bayDB) { d.set = nil })
	b.reconcile()
	b.restart()
	b.reconcile()
	if b.db.set != nil {
		t.Error("what was changed by hand was changed back")
	}
	b.crash()
	b.reconcile()
	if b.db.set == nil {
		t.Error("the server that was started anew did not assume its part")
	}
}

func TestServerOpenedByHand(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.reboot()
	b.voters.silence(true, "web2", "lb1")
	b.db.with(func(d *bayDB) { d.writable = true })
	b.reconcile()
	b.says(conditionUnproven, "was not opened by its agent")
	b.voters.silence(false, "web2")
	b.reconcile() // a majority supports it, so it may well be open
	b.isOpen()

	b.crash()
	b.voters.silence(false, "lb1")
	b.voters.set("lb1", replication.Record{Epoch: 2, Primary: "web2"})
	b.db.with(func(d *bayDB) { d.writable = true })
	b.reconcile()
	b.isFenced("epoch 2")

	replica := newBay(t)
	replica.records(first("web2"), first("web2"))
	replica.reconcile()
	replica.db.with(func(d *bayDB) { d.writable = true })
	replica.reconcile()
	replica.part(notes).watch(t.Context())
	if !replica.db.open() {
		t.Error("a drift was repaired in silence")
	}
}

func TestSeedIsEndedAfterABoot(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.db.mark = &replication.SeedMark{Donor: "web2", Started: b.now.Now()}
	b.db.incomplete = true
	b.reboot()
	b.reconcile()
	if b.db.open() || b.db.set != nil {
		t.Fatal("a server whose seed has not ended was touched")
	}
	b.says(conditionSeed, "web2", "not whole", "terraform apply")
	b.db.with(func(d *bayDB) { d.incomplete = false })
	b.reconcile()
	b.isOpen()
}

// TestSeedOfAnEarlierMembershipIsNotEnded: what a machine that was informed of a new
// replication, and has recorded nothing yet, finds on its disk is not of that.
func TestSeedOfAnEarlierMembershipIsNotEnded(t *testing.T) {
	b := newBay(t)
	b.db.mark = &replication.SeedMark{Donor: "web2", Started: b.now.Now()}
	b.reboot()
	b.reconcile()
	if b.db.mark == nil || b.db.open() {
		t.Fatal("the seed was ended")
	}
	b.records(first("web1"), first("web1"))
	b.reconcile()
	if b.db.mark != nil {
		t.Fatal("a member's seed was not ended")
	}
}

func TestUnreadableRecordIsNotNone(t *testing.T) {
	for name, content := range map[string]string{"torn": `{"epoch":1,"prim`, "empty": "", "null": "null", "of no epoch": "{}"} {
		t.Run(name, func(t *testing.T) {
			b := newBay(t)
			b.records(first("web1"), first("web1"))
			path := filepath.Join(b.Dir(notes), recordFile)
			b.must(os.WriteFile(path, []byte(content), 0o600))
			b.reboot()
			b.reconcile()
			b.isFenced("cannot be known")
			b.says(conditionRecord, "move it away", path)
			if record, err := b.Record(t.Context(), notes, caller("web2")); err == nil {
				t.Errorf("it voted %+v", record)
			}
			if err := b.part(notes).store.SetRecord(t.Context(), first("web1")); err == nil {
				t.Error("it recorded over what it cannot read")
			}
			b.must(os.Remove(path))
			b.reconcile()
			b.says(conditionRecord)
			b.must(b.part(notes).store.SetRecord(t.Context(), first("web1")))
			b.reconcile()
			b.isOpen()
		})
	}
}

func TestLookWaitsForTheKeeperOfAServerJustStarted(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	waits := func() time.Duration {
		before := b.now.Now()
		b.AwaitReconciled(t.Context(), notes)
		return b.now.Now().Sub(before)
	}
	const whole = reconcileTries * reconcilePause
	if took := waits(); took != 0 {
		t.Errorf("without a keeper it waits %s", took)
	}
	b.part(notes).kept = true
	if took := waits(); took != whole {
		t.Errorf("it waits %s for a keeper that is at it, not %s", took, whole)
	}
	b.reconcile()
	if took := waits(); took != 0 {
		t.Errorf("it waits %s for a server that was reconciled", took)
	}
	b.crash()
	if took := waits(); took != whole {
		t.Errorf("it waits %s for a server that was started anew, not %s", took, whole)
	}
	if b.db.open() {
		t.Error("a look has opened the database")
	}
	b.must(b.LockOwn(t.Context(), notes, "op"))
	if took := waits(); took != 0 {
		t.Errorf("it waits %s while an operation is at work", took)
	}
}

func TestKeeperKeepsOffWhileAnOperationHasTheLock(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.reboot()
	b.must(b.LockOwn(t.Context(), notes, "op"))
	b.reconcile()
	if b.db.open() {
		t.Fatal("the keeper opened the database under an operation")
	}
	b.now.pass(time.Hour)
	b.reconcile()
	if b.db.open() {
		t.Fatal("the own operation's lock ran out")
	}
	b.must(b.UnlockOwn(t.Context(), notes, "another"))
	b.reconcile()
	if b.db.open() {
		t.Fatal("another operation gave the lock back")
	}
	b.must(b.UnlockOwn(t.Context(), notes, "op"))
	b.reconcile()
	b.isOpen()
}

func TestServerThatDoesNotRunIsLeftAlone(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.unit.down = true
	b.reconcile()
	if b.db.open() || b.db.set != nil || len(b.amiss()) > 0 {
		t.Errorf("it was touched: %+v", b.Conditions())
	}
}

func TestReportedIsGone(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.must(os.Remove(filepath.Join(b.Dir(notes), configFile)))
	b.reboot()
	b.reconcile()
	if b.db.open() {
		t.Fatal("it was opened without knowing who votes")
	}
	b.says(conditionConfig, "terraform apply sends it again")
	view, err := b.View(t.Context(), notes, caller("web2"))
	if err != nil || view.Unobservable == nil || view.Record.Epoch != 1 {
		t.Errorf("its view is %+v, %v", view, err)
	}
	if record, err := b.Record(t.Context(), notes, caller("web2")); err != nil || record.Epoch != 1 {
		t.Errorf("its vote is %+v, %v", record, err)
	}
}

// TestFormerPartKeepsOut: the server has gone on to another replication.
func TestFormerPartKeepsOut(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), replication.Record{})
	b.must(b.Enlist(t.Context(), "other", "terraform@ci", membership("web1", "web2", "lb1")))
	if err := b.SetConfig(t.Context(), "other", config("web1")); err == nil || !strings.Contains(err.Error(), `"notes" already`) {
		t.Fatalf("a server in two replications: %v", err)
	}
	b.must(b.part(notes).store.SetRecord(t.Context(), replication.Record{Epoch: 1}))
	b.must(b.SetConfig(t.Context(), "other", config("web1")))
	b.must(b.part("other").store.SetRecord(t.Context(), first("web1")))
	b.db.mark = &replication.SeedMark{Donor: "web2"}
	b.reconcile()
	if b.db.mark == nil || b.db.set != nil || len(b.amiss()) > 0 {
		t.Errorf("the former part acted: %+v", b.Conditions())
	}
}

// TestKeeperRuns until it is stopped, and does all its duties.
func TestKeeperRuns(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.now.yields = true
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { b.Node.Run(ctx); close(ended) }()
	deadline := time.After(time.Minute)
	for !b.db.open() || b.beaten() == 0 {
		select {
		case <-deadline:
			t.Fatalf("it is fenced: %+v", b.Conditions())
		case <-time.After(time.Millisecond):
		}
	}
	b.voters.set("web2", replication.Record{Epoch: 2, Primary: "web2"})
	for b.db.open() {
		select {
		case <-deadline:
			t.Fatal("it is still open")
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	<-ended
}

func (b *bay) beaten() (beats int) {
	b.db.with(func(d *bayDB) { beats = d.beats })
	return beats
}
