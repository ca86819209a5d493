package server

import (
	"net/http"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// maxTimeout bounds what a caller may ask an operation to take, in seconds.
const maxTimeout = 24 * 60 * 60

func (s *Server) list(c *call) (answer, error) {
	listing, err := s.Runner.List(c.Context())
	return ok(listing), err
}

func (s *Server) get(c *call) (answer, error) {
	id, err := c.component()
	if err != nil {
		return answer{}, err
	}
	component, err := s.Runner.Get(c.Context(), id)
	return ok(component), err
}

func (s *Server) plan(c *call) (answer, error) {
	id, err := c.component()
	if err != nil {
		return answer{}, err
	}
	base, err := c.generation()
	if err != nil {
		return answer{}, err
	}
	write, err := c.write()
	if err != nil {
		return answer{}, err
	}
	if write.Secrets != nil {
		return answer{}, violation("/secrets", "a dry run takes no secrets")
	}
	who := operation.Asker{Actor: c.caller.Actor, Reader: c.caller.Role == api.RoleReader}
	if who.Reader {
		leave, err := s.dryRuns.enter(c.Context())
		if err != nil {
			return answer{}, err
		}
		defer leave()
	}
	plan, err := s.Runner.PlanFor(c.Context(), who, id, base, write)
	return ok(plan), err
}

func (s *Server) put(c *call) (answer, error) {
	id, err := c.component()
	if err != nil {
		return answer{}, err
	}
	base, err := c.generation()
	if err != nil {
		return answer{}, err
	}
	write, err := c.write()
	if err != nil {
		return answer{}, err
	}
	op := api.OperationID(api.VerbApply, id, base, write.Spec, write.Owner)
	if err := c.checkOperation(op); err != nil {
		return answer{}, err
	}
	return accepted(s.Runner.Apply(c.Context(), operation.Request{
		ID: id, Operation: op, Base: base, Write: write, Actor: c.caller.Actor,
	}))
}

// own changes the owner of a component.
func (s *Server) own(c *call) (answer, error) {
	id, err := c.component()
	if err != nil {
		return answer{}, err
	}
	var claiming api.Claiming
	if err := c.decode(&claiming); err != nil {
		return answer{}, err
	}
	if claiming.Owner == "" {
		return answer{}, violation("/owner", "is missing: give the lineage of the new owner")
	}
	if err := checkOwners(claiming.Owner, claiming.TakesOver); err != nil {
		return answer{}, err
	}
	ownership, err := s.Runner.Own(c.Context(), id, claiming, c.caller.Actor)
	return ok(ownership), err
}

// delete takes a body only for its timeout, its owner and for whom it forgets.
func (s *Server) delete(c *call) (answer, error) {
	id, err := c.component()
	if err != nil {
		return answer{}, err
	}
	base, err := c.generation()
	if err != nil {
		return answer{}, err
	}
	write, err := c.deletion()
	if err != nil {
		return answer{}, err
	}
	op := api.OperationID(api.VerbDelete, id, base, nil, write.Owner)
	if err := c.checkOperation(op); err != nil {
		return answer{}, err
	}
	return accepted(s.Runner.Delete(c.Context(), operation.Request{
		ID: id, Operation: op, Base: base, Write: write, Actor: c.caller.Actor,
	}))
}

// accepted answers with an operation: 202 while it has still to end.
func accepted(op api.Operation, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	status := http.StatusAccepted
	if op.State.Done() {
		status = http.StatusOK
	}
	return answer{status: status, body: op, operation: op.ID}, nil
}

// write reads the body of a PUT or a dry run. What stands in the spec is
// checked by its kind.
func (c *call) write() (api.Write, error) {
	var w api.Write
	if err := c.decode(&w); err != nil {
		return w, err
	}
	if !isObject(w.Spec) {
		return w, violation("/spec", "is missing: give the component's whole spec, an object")
	}
	if w.Forget != nil {
		return w, violation("/forget", "only a deletion forgets machines")
	}
	if err := checkOwners(w.Owner, w.TakesOver); err != nil {
		return w, err
	}
	return w, checkTimeout(w)
}

// deletion reads the body of a DELETE, which may be empty.
func (c *call) deletion() (api.Write, error) {
	var w api.Write
	data, err := c.read()
	if err != nil || len(data) == 0 {
		return w, err
	}
	if err := api.Decode(data, &w); err != nil {
		return w, err
	}
	if w.Spec != nil || w.Secrets != nil {
		return w, violation("", "a deletion takes no spec and no secrets, only timeout_seconds, owner, takes_over and forget")
	}
	if err := checkOwners(w.Owner, w.TakesOver); err != nil {
		return w, err
	}
	for i, name := range w.Forget {
		if err := api.CheckName(name); err != nil {
			return w, violation(api.Pointer("/forget").At(i), "%s", err)
		}
	}
	return w, checkTimeout(w)
}

func checkOwners(owner, takesOver string) error {
	var found api.Violations
	for _, given := range []struct {
		at      api.Pointer
		lineage string
	}{{"/owner", owner}, {"/takes_over", takesOver}} {
		if err := api.CheckOwner(given.lineage); err != nil {
			found.Add(given.at, "%s", err)
		}
	}
	return found.Problem()
}

func checkTimeout(w api.Write) error {
	if w.TimeoutSeconds < 0 || w.TimeoutSeconds > maxTimeout {
		return violation("/timeout_seconds", "%d is not 0 (the agent's default) to %d", w.TimeoutSeconds, maxTimeout)
	}
	return nil
}

// violation is the problem of one wrong place in a body.
func violation(at api.Pointer, format string, args ...any) error {
	var found api.Violations
	found.Add(at, format, args...)
	return found.Problem()
}
