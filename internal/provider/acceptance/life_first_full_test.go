//go:build lab && full

package acceptance

import "testing"

func TestTwentyFirstApplies(t *testing.T) {
	s := newStack(t)
	for n := range 20 {
		if n > 0 {
			s.afresh()
		}
		t.Log("first apply", n+1)
		s.must("apply", "-no-color", "-input=false", "-auto-approve", "-parallelism=10")
		s.settled()
		s.once(each(1))
	}
}
