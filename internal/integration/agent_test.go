package integration_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/echoprovider"
	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider"
)

// These tests run the whole provider under the Terraform CLI against whole
// agents in this process, over real TLS on the loopback interface.

const (
	web1 = "foobar_machine.web1"
	www  = "foobar_load_balancer.www"
)

// run runs the steps.
func run(t *testing.T, steps ...testresource.TestStep) {
	t.Helper()
	for _, name := range []string{"FOOBAR_CA_SEED", "FOOBAR_CLIENT_CERTIFICATE", "FOOBAR_CLIENT_KEY"} {
		t.Setenv(name, "") // those of whoever runs the test have no part in it
	}
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){
			"foobar": func() (tfprotov6.ProviderServer, error) { return provider.NewServer("test") },
			"echo":   echoprovider.NewProviderServer(),
		},
		Steps: steps,
	})
}

// block returns a provider block for the machine's deployment with further lines.
func block(m *agenttest.Machine, lines ...string) string {
	return fmt.Sprintf("provider \"foobar\" {\n  deployment = \"test\"\n  ca_seed = %q\n  %s\n}\n", m.Seed(), strings.Join(lines, "\n  "))
}

// machine returns the resource of web1 at an address.
func machine(address string, incarnation int) string {
	return fmt.Sprintf("resource \"foobar_machine\" \"web1\" {\n  name = \"web1\"\n  address = %q\n  incarnation = %d\n  timeouts = { create = \"2s\", update = \"2s\" }\n}\n",
		address, incarnation)
}

// balancer returns a load balancer on web1 whose only server has that weight.
func balancer(weight int) string {
	return fmt.Sprintf(`
resource "foobar_load_balancer" "www" {
  machine   = foobar_machine.web1
  name      = "www"
  frontends = { http = { port = 80, backend = "web" } }
  backends  = { web = { servers = { web1 = { address = "10.0.0.1", port = 80, weight = %d } } } }
}
`, weight)
}

// planned checks the plan of a step, and that nothing is left to do after it.
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
