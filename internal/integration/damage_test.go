package integration_test

import (
	"os"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
)

// TestAnApplyRestoresADamagedRecord has the plan show the file, and the apply
// that the text names write it again.
func TestAnApplyRestoresADamagedRecord(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1) + balancer(100)
	file := m.Path("/var/lib/foobar/components/load-balancer/www.json")
	damage := func() {
		m.Stop()
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
		m.Boot()
	}
	run(t,
		testresource.TestStep{Config: config},
		testresource.TestStep{PreConfig: damage, RefreshState: true, ExpectNonEmptyPlan: true},
		testresource.TestStep{
			Config:           config,
			ConfigPlanChecks: planned(plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate)),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(www, tfjsonpath.New("generation"), knownvalue.Int64Exact(2)),
			},
		},
	)
}
