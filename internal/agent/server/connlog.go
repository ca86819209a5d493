package server

import (
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
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
	*throttle[struct{}]

	log hclog.Logger
}

func newConnLog(log hclog.Logger, now func() time.Time) *connLog {
	return &connLog{log: log, throttle: newThrottle(connLogWindow, connLogLines, now, func(_ struct{}, dropped int) {
		log.Warn("log lines about connections were dropped", "lines", dropped, "within", connLogWindow.String())
	})}
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
	if l.pass(struct{}{}) {
		l.log.Info(message, "detail", api.Short(detail, maxDetail))
	}
}
