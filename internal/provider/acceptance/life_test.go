//go:build lab

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

func TestStackIsRemovedWithoutATraceAndCanBeBuiltAgain(t *testing.T) {
	s := newStack(t)
	marks := s.marks()
	s.apply()
	s.settled()
	keys := s.keys()
	for range 2 {
		s.destroy()
		s.left(marks)
		s.apply()
		s.settled()
		if now := s.keys(); !reflect.DeepEqual(now, keys) {
			t.Errorf("the machines' keys were %v and are %v", keys, now)
		}
	}
}

func TestMachinesComeBackByThemselves(t *testing.T) {
	s := newStack(t)
	s.apply()
	for what, power := range map[string]func(...string){"reboot": s.lab.Reboot, "power loss": s.lab.Kill} {
		for _, machine := range []string{"lb1", "web1", "web2"} {
			t.Log(what, "of", machine)
			power(machine)
			s.serves()
			s.runs()
			s.plan().empty()
		}
	}
}

func TestRebuiltMachineIsRestoredByOneApply(t *testing.T) {
	s := newStack(t)
	s.apply()
	for machine, component := range map[string]string{"web2": web2, "lb1": lb1} {
		s.lab.Reset(machine)
		s.met()
		s.plan().updates(fmt.Sprintf("foobar_bootstrap.vm[%q]", machine), fmt.Sprintf("foobar_machine.vm[%q]", machine), component)
		s.apply()
		s.settled()
	}
}

func TestMachineEditsReplaceNothing(t *testing.T) {
	s := newStack(t)
	s.apply()
	const address = `address     = each.value`
	for _, edited := range []string{
		`address     = "${each.value}:9443"`,
		address + "\n  timeouts = { create = \"10m\", update = \"90s\" }",
	} {
		s.edit(address, edited)
		for _, change := range s.plan().ResourceChanges {
			if actions := change.Change.Actions; actions.Replace() || actions.Delete() || actions.Create() {
				t.Errorf("%s: the plan does %v to %s", edited, actions, change.Address)
			}
		}
		s.apply()
		s.settled()
	}
	s.edit(`name = "notes"`, `name = "other"`)
	if why := s.refused("plan"); !strings.Contains(why, "The port is taken") || !strings.Contains(why, "Take two steps") {
		t.Errorf("another name of the module is refused with: %s", why)
	}
	s.serves()
}

func TestImportOfEverythingIntoAnEmptyState(t *testing.T) {
	s := newStack(t)
	s.apply()
	built := s.state()
	file := filepath.Join(s.directory, "terraform.tfstate")
	former, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.plan().warns("The create takes a component over", "/notes on machine \"", "exists already: it was last applied by", "belongs to another resource since")
	var imports strings.Builder
	add := func(to, id string) { fmt.Fprintf(&imports, "import {\n  to = %s\n  id = %q\n}\n", to, id) }
	for machine, address := range map[string]string{"lb1": "10.0.0.10", "web1": "10.0.0.1", "web2": "10.0.0.2"} {
		add(fmt.Sprintf("foobar_bootstrap.vm[%q]", machine), fmt.Sprintf("%s/%d", machine, s.lab.Incarnation(machine)))
		add(fmt.Sprintf("foobar_machine.vm[%q]", machine), machine+"@"+address)
	}
	add(lb1, "lb1@10.0.0.10/notes")
	add(web1, "web1@10.0.0.1/notes")
	add(web2, "web2@10.0.0.2/notes")
	s.write("imports.tf", imports.String())

	s.plan().empty()
	s.apply()
	imported := s.state()
	for address, want := range built {
		delete(want, "impact") // tells of a change that is not in the new state
		delete(imported[address], "impact")
		if !reflect.DeepEqual(imported[address], want) {
			t.Errorf("%s was imported as\n%v\nnot\n%v", address, imported[address], want)
		}
	}
	s.settled()
	s.leaves(former)
}

// leaves has a state that owned everything plan and destroy, and fails the test
// if that changes anything on the machines.
func (s *stack) leaves(former []byte) {
	s.t.Helper()
	file := filepath.Join(s.directory, "terraform.tfstate")
	current, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("terraform.tfstate", string(former))
	s.write("imports.tf", "")
	p := s.plan()
	p.empty()
	p.warns("The component belongs to another state", "/notes on machine \"", "was taken over by")
	if said := s.said("destroy", "-auto-approve"); !strings.Contains(said, "Forgotten, not removed") {
		s.t.Errorf("the former owner's destroy does not say what it leaves: %s", said)
	}
	s.write("terraform.tfstate", string(current))
	s.settled()
}

func TestWeightAndDrainReachTheEngineWithoutAReload(t *testing.T) {
	s := newStack(t)
	s.apply()
	worker := s.worker()
	const server = "address     = local.machines[name]\n"
	for _, c := range []struct{ name, line, weight string }{
		{"weight", `weight = name == "web1" ? 7 : null`, "7"},
		{"drain", `drain = name == "web1"`, "0"},
		{"neither", ``, "100"},
	} {
		s.edit(server, server+c.line+"\n")
		p := s.plan()
		p.updates(lb1)
		if got := p.planned(lb1, tfjsonpath.New("impact")); got != "runtime" {
			t.Errorf("%s: the impact is %v, not runtime", c.name, got)
		}
		s.apply()
		if now := s.worker(); now != worker {
			t.Errorf("%s: HAProxy's worker is %s now and was %s: it was reloaded", c.name, now, worker)
		}
		if got := s.weight("web1"); got != c.weight {
			t.Errorf("%s: the weight of web1 in force is %s, not %s", c.name, got, c.weight)
		}
		if c.name == "drain" && strings.Contains(fmt.Sprint(s.answers(4)), "web1") {
			t.Error("web1 answers, though it drains")
		}
		s.plan().empty()
	}
	s.serves()
}

func TestReleaseThatCrashesGivesWayToTheOneBefore(t *testing.T) {
	s := newStack(t)
	s.apply()
	s.edit(`"python3", "-m", "uvicorn", "main:app",`, `"python3", "-c", "raise SystemExit('no database today')", # `)
	if why := s.refused("apply", "-auto-approve"); !strings.Contains(why, "no database today") {
		t.Errorf("the error does not show the app's last words: %s", why)
	}
	s.serves()
	s.edit()
	s.apply()
	s.settled()
}

func TestBrokenAppLeavesItsNeighbourAlone(t *testing.T) {
	s := newStack(t)
	s.apply()
	s.write("neighbour.tf", `
resource "foobar_app_server" "neighbour" {
  machine = foobar_machine.vm["web1"]
  name    = "neighbour"
  release = { source = var.release }
  command = ["python3", "-c", "raise SystemExit('broken')"]
  port    = 8080
}
`)
	if why := s.refused("apply", "-auto-approve"); !strings.Contains(why, "broken") {
		t.Errorf("the error does not show the app's last words: %s", why)
	}
	s.serves()
}

func TestWhatOnlyTheMachineCanRefuseIsAnErrorAtPlan(t *testing.T) {
	s := newStack(t)
	s.apply()
	for name, c := range map[string]struct {
		port            int
		frontend, check string
		want            string
	}{
		"a custom log format":             {8080, `log_format = "%%{nonsense"`, `{}`, `frontends["http"].log_format`},
		"a check's regular expression":    {8080, ``, `{ body_pattern = "(" }`, `backends["web"].health_check.body_pattern`},
		"a port of another load balancer": {80, ``, `{}`, `frontends["http"].port`},
	} {
		s.write("other.tf", fmt.Sprintf(`
resource "foobar_load_balancer" "other" {
  machine = foobar_machine.vm["lb1"]
  name    = "other"
  frontends = {
    http = {
      port    = %d
      backend = "web"
      %s
    }
  }
  backends = {
    web = {
      health_check = %s
      servers      = { web1 = { address = "10.0.0.1", port = 80 } }
    }
  }
}
`, c.port, c.frontend, c.check))
		if why := s.refused("plan"); !strings.Contains(why, c.want) {
			t.Errorf("%s: the error does not name %s: %s", name, c.want, why)
		}
	}
	s.serves()
}
