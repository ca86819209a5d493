package component_test

import (
	"strings"
	"testing"

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
func TestRebuiltMachineIsToldOnceAndNotAfterTheRaise(t *testing.T) {
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
