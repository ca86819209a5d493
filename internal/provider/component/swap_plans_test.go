package component_test

import (
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// TestANameThatAnotherResourceGivesUp: an import is no remedy there, as the
// component is this configuration's already.
func TestANameThatAnotherResourceGivesUp(t *testing.T) {
	before := balancer("blue", "blue", "80") + balancer("green", "green", "81")
	for name, after := range map[string]string{
		"swapped":     balancer("blue", "green", "80") + balancer("green", "blue", "81"),
		"shifted":     balancer("blue", "green", "80") + balancer("green", "red", "81"),
		"and removed": balancer("blue", "green", "80"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newState(t, providertest.New("lb1"), before)
			s.does(apply)
			s.write(after)
			s.fails("plan", "The name is still in use", "load-balancer/green on machine", "moved { from", "two steps")
			s.write("")
			s.does(apply) // one step
			s.write(after)
			s.does(apply)
			s.does("plan", nothing)
		})
	}
}

// TestAReplacementWithAnEdit: the resource itself is what is there.
func TestAReplacementWithAnEdit(t *testing.T) {
	s := newState(t, providertest.New("lb1"), balancer("www", "www", "80"))
	s.does(apply)
	s.write(balancer("www", "www", "81"))
	s.does("plan -replace=foobar_load_balancer.www", "will be replaced, as requested")
	s.does(apply+" -replace=foobar_load_balancer.www", "1 added, 0 changed, 1 destroyed")
	s.does("plan", nothing)
}

// TestARenameOfAMachinesLabel: what is on the machine refers to the resource.
func TestARenameOfAMachinesLabel(t *testing.T) {
	vm := func(label string) string {
		return "resource \"foobar_machine\" \"" + label + "\" {\n  name    = \"lb1\"\n  address = \"10.0.0.10\"\n}\n" +
			strings.Replace(balancer("www", "www", "80"), `{ name = "lb1", address = "10.0.0.10" }`, "foobar_machine."+label, 1)
	}
	s := newState(t, providertest.New("lb1"), vm("lb1"))
	s.does(apply)
	s.write(vm("front"))
	s.does("plan", "Destroyed by one resource, created by another", `Machine "lb1" is destroyed by one resource`, "moved { from")
	s.write(vm("front") + "moved {\n  from = foobar_machine.lb1\n  to   = foobar_machine.front\n}\n")
	s.silent(s.does(apply, "0 added, 0 changed, 0 destroyed"), "Warning")
	s.silent(s.does("plan", nothing), "Warning")
	s.silent(s.does("plan -destroy"), "created by another")
}
