//go:build lab && full

package acceptance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// switches is when each release was first seen to answer on each server, by
// "SERVER RELEASE".
type switches struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// watch asks the servers, behind the load balancer, which release answers.
func (s *switches) watch(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		for _, address := range []string{"10.0.0.1", "10.0.0.2"} {
			answer, err := answerOf(ctx, "http://"+address+"/")
			if err != nil {
				continue
			}
			key := answer.Server + " " + answer.Release
			s.mu.Lock()
			if s.seen[key].IsZero() {
				s.seen[key] = time.Now()
			}
			s.mu.Unlock()
		}
	}
}

// TestStreamsUnderReleases keeps event streams and WebSockets open from outside while
// releases take place: the old one's go on until the drain timeout and are then ended
// as their protocol says, and a client that comes back lacks no event.
func TestStreamsUnderReleases(t *testing.T) {
	const releases, each = 3, 6
	const drain = 4 * time.Second
	l := newReleaseStack(t, healthyTime, fmt.Sprintf("min_healthy_time = \"1s\"\n  drain_timeout = %q", drain))
	l.pack("0")
	l.apply()
	l.settled()
	switched := &switches{seen: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { switched.watch(ctx) })
	streams := l.begins(task{Streams: &loadtest.Streams{Address: front, Events: each, WebSockets: each}})
	time.Sleep(2 * time.Second) // of events
	for n := 1; n <= releases; n++ {
		l.pack(fmt.Sprint(n))
		l.apply()
		l.shows(fmt.Sprint(n))
		time.Sleep(drain + 2*time.Second) // in which the old release ends, and the next one serves
	}
	all := streams.end().Streams
	cancel()
	watching.Wait()

	counts, shortest, longest := map[string]int{}, time.Hour, time.Duration(0)
	for _, s := range all {
		counts[s.Kind]++
		counts[s.Kind+" got"] += s.Got
		if !s.Clean || len(s.Missing) > 0 || s.Got == 0 {
			t.Errorf("a stream of release %s: %+v", s.By, s)
			continue
		}
		var server string
		var release int
		if _, err := fmt.Sscan(s.By, &server, &release); err != nil {
			t.Fatal(err)
		}
		after := s.Ended.Sub(switched.seen[fmt.Sprint(server, " ", release+1)])
		shortest, longest = min(shortest, after), max(longest, after)
	}
	t.Logf("%d releases, a drain timeout of %s: ended %v, between %s and %s after the switch", releases, drain, counts,
		shortest.Round(time.Millisecond), longest.Round(time.Millisecond))
	for _, kind := range []string{"events", "websocket"} {
		if counts[kind] != releases*each {
			t.Errorf("%d streams of the kind %s ended, not %d: each with its release", counts[kind], kind, releases*each)
		}
	}
	if shortest < drain-time.Second || longest > drain+time.Minute { // the switch is seen a little late
		t.Errorf("streams ended %s to %s after the switch, not at the drain timeout", shortest, longest)
	}
	l.settled()
	l.runs()
}
