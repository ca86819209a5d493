package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/echoprovider"
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
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
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

func TestReaderPlansWithoutTheSeed(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	issued, err := m.Signer().Client(api.RoleReader, "ci", 0)
	if err != nil {
		t.Fatal(err)
	}
	reader := fmt.Sprintf("provider \"foobar\" {\n  deployment = \"test\"\n  client_certificate = %q\n  client_key = %q\n}\n",
		issued.CertificatePEM()+pki.EncodeCertificate(m.Signer().Certificate()), issued.KeyPEM().Reveal())
	bootstrap := `resource "foobar_bootstrap" "web1" { name = "web1" }` + "\n"
	rest := machine(m.Address(), 1) + bootstrap
	run(t,
		testresource.TestStep{Config: block(m) + rest + balancer(100)},
		testresource.TestStep{Config: reader + rest + balancer(100), PlanOnly: true},
		testresource.TestStep{
			Config: reader + rest + balancer(50), PlanOnly: true, ExpectNonEmptyPlan: true,
		},
		testresource.TestStep{
			Config: reader + rest + balancer(50), ExpectError: regexp.MustCompile(`reader`),
		},
		testresource.TestStep{Config: block(m) + rest + balancer(100), PlanOnly: true},
	)
}

func TestProviderValuesMayBeKnownLater(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	later := fmt.Sprintf("resource \"terraform_data\" \"seed\" { input = %q }\n", m.Seed()) +
		"provider \"foobar\" {\n  deployment = \"test\"\n  ca_seed = terraform_data.seed.output\n}\n"
	run(t, testresource.TestStep{
		Config:           later + machine(m.Address(), 1) + balancer(100) + `resource "foobar_bootstrap" "web1" { name = "web1" }`,
		ConfigPlanChecks: planned(),
	})
}

func TestProviderSaysWhatItLacks(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	for name, c := range map[string]struct{ block, want string }{
		"no credentials": {`deployment = "test"`, `Give the provider ca_seed, or client_certificate and client_key`},
		"no deployment":  {`ca_seed = "x"`, `The argument "deployment" is required`},
		"a short seed":   {`deployment = "test", ca_seed = "c2hvcnQ="`, `The CA seed has 5 bytes, and must have 32`},
		"half a pair":    {`deployment = "test", client_key = "x"`, `client_certificate`},
		"two identities": {`deployment = "test", ca_seed = "x", client_certificate = "x", client_key = "x"`, `cannot be specified when`},
		"no certificate": {`deployment = "test", client_certificate = "x", client_key = "x"`, `The client certificate: the text is not a PEM block`},
		"a bad name":     {`deployment = "Te st"`, `"Te st" is not a name`},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, testresource.TestStep{
				Config:      "provider \"foobar\" {\n" + strings.ReplaceAll(c.block, ", ", "\n") + "\n}\n" + machine(m.Address(), 1),
				ExpectError: loosely(c.want),
			})
		})
	}
}

func TestSeedFromTheEnvironment(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	run(t, testresource.TestStep{
		PreConfig:        func() { t.Setenv("FOOBAR_CA_SEED", m.Seed()) },
		Config:           "provider \"foobar\" { deployment = \"test\" }\n" + machine(m.Address(), 1),
		ConfigPlanChecks: planned(),
	})
}

func TestMintedCertificateOpensWhatItsRoleAllows(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	mint := `
ephemeral "foobar_client_certificate" "ci" {
  actor = "ci@example"
  ttl   = "10m"
}
`
	run(t,
		testresource.TestStep{
			Config: block(m) + mint + `
provider "echo" { data = ephemeral.foobar_client_certificate.ci }
resource "echo" "ci" {}
`,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue("echo.ci", tfjsonpath.New("data").AtMapKey("certificate_pem"),
					knownvalue.StringRegexp(regexp.MustCompile(`(?s)^-----BEGIN CERTIFICATE.*-----BEGIN CERTIFICATE.*END CERTIFICATE-----\n$`))),
				statecheck.ExpectKnownValue("echo.ci", tfjsonpath.New("data").AtMapKey("private_key_pem"),
					knownvalue.StringRegexp(regexp.MustCompile(`^-----BEGIN PRIVATE KEY-----`))),
			},
		},
		testresource.TestStep{
			Config:      block(m) + strings.Replace(mint, `"10m"`, `"1s"`, 1),
			ExpectError: loosely(`allowed are 1m to 2160h`),
		},
		testresource.TestStep{ // one provider mints for the other, as a pipeline's first job for its second
			Config: block(m) + mint + `
provider "foobar" {
  alias              = "reader"
  deployment         = "test"
  client_certificate = ephemeral.foobar_client_certificate.ci.certificate_pem
  client_key         = ephemeral.foobar_client_certificate.ci.private_key_pem
}
data "foobar_machine" "web1" {
  provider = foobar.reader
  machine  = { name = "web1", address = "` + m.Address() + `" }
}
`,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue("data.foobar_machine.web1", tfjsonpath.New("reachable"), knownvalue.Bool(true)),
				statecheck.ExpectKnownValue("data.foobar_machine.web1", tfjsonpath.New("boot_id"), knownvalue.StringExact("boot-1")),
			},
		},
	)
}

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

// Nothing that is secret may be in what Terraform and the provider log at
// their most talkative.
func TestSecretsAreNotLogged(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	logs := t.TempDir()
	t.Setenv("TF_LOG", "TRACE")
	t.Setenv("TF_LOG_PATH_MASK", filepath.Join(logs, "%s.log"))
	issued, err := m.Signer().Client(api.RoleReader, "ci", 0)
	if err != nil {
		t.Fatal(err)
	}
	const open = "provider \"foobar\" { deployment = \"test\" }\n" // the rest is in the environment: the tests log their own text
	rest := open + machine(m.Address(), 1) + balancer(100) + `resource "foobar_bootstrap" "web1" { name = "web1" }`
	seeded := func() { t.Setenv("FOOBAR_CA_SEED", m.Seed()) }
	run(t,
		testresource.TestStep{PreConfig: seeded, Config: rest},
		testresource.TestStep{
			PreConfig: func() {
				t.Setenv("FOOBAR_CA_SEED", "")
				t.Setenv("FOOBAR_CLIENT_CERTIFICATE", issued.CertificatePEM()+pki.EncodeCertificate(m.Signer().Certificate()))
				t.Setenv("FOOBAR_CLIENT_KEY", issued.KeyPEM().Reveal())
			},
			Config: rest, PlanOnly: true,
		},
		testresource.TestStep{PreConfig: seeded, Config: rest},
	)
	bootstrap, err := pki.NewBootstrap(m.Signer().Authority, "web1", 1, ":9443")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(logs, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("logs: %v, %v", files, err)
	}
	key := strings.Split(issued.KeyPEM().Reveal(), "\n")[1]
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, secret := range map[string]string{"the seed": m.Seed(), "the enrolment key": bootstrap.EnrollKey.Reveal(), "a client's key": key} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s of %d bytes shows %s", filepath.Base(file), len(text), name)
			}
		}
	}
}
