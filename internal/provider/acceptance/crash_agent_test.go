//go:build lab

package acceptance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// strike starts an apply and kills a machine's agent at a moment; systemd
// starts it again. The apply has to go through, or say that it was broken off
// or, if it had not begun on that machine yet, that nobody answered there.
func (s *stack) strike(machine string, when moment) {
	s.t.Helper()
	a := s.begin(s.lab)
	a.await(when)
	s.lab.Exec(machine, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "foobar-agent.service")
	err := a.wait()
	a.await(holds(machine, "systemctl is-active --quiet foobar-agent.service"))
	if err == nil {
		s.t.Logf("the apply went through, though the agent of %s was killed", machine)
	} else if !strings.Contains(err.Error(), "stopped in the middle") && !strings.Contains(err.Error(), fmt.Sprintf("Machine %q is unreachable", machine)) {
		s.t.Errorf("the apply does not tell that the agent of %s stopped: %v", machine, err)
	}
}

func TestKilledAgentEndsTheApplyClearly(t *testing.T) {
	s := newStack(t)
	s.strike("web1", reaches("web1", 1, "activate"))
	if operation := s.operations("web1")[0]; operation.Runs < 2 {
		t.Errorf("the agent was not killed in the middle of its operation: %s", api.Encode(operation))
	}
	s.strike("lb1", reaches("lb1", 1, "stage"))
	s.apply()
	s.settled()

	s.edit(other()...)
	s.strike("web2", reaches("web2", 2, "activate"))
	s.apply()
	s.settled()
	s.runs()
	s.fullDisks()
	s.fullRuntime()
}
