package server

// leftovers answers with what a component has left that does not exist any more.
func (s *Server) leftovers(c *call) (answer, error) {
	id, err := c.component()
	if err != nil {
		return answer{}, err
	}
	left, err := s.Runner.Leftovers(c.Context(), id)
	return ok(left), err
}

// allLeftovers answers with those of all components.
func (s *Server) allLeftovers(c *call) (answer, error) {
	all, err := s.Runner.AllLeftovers(c.Context())
	return ok(all), err
}

// purge removes it for good.
func (s *Server) purge(c *call) (answer, error) {
	id, err := c.component()
	if err != nil {
		return answer{}, err
	}
	left, err := s.Runner.Purge(c.Context(), id, c.URL.Query().Get("consent"))
	for _, d := range left.Directories {
		c.detail += d.Path + " (" + d.Usage + ") "
	}
	return ok(left), err
}
