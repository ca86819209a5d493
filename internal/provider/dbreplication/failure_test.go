package dbreplication_test

import (
	"os"
	"regexp"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

func TestUnreachableMachines(t *testing.T) {
	machines := cluster()
	dead := func(name string) error {
		return &client.Unreachable{Machine: name, Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded}
	}
	changed := configuration(`"utf8mb4"`, `"latin1"`)
	run(t, machines,
		testresource.TestStep{Config: configuration()},
		testresource.TestStep{ // the coordinator
			PreConfig: func() { machines["web1"].Fail(dead("web1")) },
			Config:    configuration(), ConfigPlanChecks: emptyPlan(),
		},
		testresource.TestStep{Config: changed, ExpectError: regexp.MustCompile(loosely(`Machine "web1" is unreachable`))},
		testresource.TestStep{ // a member: what can be done without it is the coordinator's to say
			PreConfig: func() {
				machines["web1"].Fail(nil)
				machines["web2"].Fail(dead("web2"))
			},
			Config: changed, ConfigPlanChecks: updated(),
		},
		testresource.TestStep{ // a member that is another machine than the one that is meant
			PreConfig: func() {
				machines["web2"].Fail(&client.WrongMachine{Machine: "web2", Address: "10.0.0.2:9443", Detail: "it is web3"})
			},
			Config:      configuration(),
			ExpectError: regexp.MustCompile(`(?s)Another machine than "web2" answers.*members\["web2"\]`),
		},
		testresource.TestStep{
			PreConfig: func() { machines["web2"].Fail(nil) },
			Config:    changed, ConfigPlanChecks: emptyPlan(),
		},
	)
}

func TestFailedWriteLeavesWhatMovesOpen(t *testing.T) {
	machines := cluster()
	lost := &client.Unreachable{Machine: "web1", Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded, Sent: true}
	run(t, machines,
		testresource.TestStep{
			PreConfig: func() { machines["web1"].Refuse(func(api.ID, api.Write) error { return lost }) },
			Config:    configuration(), ExpectError: regexp.MustCompile(loosely(`Machine "web1" is unreachable`)),
		},
		testresource.TestStep{
			PreConfig: func() { machines["web1"].Refuse(nil) },
			Config:    configuration(),
			ConfigStateChecks: []statecheck.StateCheck{
				expect(at("roles"), roles("primary", "replica")),
			},
		},
	)
}
