//go:build lab

package acceptance

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Who has an admin's certificate has machines take part in replications: one more
// in that of the stack, and two in one that is nowhere. The first is drift that an
// apply takes away, the second a warning in every plan until root ends it.
func TestStolenCertificateCannotPlantAMembershipUnseen(t *testing.T) {
	s := newWholeStack(t)
	s.apply()
	s.plan().empty()
	status := func(machine string) string { return s.lab.Exec(machine, "foobar-agent", "status") }
	const parts = "/var/lib/foobar/replications/"
	name := strings.TrimSpace(s.lab.Exec("web2", "ls", parts))
	var kept api.DBMembership
	if err := json.Unmarshal([]byte(s.lab.Exec("web2", "cat", parts+name+"/membership.json")), &kept); err != nil {
		t.Fatal(err)
	}
	kept.Members = append(kept.Members, "web9")
	kept.Peers["web9"] = api.DBPeer{Address: "10.0.0.9:9443"}
	for _, replication := range []string{name, "evil"} {
		answer, err := s.steal("web2").send("web2", "PUT /v1/replications/"+replication+"/membership", api.Encode(kept))
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Fatalf("%s: %q, %v", replication, answer, err)
		}
	}
	// An hour later, when the certificate has long ended.
	s.lab.Exec("web2", "sh", "-c", `sed -i 's/"at":"[^"]*"/"at":"2026-01-01T00:00:00Z"/' `+parts+`evil/membership.json && systemctl restart foobar-agent`)

	said := s.said("plan")
	for _, word := range []string{"web2/Membership", "web9 is too many", "Replication evil", "thief", "foobar-agent replication leave evil"} {
		if !strings.Contains(strings.Join(strings.Fields(said), " "), word) {
			t.Errorf("the plan does not say %q: %s", word, said)
		}
	}
	t.Log(said)
	if got := status("web2"); !strings.Contains(got, "ReplicationUnmanaged: Replication evil") {
		t.Errorf("the machine says:\n%s", got)
	}
	s.apply()
	if got := s.lab.Exec("web2", "cat", parts+name+"/membership.json"); strings.Contains(got, "web9") {
		t.Errorf("after the apply the membership is %s", got)
	}
	t.Log(s.lab.Exec("web2", "foobar-agent", "replication", "leave", "evil"))
	if got := status("web2"); strings.Contains(got, "evil") {
		t.Errorf("after it was left the machine says:\n%s", got)
	}
	s.plan().empty()
}
