//go:build lab

package acceptance

import "testing"

// other are edits of the example that change each machine once.
func other() []string {
	return []string{
		`environment = { NOTES_SERVER = name }`, `environment = { NOTES_SERVER = name, EDITED = "yes" }`,
		`max_connections = 5000`, `max_connections = 4000`,
	}
}

// each is the same number of changes on every machine.
func each(n int) map[string]int { return map[string]int{"lb1": n, "web1": n, "web2": n} }

// interrupt starts an apply and kills Terraform at a moment, with its provider
// or, if that is to be orphaned, without it.
func (s *stack) interrupt(when moment, orphan bool) {
	s.t.Helper()
	a := s.begin(s.lab)
	a.await(when)
	if !a.kill(orphan) {
		s.t.Errorf("Terraform was not killed in the middle: %v\n%s", a.wait(), a.said.String())
	}
}

// TestStoppedTerraformLeavesWorkThatTheNextApplyFinishes stops a first apply by
// Ctrl-C. Terraform takes what it did not see the end of for broken, and replaces
// it: the app servers before the old object goes, and there is one component only.
func TestStoppedTerraformLeavesWorkThatTheNextApplyFinishes(t *testing.T) {
	s := newStack(t)
	a := s.begin(s.lab)
	a.await(holds("web1", "[ -e /var/lib/foobar/components/app-server/notes ] || [ -e /etc/foobar/app-server/notes ]"))
	if err := a.stop(); err == nil {
		t.Error("Terraform was not stopped in the middle")
	}
	s.apply()
	s.settled()
}

func TestKilledTerraformLeavesWorkThatTheNextApplyFinishes(t *testing.T) {
	s := newStack(t)
	const withProvider, alone = false, true
	s.interrupt(holds("web1", "[ -e /var/lib/foobar/identity/identity.json ]"), withProvider)
	s.interrupt(reaches("web2", 1, "activate"), alone)
	s.interrupt(says("foobar_load_balancer.this: Creating..."), withProvider)
	s.apply()
	s.settled()
	s.once(each(1))

	s.edit(other()...)
	s.interrupt(reaches("web1", 2, "stage"), withProvider)
	s.apply()
	s.settled()
	s.once(each(2))
}
