package loadbalancer_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/loadbalancer"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

const address = "foobar_load_balancer.www"

func www() api.ID { return api.ID{Kind: api.KindLoadBalancer, Name: "www"} }

// configuration returns a load balancer that balances over web1 and web2;
// each edit replaces a text in it.
func configuration(edits ...string) string {
	return strings.NewReplacer(edits...).Replace(`
resource "foobar_load_balancer" "www" {
  machine = { name = "lb1", address = "10.0.0.10" }
  name    = "www"

  trusted_proxies = ["192.0.2.0/24", "10.0.0.0/8"]

  frontends = {
    http = { port = 80, backend = "web" }
  }
  backends = {
    web = {
      algorithm    = "round_robin"
      health_check = { interval = "2s" }
      servers = {
        web1 = { address = "10.0.0.1", port = 80 }
        web2 = { address = "10.0.0.2", port = 80 }
      }
    }
  }
}
`)
}

// run runs the steps against machines in memory.
func run(t *testing.T, machines providertest.Machines, steps ...testresource.TestStep) {
	t.Helper()
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: machines.Factories([]func() resource.Resource{loadbalancer.New}),
		Steps:                    steps,
	})
}

func TestLifeOfALoadBalancer(t *testing.T) {
	machines := providertest.New("lb1")
	web1 := tfjsonpath.New("backends").AtMapKey("web").AtMapKey("servers").AtMapKey("web1")
	run(t, machines,
		testresource.TestStep{
			Config: configuration(),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("generation"), knownvalue.Int64Exact(1)),
				statecheck.ExpectKnownValue(address, tfjsonpath.New("impact"), knownvalue.StringExact("start")),
				statecheck.ExpectKnownValue(address, tfjsonpath.New("drift"), knownvalue.MapSizeExact(0)),
				statecheck.ExpectKnownValue(address, web1.AtMapKey("weight"), knownvalue.Int64Exact(100)),
				statecheck.ExpectKnownValue(address, tfjsonpath.New("traffic_timeouts").AtMapKey("tunnel"), knownvalue.StringExact("1h")),
			},
		},
		testresource.TestStep{ // the same said otherwise is no change
			Config:           configuration(`"2s"`, `"2000ms"`, `["192.0.2.0/24", "10.0.0.0/8"]`, `["10.0.0.0/8", "192.0.2.0/24"]`),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
		testresource.TestStep{
			ResourceName: address, ImportState: true, ImportStateId: "lb1@10.0.0.10/www",
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
			ImportStateVerifyIgnore: []string{"impact"}, // of a change that was another's
		},
		testresource.TestStep{
			Config: configuration(`web1 = { address = "10.0.0.1", port = 80 }`, `web1 = { address = "10.0.0.1", port = 80, weight = 7 }`),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(address, tfjsonpath.New("impact"), knownvalue.StringExact("reload")),
				plancheck.ExpectUnknownValue(address, tfjsonpath.New("generation")),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("generation"), knownvalue.Int64Exact(2)),
				statecheck.ExpectKnownValue(address, web1.AtMapKey("weight"), knownvalue.Int64Exact(7)),
			},
		},
	)
	var spec api.LoadBalancer
	if machines["lb1"].Spec(t, www(), &spec) {
		t.Error("the load balancer is still there after the destroy")
	}
}

func TestDriftShowsOnItsPlaceAndIsRepaired(t *testing.T) {
	machines := providertest.New("lb1")
	lb1 := machines["lb1"]
	const file = "/etc/foobar/load-balancer/www/haproxy.cfg"
	web1 := tfjsonpath.New("backends").AtMapKey("web").AtMapKey("servers").AtMapKey("web1")
	repaired := testresource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{ // a weight changed through the runtime socket
			PreConfig: func() {
				lb1.Change(t, www(), func(c *api.Component) {
					c.Observed = []byte(strings.Replace(string(c.Spec), `"weight":100`, `"weight":5`, 1))
				})
			},
			RefreshState: true, ExpectNonEmptyPlan: true,
			RefreshPlanChecks: testresource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(address, web1.AtMapKey("weight"), knownvalue.Int64Exact(100)),
			}},
		},
		testresource.TestStep{Config: configuration(), ConfigPlanChecks: repaired},
		testresource.TestStep{ // a file edited by hand
			PreConfig: func() {
				lb1.Change(t, www(), func(c *api.Component) {
					c.Drift = map[string]api.Drift{file: {
						Detail:   "edited by hand: line 12",
						Pointers: []api.Pointer{"/backends/web/servers/web1/port", "/timeouts/connect"},
					}}
				})
			},
			RefreshState: true, ExpectNonEmptyPlan: true,
			ConfigStateChecks: nil,
			RefreshPlanChecks: testresource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(address, tfjsonpath.New("drift"), knownvalue.MapSizeExact(0)),
			}},
			Check: testresource.ComposeAggregateTestCheckFunc(
				testresource.TestCheckResourceAttr(address, "drift."+file+".detail", "edited by hand: line 12"),
				testresource.TestCheckResourceAttr(address, "drift."+file+".attributes.0", `backends["web"].servers["web1"].port`),
				testresource.TestCheckResourceAttr(address, "drift."+file+".attributes.1", "traffic_timeouts.connect"),
			),
		},
		testresource.TestStep{Config: configuration(), ConfigPlanChecks: repaired},
	)
}

func TestDriftThatTheConfigurationAcceptsIsApplied(t *testing.T) {
	machines := providertest.New("lb1")
	lb1 := machines["lb1"]
	web1 := tfjsonpath.New("backends").AtMapKey("web").AtMapKey("servers").AtMapKey("web1")
	accepted := configuration(`web1 = { address = "10.0.0.1", port = 80 }`, `web1 = { address = "10.0.0.1", port = 80, drain = true }`)
	drain := func() {
		lb1.Change(t, www(), func(c *api.Component) {
			c.Observed = []byte(strings.Replace(string(c.Spec), `"drain":false`, `"drain":true`, 1))
		})
	}
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{ // on the runtime socket, and left out of the configuration
			PreConfig: drain,
			Config:    configuration(), PlanOnly: true, ExpectNonEmptyPlan: true,
		},
		testresource.TestStep{
			Config: accepted,
			ConfigPlanChecks: testresource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{
					plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
					plancheck.ExpectUnknownValue(address, tfjsonpath.New("generation")),
					plancheck.ExpectKnownValue(address, tfjsonpath.New("impact"), knownvalue.StringExact("reload")),
				},
				PostApplyPreRefresh:  []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("generation"), knownvalue.Int64Exact(2)),
				statecheck.ExpectKnownValue(address, web1.AtMapKey("drain"), knownvalue.Bool(true)),
			},
			Check: func(*terraform.State) error {
				var spec api.LoadBalancer
				if !lb1.Spec(t, www(), &spec) || !spec.Backends["web"].Servers["web1"].Drain {
					return fmt.Errorf("recorded is %+v", spec)
				}
				return nil
			},
		},
		testresource.TestStep{ // what was changed and is back again by itself leaves nothing to accept
			PreConfig: func() {
				lb1.Change(t, www(), func(c *api.Component) {
					c.Observed = []byte(strings.Replace(string(c.Spec), `"weight":100`, `"weight":5`, 1))
				})
			},
			RefreshState: true, ExpectNonEmptyPlan: true,
		},
		testresource.TestStep{
			PreConfig:        func() { lb1.Change(t, www(), func(c *api.Component) { c.Observed = c.Spec }) },
			Config:           accepted,
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
	)
}

// TestAnOperationUnderWayIsWaitedFor has a component read that an interrupted
// run is still creating or removing.
func TestAnOperationUnderWayIsWaitedFor(t *testing.T) {
	machines := providertest.New("lb1")
	busy := func(problem api.ProblemType) func() {
		return func() {
			machines["lb1"].Fail(&api.Problem{Type: problem, Title: "An operation is under way"})
			time.AfterFunc(time.Second, func() { machines["lb1"].Fail(nil) })
		}
	}
	steps := []testresource.TestStep{{Config: configuration()}}
	for _, problem := range []api.ProblemType{api.ProblemCreating, api.ProblemDeleting} {
		steps = append(steps, testresource.TestStep{PreConfig: busy(problem), Config: configuration(), PlanOnly: true})
	}
	run(t, machines, append(steps, testresource.TestStep{
		PreConfig: busy(api.ProblemCreating), ResourceName: address, ImportState: true, ImportStateId: "lb1@10.0.0.10/www",
		ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"impact"},
	})...)
}

func TestWrongValuesAreErrorsOnTheirAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		edits []string
		// at and want are what the error names and says.
		at, want string
	}{
		"unknown algorithm": {
			[]string{`"round_robin"`, `"random"`}, `backends["web"].algorithm`, `"random" is unknown`,
		},
		"port out of range": {
			[]string{`10.0.0.1", port = 80`, `10.0.0.1", port = 70000`}, `backends["web"].servers["web1"].port`, `70000 is not a port`,
		},
		"bad CIDR": {
			[]string{`"10.0.0.0/8"`, `"10.0.0.300/8"`}, `trusted_proxies`, `"10.0.0.300/8" is not a network`,
		},
		"host bits in a CIDR": {
			[]string{`"10.0.0.0/8"`, `"10.0.0.1/8"`}, `trusted_proxies`, `"10.0.0.0/8"`,
		},
		"server listed twice": {
			[]string{`10.0.0.2`, `10.0.0.1`}, `backends["web"].servers["web2"].address`, `10.0.0.1:80 is the address of the server "web1" already`,
		},
		"unknown backend": {
			[]string{`backend = "web"`, `backend = "wob"`}, `frontends["http"].backend`, `"wob" is not one of the backends`,
		},
		"no duration": {
			[]string{`"2s"`, `"soon"`}, `backends["web"].health_check.interval`, `"soon" is not a duration`,
		},
		"bad name": {
			[]string{`web1 =`, `"Web 1" =`}, `backends["web"].servers["Web 1"]`, `"Web 1" is not a name`,
		},
		"no servers": {
			[]string{`web1 = { address = "10.0.0.1", port = 80 }`, ``, `web2 = { address = "10.0.0.2", port = 80 }`, ``}, `backends["web"].servers`, `there is no server`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, providertest.New("lb1"), testresource.TestStep{
				Config: configuration(c.edits...), PlanOnly: true,
				ExpectError: regexp.MustCompile(`(?s)` + regexp.QuoteMeta(c.at) + `.*` + loosely(c.want)),
			})
		})
	}
}

// loosely returns a pattern of text that lets the CLI break lines.
func loosely(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		words[i] = regexp.QuoteMeta(word)
	}
	return strings.Join(words, `[\s│]+`)
}

func TestWhatOnlyTheEngineRefusesIsAnErrorAtPlan(t *testing.T) {
	machines := providertest.New("lb1")
	machines["lb1"].Refuse(func(_ api.ID, write api.Write) error {
		if !strings.Contains(string(write.Spec), "%nonsense") {
			return nil
		}
		return &api.Problem{Type: api.ProblemEngineRefused, Title: "HAProxy refuses the configuration", Violations: api.Violations{
			{Pointer: "/frontends/http/log_format", Detail: "no such format variable 'nonsense'"},
		}}
	})
	run(t, machines, testresource.TestStep{
		Config:      configuration(`backend = "web" }`, `backend = "web", log_format = "%nonsense" }`),
		PlanOnly:    true,
		ExpectError: regexp.MustCompile(`(?s)log_format.*` + loosely("no such format variable 'nonsense'")),
	})
}

func TestPortOfAnotherComponentOfThePlanIsRefused(t *testing.T) {
	twin := strings.NewReplacer(`"foobar_load_balancer" "www"`, `"foobar_load_balancer" "twin"`, `name    = "www"`, `name    = "twin"`)
	run(t, providertest.New("lb1"), testresource.TestStep{
		Config: configuration() + twin.Replace(configuration()), PlanOnly: true,
		ExpectError: regexp.MustCompile(`(?s)Port claimed twice.*` + loosely(`tcp *:80 is claimed on machine "lb1" by two components of this configuration: load-balancer/`)),
	})
}

func TestPortThatIsGivenUpInTheSamePlanHasToBeMovedFirst(t *testing.T) {
	machines := providertest.New("lb1")
	machines["lb1"].Refuse(func(id api.ID, _ api.Write) error {
		if id == www() {
			return nil
		}
		return &api.Problem{Type: api.ProblemClaimed, Title: "The port is taken", Violations: []api.Violation{
			{Pointer: "/frontends/http/port", Detail: "choose another port", Holder: www().String()},
		}}
	})
	twin := strings.NewReplacer(`"foobar_load_balancer" "www" {`, `"foobar_load_balancer" "twin" {
  depends_on = [foobar_load_balancer.www]`, `name    = "www"`, `name    = "twin"`).Replace(configuration())
	for name, c := range map[string]struct{ port, want string }{
		"it moves away":           {"81", `load-balancer/www on machine "lb1" holds the port`},
		"it claims the port anew": {"80", `Port claimed twice`},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, machines,
				testresource.TestStep{Config: configuration()},
				testresource.TestStep{
					Config: configuration(`{ port = 80, backend`, `{ port = `+c.port+`, backend`) + twin, PlanOnly: true,
					ExpectError: regexp.MustCompile(loosely(c.want)),
				},
			)
		})
	}
}

func TestUnknownValuesPutOffOnlyWhatDependsOnThem(t *testing.T) {
	unknown := func(rest string) string {
		return `resource "terraform_data" "later" { input = "10.0.0.1" }` +
			strings.Replace(configuration(), `"10.0.0.1", port = 80`, `terraform_data.later.output, port = `+rest, 1)
	}
	run(t, providertest.New("lb1"),
		testresource.TestStep{
			Config: unknown("70000"), PlanOnly: true,
			ExpectError: regexp.MustCompile(loosely(`70000 is not a port`)),
		},
		testresource.TestStep{Config: unknown("80")},
	)
}

func TestAnotherSpecThanTheOneInPlaceIsNotOverwritten(t *testing.T) {
	machines := providertest.New("lb1")
	machines["lb1"].Put(www(), api.DefaultLoadBalancer())
	run(t, machines, testresource.TestStep{
		Config:      configuration(),
		ExpectError: regexp.MustCompile(loosely(fmt.Sprintf("terraform import %s", "foobar_load_balancer"))),
	})
}
