package component_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// resources are one of each kind, with what a rename of it edits.
func resources(t *testing.T) map[string]string {
	return map[string]string{
		"foobar_load_balancer": balancer("www", "www", "80"),
		"foobar_app_server": `
resource "foobar_app_server" "www" {
  machine = { name = "web1", address = "10.0.0.1" }
  name    = "www"
  port    = 80
  release = { source = "` + archive(t) + `" }
  command = ["./run"]
}
`,
		"foobar_db_server": `
resource "foobar_db_server" "www" {
  machine          = { name = "web1", address = "10.0.0.1" }
  name             = "www"
  engine           = "mariadb"
  listen_addresses = ["10.0.0.1"]
}
`,
		"foobar_db_replication": `
resource "foobar_db_server" "db" {
  machine          = { name = "web1", address = "10.0.0.1" }
  name             = "db"
  engine           = "mariadb"
  listen_addresses = ["10.0.0.1"]
}

resource "foobar_db_replication" "www" {
  name      = "www"
  primary   = "web1"
  members   = { web1 = { server = foobar_db_server.db } }
  databases = { notes = {} }
}
`,
	}
}

// TestTheCostOfEachKind: what a plan says of a destroy, a -replace, another
// name, and another label without a moved block.
func TestTheCostOfEachKind(t *testing.T) {
	for kind, configuration := range resources(t) {
		t.Run(kind, func(t *testing.T) {
			machines := providertest.New("lb1", "web1")
			s := newState(t, machines, configuration)
			s.does(apply)
			component := strings.ReplaceAll(strings.TrimPrefix(kind, "foobar_"), "_", "-") + "/www on machine"
			s.does("plan -destroy", "Warning: Destroys a", component)
			s.does("plan -replace="+kind+".www", "will be replaced, as requested", `impact = "none" -> "start"`)
			s.does(apply+" -replace="+kind+".www", "1 added, 0 changed, 1 destroyed")
			s.silent(s.does("plan", nothing), "another")

			s.write(strings.Replace(configuration, `"`+kind+`" "www"`, `"`+kind+`" "site"`, 1))
			s.does("plan", "Destroyed by one resource, created by another", component, "moved { from")

			renamed := strings.NewReplacer(`= "www"`, `= "other"`).Replace(configuration)
			s.write(renamed)
			if kind == "foobar_db_replication" { // it holds no port
				s.does("plan", "Warning: Replaces a", `impact = "none" -> "start"`)
				s.does(apply, "1 added, 0 changed, 1 destroyed")
				s.does("plan", nothing)
				return
			}
			s.fails("plan", "The port is taken", strings.TrimSuffix(component, " on machine"), "this plan destroys it", "Take two steps")
			s.write("")
			s.does(apply) // one step
			s.write(renamed)
			s.does(apply) // the other
			s.does("plan", nothing)
		})
	}
}

func TestAnotherMachineIsAReplacement(t *testing.T) {
	machines := providertest.New("lb1", "lb2")
	s := newState(t, machines, balancer("www", "www", "80"))
	s.does(apply)
	s.write(strings.Replace(balancer("www", "www", "80"), `"lb1"`, `"lb2"`, 1))
	s.does("plan", "Warning: Replaces a", `impact = "none" -> "start"`, `"lb1"`, "Nothing answers at tcp *:80")
	s.does(apply, "1 added, 0 changed, 1 destroyed")
	s.does("plan", nothing)
}

// TestARenameOfEachModule: the modules of the examples, under another name of
// what they make, and under another name of the module itself.
func TestARenameOfEachModule(t *testing.T) {
	for module, variables := range map[string]string{
		"web-pair": `
  load_balancer = { machine = { name = "lb1", address = "10.0.0.10" }, address = "10.0.0.10" }
  app_servers   = { for name, address in { web1 = "10.0.0.1", web2 = "10.0.0.2" } : name => { machine = { name = name, address = address }, address = address } }
  release       = "` + archive(t) + `"
  command       = ["./run"]
`,
		"db-pair": `
  primary          = "web1"
  members          = { for name, address in { web1 = "10.0.0.1", web2 = "10.0.0.2" } : name => { machine = { name = name, address = address }, address = address } }
  database         = "notes"
  user             = "notes"
  password         = "secret-of-the-test"
`,
	} {
		t.Run(module, func(t *testing.T) {
			machines := providertest.New("lb1", "web1", "web2")
			if module == "db-pair" {
				variables += "  engine = \"mariadb\"\n"
			}
			source, err := filepath.Abs("../../../examples/modules/" + module)
			if err != nil {
				t.Fatal(err)
			}
			called := func(label, name string) string {
				return "module \"" + label + "\" {\n  source = \"./made\"\n  name = \"" + name + "\"\n" + variables + "}\n"
			}
			s := newState(t, machines, called("site", "notes"))
			if err := os.CopyFS(filepath.Join(s.directory, "made"), os.DirFS(source)); err != nil {
				t.Fatal(err)
			}
			s.does("get")
			s.does(apply)
			s.does("plan", nothing)

			s.write(called("site", "other"))
			s.fails("plan", "The port is taken", "this plan destroys it", "Take two steps")

			s.write(called("web", "notes"))
			s.does("get")
			s.does("plan", "Destroyed by one resource, created by another", "moved { from")
			s.write(called("web", "notes") + "moved {\n  from = module.site\n  to = module.web\n}\n")
			s.does(apply, "0 added, 0 changed, 0 destroyed")
			s.does("plan -destroy", "Warning: Destroys a")
			for _, name := range []string{"lb1", "web1"} {
				if machines[name].Applied() == 0 && module == "web-pair" {
					t.Errorf("nothing was applied on %s", name)
				}
			}
		})
	}
}

// TestWhatChangesBetweenPlanAndApplyIsSaidAsItIs: Terraform takes a computed
// value that differs between the two plans of an apply for a bug of the provider.
func TestWhatChangesBetweenPlanAndApplyIsSaidAsItIs(t *testing.T) {
	silent := &client.Unreachable{Machine: "lb1", Address: "10.0.0.10:9443", Err: os.ErrDeadlineExceeded}
	for name, c := range map[string]struct {
		meanwhile func(*testing.T, *providertest.Machine)
		want      string
	}{
		"another write": {func(t *testing.T, m *providertest.Machine) {
			m.Change(t, www(), func(c *api.Component) { c.Generation++ })
		}, "Somebody else changed it"},
		"another owner": {func(t *testing.T, m *providertest.Machine) {
			m.Change(t, www(), func(c *api.Component) { c.Ownership = api.Ownership{Owner: "b", Actor: "ci"} })
		}, "belongs to another"},
		"a silent machine": {func(_ *testing.T, m *providertest.Machine) { m.Fail(silent) }, `Machine "lb1" is unreachable`},
		"another impact":   {func(_ *testing.T, m *providertest.Machine) { m.Impact(api.ImpactRestart) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			machines := providertest.New("lb1")
			s := newState(t, machines, balancer("www", "www", "80"))
			s.does(apply)
			s.write(balancer("www", "www", "81"))
			s.does("plan -out=saved", `impact = "none" -> "reload"`)
			c.meanwhile(t, machines["lb1"])
			if c.want == "" {
				s.does("apply saved")
				return
			}
			s.silent(s.fails("apply saved", c.want), "inconsistent")
		})
	}
}

// TestAPlanThatDoesNotRefreshIsTakenForThatOfAnApply, as OpenTofu says nowhere
// which one it is: the machine's silence is an error there, and no open value.
func TestAPlanThatDoesNotRefreshIsTakenForThatOfAnApply(t *testing.T) {
	machines := providertest.New("lb1")
	s := newState(t, machines, balancer("www", "www", "80"))
	s.does(apply)
	s.write(balancer("www", "www", "81"))
	machines["lb1"].Fail(&client.Unreachable{Machine: "lb1", Address: "10.0.0.10:9443", Err: os.ErrDeadlineExceeded})
	s.fails("plan -refresh=false", `Machine "lb1" is unreachable`)
	s.does("plan", `Machine "lb1" is unreachable`, "1 to change")
}

// TestADestroyOnAMachineThatIsGivenUp says that it may end in forgetting.
func TestADestroyOnAMachineThatIsGivenUp(t *testing.T) {
	machines := providertest.New("lb1")
	s := newState(t, machines, balancer("www", "www", "80"))
	s.does(apply)
	s.write("")
	machines["lb1"].Fail(&client.Unreachable{Machine: "lb1", Address: "10.0.0.10:9443", Err: os.ErrDeadlineExceeded})
	s.silent(s.does("plan", "Nothing can be changed on the machine"), "forgotten")
	machines["lb1"].GiveUp()
	s.silent(s.does("plan", `The provider lists "lb1" in forget_unreachable: a destroy goes on without the machine`,
		"That is so if the machine answers. If it does not, the resource is forgotten", "keeps running"), "Nothing can be changed")
	s.does(apply, "Forgotten, not removed", "1 destroyed")
}

// TestASavedPlanThatCreatesTakesNothingOver: what the plan did not show, whether
// or not the machine still knows what that was.
func TestASavedPlanThatCreatesTakesNothingOver(t *testing.T) {
	const machine = `
resource "foobar_machine" "other" {
  name    = "web1"
  address = "10.0.0.1"
}
`
	for name, c := range map[string]struct {
		also      string // of the configuration
		meanwhile func(*providertest.Machine)
		want      string
	}{
		"known":                             {"", func(*providertest.Machine) {}, "Another state was faster"},
		"known, and the machine is written": {machine, func(*providertest.Machine) {}, "Another state was faster"},
		"not known":                         {"", (*providertest.Machine).ForgetAnswers, "The plan did not show a takeover"},
	} {
		t.Run(name, func(t *testing.T) {
			machines := providertest.New("lb1", "web1")
			a, b := newState(t, machines, balancer("www", "www", "80")), newState(t, machines, c.also+balancer("www", "www", "80"))
			b.does("plan -out=saved", "will be created")
			a.does(apply)
			owner := machines["lb1"].Owner(www())
			c.meanwhile(machines["lb1"])
			b.silent(b.fails("apply saved", c.want, "terraform at 2026-01-02"), "inconsistent")
			if got := machines["lb1"].Owner(www()); got != owner {
				t.Errorf("the owner is %q, and was %q", got, owner)
			}
			b.does(apply, "The create takes a component over")
		})
	}
}

// TestAMachineThatIsStillToBeCreatedIsAsked, if it answers already.
func TestAMachineThatIsStillToBeCreatedIsAsked(t *testing.T) {
	const vm = `
resource "foobar_machine" "vm" {
  name    = "lb1"
  address = "10.0.0.10"
}
`
	on := func(label, name, port string) string {
		return strings.Replace(balancer(label, name, port), `{ name = "lb1", address = "10.0.0.10" }`, "foobar_machine.vm", 1)
	}
	machines := providertest.New("lb1")
	a := newState(t, machines, vm+on("www", "www", "80"))
	a.does(apply)
	lost := newState(t, machines, vm+on("www", "www", "80"))
	lost.does("plan", "The create takes a component over", "2 to add")
	lost.write(vm + on("www", "www", "8080"))
	lost.fails("plan", "terraform import foobar_load_balancer")
	lost.write(vm + on("other", "other", "80"))
	lost.fails("plan", "The port is taken", "load-balancer/www")
	machines["lb1"].Rebuild(1) // not enrolled yet
	lost.does("plan", "2 to add")
	machines["lb1"].Fail(&client.Unreachable{Machine: "lb1", Address: "10.0.0.10:9443", Err: os.ErrDeadlineExceeded})
	lost.silent(lost.does("plan", "2 to add"), "unreachable")
}
