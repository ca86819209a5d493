package integration_test

import (
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestMachineIsEnrolledAndFilled(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1) + balancer(100)
	run(t,
		testresource.TestStep{
			Config:           config,
			ConfigPlanChecks: planned(plancheck.ExpectKnownValue(www, tfjsonpath.New("impact"), knownvalue.StringExact("start"))),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(web1, tfjsonpath.New("agent_version"), knownvalue.StringExact("0.0.0-test")),
				statecheck.ExpectKnownValue(www, tfjsonpath.New("generation"), knownvalue.Int64Exact(1)),
			},
		},
		testresource.TestStep{
			Config: block(m) + machine(m.Address(), 1) + balancer(50),
			ConfigPlanChecks: planned(
				plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(www, tfjsonpath.New("impact"), knownvalue.StringExact("runtime")),
			),
		},
		testresource.TestStep{
			ResourceName: web1, ImportState: true, ImportStateId: "web1@" + m.Address(),
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"timeouts"},
		},
		testresource.TestStep{
			ResourceName: www, ImportState: true, ImportStateId: "web1@" + m.Address() + "/www",
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"impact"},
		},
	)
	if _, err := m.Admin().Get(t.Context(), api.ID{Kind: api.KindLoadBalancer, Name: "www"}); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("after the destroy the load balancer: %v", err)
	}
	if info, err := m.Admin().Info(t.Context()); err != nil || !info.Enrolled {
		t.Errorf("after the destroy the machine: %+v, %v; want it enrolled still", info, err)
	}
}

func TestRebuiltMachineIsRestoredByOneApply(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	run(t,
		testresource.TestStep{Config: block(m) + machine(m.Address(), 1) + balancer(100)},
		testresource.TestStep{
			PreConfig: func() { m.Rebuild() },
			Config:    block(m) + machine(m.Address(), 1) + balancer(100), PlanOnly: true,
			ExpectError: loosely(`Machine "web1" is not enrolled any more`),
		},
		testresource.TestStep{
			Config: block(m) + machine(m.Address(), 2) + balancer(100),
			ConfigPlanChecks: planned(
				plancheck.ExpectResourceAction(web1, plancheck.ResourceActionUpdate),
				plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate),
				plancheck.ExpectUnknownValue(web1, tfjsonpath.New("key")),
			),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(www, tfjsonpath.New("generation"), knownvalue.Int64Exact(1)),
			},
		},
	)
}

func TestSilentMachineIsNeverGone(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1)
	run(t,
		testresource.TestStep{Config: config + balancer(100)},
		testresource.TestStep{
			PreConfig: func() { m.Stop() },
			Config:    config + balancer(100), PlanOnly: true,
		},
		testresource.TestStep{ // planned, though it could not be checked
			Config:           config + balancer(50),
			ConfigPlanChecks: planned(plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate)),
			ExpectError:      loosely(`Machine "web1" is unreachable`),
		},
		testresource.TestStep{
			Config: config, ExpectError: loosely(`forget_unreachable = ["web1"]`),
		},
		testresource.TestStep{
			Config: block(m, `forget_unreachable = ["web1"]`) + machine(m.Address(), 1),
		},
	)
}

func TestAnotherMachineAtTheAddressIsRefused(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	other := agenttest.Start(t, agenttest.Config{Node: "web2", Seed: m.Seed()})
	other.Enroll()
	twin := agenttest.Start(t, agenttest.Config{Seed: m.Seed()}) // says that it is web1, too
	twin.Enroll()
	stranger := agenttest.Start(t, agenttest.Config{}) // web1 of somebody else
	stranger.Enroll()
	fresh := agenttest.Start(t, agenttest.Config{Seed: m.Seed()}) // web1, not enrolled
	run(t,
		testresource.TestStep{Config: block(m) + machine(m.Address(), 1) + balancer(100)},
		testresource.TestStep{
			Config: block(m) + machine(other.Address(), 1) + balancer(100), ExpectError: loosely(`Another machine than "web1" answers`),
		},
		testresource.TestStep{
			Config: block(m) + machine(twin.Address(), 1) + balancer(100), ExpectError: loosely(`the VM was replaced, or it is an impostor`),
		},
		testresource.TestStep{
			Config: block(m) + machine(stranger.Address(), 1) + balancer(100), ExpectError: loosely(`Machine "web1" trusts another CA`),
		},
		testresource.TestStep{
			Config: block(m) + machine(fresh.Address(), 1) + balancer(100), ExpectError: loosely(`Machine "web1" is not enrolled any more`),
		},
		testresource.TestStep{Config: block(m) + machine(m.Address(), 1) + balancer(100), PlanOnly: true},
	)
}

// A machine that answers under another name is found before anything on it is
// destroyed for a name that it does not have, or for a machine's new address.
func TestAnotherNameOrAddressIsRefusedAtPlan(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	other := agenttest.Start(t, agenttest.Config{Node: "web2", Seed: m.Seed()})
	other.Enroll()
	config := block(m) + machine(m.Address(), 1)
	run(t,
		testresource.TestStep{Config: config + balancer(100)},
		testresource.TestStep{
			Config: strings.Replace(config, `name = "web1"`, `name = "web3"`, 1) + balancer(100), PlanOnly: true,
			ExpectError: loosely(`Another machine than "web3" answers`),
		},
		testresource.TestStep{ // without anything on it
			Config: block(m) + machine(other.Address(), 1), PlanOnly: true,
			ExpectError: loosely(`Another machine than "web1" answers`),
		},
		testresource.TestStep{Config: config + balancer(100), PlanOnly: true},
	)
}

func TestImpostorAtTheKnownAddressIsAnErrorAtPlan(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1)
	run(t,
		testresource.TestStep{Config: config},
		testresource.TestStep{
			PreConfig: func() { m.Rebuild(); m.Enroll() }, // by somebody else, and nobody raised the incarnation here
			Config:    config, PlanOnly: true,
			ExpectError: loosely(`it is incarnation 2 of it, and incarnation 1 is meant`),
		},
		testresource.TestStep{Config: block(m) + machine(m.Address(), 2), ConfigPlanChecks: planned()}, // adopted
	)
}
