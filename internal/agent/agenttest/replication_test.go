package agenttest_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// record asks a machine for its vote.
func record(t *testing.T, called *client.Machine) (replication.Record, error) {
	t.Helper()
	var seen replication.Record
	_, err := called.ReplicationCall(t.Context(), http.MethodGet, "notes", "record", nil, &seen)
	return seen, err
}

// raise orders a machine to record an epoch.
func raise(t *testing.T, called *client.Machine, epoch uint64, primary replication.NodeID) error {
	t.Helper()
	order := replication.Order{
		Operation: "op1", Epoch: epoch, Step: "record",
		Action: replication.Action{Verb: replication.DoRecord, Record: &replication.Record{Epoch: epoch, Primary: primary}},
	}
	_, err := called.ReplicationCall(t.Context(), http.MethodPost, "notes", "orders", order, nil)
	return err
}

func TestMachinesOfAReplicationTalkToOneAnother(t *testing.T) {
	one, admin := enrolled(t, agenttest.Config{Node: "web1"})
	two, _ := enrolled(t, agenttest.Config{Node: "web2", Seed: one.Seed()})
	stranger, _ := enrolled(t, agenttest.Config{Node: "web3", Seed: one.Seed()})

	if _, err := record(t, one.From(two)); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("before anybody was configured: %v", err)
	}
	if err := one.From(two).Enlist(t.Context(), "notes", api.DBMembership{}); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("a machine enlisted another: %v", err)
	}
	shown := api.DBMembership{Peers: map[string]api.DBPeer{"web1": one.Peer(), "web2": two.Peer()}, Members: []string{"web1", "web2"}}
	if err := admin.Enlist(t.Context(), "notes", shown); err != nil {
		t.Fatal(err)
	}
	if seen, err := record(t, one.From(two)); err != nil || !seen.Equal(replication.Record{}) {
		t.Errorf("got %+v, %v", seen, err)
	}
	if _, err := record(t, one.From(stranger)); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("a stranger: %v", err)
	}
	if err := raise(t, one.From(two), 7, "web2"); err != nil {
		t.Fatal(err)
	}

	// What was recorded and who may talk about it outlive the agent.
	one.Kill()
	one.Boot()
	if seen, err := record(t, one.From(two)); err != nil || seen.Epoch != 7 {
		t.Errorf("after a restart: %+v, %v", seen, err)
	}
	if err := raise(t, one.From(two), 6, "web2"); err == nil || !strings.Contains(err.Error(), "epoch 6 is over") {
		t.Errorf("an epoch that is over: %v", err)
	}
	entries, err := admin.Audit(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	refused, err := admin.Refused(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, e := range append(entries, refused...) {
		calls = append(calls, e.Actor+" "+e.Method+" "+e.Path+" "+e.Operation)
	}
	if got := strings.Join(calls, "\n"); !strings.Contains(got, "terraform@test PUT /v1/replications/notes/membership") ||
		!strings.Contains(got, "web2 POST /v1/replications/notes/orders op1") || !strings.Contains(got, "web3 GET /v1/replications/notes/record") {
		t.Errorf("the audit log has\n%s", got)
	}
}

func TestRebuiltMachineIsAStrangerUntilItsKeyIsReported(t *testing.T) {
	one, admin := enrolled(t, agenttest.Config{Node: "web1"})
	two, _ := enrolled(t, agenttest.Config{Node: "web2", Seed: one.Seed()})
	enlist := func() {
		t.Helper()
		shown := api.DBMembership{Peers: map[string]api.DBPeer{"web1": one.Peer(), "web2": two.Peer()}, Members: []string{"web1", "web2"}}
		if err := admin.Enlist(t.Context(), "notes", shown); err != nil {
			t.Fatal(err)
		}
	}
	enlist()
	two.Rebuild()
	two.Enroll()
	if _, err := record(t, one.From(two)); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("a machine with another key than was given: %v", err)
	}
	enlist()
	if _, err := record(t, one.From(two)); err != nil {
		t.Error(err)
	}
}

func TestWhatIsWrongWithAPartIsInTheMachinesHealth(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	if err := admin.Enlist(t.Context(), "notes", api.DBMembership{Peers: map[string]api.DBPeer{"web1": m.Peer()}, Members: []string{"web1"}}); err != nil {
		t.Fatal(err)
	}
	if health, err := m.Admin().Health(t.Context()); err != nil || len(health.Conditions) != 1 || health.Conditions[0].Severity != api.SeverityInfo {
		t.Errorf("a part that is well: %+v, %v", health, err)
	}
	m.Stop()
	if err := os.WriteFile(m.Path("/var/lib/foobar/replications/notes/record.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Boot()
	health, err := m.Admin().Health(t.Context())
	if err != nil || len(health.Conditions) != 1 || health.Conditions[0].Type != "ReplicationRecordUnreadable" {
		t.Errorf("a part without a record: %+v, %v", health, err)
	}
	if _, err := record(t, m.From(m)); err == nil {
		t.Error("a machine votes that does not know what it has recorded")
	}
}
