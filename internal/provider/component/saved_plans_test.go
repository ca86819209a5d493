package component_test

import (
	"os"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// A saved plan was read and approved: its apply warns of nothing that the plan
// has not shown, whichever half of a replacement comes first.
func TestApplyOfASavedPlanWarnsOfNothingNew(t *testing.T) {
	for name, more := range map[string]string{
		"create before destroy": "lifecycle {\n  create_before_destroy = true\n}",
		"destroy before create": "",
	} {
		t.Run(name, func(t *testing.T) {
			machines := providertest.New("lb1")
			s := newState(t, machines, balancer("www", "www", "80", more))
			s.does(apply)
			s.silent(s.does("plan -out=saved -replace=foobar_load_balancer.www", "will be replaced, as requested"), "Warning")
			s.silent(s.does("apply saved", "1 added, 0 changed, 1 destroyed"), "Warning")
			s.silent(s.does("plan", nothing), "Warning")
		})
	}
}

// All plans of a create are one to the machine: the one that showed the takeover may
// not be the one that is applied. So the apply says it, too.
func TestAnApplySaysWhatItTakesOver(t *testing.T) {
	machines := providertest.New("lb1")
	other, s := newState(t, machines, balancer("www", "www", "80", "")), newState(t, machines, balancer("www", "www", "80", ""))
	s.silent(s.does("plan -out=first"), "Warning")
	other.does(apply)
	s.does("plan -out=second", "Warning: The create takes a component over")
	s.does("apply first", "Warning: The create takes a component over", "load-balancer/www on machine \"lb1\"", "belongs to another resource since", "1 added")
}

// What a plan has said of the steps and costs of an apply is no news once they
// are behind it. What it could not say, the apply says.
func TestAnApplyDoesNotRepeatWhatItsPlanForetold(t *testing.T) {
	server := func(port string) string {
		return `
resource "foobar_db_server" "db" {
  machine          = { name = "web1", address = "10.0.0.1" }
  name             = "db"
  engine           = "mariadb"
  port             = ` + port + `
  listen_addresses = ["10.0.0.1"]
}
`
	}
	machines := providertest.New("web1")
	step := api.Condition{Type: "ReplicationStep", Severity: api.SeverityWarning, Message: "An apply will: web1: be seeded."}
	s := newState(t, machines, server("3306"))
	s.does(apply)
	machines["web1"].Foresees(step)
	s.write(server("3307"))
	s.does("plan -out=saved", "Warning: Restart on machine web1", "Warning: ReplicationStep on machine web1")
	s.silent(s.does("apply saved", "0 added, 1 changed, 0 destroyed"), "Warning")

	s.write(server("3308"))
	machines["web1"].Fail(&client.Unreachable{Machine: "web1", Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded})
	s.silent(s.does("plan -out=saved", "Warning: Restart on machine web1"), "ReplicationStep")
	machines["web1"].Fail(nil)
	s.does("apply saved", "0 added, 1 changed, 0 destroyed", "Warning: ReplicationStep on machine web1")
}

// What an apply has cost is said at its end, at the attribute to change, and once.
func TestAnApplyEndsWithTheWarningsOfItsOperation(t *testing.T) {
	machines := providertest.New("lb1")
	s := newState(t, machines, balancer("www", "www", "80", ""))
	machines["lb1"].Warns(api.Condition{Type: "RequestsCut", Severity: api.SeverityWarning, Pointer: "/engine", Message: "3 requests were cut"})
	s.does(apply, "Warning: RequestsCut on machine lb1", "with foobar_load_balancer.www", "3 requests were cut.")
	s.silent(s.does("plan", nothing), "Warning")
}
