package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Somebody with an administrator's certificate has a machine take part in a
// replication that is nowhere. Long after the certificate has ended the machine
// says so, to root on it and to a plan, until root ends it.
func TestPlantedMembershipIsShownAndRemoved(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	other := agenttest.Start(t, agenttest.Config{Node: "web9", Seed: m.Seed()})
	other.Enroll()
	planted := api.DBMembership{Peers: map[string]api.DBPeer{"web1": m.Peer(), "web9": other.Peer()}, Members: []string{"web1", "web9"}}
	if err := m.Admin().Enlist(t.Context(), "evil", planted); err != nil {
		t.Fatal(err)
	}
	m.Stop()
	file := m.Path("/var/lib/foobar/replications/evil/membership.json")
	var kept map[string]any
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	kept["at"] = time.Now().Add(-time.Hour).UTC()
	if err := os.WriteFile(file, api.Encode(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Boot()
	agent := newLocal(m.Socket())
	status := func() string {
		t.Helper()
		s, err := readStatus(t.Context(), agent)
		if err != nil {
			t.Fatal(err)
		}
		return s.String()
	}
	for _, word := range []string{"ReplicationUnmanaged", "evil", "web9 (member)", "terraform@test", "foobar-agent replication leave evil"} {
		if got := status(); !strings.Contains(got, word) {
			t.Errorf("no %q in\n%s", word, got)
		}
	}
	if info, err := m.Reader().Info(t.Context()); err != nil || len(info.Conditions) == 0 || info.Conditions[0].Severity != api.SeverityWarning {
		t.Errorf("a plan sees %+v, %v", info.Conditions, err)
	}
	var out bytes.Buffer
	if err := leave(t.Context(), agent, "evil", &out); err != nil || !strings.Contains(out.String(), "web1 takes part in no replication evil") {
		t.Fatalf("%q, %v", out.String(), err)
	}
	if got := status(); strings.Contains(got, "evil") {
		t.Errorf("after it was left:\n%s", got)
	}
	entries, err := m.Admin().Audit(t.Context(), 0)
	if err != nil || entries[len(entries)-1].Method != "DELETE" || !strings.Contains(entries[len(entries)-1].Actor, "on the machine") {
		t.Errorf("the audit log ends with %+v, %v", entries[len(entries)-1], err)
	}
}
