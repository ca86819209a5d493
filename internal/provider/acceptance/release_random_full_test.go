//go:build lab && full

package acceptance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// moments is how many releases are broken off at random.
const moments = 50

// TestReleaseBrokenOffAtRandomMoments does so with Terraform, the agent and the
// machine at its end.
func TestReleaseBrokenOffAtRandomMoments(t *testing.T) {
	all := map[string]func(*releaseStack, *application, *rand.Rand){
		"Terraform": func(_ *releaseStack, a *application, r *rand.Rand) { a.kill(r.IntN(2) == 0) },
	}
	for what, strike := range strikes() {
		all[what] = func(l *releaseStack, _ *application, _ *rand.Rand) { strike(l) }
	}
	for what, strike := range all {
		t.Run(what, func(t *testing.T) {
			l := newStruck(t)
			seed := uint64(time.Now().UnixNano())
			r := rand.New(rand.NewPCG(seed, 0))
			t.Logf("the seed of the random moments is %d", seed)
			l.pack("measured")
			began := time.Now()
			l.apply()
			whole := time.Since(began)
			news, olds := 0, 0
			for n := range moments {
				release := fmt.Sprint("release ", n)
				l.pack(release)
				a := l.begin(l.lab)
				d := time.Duration(r.Int64N(int64(whole)))
				a.await(after(d))
				strike(l, a, r)
				err := a.wait()
				now := l.oneRelease()
				if now == release {
					news++
				} else {
					olds++
				}
				t.Logf("%s ended after %s of %s: release %q serves; the apply said %.80v", what, d.Round(time.Millisecond), whole.Round(time.Millisecond), now, err)
				l.finish(release)
			}
			t.Logf("of %d releases broken off, %d served by themselves, %d made way for the one before", moments, news, olds)
			l.settled()
			l.runs()
		})
	}
}
