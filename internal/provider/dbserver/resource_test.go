package dbserver_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

const address = "foobar_db_server.notes"

// derived is the server id of db server notes on web1 of deployment test.
const derived = 372300063

func notes() api.ID { return api.ID{Kind: api.KindDBServer, Name: "notes"} }

// configuration returns a database server; each edit replaces a text in it.
func configuration(edits ...string) string {
	return strings.NewReplacer(edits...).Replace(`
resource "foobar_db_server" "notes" {
  machine = { name = "web1", address = "10.0.0.1:9443" }
  name    = "notes"
  engine  = "mariadb"

  allowed_clients = ["10.0.0.2", "192.0.2.0/24"]

  settings = {
    innodb_buffer_pool_size = "128M"
    max_connections         = "200"
    slow_query_log          = "ON"
  }
}
`)
}

// run runs the steps against machines in memory.
func run(t *testing.T, machines providertest.Machines, steps ...testresource.TestStep) {
	t.Helper()
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: machines.Factories(
			[]func() resource.Resource{dbserver.New}, []func() datasource.DataSource{dbserver.NewDataSource}...),
		Steps: steps,
	})
}

func emptyPlan() testresource.ConfigPlanChecks {
	return testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
}

func setting(name string) tfjsonpath.Path { return tfjsonpath.New("settings").AtMapKey(name) }

func TestLifeOfADatabaseServer(t *testing.T) {
	machines := providertest.New("web1")
	web1 := machines["web1"]
	imported := testresource.TestStep{
		ResourceName: address, ImportState: true, ImportStateId: "web1@10.0.0.1:9443/notes",
		ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
		ImportStateVerifyIgnore: []string{"impact"}, // of a change that was another's
	}
	run(t, machines,
		testresource.TestStep{
			Config: configuration(),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(address, tfjsonpath.New("server_id"), knownvalue.Int64Exact(derived)),
				nothingIssued{web1},
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("generation"), knownvalue.Int64Exact(1)),
				statecheck.ExpectKnownValue(address, tfjsonpath.New("port"), knownvalue.Int64Exact(3306)),
				statecheck.ExpectKnownValue(address, tfjsonpath.New("listen_addresses"), knownvalue.SetExact([]knownvalue.Check{knownvalue.StringExact("*")})),
				statecheck.ExpectKnownValue(address, tfjsonpath.New("server_id"), knownvalue.Int64Exact(derived)),
				statecheck.ExpectKnownValue(address, setting("innodb_buffer_pool_size"), knownvalue.StringExact("128M")),
			},
			Check: func(*terraform.State) error {
				names, ok := web1.Leaf("db-server.notes")
				if want := []net.IP{net.ParseIP("10.0.0.1")}; !ok || !reflect.DeepEqual(names.IP, want) {
					t.Errorf("the leaf is %v, %t; want one for %v", names, ok, want)
				}
				var spec api.DBServer
				web1.Spec(t, notes(), &spec)
				if got := spec.AllowedClients; !reflect.DeepEqual(got, []string{"10.0.0.2/32", "192.0.2.0/24"}) {
					t.Errorf("the agent was given the clients %v", got)
				}
				if got := spec.Settings["innodb_buffer_pool_size"]; got != "134217728" {
					t.Errorf("the agent was given a buffer pool of %s", got)
				}
				return nil
			},
		},
		testresource.TestStep{ // the same said otherwise is no change
			Config:           configuration(`"128M"`, `"134217728"`, `"200"`, `200`, `"ON"`, `true`, `"10.0.0.2"`, `"10.0.0.2:9443"`, `"mariadb"`, `"mariadb"`+"\n  port = 3306"),
			ConfigPlanChecks: emptyPlan(),
		},
		imported,
		testresource.TestStep{ // one setting more: in place
			Config: configuration(`slow_query_log `, `long_query_time = "0.5"`+"\n    slow_query_log "),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(address, tfjsonpath.New("server_id"), knownvalue.Int64Exact(derived)),
				plancheck.ExpectKnownValue(address, setting("long_query_time"), knownvalue.StringExact("0.5")),
				plancheck.ExpectUnknownValue(address, tfjsonpath.New("generation")),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("generation"), knownvalue.Int64Exact(2)),
			},
		},
		testresource.TestStep{ // an id of one's own, and where it listens
			Config: configuration(`"mariadb"`, `"mariadb"`+"\n  server_id = 11\n  listen_addresses = [\"10.0.0.7\"]"),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
			}},
			Check: func(*terraform.State) error {
				if names, _ := web1.Leaf("db-server.notes"); !reflect.DeepEqual(names.IP, []net.IP{net.ParseIP("10.0.0.7")}) {
					t.Errorf("the leaf names %v", names.IP)
				}
				return nil
			},
		},
		testresource.TestStep{ // which stays when it is no longer given
			Config:           configuration(`"mariadb"`, `"mariadb"`+"\n  listen_addresses = [\"10.0.0.7\"]"),
			ConfigPlanChecks: emptyPlan(),
		},
		imported,
	)
	if web1.Spec(t, notes(), &api.DBServer{}) {
		t.Error("the database server is still there after the destroy")
	}
}

// nothingIssued is a plan check that the plan has not asked for a certificate.
type nothingIssued struct{ machine *providertest.Machine }

// CheckPlan implements [plancheck.PlanCheck].
func (n nothingIssued) CheckPlan(_ context.Context, _ plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	if names, ok := n.machine.Leaf("db-server.notes"); ok {
		resp.Error = fmt.Errorf("the plan has made the machine ask for a certificate for %v", names)
	}
}

func TestImportedSettingsAreNoChangeHoweverTheyAreWritten(t *testing.T) {
	machines := providertest.New("web1")
	spec := api.DefaultDBServer()
	spec.ServerID, spec.AllowedClients = 11, []string{"10.0.0.2/32", "192.0.2.0/24"}
	spec.Settings = map[string]string{"innodb_buffer_pool_size": "134217728", "max_connections": "200", "slow_query_log": "ON"}
	machines["web1"].Put(notes(), spec)
	adopt := "import {\n  to = foobar_db_server.notes\n  id = \"web1@10.0.0.1:9443/notes\"\n}\n"
	written := configuration(`"128M"`, `"131072K"`, `"ON"`, `"on"`, `"10.0.0.2"`, `"10.0.0.2/32"`)
	run(t, machines,
		testresource.TestStep{Config: adopt + written},
		testresource.TestStep{Config: written, ConfigPlanChecks: emptyPlan()},
	)
	if got := machines["web1"].Applied(); got != 0 {
		t.Errorf("an import has written %d times", got)
	}
}

func TestDriftOfASettingShowsOnItsPlaceAndIsRepaired(t *testing.T) {
	machines := providertest.New("web1")
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{ // SET GLOBAL by hand
			PreConfig: func() {
				machines["web1"].Change(t, notes(), func(c *api.Component) {
					c.Observed = []byte(strings.Replace(string(c.Spec), `"134217728"`, `"268435456"`, 1))
				})
			},
			RefreshState: true, ExpectNonEmptyPlan: true,
			Check: testresource.TestCheckResourceAttr(address, "settings.innodb_buffer_pool_size", "256M"),
			RefreshPlanChecks: testresource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(address, setting("innodb_buffer_pool_size"), knownvalue.StringExact("128M")),
				plancheck.ExpectKnownValue(address, setting("max_connections"), knownvalue.StringExact("200")),
			}},
		},
		testresource.TestStep{
			Config:           configuration(),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
	)
}

func TestWrongValuesAreErrorsOnTheirAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		edits []string
		// at and want are what the error names and says.
		at, want string
	}{
		"unknown engine": {
			[]string{`"mariadb"`, `"oracle"`}, `engine`, `"oracle" is unknown`,
		},
		"unknown setting": {
			[]string{`slow_query_log `, `slow_query_lag `}, `settings["slow_query_lag"]`, `the nearest are "slow_query_log", `,
		},
		"setting with dashes": {
			[]string{`slow_query_log `, `"slow-query-log" `}, `settings["slow-query-log"]`, `is written "slow_query_log" here`,
		},
		"refused setting": {
			[]string{`slow_query_log `, `read_only `}, `settings["read_only"]`, `read_only cannot be set`,
		},
		"setting that is an attribute": {
			[]string{`slow_query_log `, `bind_address `}, `settings["bind_address"]`, `listen_addresses`,
		},
		"bad size": {
			[]string{`"128M"`, `"128 MB"`}, `settings["innodb_buffer_pool_size"]`, `"128 MB" is no size`,
		},
		"size below our own bound": {
			[]string{`slow_query_log `, `max_binlog_size `, `"ON"`, `"1K"`}, `settings["max_binlog_size"]`, `a size, 1M or more`,
		},
		"bad flag": {
			[]string{`"ON"`, `"maybe"`}, `settings["slow_query_log"]`, `neither ON nor OFF`,
		},
		"setting without a value": {
			[]string{`"ON"`, `null`}, `settings`, `null`,
		},
		"port out of range": {
			[]string{`"mariadb"`, `"mariadb"` + "\n  port = 70000"}, `port`, `70000 is not a port`,
		},
		"port of the agent": {
			[]string{`"mariadb"`, `"mariadb"` + "\n  port = 9443"}, `port`, `9443 is the agent's own port`,
		},
		"server id of none": {
			[]string{`"mariadb"`, `"mariadb"` + "\n  server_id = 0"}, `server_id`, `allowed are 1 to 4294967295`,
		},
		"server id out of range": {
			[]string{`"mariadb"`, `"mariadb"` + "\n  server_id = 4294967296"}, `server_id`, `allowed are 1 to 4294967295`,
		},
		"host bits in a CIDR": {
			[]string{`192.0.2.0/24`, `192.0.2.1/24`}, `allowed_clients`, `"192.0.2.0/24"`,
		},
		"bad CIDR": {
			[]string{`192.0.2.0/24`, `192.0.2.0/33`}, `allowed_clients`, `"192.0.2.0/33" is not a network`,
		},
		"client by name": {
			[]string{`192.0.2.0/24`, `web2.example`}, `allowed_clients`, `"web2.example" is not a network`,
		},
		"name to listen on": {
			[]string{`"mariadb"`, `"mariadb"` + "\n  listen_addresses = [\"web1\"]"}, `listen_addresses`, `"web1" is not an address to listen on`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, providertest.New("web1"), testresource.TestStep{
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

func TestUnknownValuesPutOffOnlyWhatDependsOnThem(t *testing.T) {
	later := `resource "terraform_data" "later" { input = { name = "web1", address = "10.0.0.1:9443", client = "10.0.0.2", size = "128M" } }` + "\n"
	unknown := later + configuration(
		`{ name = "web1", address = "10.0.0.1:9443" }`, `{ name = terraform_data.later.output.name, address = terraform_data.later.output.address }`,
		`"10.0.0.2"`, `terraform_data.later.output.client`, `"128M"`, `terraform_data.later.output.size`)
	wholly := later + configuration(`{ name = "web1", address = "10.0.0.1:9443" }`, `terraform_data.later.output`)
	for name, config := range map[string]string{"parts": unknown, "the machine": wholly} {
		t.Run(name, func(t *testing.T) {
			run(t, providertest.New("web1"),
				testresource.TestStep{
					Config: strings.Replace(config, `"200"`, `"-2"`, 1), PlanOnly: true,
					ExpectError: regexp.MustCompile(loosely(`"-2" is not a whole number`)),
				},
				testresource.TestStep{
					Config: config,
					ConfigPlanChecks: testresource.ConfigPlanChecks{
						PreApply:             []plancheck.PlanCheck{plancheck.ExpectUnknownValue(address, tfjsonpath.New("server_id"))},
						PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
					},
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectKnownValue(address, tfjsonpath.New("server_id"), knownvalue.Int64Exact(derived)),
					},
				},
			)
		})
	}
}

func TestPortIsClaimedOnItsAddresses(t *testing.T) {
	twin := func(listen string) string {
		return configuration(`"foobar_db_server" "notes"`, `"foobar_db_server" "twin"`, `name    = "notes"`, `name    = "twin"`+"\n  listen_addresses = "+listen)
	}
	run(t, providertest.New("web1"),
		testresource.TestStep{
			Config: configuration() + twin(`["127.0.0.1"]`), PlanOnly: true,
			ExpectError: regexp.MustCompile(`(?s)Port claimed twice.*` + loosely(`is claimed on machine "web1" by two components of this configuration: db-server/`)),
		},
		testresource.TestStep{Config: configuration() + twin(`[]`)},
	)
}

func TestUnreachableMachineKeepsTheStateAndFailsWrites(t *testing.T) {
	machines := providertest.New("web1")
	dead := &client.Unreachable{Machine: "web1", Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded}
	longer := configuration(`"mariadb"`, `"mariadb"`+"\n  timeouts = { update = \"10m\" }")
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{
			PreConfig: func() { machines["web1"].Fail(dead) },
			Config:    configuration(), ConfigPlanChecks: emptyPlan(),
		},
		testresource.TestStep{Config: longer}, // is settled without it
		testresource.TestStep{
			Config:      configuration(`"128M"`, `"256M"`),
			ExpectError: regexp.MustCompile(loosely(`Machine "web1" is unreachable`)),
		},
		testresource.TestStep{
			PreConfig: func() { machines["web1"].Fail(nil) },
			Config:    longer, ConfigPlanChecks: emptyPlan(),
		},
	)
}

func TestRebuiltMachineGetsTheSameServerWithANewCertificate(t *testing.T) {
	machines := providertest.New("web1")
	web1 := machines["web1"]
	rebuilt := tfutil.Machine{Name: types.StringValue("web1"), Address: types.StringValue("10.0.0.1:9443"), Incarnation: types.Int64Value(2)}
	of := func(incarnation string) string {
		return configuration(`"10.0.0.1:9443"`, `"10.0.0.1:9443", incarnation = `+incarnation)
	}
	run(t, machines,
		testresource.TestStep{Config: of("1")},
		testresource.TestStep{
			PreConfig: func() {
				web1.Rebuild(2)
				agent, err := machines.Agent(rebuilt)
				if err == nil {
					_, err = agent.Enroll(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			Config: of("2"),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(address, tfjsonpath.New("server_id"), knownvalue.Int64Exact(derived)),
			}},
			Check: func(*terraform.State) error {
				if _, ok := web1.Leaf("db-server.notes"); !ok {
					t.Error("the rebuilt machine has no certificate for the server")
				}
				return nil
			},
		},
	)
}

func TestDataSourceShowsWhatMoves(t *testing.T) {
	machines := providertest.New("web1")
	web1 := machines["web1"]
	const view = "data.foobar_db_server.notes"
	looking := configuration() + `
data "foobar_db_server" "notes" {
  machine = { name = "web1", address = "10.0.0.1:9443" }
  name    = foobar_db_server.notes.name
}
`
	dead := &client.Unreachable{Machine: "web1", Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded}
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{
			PreConfig: func() {
				web1.Change(t, notes(), func(c *api.Component) {
					c.Status = api.Encode(api.DBServerStatus{
						Version: "11.8.3-MariaDB", PID: 42, Fenced: true, Connections: 3, DataBytes: 1 << 40, BinlogBytes: 4096,
					})
					c.Conditions = []api.Condition{{
						Type: "SettingClamped", Severity: api.SeverityInfo, Message: "less", Pointer: "/settings/max_connections",
					}}
				})
			},
			Config: looking,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(view, tfjsonpath.New("reachable"), knownvalue.Bool(true)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("version"), knownvalue.StringExact("11.8.3-MariaDB")),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("pid"), knownvalue.Int64Exact(42)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("fenced"), knownvalue.Bool(true)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("connections"), knownvalue.Int64Exact(3)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("data_bytes"), knownvalue.Int64Exact(1<<40)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("binlog_bytes"), knownvalue.Int64Exact(4096)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("conditions").AtSliceIndex(0).AtMapKey("attribute"),
					knownvalue.StringExact(`settings["max_connections"]`)),
			},
		},
		testresource.TestStep{
			PreConfig: func() { web1.Fail(dead) },
			Config:    looking,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(view, tfjsonpath.New("reachable"), knownvalue.Bool(false)),
				statecheck.ExpectKnownValue(view, tfjsonpath.New("fenced"), knownvalue.Null()),
			},
		},
		testresource.TestStep{PreConfig: func() { web1.Fail(nil) }, Config: configuration()},
	)
}
