package machine_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/loadbalancer"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/machine"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

const (
	lb1 = "foobar_machine.lb1"
	www = "foobar_load_balancer.www"
)

// configuration returns a machine; each edit replaces a text in it.
func configuration(edits ...string) string {
	return strings.NewReplacer(edits...).Replace(`
resource "foobar_machine" "lb1" {
  name        = "lb1"
  address     = "10.0.0.10"
  incarnation = 1
}
`)
}

// balanced returns a machine with a load balancer on it.
func balanced(edits ...string) string {
	return configuration(edits...) + `
resource "foobar_load_balancer" "www" {
  machine   = foobar_machine.lb1
  name      = "www"
  frontends = { http = { port = 80, backend = "web" } }
  backends  = { web = { servers = { web1 = { address = "10.0.0.1", port = 80 } } } }
}
`
}

// run runs the steps against machines in memory.
func run(t *testing.T, machines providertest.Machines, steps ...testresource.TestStep) {
	t.Helper()
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: machines.Factories(
			[]func() resource.Resource{machine.NewResource, loadbalancer.New},
			func() datasource.DataSource { return machine.NewDataSource() },
		),
		Steps: steps,
	})
}

// planned returns what has to be true of the plan of a step.
func planned(checks ...plancheck.PlanCheck) testresource.ConfigPlanChecks {
	return testresource.ConfigPlanChecks{
		PreApply:             checks,
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

// loosely returns a pattern of text that lets the CLI break lines.
func loosely(text string) *regexp.Regexp {
	words := strings.Fields(text)
	for i, word := range words {
		words[i] = regexp.QuoteMeta(word)
	}
	return regexp.MustCompile(strings.Join(words, `[\s│]+`))
}

func unreachable() error {
	return &client.Unreachable{Machine: "lb1", Address: "10.0.0.10:9443", Err: errors.New("no route to host")}
}

func TestLifeOfAMachine(t *testing.T) {
	machines := providertest.New("lb1")
	machines["lb1"].Rebuild(1) // a new VM
	run(t, machines,
		testresource.TestStep{
			Config:           configuration(),
			ConfigPlanChecks: planned(plancheck.ExpectUnknownValue(lb1, tfjsonpath.New("key"))),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(lb1, tfjsonpath.New("key"), knownvalue.StringRegexp(regexp.MustCompile(`^sha256:[0-9a-f]{64}$`))),
				statecheck.ExpectKnownValue(lb1, tfjsonpath.New("agent_version"), knownvalue.StringExact("1.0.0")),
			},
		},
		testresource.TestStep{ // the port said aloud, another way to it, patience: nothing of it is another machine
			Config: configuration(`"10.0.0.10"`, `"lb1.example:9443"`, `incarnation = 1`, `timeouts = { create = "10m" }`),
			ConfigPlanChecks: planned(
				plancheck.ExpectResourceAction(lb1, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(lb1, tfjsonpath.New("key"), knownvalue.NotNull()),
			),
		},
		testresource.TestStep{
			ResourceName: lb1, ImportState: true, ImportStateId: "lb1@lb1.example:9443",
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
			ImportStateVerifyIgnore: []string{"timeouts"}, // not the machine's to tell
		},
	)
}

func TestMachineThatIsEnrolledIsAdopted(t *testing.T) {
	run(t, providertest.New("lb1"), testresource.TestStep{Config: configuration(), ConfigPlanChecks: planned()})
}

func TestEditOfAnyAttributeButTheNameReplacesNothing(t *testing.T) {
	machines := providertest.New("lb1", "lb2")
	nothingReplaced := func(name string) testresource.ConfigPlanChecks {
		return planned(
			plancheck.ExpectResourceAction(lb1, plancheck.ResourceActionUpdate),
			plancheck.ExpectResourceAction(www, plancheck.ResourceActionUpdate),
			plancheck.ExpectKnownValue(www, tfjsonpath.New("name"), knownvalue.StringExact(name)),
		)
	}
	run(t, machines,
		testresource.TestStep{Config: balanced(), ConfigPlanChecks: planned()},
		testresource.TestStep{Config: balanced(`10.0.0.10`, `10.0.0.11`), ConfigPlanChecks: nothingReplaced("www")},
		testresource.TestStep{
			PreConfig:        func() { machines["lb1"].Rebuild(2) },
			Config:           balanced(`incarnation = 1`, `incarnation = 2`),
			ConfigPlanChecks: nothingReplaced("www"),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(www, tfjsonpath.New("generation"), knownvalue.Int64Exact(1)),
				statecheck.ExpectKnownValue(www, tfjsonpath.New("machine").AtMapKey("incarnation"), knownvalue.Int64Exact(2)),
			},
		},
		testresource.TestStep{
			Config: balanced(`incarnation = 1`, `incarnation = 2`, `name        = "lb1"`, `name        = "lb2"`),
			ExpectError: loosely(
				"it is incarnation 1 of it, and incarnation 2 is meant"), // lb2 is another machine: replaced, then refused
		},
	)
}

func TestRebuiltMachineIsRestoredByOneApply(t *testing.T) {
	machines := providertest.New("lb1")
	id := api.ID{Kind: api.KindLoadBalancer, Name: "www"}
	run(t, machines,
		testresource.TestStep{Config: balanced()},
		testresource.TestStep{
			PreConfig: func() { machines["lb1"].Rebuild(2) },
			Config:    balanced(), PlanOnly: true, // before anybody says so nothing can be planned, and nothing leaves the state
			ExpectError: loosely(`Machine "lb1" is not enrolled any more`),
		},
		testresource.TestStep{
			Config:           balanced(`incarnation = 1`, `incarnation = 2`),
			ConfigPlanChecks: planned(plancheck.ExpectUnknownValue(www, tfjsonpath.New("machine").AtMapKey("key"))),
		},
	)
	var spec api.LoadBalancer
	if machines["lb1"].Applied() != 2 || machines["lb1"].Spec(t, id, &spec) {
		t.Errorf("%d operations were carried out, want 2: the first apply and the one after the rebuild, then a destroy", machines["lb1"].Applied())
	}
}

// What a machine trusts beyond the provider's CAs is drift, and goes with an apply.
func TestForeignCAIsDriftAndGoes(t *testing.T) {
	const foreign = "sha256:00000000000000000000000000000000000000000000000000000000000000ff"
	machines := providertest.New("lb1")
	drifted := func(pins ...string) testresource.TestStep {
		return testresource.TestStep{
			PreConfig: func() { machines["lb1"].Trusts(pins...) },
			Config:    configuration(),
			ConfigPlanChecks: planned(
				plancheck.ExpectResourceAction(lb1, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(lb1, tfjsonpath.New("drift"), knownvalue.MapSizeExact(0)),
				plancheck.ExpectKnownValue(lb1, tfjsonpath.New("key"), knownvalue.NotNull()),
			),
		}
	}
	run(t, machines,
		testresource.TestStep{Config: configuration(), ConfigPlanChecks: planned()},
		drifted(providertest.OwnCA, foreign),
		drifted(foreign),
		testresource.TestStep{Config: configuration(), PlanOnly: true},
	)
	if n := machines["lb1"].Renewed(); n != 2 {
		t.Errorf("the machine was given its CAs %d times, want 2", n)
	}
	machines["lb1"].Trusts(providertest.OwnCA, foreign)
	run(t, machines, testresource.TestStep{Config: configuration(), ConfigPlanChecks: planned()}) // adopted
}

func TestIncarnationNeverGoesDown(t *testing.T) {
	machines := providertest.New("lb1")
	machines["lb1"].Rebuild(2)
	run(t, machines,
		testresource.TestStep{Config: configuration(`incarnation = 1`, `incarnation = 2`)},
		testresource.TestStep{
			Config:      configuration(),
			ExpectError: loosely(`"lb1" is at incarnation 2, and the configuration says 1`),
		},
	)
}

func TestUnreachableMachineStaysInTheStateAndRefusesWrites(t *testing.T) {
	machines := providertest.New("lb1")
	address := `10.0.0.10`
	run(t, machines,
		testresource.TestStep{Config: balanced()},
		testresource.TestStep{
			PreConfig: func() { machines["lb1"].Fail(unreachable()) },
			Config:    balanced(), PlanOnly: true,
		},
		testresource.TestStep{ // patience is no matter of the machine
			Config: balanced(`incarnation = 1`, `timeouts = { update = "1m" }`),
		},
		testresource.TestStep{
			Config:      balanced(address, `10.0.0.11`),
			ExpectError: loosely(`Machine "lb1" is unreachable`),
		},
		testresource.TestStep{
			PreConfig: func() { machines["lb1"].Fail(nil) },
			Config:    balanced(),
		},
	)
}

func TestImpostorIsRefusedAtPlan(t *testing.T) {
	machines := providertest.New("lb1")
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{
			PreConfig: func() {
				machines["lb1"].Fail(&client.WrongMachine{Machine: "lb1", Address: "10.0.0.10:9443", Detail: "its key is another"})
			},
			Config: configuration(), PlanOnly: true,
			ExpectError: loosely(`Another machine than "lb1" answers`),
		},
		testresource.TestStep{ // the way out, such as another address, is not barred by what answers at the old one
			PreConfig: func() { machines["lb1"].Fail(nil) },
			Config:    configuration(`10.0.0.10`, `10.0.0.11`),
		},
	)
}

func TestImportOfAnUnreachableMachineFails(t *testing.T) {
	machines := providertest.New("lb1")
	machines["lb1"].Fail(unreachable())
	run(t, machines, testresource.TestStep{
		Config: configuration(), ResourceName: lb1, ImportState: true, ImportStateId: "lb1@10.0.0.10",
		ExpectError: loosely(`Machine "lb1" is unreachable`),
	})
}

func TestInvalidImportIDs(t *testing.T) {
	for _, id := range []string{"lb1", "lb1@", "LB@10.0.0.10", "lb1@10.0.0.10:0"} {
		run(t, providertest.New("lb1"), testresource.TestStep{
			Config: configuration(), ResourceName: lb1, ImportState: true, ImportStateId: id,
			ExpectError: regexp.MustCompile(`Invalid import id`),
		})
	}
}

func TestDataSourceTellsWhatMoves(t *testing.T) {
	machines := providertest.New("lb1")
	const data = "data.foobar_machine.lb1"
	look := configuration() + `data "foobar_machine" "lb1" { machine = foobar_machine.lb1 }`
	run(t, machines,
		testresource.TestStep{
			Config: look,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(data, tfjsonpath.New("reachable"), knownvalue.Bool(true)),
				statecheck.ExpectKnownValue(data, tfjsonpath.New("healthy"), knownvalue.Bool(true)),
				statecheck.ExpectKnownValue(data, tfjsonpath.New("boot_id"), knownvalue.StringExact("first")),
				statecheck.ExpectKnownValue(data, tfjsonpath.New("conditions"), knownvalue.ListSizeExact(0)),
			},
		},
		testresource.TestStep{
			PreConfig: func() { machines["lb1"].Fail(unreachable()) },
			Config:    look,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(data, tfjsonpath.New("reachable"), knownvalue.Bool(false)),
				statecheck.ExpectKnownValue(data, tfjsonpath.New("boot_id"), knownvalue.Null()),
			},
		},
	)
}
