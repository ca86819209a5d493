package dbreplication_test

import (
	"regexp"
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
)

func TestAnotherPrimaryIsRefused(t *testing.T) {
	machines := cluster()
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{
			Config: configuration(`primary = "web1"`, `primary = "web2"`), PlanOnly: true,
			ExpectError: regexp.MustCompile(`(?s)The primary cannot be changed.*` + loosely(`Found "web2", and the primary is "web1". Making another member the primary is a switchover`)),
		},
		testresource.TestStep{Config: configuration(), ConfigPlanChecks: emptyPlan()},
	)
}

func TestWrongValuesAreErrorsOnTheirAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		edits []string
		// at and want are what the error names and says.
		at, want string
	}{
		"unknown primary": {
			[]string{`primary = "web1"`, `primary = "web3"`}, `primary`, `"web3" is not a member; the members are: "web1", "web2"`,
		},
		"member of another name": {
			[]string{`web2 = {`, `web3 = {`}, `members["web3"].server.machine.name`, `the server is on the machine "web2"`,
		},
		"one machine twice": {
			[]string{`name = "web2"`, `name = "web1"`}, `members["web2"].server.machine.name`, `the server is on the machine "web1"; name the member like its machine`,
		},
		"one server id twice": {
			[]string{`server_id = 12`, `server_id = 11`}, `members["web2"].server.server_id`, `11 is the server id of "web1" too`,
		},
		"another engine": {
			[]string{`server_id = 12`, `server_id = 12`, `name = "notes", engine = "mariadb", server_id = 12`, `name = "notes", engine = "oracle", server_id = 12`},
			`members["web2"].server.engine`, `is "oracle", and that of the primary "web1" is "mariadb"`,
		},
		"no address": {
			[]string{`"10.0.0.2"`, `"web2.example"`}, `members["web2"].address`, `"web2.example" is not an IP address`,
		},
		"a name for an address": {
			[]string{`server_id = 12, port = 3306 }`, `server_id = 12, port = 3306 }, address = "web2"`}, `members["web2"].address`, `"web2" is not an IP address`,
		},
		"part of a second": {
			[]string{`server_id = 12, port = 3306 }`, `server_id = 12, port = 3306 }, delay = "1500ms"`}, `members["web2"].delay`, `not in whole seconds`,
		},
		"witness of another name": {
			[]string{`lb1 = {`, `lb2 = {`}, `witnesses["lb2"].name`, `the machine is "lb1"`,
		},
		"witness without a name": {
			[]string{`lb1 = { name = "lb1", `, `lb1 = { `}, `witnesses["lb1"].name`, `the machine has no name; give it one`,
		},
		"witness without an address": {
			[]string{`, address = "10.0.0.10"`, ``}, `witnesses["lb1"].address`, `is not the "host:port" of an agent`,
		},
		"witness that is a member": {
			[]string{`lb1 = { name = "lb1"`, `web2 = { name = "web2"`}, `witnesses["web2"].name`, `"web2" is a member, which votes already`,
		},
		"the server's own database": {
			[]string{`databases = { notes`, `databases = { mysql`}, `databases["mysql"]`, `is the server's own`,
		},
		"the server's own user": {
			[]string{`    notes = {`, `    root = {`}, `users["root"]`, `is the server's own`,
		},
		"no charset": {
			[]string{`"utf8mb4"`, `"utf8-mb4"`}, `databases["notes"].charset`, `"utf8-mb4" is not a word`,
		},
		"unknown privilege": {
			[]string{`"INSERT"`, `"SUPER"`}, `users["notes"].grants["notes"]`, `"SUPER" is no privilege on a database`,
		},
		"password without a version": {
			[]string{`password_wo_version = 1,`, ``}, `users["notes"].password_wo`, `the password has no version; set password_wo_version = 1`,
		},
		"version without a password": {
			[]string{`password_wo = "hunter2",`, ``}, `users["notes"].password_wo_version`, `the version has no password; set password_wo too`,
		},
		"neither": {
			[]string{`password_wo = "hunter2", password_wo_version = 1,`, ``}, `users["notes"]`, `has no password`,
		},
		"empty password": {
			[]string{`"hunter2"`, `""`}, `users["notes"].password_wo`, `the password is empty`,
		},
		"version of none": {
			[]string{`password_wo_version = 1`, `password_wo_version = 0`}, `users["notes"].password_wo_version`, `0 is not a version`,
		},
		"consent for the primary": {
			[]string{`primary = "web1"`, `primary = "web1"` + "\n" + `reseed = { node = "web1", token = "a" }`}, `reseed.node`, `"web1" is not a replica`,
		},
		"drop of what is to be": {
			[]string{`primary = "web1"`, `primary = "web1"` + "\n" + `drop = { databases = ["notes"], token = "a" }`}, `drop.databases`, `"notes" is still in databases`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, cluster(), testresource.TestStep{
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

// What can be known of a stack that is not there yet is checked at once, though
// no machine's key is known.
func TestWrongValuesAreFoundBeforeTheMachinesAreMet(t *testing.T) {
	for name, c := range map[string]struct {
		edits    []string
		at, want string
	}{
		"member of another name":   {[]string{`web2 = { server`, `web3 = { server`}, `members["web3"].server.machine.name`, `on the machine "web2"`},
		"witness that is a member": {[]string{`{ lb1 = foobar_machine.lb1 }`, `{ web2 = foobar_machine.web2 }`}, `witnesses["web2"].name`, `is a member`},
		"one server id twice":      {[]string{`"mariadb"`, `"mariadb"` + "\n  server_id = 11"}, `members["web2"].server.server_id`, `11 is the server id of "web1" too`},
		"unknown primary":          {[]string{`primary = "web1"`, `primary = "web3"`}, `primary`, `"web3" is not a member`},
		"no address":               {[]string{`web2 = "10.0.0.2"`, `web2 = "web2.example"`, `local.addresses.web2]`, `"10.0.0.2"]`}, `members["web2"].address`, `"web2.example" is not an IP address`},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, cluster(), testresource.TestStep{
				Config: stack(c.edits...), PlanOnly: true,
				ExpectError: regexp.MustCompile(`(?s)` + regexp.QuoteMeta(c.at) + `.*` + loosely(c.want)),
			})
		})
	}
}

func TestUnknownValuesPutOffOnlyWhatDependsOnThem(t *testing.T) {
	later := `resource "terraform_data" "later" { input = { primary = "web1", members = { web1 = SERVER1, web2 = SERVER2 } } }` + "\n"
	servers := configuration()
	server := func(name string) string {
		_, rest, _ := strings.Cut(servers, "    "+name+" = { server = ")
		text, _, _ := strings.Cut(rest, " }\n")
		return text
	}
	later = strings.NewReplacer("SERVER1", server("web1"), "SERVER2", server("web2")).Replace(later)
	for name, edits := range map[string][]string{
		"the primary": {`primary = "web1"`, `primary = terraform_data.later.output.primary`},
		"a member":    {server("web2"), `terraform_data.later.output.members.web2`},
		"the members": {"members = {\n", "members = { for name, server in terraform_data.later.output.members : name => { server = server } }\n  #", "    web1 = ", "#", "    web2 = ", "#",
			"  }\n  witnesses", "  witnesses"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, cluster(), testresource.TestStep{
				Config: later + configuration(edits...),
				ConfigPlanChecks: testresource.ConfigPlanChecks{
					PreApply:             []plancheck.PlanCheck{plancheck.ExpectUnknownValue(address, at("machine").AtMapKey("key"))},
					PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
				},
				ConfigStateChecks: []statecheck.StateCheck{expect(memberAddress("web2"), knownvalue.StringExact("10.0.0.2"))},
			})
		})
	}
}
