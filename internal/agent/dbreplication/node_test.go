package dbreplication

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

func caller(name string) api.DBCaller { return api.DBCaller{Node: name, Key: "its own"} }

func wantType(t *testing.T, err error, kind api.ProblemType) {
	t.Helper()
	if !api.IsProblem(err, kind) {
		t.Errorf("the error is %v, not a %s", err, kind)
	}
}

// TestWhoMayTalk: only whom the seed's holder named, with the key that it named.
func TestWhoMayTalk(t *testing.T) {
	b := newBay(t)
	m := membership("web1", "web2", "lb1")
	lb1 := m.Peers["lb1"]
	lb1.Key = api.KeyPin([]byte("lb1's"))
	m.Peers["lb1"] = lb1
	b.must(b.Enlist(t.Context(), notes, "terraform@ci", m))
	for _, by := range []api.DBCaller{caller("web3"), caller("lb1"), {}} {
		calls := map[string]error{}
		_, calls["view"] = b.View(t.Context(), notes, by)
		_, calls["record"] = b.Record(t.Context(), notes, by)
		_, calls["order"] = b.Order(t.Context(), notes, by, order("1", replication.Action{Verb: replication.DoFence}), 0)
		calls["tell"] = b.UpdateConfig(t.Context(), notes, by, config("web1"))
		calls["lock"] = b.Lock(t.Context(), notes, by, "op")
		calls["unlock"] = b.Unlock(t.Context(), notes, by, "op")
		calls["copy"] = b.Copy(t.Context(), notes, by, &bytes.Buffer{})
		for call, err := range calls {
			if !api.IsProblem(err, api.ProblemForbidden) {
				t.Errorf("%+v: %s: %v", by, call, err)
			}
		}
	}
	_, err := b.Record(t.Context(), "unknown", caller("web2"))
	wantType(t, err, api.ProblemForbidden)
	_, err = b.Record(t.Context(), notes, api.DBCaller{Node: "lb1", Key: lb1.Key})
	b.must(err)
}

// forged is what a witness tells that would have the data: that it is the primary.
func forged() api.DBConfig {
	d := config("lb1")
	d.Spec.Members["lb1"] = api.DBMember{
		DBPeer: api.DBPeer{Address: "lb1:7000"}, Server: "lb1", ServerID: 3, Host: "10.0.0.3", Port: 3306,
	}
	delete(d.Spec.Witnesses, "lb1")
	return d
}

// TestWitnessCommandsNobody, whatever it tells: who is member is the word of the
// seed's holder. Nor is it listened to where nobody has configured the replication yet.
func TestWitnessCommandsNobody(t *testing.T) {
	b := newBay(t)
	b.must(b.Enlist(t.Context(), "fresh", "terraform@ci", membership("web1", "web2", "lb1")))
	record := replication.Record{Epoch: 9, Primary: "lb1"}
	for _, name := range []string{notes, "fresh"} {
		calls := map[string]error{}
		calls["tell"] = b.UpdateConfig(t.Context(), name, caller("lb1"), forged())
		_, calls["fence"] = b.Order(t.Context(), name, caller("lb1"), order("1", replication.Action{Verb: replication.DoFence}), time.Minute)
		_, calls["record"] = b.Order(t.Context(), name, caller("lb1"), order("2", replication.Action{Verb: replication.DoRecord, Record: &record}), time.Minute)
		calls["lock"] = b.Lock(t.Context(), name, caller("lb1"), "op")
		calls["unlock"] = b.Unlock(t.Context(), name, caller("lb1"), "op")
		calls["copy"] = b.Copy(t.Context(), name, caller("lb1"), &bytes.Buffer{})
		for call, err := range calls {
			if !api.IsProblem(err, api.ProblemForbidden) || !strings.Contains(err.Error(), "lb1 is a witness") {
				t.Errorf("%s: %s: %v", name, call, err)
			}
		}
		if seen, err := b.Record(t.Context(), name, caller("lb1")); err != nil || seen.Epoch != 0 {
			t.Errorf("%s: what a witness may see is %+v, %v", name, seen, err)
		}
	}
	if now, _ := b.Config(notes); now.Spec.Primary != "web1" {
		t.Errorf("its configuration is %+v", now.Spec)
	}
	if _, ok := b.Config("fresh"); ok {
		t.Error("a witness was listened to")
	}
}

// TestDataGoToMembersOnly: a machine that a spec lists which was sent, and that is no
// member by the membership, gets none.
func TestDataGoToMembersOnly(t *testing.T) {
	b := newBay(t)
	m := membership("web1", "web2", "lb1")
	m.Members = append(m.Members, "lb1")
	b.must(b.Enlist(t.Context(), notes, "terraform@ci", m))
	listed := forged()
	listed.Spec.Primary = "web1"
	b.must(b.UpdateConfig(t.Context(), notes, caller("web1"), listed))
	b.must(b.Copy(t.Context(), notes, caller("lb1"), &bytes.Buffer{}))

	b.must(b.Enlist(t.Context(), notes, "terraform@ci", membership("web1", "web2", "lb1")))
	var got bytes.Buffer
	wantType(t, b.Copy(t.Context(), notes, caller("lb1"), &got), api.ProblemForbidden)
	b.restart()
	wantType(t, b.Copy(t.Context(), notes, caller("lb1"), &got), api.ProblemForbidden)
	if got.Len() > 0 {
		t.Errorf("a witness received %q", got.String())
	}
}

// TestFormerMemberCommandsNobody: its last word does not make it coordinator.
func TestFormerMemberCommandsNobody(t *testing.T) {
	b := newBay(t)
	b.must(b.UpdateConfig(t.Context(), notes, caller("web2"), config("web2")))
	b.must(b.Lock(t.Context(), notes, caller("web2"), "op"))
	m := membership("web1", "web2", "lb1")
	m.Members = []string{"web1"}
	b.must(b.Enlist(t.Context(), notes, "terraform@ci", m))
	_, err := b.Order(t.Context(), notes, caller("web2"), order("1", replication.Action{Verb: replication.DoFence}), time.Minute)
	wantType(t, err, api.ProblemForbidden)
	wantType(t, b.Lock(t.Context(), notes, caller("web2"), "op"), api.ProblemForbidden)
	wantType(t, b.UpdateConfig(t.Context(), notes, caller("web2"), config("web2")), api.ProblemForbidden)
}

// TestOnlyTheCoordinatorCommands: the others look, vote and copy.
func TestOnlyTheCoordinatorCommands(t *testing.T) {
	b := newBay(t)
	_, err := b.Order(t.Context(), notes, caller("web2"), order("1", replication.Action{Verb: replication.DoFence}), time.Minute)
	wantType(t, err, api.ProblemForbidden)
	wantType(t, b.Lock(t.Context(), notes, caller("lb1"), "op"), api.ProblemForbidden)
	wantType(t, b.UpdateConfig(t.Context(), notes, caller("web2"), config("web1")), api.ProblemForbidden)
	wantType(t, b.Copy(t.Context(), notes, caller("lb1"), &bytes.Buffer{}), api.ProblemForbidden)
	var got bytes.Buffer
	b.must(b.Copy(t.Context(), notes, caller("web2"), &got))
	if got.String() != "copy" {
		t.Errorf("the copy is %q", got.String())
	}
}

func TestWhatIsReportedIsChecked(t *testing.T) {
	b := newBay(t)
	wantType(t, b.SetConfig(t.Context(), "unknown", config("web1")), api.ProblemNotFound)
	for name, change := range map[string]func(*api.DBConfig){
		"a spec that is none":     func(d *api.DBConfig) { d.Spec.Engine = "lotus" },
		"without this machine":    func(d *api.DBConfig) { delete(d.Spec.Members, "web1"); d.Spec.Primary = "web2" },
		"with an unknown machine": func(d *api.DBConfig) { d.Spec.Witnesses["lb2"] = api.DBPeer{Address: "lb2:7000"} },
		"with a witness as member": func(d *api.DBConfig) {
			d.Spec.Members["lb1"] = forged().Spec.Members["lb1"]
			delete(d.Spec.Witnesses, "lb1")
		},
		"with a member as witness": func(d *api.DBConfig) {
			delete(d.Spec.Members, "web2")
			d.Spec.Witnesses["web2"] = api.DBPeer{Address: "web2:7000"}
		},
		"with no address of a member": func(d *api.DBConfig) {
			m := d.Spec.Members["web2"]
			m.Host = "web2\n127.0.0.1 x"
			d.Spec.Members["web2"] = m
		},
	} {
		wrong := config("web1")
		change(&wrong)
		if err := b.SetConfig(t.Context(), notes, wrong); !api.IsProblem(err, api.ProblemInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if now, ok := b.Config(notes); !ok || now.Spec.Primary != "web1" || len(now.Spec.Witnesses) != 1 {
		t.Errorf("its configuration is %+v", now)
	}
	for name, m := range map[string]api.DBMembership{
		"without this machine": membership("web2"), "no names": membership("web1", "no name"), "no members": {Peers: membership("web1").Peers},
		"a member that is no peer": {Peers: membership("web1").Peers, Members: []string{"web1", "web2"}},
	} {
		if err := b.Enlist(t.Context(), notes, "terraform@ci", m); !api.IsProblem(err, api.ProblemInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantType(t, b.Enlist(t.Context(), "../up", "terraform@ci", membership("web1")), api.ProblemInvalid)
}

func TestPartsOutliveTheAgent(t *testing.T) {
	b := newBay(t)
	b.records(first("web2"), replication.Record{})
	b.must(b.part(notes).store.SetSeeded(t.Context(), "op/1"))
	b.restart()
	if now, ok := b.Config(notes); !ok || now.Replication != "secret-of-replicas" {
		t.Errorf("its configuration is %+v", now)
	}
	if m, ok := b.Enlisted(notes); !ok || len(m.Peers) != 3 {
		t.Errorf("the membership is %+v", m)
	}
	if order, err := b.part(notes).store.Seeded(t.Context()); err != nil || order != "op/1" {
		t.Errorf("the seed is %q, %v", order, err)
	}
	if record, err := b.Record(t.Context(), notes, caller("web2")); err != nil || !record.Equal(first("web2")) {
		t.Errorf("the record is %+v, %v", record, err)
	}
	b.must(filepath.WalkDir(b.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && path != b.dir && info.Mode().Perm()&0o077 != 0 && entry.Name() != "hosts" {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	}))
	if strings.Contains(b.log.String(), "secret-of-replicas") {
		t.Error("a password is in the log")
	}
}

// TestUnconfiguredMachineVotes, and takes no other order.
func TestUnconfiguredMachineVotes(t *testing.T) {
	b := newBay(t)
	b.must(b.Enlist(t.Context(), "fresh", "terraform@ci", membership("web1", "web2")))
	record := first("web2")
	done, err := b.Order(t.Context(), "fresh", caller("web2"), order("1", replication.Action{Verb: replication.DoRecord, Record: &record}), time.Minute)
	if !done || err != nil {
		t.Fatalf("the record: %v, %v", done, err)
	}
	if got, err := b.Record(t.Context(), "fresh", caller("web2")); err != nil || !got.Equal(record) {
		t.Errorf("the vote is %+v, %v", got, err)
	}
	for _, verb := range []replication.Verb{replication.DoFence, replication.DoOpen, replication.DoDetach, replication.DoProvision} {
		if _, err := b.Order(t.Context(), "fresh", caller("web2"), order("2", replication.Action{Verb: verb}), time.Minute); !api.IsProblem(err, api.ProblemEngineRefused) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

func TestWitnessHasNoDatabase(t *testing.T) {
	b := newBay(t)
	m := membership("web1", "web2", "web3")
	m.Members = []string{"web2", "web3"}
	b.must(b.Enlist(t.Context(), "seen", "terraform@ci", m))
	as := config("web2")
	as.Spec.Members["web3"] = as.Spec.Members["web1"]
	delete(as.Spec.Members, "web1")
	as.Spec.Witnesses = map[string]api.DBPeer{"web1": {Address: "web1:7000"}}
	b.must(b.UpdateConfig(t.Context(), "seen", caller("web2"), as))
	view, err := b.View(t.Context(), "seen", caller("web2"))
	if err != nil || view.Unobservable != nil {
		t.Errorf("its view is %+v, %v", view, err)
	}
	wantType(t, b.Copy(t.Context(), "seen", caller("web3"), &bytes.Buffer{}), api.ProblemEngineRefused)
}

func TestLocks(t *testing.T) {
	b := newBay(t)
	b.must(b.Enlist(t.Context(), notes, "terraform@ci", membership("web1", "web2", "lb1")))
	b.must(b.UpdateConfig(t.Context(), notes, caller("web2"), config("web2")))
	web2, fence := caller("web2"), replication.Action{Verb: replication.DoFence}
	b.must(b.Lock(t.Context(), notes, web2, "op"))
	b.must(b.Lock(t.Context(), notes, web2, "op"))
	_, err := b.Order(t.Context(), notes, web2, replication.Order{Operation: "another", Epoch: 1, Step: "1", Action: fence}, 0)
	wantType(t, err, api.ProblemExists)
	wantType(t, b.LockOwn(t.Context(), notes, "own"), api.ProblemExists)
	b.must(b.Lock(t.Context(), notes, web2, "next")) // it forgot the one before
	_, err = b.Order(t.Context(), notes, web2, order("1", fence), 0)
	wantType(t, err, api.ProblemExists)
	b.must(b.UpdateConfig(t.Context(), notes, caller("web1"), config("web1")))
	wantType(t, b.Lock(t.Context(), notes, caller("web1"), "of another coordinator"), api.ProblemExists)
	b.now.pass(lockLife + 1) // web2 was rebuilt
	b.must(b.Lock(t.Context(), notes, caller("web1"), "of another coordinator"))
	b.must(b.Unlock(t.Context(), notes, caller("web1"), "of another coordinator"))
	b.must(b.LockOwn(t.Context(), notes, "op"))
	wantType(t, b.LockOwn(t.Context(), notes, "second"), api.ProblemExists)
	wantType(t, b.LockOwn(t.Context(), "unknown", "op"), api.ProblemNotFound)
	wantType(t, b.LockOwn(t.Context(), notes, ""), api.ProblemInvalid)
}

// TestLockWaitsForTheKeeper, but not for ever.
func TestLockWaitsForTheKeeper(t *testing.T) {
	b := newBay(t)
	serverLock := b.part(notes).serverLock()
	serverLock <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantType(t, b.LockOwn(ctx, notes, "op"), api.ProblemEngineRefused)
	<-serverLock
	b.must(b.LockOwn(t.Context(), notes, "another")) // the lock was not kept
}

// TestSeedIsShown while it arrives, to the machine's administrator and to the coordinator.
func TestSeedIsShown(t *testing.T) {
	b := newBay(t)
	b.must(b.part(notes).store.SetRecord(t.Context(), first("web2")))
	b.db.holds, b.db.reached = make(chan struct{}), make(chan struct{}, 1)
	seed := order("1", replication.Action{Verb: replication.DoSeed, Source: "web2", Origin: "o"})
	j, err := b.part(notes).begin(seed)
	b.must(err)
	<-b.db.reached
	b.says(conditionSeeding, "seeding from web2: 120 MB")
	view, err := b.View(t.Context(), notes, caller("web2"))
	if err != nil || view.Seeding == nil || view.Seeding.Bytes != 120e6 {
		t.Errorf("the view is %+v, %v", view.Seeding, err)
	}
	b.db.holds <- struct{}{}
	<-j.done
	b.must(j.err)
	b.says(conditionSeeding)
	if !strings.Contains(b.log.String(), "a copy arrives") {
		t.Error("the log tells nothing of it")
	}
}

// TestPartIsShown to whoever is at the machine; nothing has to be done about it.
func TestPartIsShown(t *testing.T) {
	b := newBay(t)
	shows := func(want string) {
		t.Helper()
		for _, c := range b.Conditions() {
			if c.Type != conditionPart {
				continue
			}
			if c.Message != want || c.Severity != api.SeverityInfo {
				t.Fatalf("it shows %+v, want %q", c, want)
			}
			return
		}
		if want != "" {
			t.Fatalf("it shows nothing, want %q; there are %+v", want, b.Conditions())
		}
	}
	shows("notes: member, nothing recorded yet")
	b.records(first("web1"), first("web1"))
	shows("notes: primary of epoch 1, not known to be open")
	b.voters.silence(true, "web2", "lb1")
	b.reconcile()
	shows("notes: primary of epoch 1, fenced")
	b.voters.silence(false, "web2", "lb1")
	b.reconcile()
	shows("notes: primary of epoch 1, open")
	b.db.with(func(d *bayDB) { d.writable = false })
	for range beatsMissed {
		b.part(notes).beat(t.Context())
	}
	shows("notes: primary of epoch 1, not known to be open")
	next := replication.Record{Epoch: 2, Primary: "web2", Members: []replication.NodeID{"web1", "web2"}}
	b.must(b.part(notes).store.SetRecord(t.Context(), next))
	shows("notes: replica, epoch 2, primary web2")
	next.Epoch, next.Members = 3, []replication.NodeID{"web2"}
	b.must(b.part(notes).store.SetRecord(t.Context(), next))
	shows("") // it was left

	m := membership("web1", "web2", "web3")
	m.Members = []string{"web2", "web3"}
	b.must(b.Enlist(t.Context(), notes, "terraform@ci", m))
	shows("notes: witness, epoch 3, primary web2")
	b.must(b.part(notes).store.SetRecord(t.Context(), replication.Record{Epoch: 4}))
	shows("") // it has ended
}

// TestFailedWriteIsReadAgain: nobody knows what a write that failed has left.
func TestFailedWriteIsReadAgain(t *testing.T) {
	b := newBay(t)
	s := b.part(notes).store
	b.must(s.SetRecord(t.Context(), first("web1")))
	block := filepath.Join(s.dir, recordFile+".new")
	b.must(os.Mkdir(block, 0o700))
	next := replication.Record{Epoch: 2, Primary: "web2"}
	if err := s.SetRecord(t.Context(), next); err == nil {
		t.Fatal("it was recorded")
	}
	if record, err := s.Record(t.Context()); err != nil || !record.Equal(first("web1")) {
		t.Errorf("the record is %+v, %v", record, err)
	}
	b.must(os.Remove(block))
	b.must(s.SetRecord(t.Context(), next))
	if err := s.SetRecord(t.Context(), replication.Record{Epoch: 2, Primary: "web1"}); err == nil {
		t.Error("an epoch has two primaries")
	}
}

func TestServerOfASeedIsStartedOnWhatIsInPlace(t *testing.T) {
	unit := &bayUnit{life: 1}
	if err := (unitServer{units: unit, unit: "x"}).Start(t.Context()); err != nil || unit.life != 2 {
		t.Errorf("a server that ran on the old data goes on: %v", err)
	}
}

func TestDatabaseThatCannotBeFound(t *testing.T) {
	b := newBay(t)
	fails := errors.New("no such account")
	b.Open = func(string) (Database, error) { return Database{}, fails }
	b.must(b.Enlist(t.Context(), "other", "terraform@ci", membership("web1", "web2", "lb1")))
	if err := b.SetConfig(t.Context(), "other", config("web1")); !errors.Is(err, fails) {
		t.Fatalf("the error is %v", err)
	}
	b.Open = func(string) (Database, error) { return Database{Engine: b.db}, nil }
	b.must(b.SetConfig(t.Context(), "other", config("web1")))
	if b.part("other").database() == nil {
		t.Error("it was not tried again")
	}
}
