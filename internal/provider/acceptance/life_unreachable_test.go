//go:build lab

package acceptance

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// forgets is the edit that has the provider give up a machine.
func forgets(machine string) []string {
	const block = "provider \"foobar\" {\n"
	return []string{block, block + fmt.Sprintf("  forget_unreachable = [%q]\n", machine)}
}

func TestUnreachableMachineWarnsAndKeepsItsState(t *testing.T) {
	s := newStack(t)
	s.apply()
	before := s.state()
	const warning = `Warning: Machine "web2" is unreachable`

	s.lab.Pause("web2") // it takes connections and says nothing
	if said := s.said("plan"); !strings.Contains(said, warning) || !strings.Contains(said, "No changes") {
		t.Errorf("the plan does not warn of web2, or is not empty: %s", said)
	}
	s.lab.Resume("web2")

	s.lab.Partition([]string{"web2"}, []string{"mgmt"})
	if said := s.said("plan"); !strings.Contains(said, warning) || !strings.Contains(said, "No changes") {
		t.Errorf("the plan does not warn of web2, or is not empty: %s", said)
	}
	s.edit(other()...)
	if why := s.refused("apply", "-auto-approve"); !strings.Contains(why, `Error: Machine "web2" is unreachable`) {
		t.Errorf("the error of the write does not name web2: %s", why)
	}
	const both, one = `["web1", "web2"]`, `["web1"]`
	s.edit(both, one)
	if why := s.refused("apply", "-auto-approve"); !strings.Contains(why, `forget_unreachable = ["web2"]`) {
		t.Errorf("the error of the destroy does not tell the way out: %s", why)
	}
	if after := s.state(); !reflect.DeepEqual(after[web2], before[web2]) || len(after) != len(before) {
		t.Errorf("the state of web2 was\n%v\nand is\n%v", before[web2], after[web2])
	}

	s.edit(append(forgets("web2"), both, one)...)
	s.apply()
	if names := s.answers(2); !slices.Equal(names, []string{"web1", "web1"}) {
		t.Errorf("after web2 was forgotten, requests are answered by %v", names)
	}
	s.destroy()
	if left := s.state(); len(left) > 0 {
		t.Errorf("this is left in the state: %v", left)
	}
	s.lab.Heal()
	s.edit()
	s.apply() // what still runs on web2 is adopted
	s.settled()
}

func TestAnotherMachineAtTheAddressIsRefused(t *testing.T) {
	s := newStack(t)
	s.apply()
	before := s.state()
	s.edit(`web1 = "10.0.0.1"`, `web1 = "10.0.0.2"`, `web2 = "10.0.0.2"`, `web2 = "10.0.0.1"`)
	why := s.refused("apply", "-auto-approve")
	for _, machine := range []string{"web1", "web2"} {
		if !strings.Contains(why, fmt.Sprintf("Another machine than %q answers", machine)) {
			t.Errorf("the error does not tell that another machine than %s answers: %s", machine, why)
		}
	}
	s.edit()
	s.settled()
	if after := s.state(); !reflect.DeepEqual(after, before) {
		t.Errorf("the state was\n%v\nand is\n%v", before, after)
	}
	for _, machine := range []string{"web1", "web2"} {
		if n := len(s.operations(machine)); n != 1 {
			t.Errorf("%s carried out %d operations", machine, n)
		}
	}
}
