package server

import (
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Anybody who reaches the port can make the agent write a log line: by a
// connection that fails. connLogWindow and connLogLines limit how many: a few show
// the cause, and an attacker must not push other lines out of the log.
const (
	connLogWindow = 10 * time.Second
	connLogLines  = 5
)

// connLog logs what unauthenticated connections cause, at most connLogLines lines
// in connLogWindow, and then how many lines it dropped. It is what [http.Server]
// writes to.
type connLog struct {
	log hclog.Logger
	now func() time.Time
	// after calls f after d; it returns how to cancel that.
	after func(d time.Duration, f func()) (stop func() bool)

	mu      sync.Mutex
	ends    time.Time // of the present window
	lines   int
	dropped int
	stop    func() bool // cancels the next report; nil if there is none
}

func newConnLog(log hclog.Logger, now func() time.Time) *connLog {
	return &connLog{log: log, now: now, after: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }}
}

// Write implements [io.Writer]; each call is one line.
func (l *connLog) Write(line []byte) (int, error) {
	l.info("connection", strings.TrimSpace(string(line)))
	return len(line), nil
}

// closed logs that an unauthenticated connection was closed for a newer one.
func (l *connLog) closed(address string) {
	l.info("closed an unauthenticated connection: the limit is reached", "from "+address)
}

func (l *connLog) info(message, detail string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !now.Before(l.ends) {
		l.report()
		l.ends, l.lines = now.Add(connLogWindow), 0
	}
	if l.lines < connLogLines {
		l.lines++
		l.log.Info(message, "detail", detail)
		return
	}
	if l.dropped++; l.stop == nil {
		l.stop = l.after(l.ends.Sub(now), l.flush)
	}
}

// flush reports how many lines were dropped.
func (l *connLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report()
}

func (l *connLog) report() {
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
	if l.dropped > 0 {
		l.log.Warn("log lines about connections were dropped", "lines", l.dropped, "within", connLogWindow.String())
		l.dropped = 0
	}
}
