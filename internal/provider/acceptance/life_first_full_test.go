//go:build lab && full

package acceptance

import (
	"os"
	"path/filepath"
	"testing"
)

// afresh gives the stack new machines and an empty state.
func (s *stack) afresh() {
	s.t.Helper()
	s.lab.Reset(machines()...)
	if err := os.Remove(filepath.Join(s.directory, "terraform.tfstate")); err != nil {
		s.t.Fatal(err)
	}
	s.met()
}

func TestTwentyFirstApplies(t *testing.T) {
	s := newWholeStack(t)
	changes := map[string]int{"lb1": 1, "web1": 3, "web2": 2} // web1 coordinates the replication
	for n := range 20 {
		if n > 0 {
			s.afresh()
		}
		t.Log("first apply", n+1)
		s.must("apply", "-no-color", "-input=false", "-auto-approve", "-parallelism=10")
		s.settled()
		s.once(changes)
	}
}
