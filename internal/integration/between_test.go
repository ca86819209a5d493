package integration_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
)

// between is a plan check that lets something happen between plan and apply.
type between func()

// CheckPlan implements [plancheck.PlanCheck].
func (b between) CheckPlan(context.Context, plancheck.CheckPlanRequest, *plancheck.CheckPlanResponse) {
	b()
}

func TestMachineThatDiesBetweenPlanAndApplyIsNamed(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1)
	run(t,
		testresource.TestStep{Config: config + balancer(100)},
		testresource.TestStep{
			Config:           config + balancer(50),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{between(m.Stop)}},
			ExpectError:      loosely(`Error: Machine "web1" is unreachable`),
		},
		testresource.TestStep{PreConfig: m.Boot, Config: config + balancer(50), ConfigPlanChecks: planned()},
	)
}

// restarts is a plan check of the load balancer's impact, after which its agent
// restarts before the saved plan is applied; boots is one after which its
// machine boots.
func restarts(m *agenttest.Machine, impact string) testresource.ConfigPlanChecks {
	return planned(plancheck.ExpectKnownValue(www, tfjsonpath.New("impact"), knownvalue.StringExact(impact)),
		between(func() { m.Stop(); m.Boot() }))
}

func boots(m *agenttest.Machine, impact string) testresource.ConfigPlanChecks {
	return planned(plancheck.ExpectKnownValue(www, tfjsonpath.New("impact"), knownvalue.StringExact(impact)), between(m.Reboot))
}

// replaced returns a load balancer that is replaced when text is another one.
func replaced(text string) string {
	return fmt.Sprintf("resource \"terraform_data\" \"text\" { input = %q }\n", text) +
		strings.Replace(balancer(100), "\n}\n", "\n  lifecycle { replace_triggered_by = [terraform_data.text] }\n}\n", 1)
}

// wasWritten returns a state check of how often the load balancer was written.
func wasWritten(generation int64) []statecheck.StateCheck {
	return []statecheck.StateCheck{statecheck.ExpectKnownValue(www, tfjsonpath.New("generation"), knownvalue.Int64Exact(generation))}
}

// What a plan has shown holds for its apply, also where the agent restarts in
// between and the same change would cost something else by then.
func TestAgentThatRestartsBetweenPlanAndApplyKeepsItsWord(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1)
	light := strings.Replace(replaced("two"), "weight = 100", "weight = 50", 1)
	edit := func() { // which a reload would have to undo
		if err := os.WriteFile(m.Path("/etc/foobar/load-balancer/www/haproxy.cfg"), []byte("# by hand\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t,
		testresource.TestStep{Config: config + replaced("one"), ConfigPlanChecks: restarts(m, "start")},
		testresource.TestStep{Config: config + replaced("two"), ConfigPlanChecks: restarts(m, "start")},
		testresource.TestStep{
			Config: config + light,
			ConfigPlanChecks: planned(plancheck.ExpectKnownValue(www, tfjsonpath.New("impact"), knownvalue.StringExact("runtime")),
				between(func() { m.Stop(); edit(); m.Boot() })),
			ConfigStateChecks: wasWritten(2),
		},
	)
}

// After a boot the machine does not know what was approved, and says so. What is
// created costs the same, known or not.
func TestMachineThatBootsBetweenPlanAndApplyAsksForAnotherPlan(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1)
	light := strings.Replace(replaced("two"), "weight = 100", "weight = 50", 1)
	run(t,
		testresource.TestStep{Config: config + replaced("one"), ConfigPlanChecks: boots(m, "start")},
		testresource.TestStep{Config: config + replaced("two"), ConfigPlanChecks: boots(m, "start")},
		testresource.TestStep{
			Config: config + light, ConfigPlanChecks: boots(m, "runtime"),
			ExpectError: loosely(`The machine was booted after the plan`),
		},
		testresource.TestStep{Config: config + light, ConfigPlanChecks: planned(), ConfigStateChecks: wasWritten(2)},
	)
}

// A reset machine has everything, and a configuration that follows from its key
// or from the CA is another one by then. One apply is enough.
func TestResetMachineTakesAnotherConfiguration(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	run(t,
		testresource.TestStep{Config: block(m) + machine(m.Address(), 1) + balancer(100)},
		testresource.TestStep{
			PreConfig:         m.Reset,
			Config:            block(m) + machine(m.Address(), 2) + balancer(50),
			ConfigPlanChecks:  planned(plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate)),
			ConfigStateChecks: wasWritten(2),
		},
	)
}

// TestAStateThatIsFasterKeepsItsComponent: what another state creates between a
// plan and its apply is not taken over, also where the apply writes the machine
// first, and the agent was killed.
func TestAStateThatIsFasterKeepsItsComponent(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	faster := foreign("10.0.0.1")
	faster.Write.Owner = "another state"
	config := block(m) + machine(m.Address(), 1) + balancer(100)
	wantOwner := func(what func(owner string) bool) func(*terraform.State) error {
		return func(*terraform.State) error {
			component, err := m.Admin().Get(t.Context(), faster.ID)
			if err == nil && !what(component.Ownership.Owner) {
				err = fmt.Errorf("it belongs to %q", component.Ownership.Owner)
			}
			return err
		}
	}
	run(t,
		testresource.TestStep{
			Config: config,
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{between(func() {
				if _, err := m.Admin().Apply(t.Context(), faster, nil); err != nil {
					t.Fatal(err)
				}
				replaces := faster.Write
				replaces.Held = true // which is of no plan but its own
				if _, err := m.Admin().Plan(t.Context(), faster.ID, 0, replaces); err != nil {
					t.Fatal(err)
				}
				m.Kill()
				m.Boot()
			})}},
			ExpectError: loosely("Another state was faster"),
		},
		testresource.TestStep{
			Config: block(m) + machine(m.Address(), 1),
			Check:  wantOwner(func(owner string) bool { return owner == faster.Write.Owner }),
		},
		testresource.TestStep{
			Config: config, ConfigPlanChecks: planned(), // another plan shows the takeover
			Check: wantOwner(func(owner string) bool { return owner != faster.Write.Owner }),
		},
	)
}

// TestABootBetweenPlanAndApplyApprovesNoTakeover: the machine has forgotten that the
// plan created something, and its own resource is changed by the same apply.
func TestABootBetweenPlanAndApplyApprovesNoTakeover(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	faster := foreign("10.0.0.1")
	faster.Write.Owner = "another state"
	patient := strings.Replace(machine(m.Address(), 1), `update = "2s"`, `update = "3s"`, 1)
	run(t,
		testresource.TestStep{Config: block(m) + machine(m.Address(), 1)},
		testresource.TestStep{
			Config: block(m) + patient + balancer(100),
			ConfigPlanChecks: planned(plancheck.ExpectResourceAction(web1, plancheck.ResourceActionUpdate), between(func() {
				if _, err := m.Admin().Apply(t.Context(), faster, nil); err != nil {
					t.Fatal(err)
				}
				m.Reboot()
			})),
			ExpectError: loosely("The plan did not show a takeover"),
		},
	)
}
