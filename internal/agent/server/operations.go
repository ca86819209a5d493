package server

import (
	"context"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// readerWait bounds how long a reader is kept waiting for an event.
const readerWait = time.Second

// defaultLines is how many lines of a log are given to who names no number.
const defaultLines = 100

func (s *Server) operation(c *call) (answer, error) {
	op, err := s.Runner.Operation(c.Context(), c.params["id"])
	return ok(op), err
}

// events waits for the next event of an operation. The wait ends early when
// the server stops: with nothing, and the caller asks again elsewhere or later.
func (s *Server) events(c *call) (answer, error) {
	after, err := c.query("after", 0, 0)
	if err != nil {
		return answer{}, err
	}
	wait, err := c.query("wait", 0, 0)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	limit := api.MaxWait
	if c.caller.Role == api.RoleReader {
		limit = readerWait // it has one of the readers' places meanwhile
	}
	events, err := s.Runner.Events(ctx, c.params["id"], after, seconds(wait, limit))
	if err != nil && s.stopping.Err() != nil {
		err = nil
	}
	if events == nil {
		events = []api.Event{}
	}
	return ok(api.Events{Events: events}), err
}

func (s *Server) logs(c *call) (answer, error) {
	lines, err := c.query("lines", defaultLines, 1)
	if err != nil {
		return answer{}, err
	}
	read, err := s.Journal.Lines(c.Context(), c.URL.Query().Get("unit"), int(min(lines, 1<<20)))
	return ok(api.Logs{Lines: read}), err
}

func (s *Server) auditLog(c *call) (answer, error) { return auditOf(c, s.Audit) }

func (s *Server) refusedLog(c *call) (answer, error) { return auditOf(c, s.Refused) }

func auditOf(c *call, log Audit) (answer, error) {
	after, err := c.query("after", 0, 0)
	if err != nil {
		return answer{}, err
	}
	entries, err := log.After(after)
	return ok(api.Audit{Entries: entries}), err
}
