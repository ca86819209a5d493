package server

import (
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Anybody who reaches the port can make the agent write a line: by a
// connection that breaks off. quietWindow and quietLines bound how many lines
// that are: whoever looks for a cause needs a few, and an attacker must not
// push what matters out of the log.
const (
	quietWindow = 10 * time.Second
	quietLines  = 5
)

// quiet logs what strangers cause, at most quietLines lines in quietWindow, and
// then how many lines were left out. It is what [http.Server] writes to.
type quiet struct {
	log hclog.Logger
	now func() time.Time
	// after calls f once in a while to come; it returns how to call that off.
	after func(d time.Duration, f func()) (stop func() bool)

	mu     sync.Mutex
	ends   time.Time // of the present window
	lines  int
	hidden int
	stop   func() bool // of the report to come; nil if there is none
}

func newQuiet(log hclog.Logger, now func() time.Time) *quiet {
	return &quiet{log: log, now: now, after: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }}
}

// Write implements [io.Writer]; each call is one line.
func (q *quiet) Write(line []byte) (int, error) {
	q.tell("connection", strings.TrimSpace(string(line)))
	return len(line), nil
}

// tell logs a fact about a stranger's connection.
func (q *quiet) tell(message, detail string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if !now.Before(q.ends) {
		q.report()
		q.ends, q.lines = now.Add(quietWindow), 0
	}
	if q.lines < quietLines {
		q.lines++
		q.log.Info(message, "detail", detail)
		return
	}
	if q.hidden++; q.stop == nil {
		q.stop = q.after(q.ends.Sub(now), q.flush)
	}
}

// flush reports what was left out.
func (q *quiet) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.report()
}

func (q *quiet) report() {
	if q.stop != nil {
		q.stop()
		q.stop = nil
	}
	if q.hidden > 0 {
		q.log.Warn("lines about connections that broke off were left out", "lines", q.hidden, "within", quietWindow.String())
		q.hidden = 0
	}
}
