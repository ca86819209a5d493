package dbreplication

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// TestBootOfAPrimary is the boot rule, by what everybody has recorded.
func TestBootOfAPrimary(t *testing.T) {
	ended := replication.Record{Epoch: 1}
	for _, test := range []struct {
		name        string
		own, others replication.Record
		silent      []replication.NodeID
		says        []string // nil if it opens
	}{
		{"all agree", first("web1"), first("web1"), nil, nil},
		{"a majority agrees, one is silent", first("web1"), first("web1"), []replication.NodeID{"web2"}, nil},
		{"both are silent", first("web1"), first("web1"), []replication.NodeID{"web2", "lb1"}, []string{"1 of 3 voters", "web2 does not answer: no route", "lb1"}},
		{"the others have forgotten", first("web1"), replication.Record{}, nil, []string{"web2 has recorded nothing"}},
		{"a higher epoch", first("web1"), replication.Record{Epoch: 2, Primary: "web2"}, nil, []string{"epoch 2 with primary web2"}},
		{"another primary in this epoch", first("web1"), first("web2"), nil, []string{"web2 as primary of the same epoch 1"}},
		{"the others know of the end", first("web1"), ended, nil, []string{"has recorded the end"}},
		{"its replication was destroyed", ended, ended, nil, []string{"its replication was destroyed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBay(t)
			if test.own.Primary == "" {
				b.records(first("web1"), test.others)
			}
			b.records(test.own, test.others)
			b.voters.silence(true, test.silent...)
			b.reboot()
			for range 3 {
				b.reconcile()
			}
			if test.says == nil {
				b.isOpen()
				return
			}
			b.isFenced(test.says...)
		})
	}
}

func TestNobodyElseIsOpened(t *testing.T) {
	for name, own := range map[string]replication.Record{
		"a replica": first("web2"), "who was left": {Epoch: 1, Primary: "web2", Members: []replication.NodeID{"web2"}},
		"who has recorded nothing": {},
	} {
		b := newBay(t)
		if own.Epoch > 0 {
			b.must(b.part(notes).store.SetRecord(t.Context(), own))
		}
		b.voters.set("web2", first("web1")) // whatever they say
		b.voters.set("lb1", first("web1"))
		b.reboot()
		b.reconcile()
		if b.db.open() || len(b.amiss()) > 0 || b.voters.asked > 0 {
			t.Errorf("%s: open %v, %+v", name, b.db.open(), b.Conditions())
		}
	}
}

func TestPrimaryOpensByItselfOnceAMajorityAnswers(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.voters.silence(true, "web2", "lb1")
	b.reboot()
	b.reconcile()
	b.isFenced("no route")
	said := strings.Count(b.log.String(), conditionFenced)
	b.reconcile()
	if strings.Count(b.log.String(), conditionFenced) != said {
		t.Error("the same was logged twice")
	}
	b.voters.silence(false, "lb1")
	b.reconcile()
	b.isOpen()
	if b.db.set["sync_binlog"] != "1" {
		t.Errorf("it was opened with the settings %v", b.db.set)
	}
}

// TestOldAnswersDoNotCount: the voters' answers hold for BallotLife.
func TestOldAnswersDoNotCount(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.reboot()
	b.voters.takes = replication.BallotLife
	b.reconcile()
	b.isFenced("asking again")
	b.voters.takes = 0
	b.db.unfencing = func() error { b.now.pass(replication.BallotLife + 1); return nil }
	b.reconcile()
	if b.db.open() || b.db.fences == 0 {
		t.Fatal("it was opened after the answers had become old")
	}
	b.says(conditionKeeper, "open the database")
	b.db.unfencing = nil
	b.reconcile()
	b.isOpen()
}

func TestRefusedOpeningCutsNobody(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.reboot()
	b.db.unfencing = func() error { return errors.New("it follows web2") }
	b.reconcile()
	if b.db.open() || b.db.fences > 0 {
		t.Error("a server that stayed fenced was fenced again, which cuts its readers")
	}
	b.says(conditionKeeper, "it follows web2")
}

// TestAgentKilledBetweenOpeningAndNoting finds the server open and adopts it.
func TestAgentKilledBetweenOpeningAndNoting(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.reconcile()
	b.must(os.Remove(b.part(notes).lifePath()))
	b.restart()
	b.reconcile()
	b.isOpen()
	b.part(notes).beat(t.Context())
	if b.db.beats != 1 {
		t.Error("no heartbeat")
	}
}

// TestMachineLostBetweenRecordAndOpening: with the epoch on a majority it
// opens, with it here alone it does not.
func TestMachineLostBetweenRecordAndOpening(t *testing.T) {
	b := newBay(t)
	b.must(b.part(notes).store.SetRecord(t.Context(), first("web1")))
	b.reboot()
	b.reconcile()
	b.isFenced("1 of 3")
	b.voters.set("lb1", first("web1"))
	b.reconcile()
	b.isOpen()
}

// TestForeignDataAreNotOpened: a machine may remember that it is primary with
// other data in the place of those it had. Only an order opens and claims them.
func TestForeignDataAreNotOpened(t *testing.T) {
	b := newBay(t)
	b.records(first("web1"), first("web1"))
	b.db.with(func(d *bayDB) { d.foreign = true })
	b.reboot()
	for range 3 {
		b.reconcile()
	}
	b.isFenced("not those of the replication")
	if b.voters.asked > 0 {
		t.Error("the voters were asked to open them")
	}
	b.db.with(func(d *bayDB) { d.writable = true })
	b.reconcile()
	b.says(conditionUnproven, "not opened by its agent", "not those of the replication")
	b.db.with(func(d *bayDB) { d.foreign, d.writable = false, false })
	b.reconcile()
	b.isOpen()
}
