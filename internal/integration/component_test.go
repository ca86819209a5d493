package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

func TestDriftThatTheConfigurationAcceptsIsRecorded(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1)
	run(t,
		testresource.TestStep{Config: config + balancer(100)},
		testresource.TestStep{
			PreConfig: func() {
				m.LoadBalancers.Set(agenttest.Hooks{Observe: func(_ string, seen *operation.Observation) { // on the runtime socket
					var spec api.LoadBalancer
					text := bytes.Replace(api.Encode(seen.Spec), []byte(`"weight":100`), []byte(`"weight":5`), 1)
					if err := api.Decode(text, &spec); err != nil {
						t.Error(err)
					}
					seen.Spec = spec
				}})
			},
			Config: config + balancer(5),
			ConfigPlanChecks: planned(
				plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(www, tfjsonpath.New("impact"), knownvalue.StringExact("runtime")),
			),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(www, tfjsonpath.New("generation"), knownvalue.Int64Exact(2)),
			},
			Check: func(*terraform.State) error {
				m.LoadBalancers.Set(agenttest.Hooks{})
				component, err := m.Admin().Get(t.Context(), api.ID{Kind: api.KindLoadBalancer, Name: "www"})
				if err == nil && !bytes.Contains(component.Spec, []byte(`"weight":5`)) {
					err = fmt.Errorf("recorded is %s", component.Spec)
				}
				return err
			},
		},
	)
}

// TestRenamedComponentMovesToAnotherPortFirst renames a component: in one apply
// its port may still be held when the new one wants it.
func TestRenamedComponentMovesToAnotherPortFirst(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1)
	renamed := strings.Replace(balancer(100), `name      = "www"`, `name      = "web"`, 1)
	moved := strings.Replace(renamed, "port = 80,", "port = 81,", 1)
	run(t,
		testresource.TestStep{Config: config + balancer(100)},
		testresource.TestStep{Config: config + renamed, ExpectError: loosely(`Take two steps`)},
		testresource.TestStep{
			Config:           config + moved,
			ConfigPlanChecks: planned(plancheck.ExpectResourceAction(www, plancheck.ResourceActionDestroyBeforeCreate)),
		},
		testresource.TestStep{Config: config + renamed, ConfigPlanChecks: planned(plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate))},
	)
}

// TestReplacedComponentStays creates an object of a component before another
// one is destroyed: the component is the new one's then.
func TestReplacedComponentStays(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	early := strings.Replace(balancer(100), "\n}\n", "\n  lifecycle { create_before_destroy = true }\n}\n", 1)
	config := block(m) + machine(m.Address(), 1)
	renamed := strings.Replace(balancer(100), `"foobar_load_balancer" "www"`, `"foobar_load_balancer" "again"`, 1)
	run(t,
		testresource.TestStep{Config: config + early},
		testresource.TestStep{
			Config: config + early, Taint: []string{www},
			ConfigPlanChecks: planned(plancheck.ExpectResourceAction(www, plancheck.ResourceActionCreateBeforeDestroy)),
		},
		testresource.TestStep{Config: config + renamed, ConfigPlanChecks: planned()}, // without "moved", in whatever order
		testresource.TestStep{Config: config + renamed, Taint: []string{"foobar_load_balancer.again"}, ConfigPlanChecks: planned()},
	)
}

// foreign returns a write of load balancer www by somebody else, whose only
// server has that address.
func foreign(address string) client.Change {
	server := api.DefaultServer()
	server.Address, server.Port = address, 80
	spec := api.DefaultLoadBalancer()
	spec.Frontends["http"] = api.Frontend{Address: "*", Port: 80, Backend: "web"}
	spec.Backends["web"] = api.Backend{Algorithm: api.RoundRobin, Servers: map[string]api.Server{"web1": server}}
	return client.Change{ID: api.ID{Kind: api.KindLoadBalancer, Name: "www"}, Write: api.Write{Spec: api.Encode(spec)}}
}

func TestPortOfAComponentThatIsNotOfThisConfigurationIsRefusedAtPlan(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	config := block(m) + machine(m.Address(), 1)
	other := strings.NewReplacer(`"foobar_load_balancer" "www"`, `"foobar_load_balancer" "other"`, `name      = "www"`, `name      = "other"`)
	run(t,
		testresource.TestStep{Config: config},
		testresource.TestStep{
			PreConfig: func() {
				change := foreign("10.0.0.1")
				if _, err := m.Admin().Apply(context.Background(), change, nil); err != nil { //nolint:usetesting // the machine outlives the step
					t.Fatal(err)
				}
			},
			Config: config + other.Replace(balancer(100)), PlanOnly: true,
			ExpectError: regexp.MustCompile(`frontends\["http"\]\.port`),
		},
		testresource.TestStep{
			Config: config + balancer(100), ConfigPlanChecks: planned(), // the same spec: adopted
		},
	)
}

func TestAnotherSpecInPlaceIsNotOverwritten(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	change := foreign("10.0.0.9")
	if _, err := m.Admin().Apply(t.Context(), change, nil); err != nil {
		t.Fatal(err)
	}
	config := block(m) + machine(m.Address(), 1)
	run(t,
		testresource.TestStep{Config: config},
		testresource.TestStep{
			Config: config + balancer(100), PlanOnly: true,
			ExpectError: loosely("terraform import foobar_load_balancer"),
		},
	)
}

func TestMachineMayBeKnownLater(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	later := fmt.Sprintf("resource \"terraform_data\" \"web1\" { input = { name = \"web1\", address = %q } }\n", m.Address())
	run(t, testresource.TestStep{
		Config:           block(m) + later + strings.Replace(balancer(100), "foobar_machine.web1", "terraform_data.web1.output", 1),
		ConfigPlanChecks: planned(),
		ConfigStateChecks: []statecheck.StateCheck{ // met, and from now on pinned
			statecheck.ExpectKnownValue(www, tfjsonpath.New("machine").AtMapKey("key"), knownvalue.StringRegexp(regexp.MustCompile(`^sha256:`))),
			statecheck.ExpectKnownValue(www, tfjsonpath.New("machine").AtMapKey("incarnation"), knownvalue.Int64Exact(1)),
		},
	})
}
