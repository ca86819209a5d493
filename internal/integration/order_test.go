package integration_test

import (
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

// What an operator does on the machine the next plan shows, and the next apply sets
// right, without a conflict.
func TestARollbackOnTheMachineIsShownByThePlan(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	before := block(m) + machine(m.Address(), 1)
	one, first := packed(t, "one.tar.gz", artifacttest.Pack(artifacttest.Program("app", "one")))
	two, second := packed(t, "two.tar.gz", artifacttest.Pack(artifacttest.Program("app", "two")))
	order := func(what string) func() {
		return func() {
			if _, err := m.Order(t.Context(), "app-server/shop:"+what); err != nil {
				t.Fatal(err)
			}
		}
	}
	sha := tfjsonpath.New("release").AtMapKey("sha256")
	run(t,
		testresource.TestStep{Config: before + appServer(one, ``)},
		testresource.TestStep{Config: before + appServer(two, `COLOUR = "red"`)},
		testresource.TestStep{ // the state has what runs, with its secrets
			PreConfig: order("rollback"), RefreshState: true, ExpectNonEmptyPlan: true,
			Check: testresource.ComposeTestCheckFunc(
				testresource.TestCheckResourceAttr(shop, "release.sha256", first),
				testresource.TestCheckResourceAttr(shop, "environment.%", "0"),
				testresource.TestCheckResourceAttr(shop, "generation", "3"),
			),
		},
		testresource.TestStep{
			Config: before + appServer(two, `COLOUR = "red"`),
			ConfigPlanChecks: planned(
				plancheck.ExpectResourceAction(shop, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(shop, sha, knownvalue.StringExact(second)),
			),
			Check: testresource.ComposeTestCheckFunc(stands(t, m, second, "two"), testresource.TestCheckResourceAttr(shop, "generation", "4")),
		},
		testresource.TestStep{ // a restart is no difference
			PreConfig: order("restart"), Config: before + appServer(two, `COLOUR = "red"`),
			ConfigPlanChecks: planned(plancheck.ExpectResourceAction(shop, plancheck.ResourceActionNoop)),
			Check:            testresource.TestCheckResourceAttr(shop, "generation", "5"),
		},
	)
}
