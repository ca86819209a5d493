package server

import (
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// What is written of a text that a caller chose, in bytes: a name, a method or a
// path, and what a call was about or why it was refused. The longest path of a
// route has some 150.
const (
	maxText   = 256
	maxDetail = 2 << 10
)

// Of the refused calls of one caller, refusalLines in refusalWindow are written
// down in full and the others counted. Anybody with a certificate of the
// deployment can have calls refused.
const (
	refusalWindow = time.Minute
	refusalLines  = 10
)

// refuser is a caller whose calls were refused.
type refuser struct {
	actor   string
	role    api.Role
	address string
}

// weight says which log a call belongs in.
type weight int

const (
	harmless weight = iota // changed nothing: not audited
	change                 // audited, as is a copy of all data
	refusal                // audited apart, and counted where it repeats
)

// record logs a call, and audits it where that is due. A call that cannot be
// audited is still answered: a full disk must not keep an administrator from
// making room on it. The log tells of it.
func (s *Server) record(c *call, a answer, began time.Time, as weight) {
	by := refuser{actor: api.Short(c.caller.Actor, maxText), role: api.Role(api.Short(string(c.caller.Role), maxText)), address: sourceOf(address(c.RemoteAddr))}
	if as == refusal && !s.refusals.pass(by) {
		return
	}
	problem, _ := a.body.(*api.Problem)
	entry := api.AuditEntry{
		Time: s.Now().UTC(), Actor: by.actor, Role: by.role, Peer: c.RemoteAddr,
		Method: api.Short(c.Method, maxText), Path: api.Short(c.URL.Path, maxText), Status: a.status, Operation: api.Short(a.operation, maxText),
		Detail: api.Short(c.detail, maxDetail),
	}
	level := hclog.Debug
	if as != harmless {
		level = hclog.Info
	}
	fields := []any{
		"method", entry.Method, "path", entry.Path, "status", a.status,
		"actor", by.actor, "role", by.role, "peer", c.RemoteAddr, "took", s.Now().Sub(began).String(),
	}
	if entry.Detail != "" {
		fields = append(fields, "about", entry.Detail)
	}
	if entry.Operation != "" {
		fields = append(fields, "op", entry.Operation)
	}
	if problem != nil {
		entry.Problem = problem.Type
		fields = append(fields, "problem", problem.Type, "detail", api.Short(problem.Error(), maxDetail))
	}
	s.Log.Log(level, "call", fields...)
	switch as {
	case change:
		s.audit(s.Audit, entry)
	case refusal:
		s.audit(s.Refused, entry)
	case harmless:
	}
}

// countRefusals writes down how many more calls of a caller were refused.
func (s *Server) countRefusals(by refuser, calls int) {
	s.Log.Warn("refused calls were counted, not logged one by one",
		"calls", calls, "within", refusalWindow.String(), "actor", by.actor, "role", by.role, "peer", by.address)
	s.audit(s.Refused, api.AuditEntry{
		Time: s.Now().UTC(), Actor: by.actor, Role: by.role, Peer: by.address, Status: http.StatusForbidden, Problem: api.ProblemForbidden,
		Detail: fmt.Sprintf("%d more calls of this caller were refused within %s", calls, refusalWindow),
	})
}

func (s *Server) audit(to Audit, entry api.AuditEntry) {
	if err := to.Append(entry); err != nil {
		s.Log.Error("a call could not be audited", "error", err)
	}
}

// address is a client's address as a request has it.
type address string

// Network implements [net.Addr].
func (address) Network() string { return "tcp" }

// String implements [net.Addr].
func (a address) String() string { return string(a) }
