package integration_test

import (
	"fmt"
	"net"
	"slices"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// A name of a replication in the certificate of a member's server goes in the apply
// that ends the membership, though nothing writes the server then. The provider
// signs none: it is the machine's own names that clients verify.
func TestNamesOfAReplicationGoWithTheMembership(t *testing.T) {
	web1 := agenttest.Start(t, agenttest.Config{})
	web2 := agenttest.Start(t, agenttest.Config{Node: "web2", Seed: web1.Seed()})
	web1.Enroll()
	web2.Enroll()
	before := block(web1)
	for name, m := range map[string]*agenttest.Machine{"web1": web1, "web2": web2} {
		before += fmt.Sprintf(`
resource "foobar_machine" "%[1]s" {
  name    = "%[1]s"
  address = "%[2]s"
}
resource "foobar_db_server" "%[1]s" {
  machine         = foobar_machine.%[1]s
  name            = "notes"
  engine          = "mariadb"
  allowed_clients = ["127.0.0.0/8"]
}
`, name, m.Address())
	}
	replication := func(members string) string {
		return before + `
resource "foobar_db_replication" "notes" {
  name      = "notes"
  primary   = "web1"
  members   = {` + members + `}
  databases = { notes = {} }
}
`
	}
	one := "\n    web1 = { server = foobar_db_server.web1, address = \"10.0.0.1\" }\n"
	both := one + "    web2 = { server = foobar_db_server.web2, address = \"10.0.0.2\" }\n"
	own := func(node string) []string { return []string{node + ".test.internal", node, "127.0.0.1"} }
	named := func(when string, m *agenttest.Machine, want []string) {
		t.Helper()
		if names, _ := leafOf(t, m); !slices.Equal(names, want) {
			t.Errorf("%s: the certificate names %v, not %v", when, names, want)
		}
	}
	const name = "notes.test.internal"
	run(t,
		testresource.TestStep{
			Config: replication(both),
			Check: func(*terraform.State) error { // as whoever has the seed may; no provider does
				for node, m := range map[string]*agenttest.Machine{"web1": web1, "web2": web2} {
					wider := pki.ServiceNames{DNS: []string{node + ".test.internal", node, name}, IP: []net.IP{net.IPv4(127, 0, 0, 1)}}
					if _, err := m.Admin().IssueLeaf(t.Context(), notesID().LeafName(), wider); err != nil {
						t.Error(err)
					}
				}
				return nil
			},
		},
		testresource.TestStep{
			Config: replication(one),
			Check: func(*terraform.State) error {
				named("after the member left", web2, own("web2"))
				named("of the member that stays", web1, []string{"web1.test.internal", "web1", name, "127.0.0.1"})
				return nil
			},
		},
		testresource.TestStep{
			Config: before,
			Check: func(*terraform.State) error {
				named("after the destroy", web1, own("web1"))
				return nil
			},
		},
	)
}
