package appserver

import (
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// How often the agent restarts an app that does not answer its liveness check: the
// first time at once, then with a pause that doubles, until the app has been alive for
// calmAfter. What slows an app down may slow down the whole machine, and is not
// cured by a restart.
const (
	firstPause = 30 * time.Second
	longPause  = 15 * time.Minute
	calmAfter  = 10 * time.Minute
)

// pulse is what is known of an app's liveness. It is kept over a restart of the agent.
type pulse struct {
	// Failures counts the answers that failed in a row, Said is the last of them.
	Failures int    `json:"failures"`
	Said     string `json:"said"`
	// Restarts counts the agent's restarts since the boot, InRow those since the app
	// was last alive for long; Last is when the last one was.
	Restarts int       `json:"restarts"`
	InRow    int       `json:"in_row"`
	Last     time.Time `json:"last"`
	// Alive is since when every answer was good, zero if the last one was not.
	Alive time.Time `json:"alive"`
}

// good notes a good answer.
func (p *pulse) good(now time.Time) {
	p.Failures = 0
	if p.Alive.IsZero() {
		p.Alive = now
	}
	if now.Sub(p.Alive) >= calmAfter {
		p.InRow = 0
	}
}

// bad notes an answer that failed.
func (p *pulse) bad(said string) {
	p.Failures++
	p.Said, p.Alive = said, time.Time{}
}

// hung reports whether the app counts as hung.
func (p *pulse) hung(l *api.AppLiveness) bool { return l != nil && p.Failures >= l.Failures }

// next is when the agent may restart the app again.
func (p *pulse) next() time.Time {
	if p.InRow == 0 {
		return p.Last
	}
	pause := longPause
	if doublings := p.InRow - 1; doublings < 5 { // 30 s, 1, 2, 4, 8 min
		pause = firstPause << doublings
	}
	return p.Last.Add(pause)
}

// restarted notes a restart by the agent.
func (p *pulse) restarted(now time.Time) {
	p.Failures, p.Alive = 0, time.Time{}
	p.Restarts++
	p.InRow++
	p.Last = now
}

// plan says when the agent restarts an app that hangs.
func (p *pulse) plan(now time.Time) string {
	switch {
	case p.InRow == 0:
		return "as soon as no operation is at work on it."
	case !now.Before(p.next()):
		return "as soon as no operation is at work on it, again."
	}
	return "again at " + clockTime(p.next()) + " at the earliest."
}
