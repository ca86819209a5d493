package server

import (
	"maps"
	"sync"
	"time"
)

// maxSources bounds how many sources a [throttle] tells apart in one window; all
// further ones share what the zero source has.
const maxSources = 64

// throttle lets a few events of each source through in a window of time and counts
// the others, so that what one source causes fills no log.
type throttle[S comparable] struct {
	window time.Duration
	// most is how many events of a source pass in a window.
	most int
	now  func() time.Time
	// after calls f after d; it returns how to cancel that.
	after func(d time.Duration, f func()) (stop func() bool)
	// report is called after a window, without the lock, for each source of which
	// events were dropped.
	report func(source S, dropped int)

	mu     sync.Mutex
	ends   time.Time // of the present window
	counts map[S]int
	stop   func() bool // cancels the report at the window's end; nil if there is none
}

func newThrottle[S comparable](window time.Duration, most int, now func() time.Time, report func(source S, dropped int)) *throttle[S] {
	return &throttle[S]{
		window: window, most: most, now: now, report: report, counts: map[S]int{},
		after: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop },
	}
}

// pass reports whether one more event of a source passes.
func (t *throttle[S]) pass(source S) bool {
	t.mu.Lock()
	now := t.now()
	var over map[S]int
	if !now.Before(t.ends) {
		over = t.end()
		t.ends = now.Add(t.window)
	}
	if _, known := t.counts[source]; !known && len(t.counts) >= maxSources {
		var others S
		source = others
	}
	t.counts[source]++
	passes := t.counts[source] <= t.most
	if !passes && t.stop == nil {
		t.stop = t.after(t.ends.Sub(now), t.flush)
	}
	t.mu.Unlock()
	t.tell(over)
	return passes
}

// flush ends the window and reports what was dropped in it.
func (t *throttle[S]) flush() {
	t.mu.Lock()
	over := t.end()
	t.ends = time.Time{}
	t.mu.Unlock()
	t.tell(over)
}

// end ends the window and returns how many events of each source it had.
func (t *throttle[S]) end() map[S]int {
	if t.stop != nil {
		t.stop()
		t.stop = nil
	}
	over := maps.Clone(t.counts)
	clear(t.counts)
	return over
}

func (t *throttle[S]) tell(over map[S]int) {
	for source, n := range over {
		if n > t.most {
			t.report(source, n-t.most)
		}
	}
}
