//go:build lab

package acceptance

import (
	"strings"
	"testing"
)

// killAgent ends a machine's agent at once; systemd starts it again.
func (s *stack) killAgent(machine string) {
	s.t.Helper()
	s.lab.Exec(machine, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "foobar-agent.service")
}

// endsClearly fails the test unless an apply during which an agent was killed
// has either gone through or says that it was broken off.
func (a *application) endsClearly() {
	a.t.Helper()
	if err := a.wait(); err != nil && !strings.Contains(err.Error(), "stopped in the middle") {
		a.t.Errorf("the apply does not tell that the agent stopped: %v", err)
	}
}

func TestKilledAgentEndsTheApplyClearly(t *testing.T) {
	s := newStack(t)
	for _, c := range []struct {
		moment
		edits []string
	}{
		{moment{"an app is started", "web1", reached(1, "activate")}, nil},
		{moment{"a load balancer is put in place", "lb1", reached(1, "stage")}, nil},
		{moment{"an app is changed", "web2", reached(2, "activate")}, other()},
	} {
		t.Log(c.name)
		s.edit(c.edits...)
		a := s.begin()
		s.await(c.moment)
		s.killAgent(c.machine)
		a.endsClearly()
	}
	s.apply()
	s.settled()
	s.runs()
}
