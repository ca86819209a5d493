package appserver

import (
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestAHungAppIsFoundByFailuresInARow(t *testing.T) {
	l, p := &api.AppLiveness{Failures: 3}, pulse{}
	now := time.Unix(1000, 0)
	for i, want := range []bool{false, false, true, true} {
		p.bad("did not answer")
		if got := p.hung(l); got != want {
			t.Errorf("after %d failures it is hung: %t", i+1, got)
		}
	}
	p.good(now)
	if p.bad("late"); p.hung(l) {
		t.Error("a good answer in between counts for nothing")
	}
	if p.Failures = 99; p.hung(nil) {
		t.Error("an app without a liveness check hangs")
	}
}

func TestRestartsBackOff(t *testing.T) {
	p, now := pulse{}, time.Unix(1000, 0)
	if p.next().After(now) {
		t.Error("the first restart has to wait")
	}
	for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		p.restarted(now)
		if got := p.next().Sub(now); got != want {
			t.Errorf("the pause after restart %d is %s, not %s", p.Restarts, got, want)
		}
		now = p.next()
		p.good(now.Add(-2 * time.Second)) // alive, though not for long
		p.good(now.Add(-time.Second))
	}
	p.good(now.Add(-2 * time.Second).Add(calmAfter))
	if p.InRow != 0 || p.Restarts != 7 {
		t.Errorf("after a calm time it is %+v", p)
	}
}
