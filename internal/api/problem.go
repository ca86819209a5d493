package api

import (
	"errors"
	"strings"
)

// ProblemContentType is the media type of a [Problem], from RFC 9457.
const ProblemContentType = "application/problem+json"

// ProblemType is the class of a failure: what a program may decide on.
type ProblemType string

// The classes of failure. The HTTP status that goes with each stands in
// [ProblemType.Status].
const (
	// ProblemInvalid: the spec breaks a rule that holds on any machine.
	ProblemInvalid ProblemType = "urn:foobar:problem:invalid"
	// ProblemEngineRefused: the engine's own checker refused the rendered configuration.
	ProblemEngineRefused ProblemType = "urn:foobar:problem:engine-refused"
	// ProblemClaimed: another component of this machine holds a port that the spec claims.
	ProblemClaimed ProblemType = "urn:foobar:problem:claimed"
	// ProblemBlobMissing: the spec names a blob that was not uploaded.
	ProblemBlobMissing ProblemType = "urn:foobar:problem:blob-missing"
	// ProblemSecretsMissing: the agent has no values for the spec's secrets version and none were sent.
	ProblemSecretsMissing ProblemType = "urn:foobar:problem:secrets-missing" //nolint:gosec // a name, no credential
	// ProblemNotFound: there is no such component, operation or route.
	ProblemNotFound ProblemType = "urn:foobar:problem:not-found"
	// ProblemExists: a create met a component with another spec.
	ProblemExists ProblemType = "urn:foobar:problem:exists"
	// ProblemCreating: an operation that has not ended is creating the component.
	ProblemCreating ProblemType = "urn:foobar:problem:creating"
	// ProblemDeleting: an operation that has not ended is removing the component.
	ProblemDeleting ProblemType = "urn:foobar:problem:deleting"
	// ProblemDamaged: the agent's record of the component cannot be read; an apply writes it again.
	ProblemDamaged ProblemType = "urn:foobar:problem:damaged"
	// ProblemGeneration: If-Match named another generation than the present one.
	ProblemGeneration ProblemType = "urn:foobar:problem:generation"
	// ProblemOwned: the component belongs to another owner, and the call does
	// not say that it takes it over from that one.
	ProblemOwned ProblemType = "urn:foobar:problem:owned"
	// ProblemForbidden: the certificate's role may not call this route.
	ProblemForbidden ProblemType = "urn:foobar:problem:forbidden"
	// ProblemWrongMachine: the request was meant for another machine.
	ProblemWrongMachine ProblemType = "urn:foobar:problem:wrong-machine"
	// ProblemEnrolled: the machine is enrolled already for this or a higher incarnation.
	ProblemEnrolled ProblemType = "urn:foobar:problem:enrolled"
	// ProblemNotEnrolled: the route exists only on an enrolled machine.
	ProblemNotEnrolled ProblemType = "urn:foobar:problem:not-enrolled"
	// ProblemProof: the enrolment proof does not hold, for a reason that is not given.
	ProblemProof ProblemType = "urn:foobar:problem:proof"
	// ProblemRolledBack: the change was made, did not become healthy, and was undone.
	ProblemRolledBack ProblemType = "urn:foobar:problem:rolled-back"
	// ProblemInterrupted: the agent or machine stopped in the middle; the detail says what stands.
	ProblemInterrupted ProblemType = "urn:foobar:problem:interrupted"
	// ProblemQuota: an upload has no room, by its quota or on the machine's disk.
	ProblemQuota ProblemType = "urn:foobar:problem:quota"
	// ProblemTimeout: the operation ran out of time; the detail says what stands.
	ProblemTimeout ProblemType = "urn:foobar:problem:timeout"
	// ProblemBusy: the agent has no room for another connection of that role or
	// address, or too many calls of readers wait.
	ProblemBusy ProblemType = "urn:foobar:problem:busy"
	// ProblemInternal: a failure of the agent or the machine itself.
	ProblemInternal ProblemType = "urn:foobar:problem:internal"
)

// Status returns the HTTP status that carries a problem of type t; an unknown
// type is 500.
func (t ProblemType) Status() int {
	switch t {
	case ProblemInvalid, ProblemEngineRefused, ProblemClaimed, ProblemBlobMissing, ProblemSecretsMissing:
		return 422
	case ProblemNotFound:
		return 404
	case ProblemExists, ProblemCreating, ProblemDeleting, ProblemDamaged, ProblemEnrolled, ProblemNotEnrolled:
		return 409
	case ProblemGeneration, ProblemOwned:
		return 412
	case ProblemForbidden, ProblemProof:
		return 403
	case ProblemWrongMachine:
		return 421
	case ProblemBusy:
		return 503
	case ProblemQuota:
		return 507
	case ProblemRolledBack, ProblemInterrupted, ProblemTimeout, ProblemInternal:
		return 500
	}
	return 500
}

// Problem is a failure as RFC 9457 carries it. It is an error, and the only
// one that crosses the wire.
type Problem struct {
	Type ProblemType `json:"type"`
	// Title is the class in a few words, the same for each problem of a type.
	Title string `json:"title"`
	// Detail says what was found, what is allowed and what to do. Where there are
	// violations, these are the reason, and Detail what follows them.
	Detail string `json:"detail,omitempty"`
	// Violations are the places in the spec that the problem comes from.
	Violations []Violation `json:"violations,omitempty"`
	// File is the file that cannot be read, of a [ProblemDamaged] alone.
	File string `json:"file,omitempty"`
	// Log holds the engine's or the app's last lines, redacted, oldest first.
	Log []string `json:"log,omitempty"`
}

// Violation is one thing wrong at one place of a spec.
type Violation struct {
	Pointer Pointer `json:"pointer"`
	Detail  string  `json:"detail"`
	// Holder is who has the port, of a [ProblemClaimed] alone.
	Holder string `json:"holder,omitempty"`
}

// Error returns title, violations and detail in one line: what is wrong at a
// place comes before what goes for the whole.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Title)
	for _, v := range p.Violations {
		b.WriteString("; ")
		if v.Pointer != "" {
			b.WriteString(string(v.Pointer) + ": ")
		}
		b.WriteString(v.Detail)
	}
	switch {
	case p.Detail == "":
	case len(p.Violations) == 0:
		b.WriteString(": " + p.Detail)
	default:
		b.WriteString("; " + p.Detail)
	}
	return b.String()
}

// AsProblem finds the problem in err's chain; any other error becomes a
// [ProblemInternal] that carries its text. A nil error is a nil problem.
func AsProblem(err error) *Problem {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return &Problem{Type: ProblemInternal, Title: "The agent failed", Detail: err.Error()}
}

// IsProblem reports whether err's chain holds a problem of type t.
func IsProblem(err error, t ProblemType) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Type == t
}

// MaxViolations bounds how many [Violations] are noted. Nobody corrects more at
// once, and a body could hold a hundred thousand.
const MaxViolations = 100

// Violations collects what is wrong with a spec.
type Violations []Violation //nolint:recvcheck // Add needs the pointer; Problem is called on what a function returns

// Add notes what is wrong at p. What was sent may be of any length, and what is
// noted is not: texts that are quoted (%q) are shortened, and so is p.
func (v *Violations) Add(p Pointer, format string, args ...any) {
	switch {
	case len(*v) < MaxViolations:
		*v = append(*v, Violation{Pointer: p.placed(), Detail: Shorten(say(format, args...), maxDetail)})
	case len(*v) == MaxViolations:
		*v = append(*v, Violation{Detail: "there are more problems; correct these first"})
	}
}

// full reports whether nothing more is noted.
func (v *Violations) full() bool { return len(*v) > MaxViolations }

// Problem returns the violations as one [ProblemInvalid], nil if there are none.
// The result is of type error so that nil stays nil.
func (v Violations) Problem() error {
	if len(v) == 0 {
		return nil
	}
	return &Problem{Type: ProblemInvalid, Title: "The configuration is not valid", Violations: v}
}
