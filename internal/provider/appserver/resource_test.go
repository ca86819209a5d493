package appserver_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

const address = "foobar_app_server.shop"

func shop() api.ID { return api.ID{Kind: api.KindAppServer, Name: "shop"} }

// configuration returns an app server; each edit replaces a text in it.
func configuration(source string, edits ...string) string {
	return strings.NewReplacer(append(edits, "SOURCE", source)...).Replace(`
resource "foobar_app_server" "shop" {
  machine = { name = "web1", address = "10.0.0.1" }
  name    = "shop"

  release = { source = "SOURCE" }
  command = ["./bin/shop", "--socket", "$SOCKET"]
  port    = 80

  environment        = { LOG_LEVEL = "info" }
  secrets_wo         = { SESSION_KEY = "hunter2" }
  secrets_wo_version = 1
}
`)
}

// archive writes an artifact with one program and returns its path and checksum.
func archive(t *testing.T, name, content string) (path, sum string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	packed := artifacttest.Pack(artifacttest.Program("bin/shop", content))
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, checksum(packed)
}

// run runs the steps against machines in memory.
func run(t *testing.T, machines providertest.Machines, steps ...testresource.TestStep) {
	t.Helper()
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: machines.Factories(
			[]func() resource.Resource{appserver.New}, []func() datasource.DataSource{appserver.NewDataSource}...),
		Steps: steps,
	})
}

func emptyPlan() testresource.ConfigPlanChecks {
	return testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
}

func TestLifeOfAnAppServer(t *testing.T) {
	machines := providertest.New("web1")
	web1 := machines["web1"]
	first, firstSum := archive(t, "one.tar.gz", "release one")
	moved, _ := archive(t, "elsewhere.tar.gz", "release one")
	second, secondSum := archive(t, "two.tar.gz", "release two")
	sum := tfjsonpath.New("release").AtMapKey("sha256")
	run(t, machines,
		testresource.TestStep{
			Config: configuration(first),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(address, sum, knownvalue.StringExact(firstSum)),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("generation"), knownvalue.Int64Exact(1)),
				statecheck.ExpectKnownValue(address, sum, knownvalue.StringExact(firstSum)),
				statecheck.ExpectKnownValue(address, tfjsonpath.New("release").AtMapKey("source"), knownvalue.Null()),
				statecheck.ExpectKnownValue(address, tfjsonpath.New("secrets_wo"), knownvalue.Null()),
			},
			Check: func(*terraform.State) error {
				if !web1.Has(firstSum) {
					t.Error("the release was not uploaded")
				}
				if got := web1.Secrets(shop())["SESSION_KEY"].Reveal(); got != "hunter2" {
					t.Error("the secret did not arrive")
				}
				return nil
			},
		},
		testresource.TestStep{Config: configuration(moved), ConfigPlanChecks: emptyPlan()},
		testresource.TestStep{
			ResourceName: address, ImportState: true, ImportStateId: "web1@10.0.0.1/shop",
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
			ImportStateVerifyIgnore: []string{"impact"}, // of a change that was another's
		},
		testresource.TestStep{
			Config: configuration(second),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(address, sum, knownvalue.StringExact(secondSum)),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("generation"), knownvalue.Int64Exact(2)),
			},
		},
		testresource.TestStep{ // the machine has it: the file need not be there
			Config:           configuration(second, `source = "`+second+`"`, `sha256 = "`+secondSum+`"`, `source = "SOURCE"`, `sha256 = "`+secondSum+`"`),
			ConfigPlanChecks: emptyPlan(),
		},
		testresource.TestStep{ // a new version of the secrets alone
			Config: configuration(second, "hunter2", "hunter3", "version = 1", "version = 2"),
			Check: func(*terraform.State) error {
				if got := web1.Secrets(shop())["SESSION_KEY"].Reveal(); got != "hunter3" {
					t.Error("the new secret did not arrive")
				}
				return nil
			},
		},
	)
	if web1.Spec(t, shop(), &api.AppServer{}) {
		t.Error("the app server is still there after the destroy")
	}
}

func TestTimeoutsAloneAreSettledWithoutTheMachine(t *testing.T) {
	machines := providertest.New("web1")
	source, _ := archive(t, "one.tar.gz", "release one")
	longer := configuration(source, "port    = 80", "port    = 80\n  timeouts = { update = \"10m\" }")
	dead := &client.Unreachable{Machine: "web1", Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded}
	run(t, machines,
		testresource.TestStep{Config: configuration(source)},
		testresource.TestStep{PreConfig: func() { machines["web1"].Fail(dead) }, Config: longer},
		testresource.TestStep{
			PreConfig: func() { machines["web1"].Fail(nil) },
			Config:    strings.Replace(longer, `"info"`, `"debug"`, 1),
			Check: func(*terraform.State) error {
				if got := machines["web1"].Timeout(shop()); got != 600 {
					t.Errorf("the operation may take %d s, not 600", got)
				}
				return nil
			},
		},
	)
}

func TestUnreachableMachineKeepsTheStateAndFailsWrites(t *testing.T) {
	machines := providertest.New("web1")
	source, _ := archive(t, "one.tar.gz", "release one")
	dead := &client.Unreachable{Machine: "web1", Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded}
	run(t, machines,
		testresource.TestStep{Config: configuration(source)},
		testresource.TestStep{
			PreConfig: func() { machines["web1"].Fail(dead) },
			Config:    configuration(source), ConfigPlanChecks: emptyPlan(),
		},
		testresource.TestStep{
			Config:      configuration(source, `"info"`, `"debug"`),
			ExpectError: regexp.MustCompile(loosely(`Machine "web1" is unreachable`)),
		},
		testresource.TestStep{
			PreConfig: func() { machines["web1"].Fail(nil) },
			Config:    configuration(source), ConfigPlanChecks: emptyPlan(),
		},
	)
}

func TestOnlyTheMachineItselfRemovesFromTheState(t *testing.T) {
	machines := providertest.New("web1")
	source, _ := archive(t, "one.tar.gz", "release one")
	run(t, machines,
		testresource.TestStep{Config: configuration(source)},
		testresource.TestStep{
			PreConfig: func() { machines["web1"].Forget(shop()) },
			Config:    configuration(source),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionCreate),
			}},
		},
	)
}

func TestWrongValuesAreErrorsOnTheirAttributes(t *testing.T) {
	source, sum := archive(t, "one.tar.gz", "release one")
	for name, c := range map[string]struct {
		edits []string
		// at and want are what the error names and says.
		at, want string
	}{
		"another checksum": {
			[]string{`{ source`, `{ sha256 = "` + strings.Repeat("0", 64) + `", source`}, `release.sha256`, sum + `, not`,
		},
		"no checksum": {
			[]string{`{ source`, `{ sha256 = "abc", source`}, `release.sha256`, `"abc" is not a SHA-256 checksum`,
		},
		"no archive": {
			[]string{`SOURCE`, `/nonexistent.tar.gz`}, `release.source`, `There is no file /nonexistent.tar.gz. Build the release, then plan again.`,
		},
		"neither source nor checksum": {
			[]string{`{ source = "SOURCE" }`, `{}`}, `release`, `neither source nor sha256`,
		},
		"port out of range": {
			[]string{`= 80`, `= 70000`}, `port`, `70000 is not a port`,
		},
		"bad CIDR": {
			[]string{`port `, `trusted_proxies = ["10.0.0.1"]` + "\n  port "}, `trusted_proxies`, `"10.0.0.1" is not a network`,
		},
		"reserved variable": {
			[]string{`LOG_LEVEL`, `SOCKET`}, `environment["SOCKET"]`, `SOCKET is set by foobar, to the path`,
		},
		"variable that is a secret too": {
			[]string{`LOG_LEVEL`, `SESSION_KEY`}, `secrets_wo["SESSION_KEY"]`, `SESSION_KEY is in the environment too`,
		},
		"version without secrets": {
			[]string{`secrets_wo         = { SESSION_KEY = "hunter2" }`, ``}, `secrets_wo_version`, `secrets_wo`,
		},
		"secrets without version": {
			[]string{`secrets_wo_version = 1`, ``}, ``, `secrets have no version`,
		},
		"shell in the command": {
			[]string{`$SOCKET`, `$HOME`}, `command[2]`, `$HOME is not replaced`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, providertest.New("web1"), testresource.TestStep{
				Config: configuration(source, c.edits...), PlanOnly: true,
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

func TestDataSourceShowsWhatMoves(t *testing.T) {
	machines := providertest.New("web1")
	web1 := machines["web1"]
	source, sum := archive(t, "one.tar.gz", "release one")
	const view = "data.foobar_app_server.shop"
	looking := configuration(source) + `
data "foobar_app_server" "shop" {
  machine = { name = "web1", address = "10.0.0.1" }
  name    = foobar_app_server.shop.name
}
`
	dead := &client.Unreachable{Machine: "web1", Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded}
	run(t, machines,
		testresource.TestStep{Config: configuration(source)},
		testresource.TestStep{
			PreConfig: func() {
				web1.Change(t, shop(), func(c *api.Component) {
					c.Status = api.Encode(api.AppServerStatus{
						Release: sum, SignedBy: "A8542D7749E48B47", TrustedComment: "shop \x1b1.4.0", Slot: "blue", Healthy: true, Health: "200 in 3 ms", PID: 42, Restarts: 1, Log: []string{"hello"},
					})
					c.Conditions = []api.Condition{{Type: "Restarted", Severity: api.SeverityInfo, Message: "once", Pointer: "/command"}}
				})
			},
			Config: looking,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(view, tfjsonpath.New("reachable"), knownvalue.Bool(true)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("release"), knownvalue.StringExact(sum)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("pid"), knownvalue.Int64Exact(42)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("signed_by"), knownvalue.StringExact("A8542D7749E48B47")),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("trusted_comment"), knownvalue.StringExact(`shop \x1b1.4.0`)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("log"), knownvalue.ListExact([]knownvalue.Check{knownvalue.StringExact("hello")})),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("conditions").AtSliceIndex(0).AtMapKey("attribute"), knownvalue.StringExact("command")),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("applied_at"), knownvalue.StringExact("2026-01-02T03:04:05Z")),
			},
		},
		testresource.TestStep{
			PreConfig: func() { web1.Fail(dead) },
			Config:    looking,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(view, tfjsonpath.New("reachable"), knownvalue.Bool(false)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("healthy"), knownvalue.Null()),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("conditions"), knownvalue.Null()),
			},
		},
		testresource.TestStep{PreConfig: func() { web1.Fail(nil) }, Config: configuration(source)},
	)
}

// checksum returns a SHA-256 as Terraform shows it.
func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
