package dbreplication

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// TestMemberThatForgotItsServerLeaves, and its database follows nobody then: what
// the machine was given names the server, and it is lost.
func TestMemberThatForgotItsServerLeaves(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	if err := forgets(r, spec)["the file of a replica is damaged"].happens(); err != nil {
		t.Fatal(err)
	}
	member := r.machines["web2"]
	member.dead = true
	if err := member.node.Leave(t.Context(), "notes"); !api.IsProblem(err, api.ProblemEngineRefused) || member.source == nil || !strings.Contains(err.Error(), `Start database server "main" or, if it is not needed, destroy its foobar_db_server`) {
		t.Errorf("its server does not answer, and may follow: %v", err)
	}
	member.dead = false
	member.node.Servers = func() []string { return []string{"main", "other"} }
	wantProblem(t, member.node.Leave(t.Context(), "notes"), "", "main, other")
	member.node.Servers = func() []string { return []string{"main"} }
	if err := member.node.Leave(t.Context(), "notes"); err != nil || member.source != nil {
		t.Errorf("its database follows %v, %v", member.source, err)
	}
	for _, witness := range []string{"lb1", "lb1"} {
		if err := r.machines[witness].node.Leave(t.Context(), "notes"); err != nil {
			t.Error(err)
		}
	}
}

// forgetful returns a rack whose replica web2 has lost its configuration, and with
// it the name of its server.
func forgetful(t *testing.T) (*rack, *rackMachine) {
	t.Helper()
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	r.must(nil, &spec)
	if err := forgets(r, spec)["the file of a replica is damaged"].happens(); err != nil {
		t.Fatal(err)
	}
	return r, r.machines["web2"]
}

// TestMemberLeavesNoServerThatAnotherChanges, or has taken: it looks for its server
// among all of the machine.
func TestMemberLeavesNoServerThatAnotherChanges(t *testing.T) {
	_, member := forgetful(t)
	serverLock := member.node.serverLockFor("main")
	serverLock <- struct{}{}
	wantProblem(t, member.node.Leave(t.Context(), "notes"), "", "busy")
	if member.source == nil {
		t.Error("it detached a database that somebody else was changing")
	}
	<-serverLock
	other := loadPart(member.node, "other") // is configured, and nothing is recorded as yet
	other.server = "main"
	member.node.parts["other"] = other
	if err := member.node.Leave(t.Context(), "notes"); err != nil || member.source == nil {
		t.Errorf("it detached the database of another replication: %v", err)
	}
}

// TestMemberWithoutARecordLeavesForeignSourcesAlone: what follows a source outside of
// the deployment follows no member.
func TestMemberWithoutARecordLeavesForeignSourcesAlone(t *testing.T) {
	for host, detached := range map[string]bool{"db.example.com": false, "web1.shop.internal": true} {
		t.Run(host, func(t *testing.T) {
			r, member := forgetful(t)
			if err := os.WriteFile(filepath.Join(r.root, "web2", "state", "notes", recordFile), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			r.machines["db"] = r.machines["web1"]
			member.source, member.stopped = &replication.Source{Host: host}, true
			r.boot("web2")
			if err := member.node.Leave(t.Context(), "notes"); err != nil || (member.source == nil) != detached {
				t.Errorf("it follows %v, %v", member.source, err)
			}
		})
	}
}

// seedingDB is a database with the mark of a seed.
type seedingDB struct {
	*rackDB
	abandoned *bool
}

func (seedingDB) SeedState() (*replication.SeedMark, error) { return &replication.SeedMark{}, nil }

func (d seedingDB) AbandonSeed(context.Context) error {
	*d.abandoned = true
	return nil
}

// unreadDB is a database whose mark of a seed cannot be read.
type unreadDB struct{ *rackDB }

func (unreadDB) SeedState() (*replication.SeedMark, error) { return nil, os.ErrPermission }

// TestAMarkThatCannotBeRead is no silent server, which could be started.
func TestAMarkThatCannotBeRead(t *testing.T) {
	_, member := forgetful(t)
	member.source = nil
	member.node.Open = func(string) (Database, error) {
		return Database{Engine: unreadDB{member.rackDB}, Unit: "foobar-db-main.service", Close: func() {}}, nil
	}
	err := member.node.Leave(t.Context(), "notes")
	if err == nil || !strings.Contains(err.Error(), "permission denied") || strings.Contains(err.Error(), "Start ") || strings.Contains(err.Error(), "does not answer") {
		t.Errorf("it says %v", err)
	}
}

// TestMemberTakesItsSeedBackWhenItLeaves, though its server follows nobody and is
// not the one that it knows.
func TestMemberTakesItsSeedBackWhenItLeaves(t *testing.T) {
	for name, dead := range map[string]bool{"it answers": false, "it is stopped": true} {
		t.Run(name, func(t *testing.T) {
			_, member := forgetful(t)
			member.source, member.dead = nil, dead
			abandoned := false
			member.node.Open = func(string) (Database, error) {
				return Database{Engine: seedingDB{member.rackDB, &abandoned}, Unit: "foobar-db-main.service", Close: func() {}}, nil
			}
			err := member.node.Leave(t.Context(), "notes")
			if !abandoned || (err != nil) != dead || dead && !strings.Contains(err.Error(), "Start its database server or") {
				t.Errorf("the seed was taken back: %t, %v", abandoned, err)
			}
		})
	}
}
