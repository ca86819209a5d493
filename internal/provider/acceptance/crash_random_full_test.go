//go:build lab && full

package acceptance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// crashes is how many applies are interrupted.
const crashes = 20

// edited are edits of the example that change each machine, the nth other ones
// than those before.
func edited(n int) []string {
	return []string{
		`environment = { NOTES_SERVER = name }`, fmt.Sprintf(`environment = { NOTES_SERVER = name, EDIT = "%d" }`, n),
		`max_connections = 5000`, fmt.Sprintf(`max_connections = %d`, 4000+n),
	}
}

// chance chooses random moments, of which the log tells how to have them again.
type chance struct {
	*rand.Rand
	whole map[bool]time.Duration // how long a first apply takes, and an update
}

// newChance measures how long an apply takes, so that every moment of it is
// as likely as any other.
func newChance(s *stack) *chance {
	s.t.Helper()
	seed := uint64(time.Now().UnixNano())
	s.t.Logf("the seed of the random moments is %d", seed)
	c := &chance{Rand: rand.New(rand.NewPCG(seed, 0)), whole: map[bool]time.Duration{}}
	for _, first := range []bool{true, false} {
		if !first {
			s.edit(edited(0)...)
		}
		start := time.Now()
		s.apply()
		c.whole[first] = time.Since(start)
	}
	return c
}

// moment returns a random moment of an apply.
func (c *chance) moment(t *testing.T, first bool) moment {
	t.Helper()
	d := time.Duration(c.Int64N(int64(c.whole[first])))
	t.Logf("after %s of %s, first apply: %t", d.Round(time.Millisecond), c.whole[first].Round(time.Millisecond), first)
	return after(d)
}

func TestTerraformKilledAtRandomMoments(t *testing.T) {
	s := newStack(t)
	c := newChance(s)
	changes := 0
	for n := range crashes {
		first := n%2 == 0
		if first {
			s.afresh()
			changes = 0
		}
		s.edit(edited(n)...)
		a := s.begin(s.lab)
		a.await(c.moment(t, first))
		t.Logf("%d: killed in the middle: %t", n, a.kill(c.IntN(2) == 0))
		s.apply()
		s.settled()
		changes++
		s.once(each(changes))
	}
}

func TestAgentKilledAtRandomMoments(t *testing.T) {
	s := newStack(t)
	c := newChance(s)
	for n := range crashes {
		first := n%2 == 0
		if first {
			s.afresh()
		}
		s.edit(edited(n)...)
		s.strike(machines()[c.IntN(3)], c.moment(t, first))
		s.apply()
		s.settled()
	}
	s.runs()
}
