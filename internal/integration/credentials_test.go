package integration_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

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
