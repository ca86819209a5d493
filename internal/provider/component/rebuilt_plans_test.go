package component_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// onMachine returns a machine of an incarnation with a load balancer on it.
func onMachine(incarnation string) string {
	return `
resource "foobar_machine" "lb1" {
  name        = "lb1"
  address     = "10.0.0.10"
  incarnation = ` + incarnation + `
}
` + strings.Replace(balancer("www", "www", "80"), `{ name = "lb1", address = "10.0.0.10" }`, "foobar_machine.lb1", 1)
}

// A rebuilt VM is an error once, on the number to raise, and none of its
// resources warns about it once that is raised.
func TestRebuiltMachineIsReportedOnceAndNotAfterTheRaise(t *testing.T) {
	machines := providertest.New("lb1")
	s := newState(t, machines, onMachine("1"))
	s.does(apply)
	machines["lb1"].Rebuild(2)

	const what = "is not enrolled any more"
	said := s.fails("plan", `Machine "lb1" `+what, "incarnation = 1", "to 2", "if the configuration has one")
	if n := strings.Count(said, what); n != 1 {
		t.Errorf("it is said %d times, want once: %s", n, said)
	}
	s.silent(said, "Warning", "lost its identity")
	s.does("plan -refresh-only", "Warning", what)

	s.write(onMachine("2"))
	s.silent(s.does(apply, "Apply complete!"), "Warning", what)
	s.silent(s.does("plan", nothing), "Warning")
}

// database returns machines with a database server on each, and a replication of them.
func database(incarnations map[string]string, databases string) string {
	text, members := "", ""
	for _, name := range slices.Sorted(maps.Keys(incarnations)) {
		address := map[string]string{"web1": "10.0.0.1", "web2": "10.0.0.2"}[name]
		text += strings.NewReplacer("NAME", name, "ADDRESS", address, "INCARNATION", incarnations[name]).Replace(`
resource "foobar_machine" "NAME" {
  name        = "NAME"
  address     = "ADDRESS"
  incarnation = INCARNATION
}

resource "foobar_db_server" "NAME" {
  machine         = foobar_machine.NAME
  name            = "notes"
  engine          = "mariadb"
  allowed_clients = ["10.0.0.1", "10.0.0.2"]
}
`)
		members += name + " = { server = foobar_db_server." + name + " }\n"
	}
	if strings.Contains(text, "terraform_data.new") { // what is known after the apply
		text += "resource \"terraform_data\" \"new\" {\n  input = 2\n}\n"
	}
	return text + `
resource "foobar_db_replication" "notes" {
  name      = "notes"
  primary   = "web1"
  members   = { ` + members + ` }
  databases = { ` + databases + ` }
}
`
}

// The data of a rebuilt machine are gone with the former VM: the plan says so,
// and names the databases that no other member has.
func TestAPlanWarnsOfDataThatARebuiltMachineLost(t *testing.T) {
	const (
		server  = `the database server "notes" starts with an empty data directory`
		every   = `Every member of the replication "notes" is another VM now`
		summary = "starts without its data"
	)
	for name, test := range map[string]struct {
		before, after map[string]string
		says, silent  []string
	}{
		"the sole primary":               {map[string]string{"web1": "1"}, map[string]string{"web1": "2"}, []string{`db-server/notes on machine "web1" starts without its data`, `db-replication/notes on machine "web1" starts without its data`, server, every, `"web1"`, `Its databases ("notes", "shop")`}, nil},
		"one that the apply makes known": {map[string]string{"web1": "1"}, map[string]string{"web1": "terraform_data.new.output"}, []string{server, every}, nil},
		"every member":                   {map[string]string{"web1": "1", "web2": "1"}, map[string]string{"web1": "2", "web2": "2"}, []string{`db-server/notes on machine "web1" starts without`, `db-server/notes on machine "web2" starts without`, every, `"web1", "web2"`}, nil},
		"a replica":                      {map[string]string{"web1": "1", "web2": "1"}, map[string]string{"web1": "1", "web2": "2"}, []string{server, "A replica of a replication gets a copy of the primary's data"}, []string{every, "PrimaryLost"}},
		"nothing":                        {map[string]string{"web1": "1"}, map[string]string{"web1": "1"}, []string{nothing}, []string{summary}},
		"the primary, and not a replica": {map[string]string{"web1": "1", "web2": "1"}, map[string]string{"web1": "2", "web2": "1"}, []string{server, `"web2" may still have them`, "PrimaryLost", "the apply refuses"}, []string{every}},
	} {
		t.Run(name, func(t *testing.T) {
			machines := providertest.New("web1", "web2")
			s := newState(t, machines, database(test.before, "notes = {}, shop = {}"))
			s.does(apply)
			for machine, incarnation := range test.after {
				if incarnation != test.before[machine] {
					machines[machine].Rebuild(2)
				}
			}
			s.write(database(test.after, "notes = {}, shop = {}"))
			s.silent(s.does("plan", test.says...), test.silent...)
		})
	}
}

// The apply refuses a primary without its data, and the next plan says why again.
func TestEachPlanSaysThatThePrimaryLostItsData(t *testing.T) {
	both, databases := map[string]string{"web1": "1", "web2": "1"}, "shop = {}"
	machines := providertest.New("web1", "web2")
	s := newState(t, machines, database(both, databases))
	s.does(apply)
	machines["web1"].Rebuild(2)
	machines["web1"].Refuse(func(id api.ID, _ api.Write) error {
		if id.Kind == api.KindDBReplication {
			return &api.Problem{Type: api.ProblemEngineRefused, Title: "The primary has lost its data"}
		}
		return nil
	})
	s.write(database(map[string]string{"web1": "2", "web2": "1"}, databases))
	s.fails(apply, "The primary has lost its data")
	for range 2 {
		s.does("plan", "PrimaryLost", `"web2" may still have them`)
	}
}
