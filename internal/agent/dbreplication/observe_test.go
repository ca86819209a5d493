package dbreplication

import (
	"errors"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// A machine that does not answer is a warning, but for one that this very apply
// may make.
func TestUndecided(t *testing.T) {
	config := api.DBReplication{
		Primary: "web1", Members: map[string]api.DBMember{"web1": {}, "web2": {}, "web5": {}}, Witnesses: map[string]api.DBPeer{"lb1": {}, "lb2": {}},
	}
	s := replication.Snapshot{
		Desired:   replication.Topology{Members: map[replication.NodeID]replication.Member{"web1": {}, "web2": {}, "web3": {}, "web4": {}, "web5": {}}, Witnesses: []replication.NodeID{"lb1", "lb2"}},
		Nodes:     map[replication.NodeID]replication.NodeView{"web2": {Membership: &api.DBMembership{Peers: map[string]api.DBPeer{"web1": {}}}}, "web5": {Membership: &api.DBMembership{}}},
		Witnesses: map[replication.NodeID]replication.WitnessView{"lb1": {}, "lb2": {Membership: &api.DBMembership{}}},
	}
	silent := func(nodes ...replication.NodeID) error {
		return &replication.Refusal{Reason: replication.RefusedUnobservable, Nodes: nodes, Detail: "no answer", Next: "bring it back"}
	}
	for name, test := range map[string]struct {
		err      error
		severity api.Severity
		says     string
	}{
		"a new member":                 {silent("web3"), api.SeverityInfo, "web3 takes no part in the replication yet"},
		"two new ones":                 {silent("web3", "web4"), api.SeverityInfo, "web3, web4 take no part in the replication yet and get its"},
		"one that has left":            {silent("web5"), api.SeverityInfo, "only with reseed"},
		"a witness that has left":      {silent("lb2"), api.SeverityInfo, "lb2 takes no part"},
		"a member":                     {silent("web2"), api.SeverityWarning, "no answer"},
		"a witness":                    {silent("lb1"), api.SeverityWarning, "no answer"},
		"a new member and another one": {silent("web3", "web2"), api.SeverityWarning, "no answer"},
		"nobody in particular":         {silent(), api.SeverityWarning, "no answer"},
		"no refusal":                   {errors.New("a timeout"), api.SeverityWarning, "a timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			c := undecided("web1", config, s, test.err)
			if copied := strings.Contains(c.Message, "a copy of the primary's"); copied != (c.Severity == api.SeverityInfo && !strings.Contains(name, "witness")) {
				t.Errorf("what it says of data: %+v", c)
			}
			if c.Type != conditionUnknown || c.Severity != test.severity || !strings.Contains(c.Message, test.says) {
				t.Errorf("it is %+v", c)
			}
		})
	}
}
