package dbreplication_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
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
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/dbreplication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/machine"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

const address = "foobar_db_replication.notes"

func notes() api.ID { return api.ID{Kind: api.KindDBReplication, Name: "notes"} }

// replication is a replication over what is called SERVER1, SERVER2 and WITNESS.
const replication = `
resource "foobar_db_replication" "notes" {
  name    = "notes"
  primary = "web1"
  members = {
    web1 = { server = SERVER1 }
    web2 = { server = SERVER2 }
  }
  witnesses = { lb1 = WITNESS }
  databases = { notes = { charset = "utf8mb4" } }
  users = {
    notes = { password_wo = "hunter2", password_wo_version = 1, grants = { notes = ["SELECT", "INSERT"] } }
  }
}
`

// configuration returns a replication of servers that are written out; each
// edit replaces a text in it.
func configuration(edits ...string) string {
	server := func(machine, address string, id int) string {
		return fmt.Sprintf(`{ machine = { name = %q, address = %q }, name = "notes", engine = "mariadb", server_id = %d, port = 3306 }`, machine, address, id)
	}
	return strings.NewReplacer(edits...).Replace(strings.NewReplacer(
		"SERVER1", server("web1", "10.0.0.1", 11), "SERVER2", server("web2", "10.0.0.2", 12), "WITNESS", `{ name = "lb1", address = "10.0.0.10" }`,
	).Replace(replication))
}

// stack returns the replication with everything below it; each edit replaces a
// text in it.
func stack(edits ...string) string {
	below := `
locals {
  incarnations = { web1 = 1, web2 = 1, lb1 = 1 }
  addresses    = { web1 = "10.0.0.1", web2 = "10.0.0.2", lb1 = "10.0.0.10" }
}
`
	for _, name := range []string{"web1", "web2", "lb1"} {
		below += strings.ReplaceAll(`
resource "foobar_machine" "NAME" {
  name        = "NAME"
  address     = local.addresses.NAME
  incarnation = local.incarnations.NAME
}
`, "NAME", name)
	}
	for _, name := range []string{"web1", "web2"} {
		below += strings.ReplaceAll(`
resource "foobar_db_server" "NAME" {
  machine         = foobar_machine.NAME
  name            = "notes"
  engine          = "mariadb"
  allowed_clients = [local.addresses.web1, local.addresses.web2]
}
`, "NAME", name)
	}
	return strings.NewReplacer(edits...).Replace(below + strings.NewReplacer(
		"SERVER1", `foobar_db_server.web1`, "SERVER2", `foobar_db_server.web2`, "WITNESS", `foobar_machine.lb1`,
	).Replace(replication))
}

// run runs the steps against machines in memory.
func run(t *testing.T, machines providertest.Machines, steps ...testresource.TestStep) {
	t.Helper()
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: machines.Factories(
			[]func() resource.Resource{machine.NewResource, dbserver.New, dbreplication.New}, []func() datasource.DataSource{dbreplication.NewDataSource}...),
		Steps: steps,
	})
}

// cluster returns machines on which a replication shows that it works.
func cluster() providertest.Machines {
	machines := providertest.New("web1", "web2", "lb1")
	machines["web1"].Shows(notes(), status("web1", 1))
	return machines
}

func status(primary string, epoch uint64) api.DBReplicationStatus {
	members := map[string]api.DBMemberStatus{
		"web1": {Reachable: true, Role: api.DBRoleReplica, State: "following", Source: primary, LagMilliseconds: new(int64(7))},
		"web2": {Reachable: true, Role: api.DBRoleReplica, State: "following", Source: primary, LagMilliseconds: new(int64(7))},
	}
	members[primary] = api.DBMemberStatus{Reachable: true, Role: api.DBRolePrimary, State: "open", Version: "11.8.3-MariaDB", Epoch: epoch, Writable: true, Position: "0-11-4"}
	return api.DBReplicationStatus{
		CurrentPrimary: primary, Epoch: epoch, Writable: true, Members: members,
		Witnesses: map[string]api.DBWitnessStatus{"lb1": {Reason: "no answer"}},
	}
}

func emptyPlan() testresource.ConfigPlanChecks {
	return testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
}

// updated expects an update in place after which there is nothing more to do.
func updated(checks ...plancheck.PlanCheck) testresource.ConfigPlanChecks {
	return testresource.ConfigPlanChecks{
		PreApply:             append(checks, plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate)),
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

func expect(at tfjsonpath.Path, want knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(address, at, want)
}

func at(name string) tfjsonpath.Path { return tfjsonpath.New(name) }

func memberAddress(name string) tfjsonpath.Path {
	return at("members").AtMapKey(name).AtMapKey("address")
}

func roles(web1, web2 string) knownvalue.Check {
	return knownvalue.MapExact(map[string]knownvalue.Check{"web1": knownvalue.StringExact(web1), "web2": knownvalue.StringExact(web2)})
}

func imported() testresource.TestStep {
	return testresource.TestStep{
		ResourceName: address, ImportState: true, ImportStateId: "web1@10.0.0.1/notes",
		ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
		ImportStateVerifyIgnore: []string{"impact"}, // of a change that was another's
	}
}

func TestLifeOfAReplication(t *testing.T) {
	machines := cluster()
	web1 := machines["web1"]
	run(t, machines,
		testresource.TestStep{
			Config: configuration(),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(address, at("machine").AtMapKey("name"), knownvalue.StringExact("web1")),
				plancheck.ExpectUnknownValue(address, at("machine").AtMapKey("key")),
				plancheck.ExpectKnownValue(address, memberAddress("web2"), knownvalue.StringExact("10.0.0.2")),
				plancheck.ExpectUnknownValue(address, at("current_primary")),
				plancheck.ExpectUnknownValue(address, at("epoch")),
				plancheck.ExpectUnknownValue(address, at("roles")),
				nobodyConfigured{machines},
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				expect(at("machine").AtMapKey("key"), knownvalue.StringRegexp(regexp.MustCompile(`^sha256:`))),
				expect(at("machine").AtMapKey("incarnation"), knownvalue.Int64Exact(1)),
				expect(at("generation"), knownvalue.Int64Exact(1)),
				expect(at("current_primary"), knownvalue.StringExact("web1")),
				expect(at("epoch"), knownvalue.Int64Exact(1)),
				expect(at("roles"), roles("primary", "replica")),
				expect(at("max_lag"), knownvalue.StringExact("10s")),
				expect(at("lag_hold"), knownvalue.StringExact("30s")),
				expect(at("min_binlog_retention"), knownvalue.StringExact("24h")),
				expect(at("users").AtMapKey("notes").AtMapKey("password_wo"), knownvalue.Null()),
				expect(at("users").AtMapKey("notes").AtMapKey("require_tls"), knownvalue.Bool(true)),
			},
			Check: func(*terraform.State) error { return errors.Join(shown(t, machines), secret(web1, "hunter2")) },
		},
		testresource.TestStep{ // the same said otherwise is no change
			Config: configuration(`"10.0.0.2"`, `"10.0.0.2:9443"`, `"10.0.0.1"`, `"10.0.0.1:9443"`, `["SELECT", "INSERT"]`, `["INSERT", "SELECT"]`,
				`primary = "web1"`, "primary = \"web1\"\n  max_lag = \"10000ms\"\n  lag_hold = \"30s\""),
			ConfigPlanChecks: emptyPlan(),
		},
		imported(),
		testresource.TestStep{ // another password is another version
			Config:            configuration(`"hunter2"`, `"hunter3"`, `version = 1`, `version = 2`),
			ConfigPlanChecks:  updated(plancheck.ExpectKnownValue(address, at("epoch"), knownvalue.Int64Exact(1)), plancheck.ExpectKnownValue(address, at("roles"), roles("primary", "replica"))),
			ConfigStateChecks: []statecheck.StateCheck{expect(at("generation"), knownvalue.Int64Exact(2)), expect(at("current_primary"), knownvalue.StringExact("web1"))},
			Check:             func(*terraform.State) error { return secret(web1, "hunter3") },
		},
		testresource.TestStep{ // and without one it is none
			Config: configuration(`"hunter2"`, `"hunter4"`, `version = 1`, `version = 2`), ConfigPlanChecks: emptyPlan(),
		},
		testresource.TestStep{ // an address, a delay, consents, and no witness
			Config: configuration(`port = 3306 } }`, `port = 3306 }, address = "10.1.0.2", delay = "60s" }`, `witnesses =`, `reseed = { node = "web2", token = "a" }
  drop = { databases = ["old"], token = "b" }
  # `),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
			ExpectError:      regexp.MustCompile(loosely(`10.1.0.2:3306 is where "web1" is reached too`)), // both are edited
		},
		testresource.TestStep{
			Config: configuration(`server_id = 12, port = 3306 } }`, `server_id = 12, port = 3306 }, address = "10.1.0.2", delay = "60s" }`,
				`witnesses =`, `reseed = { node = "web2", token = "a" }
  drop = { databases = ["old"], token = "b" }
  # `),
			ConfigPlanChecks: updated(),
			ConfigStateChecks: []statecheck.StateCheck{
				expect(memberAddress("web2"), knownvalue.StringExact("10.1.0.2")),
				expect(at("witnesses"), knownvalue.MapSizeExact(0)),
			},
		},
		testresource.TestStep{ // which is the default again when it is given no longer
			Config:            configuration(),
			ConfigPlanChecks:  updated(plancheck.ExpectKnownValue(address, memberAddress("web2"), knownvalue.StringExact("10.0.0.2"))),
			ConfigStateChecks: []statecheck.StateCheck{expect(memberAddress("web2"), knownvalue.StringExact("10.0.0.2"))},
		},
		testresource.TestStep{ // one alone is a replication too
			Config:           configuration(`    web2 =`, `    #`, `witnesses =`, `# `, `users =`, `users = {} #`, `    notes = { password_wo`, `# `, `  }`+"\n}", `}`),
			ConfigPlanChecks: updated(),
			Check: func(*terraform.State) error {
				if got, _ := web1.Enlisted("notes"); len(got.Peers) != 1 {
					t.Errorf("web1 takes part with %v", got.Peers)
				}
				for _, name := range []string{"web2", "lb1"} {
					if got, ok := machines[name].Enlisted("notes"); ok {
						t.Errorf("%s has left, and takes part with %v", name, got.Peers)
					}
				}
				return nil
			},
		},
	)
	if web1.Spec(t, notes(), &api.DBReplication{}) {
		t.Error("the replication is still there after the destroy")
	}
	if got, ok := web1.Enlisted("notes"); ok {
		t.Errorf("after the destroy web1 takes part with %v", got.Peers)
	}
}

// shown checks what every machine was given.
func shown(t *testing.T, machines providertest.Machines) error {
	t.Helper()
	want := api.DBMembership{Peers: map[string]api.DBPeer{
		"web1": {Address: "10.0.0.1:9443"}, "web2": {Address: "10.0.0.2:9443"}, "lb1": {Address: "10.0.0.10:9443"},
	}, Members: []string{"web1", "web2"}}
	for name, m := range machines {
		if got, ok := m.Enlisted("notes"); !ok || !reflect.DeepEqual(got, want) {
			return fmt.Errorf("%s takes part with %v, %t", name, got, ok)
		}
	}
	var spec api.DBReplication
	machines["web1"].Spec(t, notes(), &spec)
	if spec.SecretsVersion != spec.PasswordsVersion() || spec.Members["web2"].Host != "10.0.0.2" || spec.Engine != api.EngineMariaDB {
		return fmt.Errorf("the spec is %s", api.Encode(spec))
	}
	return nil
}

func secret(m *providertest.Machine, want string) error {
	if got := m.Secrets(notes()); len(got) != 1 || got["notes"].Reveal() != want {
		return errors.New("the password did not arrive")
	}
	return nil
}

// nobodyConfigured is a plan check that the plan has configured no machine.
type nobodyConfigured struct{ machines providertest.Machines }

// CheckPlan implements [plancheck.PlanCheck].
func (n nobodyConfigured) CheckPlan(_ context.Context, _ plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	for name, m := range n.machines {
		if got, ok := m.Enlisted("notes"); ok {
			resp.Error = fmt.Errorf("the plan has sent %s %v", name, got)
		}
	}
}

func TestServersAndMachinesAreGivenAsTheyAre(t *testing.T) {
	machines := cluster()
	run(t, machines,
		testresource.TestStep{ // all of it in one apply: no key is known at first
			Config: stack(),
			ConfigPlanChecks: testresource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{
					plancheck.ExpectUnknownValue(address, at("machine").AtMapKey("key")),
					plancheck.ExpectKnownValue(address, memberAddress("web1"), knownvalue.StringExact("10.0.0.1")),
				},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			ConfigStateChecks: []statecheck.StateCheck{expect(at("roles"), roles("primary", "replica"))},
			Check: func(*terraform.State) error {
				membership, _ := machines["lb1"].Enlisted("notes")
				for name, peer := range membership.Peers {
					if info, _ := machines[name].Info(t.Context()); peer.Key != info.Key || peer.Incarnation != 1 {
						t.Errorf("lb1 knows %s as %+v", name, peer)
					}
				}
				return nil
			},
		},
		testresource.TestStep{Config: stack(`"10.0.0.2"`, `"10.0.0.2:9443"`), ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
			plancheck.ExpectResourceAction(address, plancheck.ResourceActionNoop),
		}}},
		testresource.TestStep{
			PreConfig: func() { machines["web2"].Rebuild(2) },
			Config:    stack(`web2 = 1`, `web2 = 2`),
			ConfigPlanChecks: updated(
				plancheck.ExpectKnownValue(address, at("machine").AtMapKey("incarnation"), knownvalue.Int64Exact(1)),
			),
			ConfigStateChecks: []statecheck.StateCheck{expect(at("generation"), knownvalue.Int64Exact(2))},
			Check: func(*terraform.State) error {
				for name, m := range machines {
					if membership, _ := m.Enlisted("notes"); membership.Peers["web2"].Incarnation != 2 {
						t.Errorf("%s knows web2 as %+v", name, membership.Peers["web2"])
					}
				}
				return nil
			},
		},
		testresource.TestStep{ // of a rebuilt primary nothing is known: whether that may be is the agent's to decide
			PreConfig:         func() { machines["web1"].Rebuild(2) },
			Config:            stack(`web2 = 1`, `web2 = 2`, `web1 = 1`, `web1 = 2`),
			ConfigPlanChecks:  updated(),
			ConfigStateChecks: []statecheck.StateCheck{expect(at("generation"), knownvalue.Int64Exact(1))},
		},
	)
}

func TestImportedReplicationIsNoChange(t *testing.T) {
	machines := cluster()
	spec := api.DefaultDBReplication()
	spec.Primary = "web1"
	spec.Members["web1"] = api.DBMember{DBPeer: api.DBPeer{Address: "10.0.0.1:9443"}, Server: "notes", ServerID: 11, Host: "10.0.0.1", Port: 3306}
	spec.Members["web2"] = api.DBMember{DBPeer: api.DBPeer{Address: "10.0.0.2:9443"}, Server: "notes", ServerID: 12, Host: "10.0.0.2", Port: 3306}
	spec.Witnesses["lb1"] = api.DBPeer{Address: "10.0.0.10:9443"}
	spec.Databases["notes"] = api.DBDatabase{Charset: "utf8mb4"}
	spec.Users["notes"] = api.DBUser{PasswordVersion: 1, Grants: map[string][]string{"notes": {"INSERT", "SELECT"}}, RequireTLS: true}
	spec.SecretsVersion = spec.PasswordsVersion()
	machines["web1"].Put(notes(), spec)
	adopt := "import {\n  to = foobar_db_replication.notes\n  id = \"web1@10.0.0.1/notes\"\n}\n"
	run(t, machines,
		testresource.TestStep{Config: adopt + configuration()},
		testresource.TestStep{Config: configuration(), ConfigPlanChecks: emptyPlan()},
	)
	if got := machines["web1"].Applied(); got != 0 {
		t.Errorf("an import has written %d times", got)
	}
}

func TestDriftShowsOnItsMemberAndIsRepaired(t *testing.T) {
	machines := cluster()
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{ // somebody stopped the replica
			PreConfig: func() {
				machines["web1"].Change(t, notes(), func(c *api.Component) {
					c.Drift = map[string]api.Drift{"web2/ApplierStopped": {Detail: "the applier does not run", Pointers: []api.Pointer{"/members/web2"}}}
				})
			},
			RefreshState: true, ExpectNonEmptyPlan: true,
			Check: testresource.TestCheckResourceAttr(address, "drift.web2/ApplierStopped.attributes.0", `members["web2"]`),
			RefreshPlanChecks: testresource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectUnknownValue(address, at("roles")),
			}},
		},
		testresource.TestStep{
			Config:            configuration(),
			ConfigPlanChecks:  updated(),
			ConfigStateChecks: []statecheck.StateCheck{expect(at("drift"), knownvalue.MapSizeExact(0))},
		},
		testresource.TestStep{ // what moves by itself is no change, and no plan
			PreConfig: func() { machines["web1"].Shows(notes(), status("web2", 2)) },
			Config:    configuration(), ConfigPlanChecks: emptyPlan(),
		},
		testresource.TestStep{
			RefreshState: true,
			Check: testresource.ComposeTestCheckFunc(
				testresource.TestCheckResourceAttr(address, "current_primary", "web2"), testresource.TestCheckResourceAttr(address, "epoch", "2"),
				testresource.TestCheckResourceAttr(address, "roles.web2", "primary"),
			),
		},
	)
}

func TestPasswordsAreNotInTheState(t *testing.T) {
	machines := cluster()
	run(t, machines, testresource.TestStep{
		Config: configuration(),
		Check: func(state *terraform.State) error {
			if bytes.Contains(api.Encode(state), []byte("hunter2")) {
				t.Error("the password is in the state")
			}
			return nil
		},
	})
}

func TestDataSourceShowsWhatMoves(t *testing.T) {
	machines := cluster()
	web1 := machines["web1"]
	const view = "data.foobar_db_replication.notes"
	looking := configuration() + `
data "foobar_db_replication" "notes" {
  machine = { name = "web1", address = "10.0.0.1:9443" }
  name    = foobar_db_replication.notes.name
}
`
	shown := func(at tfjsonpath.Path, want knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue(view, at, want)
	}
	member := func(name, attribute string) tfjsonpath.Path {
		return at("members").AtMapKey(name).AtMapKey(attribute)
	}
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{
			PreConfig: func() {
				web1.Change(t, notes(), func(c *api.Component) {
					c.Conditions = []api.Condition{{Type: "LagExceeded", Severity: api.SeverityInfo, Message: "late", Pointer: "/members/web2"}}
				})
			},
			Config: looking,
			ConfigStateChecks: []statecheck.StateCheck{
				shown(at("reachable"), knownvalue.Bool(true)),
				shown(at("current_primary"), knownvalue.StringExact("web1")),
				shown(at("epoch"), knownvalue.Int64Exact(1)),
				shown(at("writable"), knownvalue.Bool(true)),
				shown(member("web1", "state"), knownvalue.StringExact("open")),
				shown(member("web1", "position"), knownvalue.StringExact("0-11-4")),
				shown(member("web1", "lag_milliseconds"), knownvalue.Null()),
				shown(member("web2", "source"), knownvalue.StringExact("web1")),
				shown(member("web2", "lag_milliseconds"), knownvalue.Int64Exact(7)),
				shown(at("witnesses").AtMapKey("lb1").AtMapKey("reason"), knownvalue.StringExact("no answer")),
				shown(at("conditions").AtSliceIndex(0).AtMapKey("attribute"), knownvalue.StringExact(`members["web2"]`)),
			},
		},
		testresource.TestStep{
			PreConfig: func() {
				web1.Fail(&client.Unreachable{Machine: "web1", Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded})
			},
			Config: looking,
			ConfigStateChecks: []statecheck.StateCheck{
				shown(at("reachable"), knownvalue.Bool(false)),
				shown(at("members"), knownvalue.Null()),
			},
		},
		testresource.TestStep{
			PreConfig: func() { web1.Fail(nil); web1.Shows(notes(), nil) },
			Config:    looking,
			ConfigStateChecks: []statecheck.StateCheck{
				shown(at("reachable"), knownvalue.Bool(true)),
				shown(at("generation"), knownvalue.Int64Exact(1)),
				shown(at("members"), knownvalue.Null()),
			},
		},
		testresource.TestStep{PreConfig: func() { web1.Fail(nil) }, Config: configuration()},
	)
}
