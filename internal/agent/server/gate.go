package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// handler answers requests of callers that who makes out. Every request takes
// the same way: gate, handler, audit, and only then the answer.
func (s *Server) handler(who func(*http.Request) (Caller, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, c := s.Now(), &call{Request: r}
		found, err := s.gate(c, w, who)
		busy := api.IsProblem(err, api.ProblemBusy) // nothing was checked, and a flood must not fill the audit log
		denied := err != nil && !busy
		var a answer
		if err == nil {
			a, err = s.guarded(r.Context(), found, c)
		}
		if host.IsFull(err) { // the answer says what to do, and not what failed
			s.Log.Error("a disk is full", "method", c.Method, "path", c.URL.Path, "error", err)
		}
		if err != nil {
			a, denied = problemAnswer(err), denied || refuses(err)
		}
		if a.stream != nil {
			s.stream(w, c, a, began)
			return
		}
		s.record(c, a, began, weigh(found, denied))
		if busy {
			w.Header().Set("Connection", "close")
		}
		send(w, a)
	})
}

// weigh says which log a call belongs in.
func weigh(r route, denied bool) weight {
	switch {
	case denied:
		return refusal
	case r.mutates:
		return change
	}
	return harmless
}

// gate lets a call through to its route or says why not. What stands in no
// row of the table, or in one without the caller's role, is denied.
//
// A missing route is not "not found": that would tell a provider, whose agent
// is merely too old, that its component is gone.
func (s *Server) gate(c *call, w http.ResponseWriter, who func(*http.Request) (Caller, error)) (route, error) {
	var err error
	if c.caller, err = who(c.Request); err != nil {
		return route{}, err
	}
	found, params, ok := find(s.routes, c.Method, c.URL.Path)
	if !ok {
		return route{}, forbidden("this agent has no route %s %s", c.Method, c.URL.Path)
	}
	c.params = params
	c.Body = boundedBody(w, c.Request, found.body)
	if !found.allows(c.caller.Role) {
		return found, forbidden("role %q may not call %s %s; allowed: %s", c.caller.Role, c.Method, c.URL.Path, listed(found.roles))
	}
	facts := s.Identity.Facts()
	if err := rightMachine(facts.Node, c.Header.Values(api.HeaderMachine), found.mutates); err != nil {
		return found, err
	}
	if !facts.Enrolled && !found.fresh && c.caller.Role != roleLocal { // who is root there needs no trust
		return found, identity.NotEnrolled()
	}
	return found, nil
}

// rightMachine checks that this is the machine that the call is meant for.
func rightMachine(node string, meant []string, required bool) error {
	var detail string
	switch {
	case len(meant) == 0 && !required, len(meant) == 1 && meant[0] == node:
		return nil
	case len(meant) == 0:
		detail = fmt.Sprintf("the header %s is missing: a change names the machine that it is meant for; this is %q", api.HeaderMachine, node)
	default:
		detail = fmt.Sprintf("the call is meant for %q, but this is %q: check the machine's address", meant, node)
	}
	return &api.Problem{Type: api.ProblemWrongMachine, Title: "This is another machine", Detail: detail}
}

// guarded runs a route's handler, whose panic becomes a problem.
func (s *Server) guarded(ctx context.Context, r route, c *call) (a answer, err error) {
	defer s.survive(c, &err)
	leave, err := s.queued(ctx, c)
	if err != nil {
		return answer{}, err
	}
	defer leave()
	return r.handle(s, c)
}

// survive, deferred, makes a panic of a handler a problem that tells nothing of
// it, because its text may hold anything; the log has it.
func (s *Server) survive(c *call, err *error) {
	p := recover()
	if p == nil {
		return
	}
	s.Log.Error("a handler panicked", "method", api.Short(c.Method, maxText), "path", api.Short(c.URL.Path, maxText), "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	*err = &api.Problem{Type: api.ProblemInternal, Title: "The agent failed", Detail: "a fault of the agent; its log on the machine has the details"}
}

// refuses reports whether an error of a handler denies the caller something.
func refuses(err error) bool {
	return api.IsProblem(err, api.ProblemForbidden) || api.IsProblem(err, api.ProblemProof)
}

func forbidden(format string, args ...any) error {
	return &api.Problem{Type: api.ProblemForbidden, Title: "This call is not allowed", Detail: fmt.Sprintf(format, args...)}
}

func problemAnswer(err error) answer {
	p := api.AsProblem(err)
	if full := host.Full(err); full != nil && !isProblem(err) {
		p = full
	}
	return answer{status: p.Type.Status(), body: p, header: http.Header{"Content-Type": {api.ProblemContentType}}}
}

func isProblem(err error) bool {
	_, ok := errors.AsType[*api.Problem](err)
	return ok
}

// send writes an answer. A caller that has gone cannot be determined of anything.
func send(w http.ResponseWriter, a answer) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(transfer)) // a writer of tests has none
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	var data []byte
	if a.body != nil {
		data = api.Encode(a.body)
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", strconv.Itoa(len(data)))
	}
	maps.Copy(header, a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(data)
}
