package bootstrap_test

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/compare"
	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/bootstrap"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// The seed of the lab's golden file: both are to give the same document.
const (
	seedText  = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	labGolden = "../../lab/testdata/bootstrap.golden"
	address   = "foobar_bootstrap.web1"
)

func credentials(t *testing.T) tfutil.Credentials {
	t.Helper()
	seed, err := pki.ParseSeed(seedText)
	if err != nil {
		t.Fatal(err)
	}
	return tfutil.Credentials{Deployment: "demo", Seed: &seed}
}

// factories returns a provider whose credentials are those that c points at,
// also when they change between two steps.
func factories(c *tfutil.Credentials) map[string]func() (tfprotov6.ProviderServer, error) {
	return providertest.Machines{}.WithCredentials(c, []func() resource.Resource{bootstrap.NewResource})
}

func TestBootstrapIsThatOfTheLab(t *testing.T) {
	golden, err := os.ReadFile(labGolden)
	if err != nil {
		t.Fatal(err)
	}
	c := credentials(t)
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: factories(&c),
		Steps: []testresource.TestStep{{
			Config: `resource "foobar_bootstrap" "web1" {
  name        = "web1"
  incarnation = 2
}`,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("json"), knownvalue.StringExact(string(golden))),
				statecheck.ExpectSensitiveValue(address, tfjsonpath.New("json")),
				statecheck.ExpectSensitiveValue(address, tfjsonpath.New("user_data")),
			},
		}},
	})
}

// TestCACertificateIsKnownAtPlan and stays while nothing else of the CA changes.
func TestCACertificateIsKnownAtPlan(t *testing.T) {
	c := credentials(t)
	authority, err := c.Authority()
	if err != nil {
		t.Fatal(err)
	}
	at, want := tfjsonpath.New("ca_certificate"), knownvalue.StringExact(pki.EncodeCertificate(authority.Certificate()))
	step := func(incarnation string) testresource.TestStep {
		return testresource.TestStep{
			Config: "resource \"foobar_bootstrap\" \"web1\" {\n  name = \"web1\"\n  incarnation = " + incarnation + "\n}",
			ConfigPlanChecks: testresource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{plancheck.ExpectKnownValue(address, at, want)},
			},
			ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue(address, at, want)},
		}
	}
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: factories(&c),
		Steps:                    []testresource.TestStep{step("1"), step("2")},
	})
}

func TestBootstrapIsKept(t *testing.T) {
	c := credentials(t)
	config := func(rest string) string {
		return "resource \"foobar_bootstrap\" \"web1\" {\n  name = \"web1\"\n" + rest + "\n}"
	}
	action := func(a plancheck.ResourceActionType) testresource.ConfigPlanChecks {
		return testresource.ConfigPlanChecks{
			PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, a)},
			PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
		}
	}
	same := statecheck.CompareValue(compare.ValuesSame())
	changed := statecheck.CompareValue(compare.ValuesDiffer())
	json := tfjsonpath.New("json")
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: factories(&c),
		Steps: []testresource.TestStep{
			{
				Config:            config(""),
				ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(address, json), changed.AddStateValue(address, json)},
			},
			{ // without the seed, and with the defaults said aloud
				PreConfig: func() { c = tfutil.Credentials{} },
				Config:    config("incarnation = 1\nlisten = \":9443\""), ConfigPlanChecks: action(plancheck.ResourceActionNoop),
				ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(address, json)},
			},
			{
				Config:      config("incarnation = 2"),
				ExpectError: regexp.MustCompile(`give[\s│]+the[\s│]+provider[\s│]+its[\s│]+ca_seed`),
			},
			{
				PreConfig: func() { c = credentials(t) },
				Config:    config("incarnation = 2"), ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
				ConfigStateChecks: []statecheck.StateCheck{changed.AddStateValue(address, json)},
			},
			{
				ResourceName: address, ImportState: true, ImportStateId: "web1/2",
				ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
			},
		},
	})
}

func TestWrongValues(t *testing.T) {
	c := credentials(t)
	for rest, want := range map[string]string{
		`listen = "everywhere"`: `is not "host:port"`,
		`incarnation = 0`:       `0 is not an incarnation`,
	} {
		testresource.UnitTest(t, testresource.TestCase{
			ProtoV6ProviderFactories: factories(&c),
			Steps: []testresource.TestStep{{
				Config:   "resource \"foobar_bootstrap\" \"web1\" {\n  name = \"web1\"\n" + rest + "\n}",
				PlanOnly: true, ExpectError: regexp.MustCompile(want),
			}},
		})
	}
}

func TestAuthorityEndsWhenItIsReported(t *testing.T) {
	c := credentials(t)
	c.CAEnd = time.Date(2040, time.January, 1, 0, 0, 0, 0, time.UTC)
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: factories(&c),
		Steps: []testresource.TestStep{{
			Config: `resource "foobar_bootstrap" "web1" {
  name = "web1"
}`,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("json"), knownvalue.StringFunc(func(text string) error {
					document, err := api.ParseBootstrap([]byte(text))
					if err != nil {
						return err
					}
					authorities, err := api.ParseAuthorities(document.CA)
					if err == nil && !authorities[0].NotAfter.Equal(c.CAEnd) {
						t.Errorf("the CA ends at %s, want %s", authorities[0].NotAfter, c.CAEnd)
					}
					return err
				})),
			},
		}},
	})
}

func TestTwoBootstrapsOfOneMachineAreRefused(t *testing.T) {
	c := credentials(t)
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: factories(&c),
		Steps: []testresource.TestStep{{
			Config: `resource "foobar_bootstrap" "vm" {
  count = 2
  name  = "web1"
}`,
			PlanOnly:    true,
			ExpectError: regexp.MustCompile(`Two resources are one`),
		}},
	})
}
