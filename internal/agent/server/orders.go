package server

import (
	"context"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// restart starts a component again, under new processes.
func (s *Server) restart(c *call) (answer, error) { return order(c, s.Runner.Restart) }

// rollback goes back to what was applied before: of several, to the generation that the
// query names.
func (s *Server) rollback(c *call) (answer, error) {
	to, err := c.query("to", 0, 1)
	if err != nil {
		return answer{}, err
	}
	return order(c, func(ctx context.Context, id api.ID, actor string) (api.Operation, error) {
		return s.Runner.Rollback(ctx, id, to, actor)
	})
}

func order(c *call, start func(ctx context.Context, id api.ID, actor string) (api.Operation, error)) (answer, error) {
	id, err := c.component()
	if err != nil {
		return answer{}, err
	}
	return accepted(start(c.Context(), id, c.caller.Actor))
}

// drain takes a component out of the load balancers, undrain puts it back.
func (s *Server) drain(c *call) (answer, error) { return s.setDrain(c, true) }

func (s *Server) undrain(c *call) (answer, error) { return s.setDrain(c, false) }

func (s *Server) setDrain(c *call, drained bool) (answer, error) {
	id, err := c.component()
	if err != nil {
		return answer{}, err
	}
	before, err := s.Runner.Drain(c.Context(), id, drained, c.caller.Actor)
	return ok(before), err
}
