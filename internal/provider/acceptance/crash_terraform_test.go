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

func each(n int) map[string]int { return map[string]int{"lb1": n, "web1": n, "web2": n} }

func TestKilledTerraformLeavesWorkThatTheNextApplyFinishes(t *testing.T) {
	s := newStack(t)
	for _, c := range []struct {
		moment
		orphan bool
		edits  []string
	}{
		{moment{"a machine is enrolled", "web1", "[ -e /var/lib/foobar/identity/identity.json ]"}, false, nil},
		{moment{"an app is started", "web2", reached(1, "activate")}, true, nil},
		{moment{"a load balancer is put in place", "lb1", reached(1, "stage")}, false, nil},
		{moment{"an app is changed", "web1", reached(2, "stage")}, false, other()},
	} {
		t.Log(c.name)
		s.edit(c.edits...)
		a := s.begin()
		s.await(c.moment)
		if !a.kill(c.orphan) {
			t.Errorf("%s: Terraform was not killed in the middle", c.name)
		}
	}
	s.apply()
	s.settled()
	s.once(each(2))
}
