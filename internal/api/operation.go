package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Headers of the agent's API.
const (
	// HeaderOperation carries the operation's id on a PUT or DELETE.
	HeaderOperation = "Idempotency-Key"
	// HeaderGeneration carries the generation that a write is based on; 0 creates.
	HeaderGeneration = "If-Match"
	// HeaderMachine names the machine that a request is meant for; another
	// machine answers with [ProblemWrongMachine].
	HeaderMachine = "Foobar-Machine"
	// HeaderUploadOffset and HeaderUploadComplete carry a [BlobStatus] on the
	// answer to HEAD /v1/blobs/sha256:<hex>, which has no body: a decimal
	// number of bytes, and "true" or "false".
	HeaderUploadOffset   = "Upload-Offset"
	HeaderUploadComplete = "Upload-Complete"
)

// The bounds of what an agent reads from one request, in bytes. A longer body
// is refused with [ProblemInvalid].
const (
	// MaxChunk bounds the body of one PATCH of a blob.
	MaxChunk = 4 << 20
	// MaxBody bounds every other body. A spec is a few kilobytes; a megabyte
	// holds a load balancer of some thousand servers.
	MaxBody = 1 << 20
)

// MaxWait bounds how long one GET of an operation's events is held open: a
// longer "wait" is cut to it.
const MaxWait = 30 * time.Second

// Verb is what an operation does to its component.
type Verb string

// The verbs of operations.
const (
	VerbApply  Verb = "apply"
	VerbDelete Verb = "delete"
)

// OperationState is where an operation stands.
type OperationState string

// The states of an operation. Applied and failed are final, but a failed
// operation runs again when it is asked for again.
const (
	OperationQueued  OperationState = "queued"
	OperationRunning OperationState = "running"
	OperationApplied OperationState = "applied"
	OperationFailed  OperationState = "failed"
)

// Done reports whether s is final.
func (s OperationState) Done() bool { return s == OperationApplied || s == OperationFailed }

// Operation is one change of one component, carried out by the agent whatever
// becomes of the caller.
type Operation struct {
	ID   string `json:"id"`
	Verb Verb   `json:"verb"`
	// Component is what the operation changes.
	Component ID             `json:"component"`
	State     OperationState `json:"state"`
	// BaseGeneration is the generation that it started from, Generation the
	// one that it made (0 until it is applied, and after a delete).
	BaseGeneration int64 `json:"base_generation"`
	Generation     int64 `json:"generation"`
	// Impact is what it costs the traffic, empty until it has got that far.
	Impact Impact `json:"impact,omitempty"`
	// Runs counts how often it was started: more than 1 after a failure, or where a repeated create repaired drift.
	Runs  int    `json:"runs"`
	Actor string `json:"actor"`
	// Order is what an operator on the machine ordered, such as "restart"; empty for a
	// change that was applied.
	Order string `json:"order,omitempty"`
	// Owner is whose the component is after an apply, see [Ownership].
	Owner   string    `json:"owner,omitempty"`
	Created time.Time `json:"created"`
	// Started is when its present run got its turn, zero while it waits.
	Started time.Time `json:"started,omitzero"`
	// Ended is zero until the operation is done.
	Ended time.Time `json:"ended,omitzero"`
	// Problem says why a failed operation failed.
	Problem *Problem `json:"problem,omitempty"`
	// Warnings are what it has cost, or what to change before the next one, though it
	// did what was asked for: one of a type at most.
	Warnings []Condition `json:"warnings,omitempty"`
}

// OperationID derives the id of an operation from all that it depends on, so
// that the same change asked for twice is the same operation. The spec holds
// the version of its secrets; their values have no part in the id. The owner
// has one: two states that ask for the same do not share an operation.
func OperationID(verb Verb, id ID, base int64, spec json.RawMessage, owner string) string {
	h := sha256.New()
	for _, part := range []string{string(verb), string(id.Kind), id.Name, fmt.Sprint(base), string(spec), owner} {
		_, _ = fmt.Fprintf(h, "%d:%s,", len(part), part) // length-prefixed: no two inputs run together
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Phase is a stage in the life of an operation.
type Phase string

// The phases of an operation, in order; rollback takes the place of what
// would have followed a failure.
const (
	PhaseQueue    Phase = "queue"
	PhaseValidate Phase = "validate"
	PhaseRender   Phase = "render"
	PhaseCheck    Phase = "check"
	PhaseStage    Phase = "stage"
	PhaseSwap     Phase = "swap"
	PhaseActivate Phase = "activate"
	PhaseVerify   Phase = "verify"
	PhaseSwitch   Phase = "switch"
	PhaseCommit   Phase = "commit"
	PhaseRollback Phase = "rollback"
)

// Event is one step of an operation. Events of an operation are numbered from
// 1 without gaps, over all its runs.
type Event struct {
	Seq   int64     `json:"seq"`
	Time  time.Time `json:"time"`
	Phase Phase     `json:"phase"`
	// Message says what is being done, for a person.
	Message string `json:"message"`
}

// Events is what GET /v1/operations/{id}/events?after=N answers.
type Events struct {
	Events []Event `json:"events"`
}
