package api

import (
	"encoding/json"
	"time"
)

// Write is the body of PUT /v1/{kind}/{name}, and of its dry run ":plan".
type Write struct {
	// Spec is the full desired state of the component.
	Spec json.RawMessage `json:"spec"`
	// Secrets are the values that go with the spec's secrets version, by name.
	// They are sent on every write and used when the agent has none or the
	// version differs. A dry run carries none.
	Secrets map[string]Secret `json:"secrets,omitempty"`
	// TimeoutSeconds bounds the operation once it runs; waiting in the queue
	// does not count. Zero means the agent's default of 300.
	TimeoutSeconds int `json:"timeout_seconds,omitempty"`
	// Forget names machines that are gone for good: a deletion does not wait
	// for their part in it. Only a deletion takes it.
	Forget []string `json:"forget,omitempty"`
}

// Component is what GET /v1/{kind}/{name} answers.
type Component struct {
	ID
	// Generation counts the applied operations, from 1.
	Generation int64 `json:"generation"`
	// Spec is what was applied last.
	Spec json.RawMessage `json:"spec"`
	// Observed is Spec with those values replaced that the running engine
	// shows differently: a weight changed at run time appears here.
	Observed json.RawMessage `json:"observed"`
	// Drift tells, by file or unit, what differs from what was recorded at
	// apply and maps to no value of the spec. An apply repairs all of it.
	Drift map[string]Drift `json:"drift,omitempty"`
	// Conditions are what is wrong but cannot be repaired by an apply.
	Conditions []Condition `json:"conditions,omitempty"`
	// Status is what moves by itself; its shape depends on the kind.
	Status json.RawMessage `json:"status,omitempty"`
	// AppliedAt and Actor tell when and by whom Spec was applied.
	AppliedAt time.Time `json:"applied_at"`
	Actor     string    `json:"actor"`
}

// Drift is one file or unit that differs from what was recorded.
type Drift struct {
	// Detail says what differs: "edited by hand: line 12".
	Detail string `json:"detail"`
	// Pointers are the values of the spec that the changed lines came from.
	Pointers []Pointer `json:"pointers,omitempty"`
}

// Severity says how bad a condition is.
type Severity string

// The severities, mildest first.
const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning"
	SeverityError   Severity = "error"
)

// Condition is something worth knowing of a component or a machine that no
// apply repairs, such as a server that fails its health check.
type Condition struct {
	// Type is a stable CamelCase word, such as "ServerDown".
	Type     string   `json:"type"`
	Severity Severity `json:"severity"`
	// Message says what is the case and what to do, in whole sentences.
	Message string `json:"message"`
	// Pointer is the place in the spec that it concerns, if any.
	Pointer Pointer `json:"pointer,omitempty"`
}

// Impact is what a change costs the traffic through a component.
type Impact string

// The impacts, cheapest first.
const (
	ImpactNone    Impact = "none"
	ImpactRuntime Impact = "runtime"
	ImpactReload  Impact = "reload"
	ImpactRestart Impact = "restart"
)

// Impacts lists every impact, cheapest first.
func Impacts() []Impact {
	return []Impact{ImpactNone, ImpactRuntime, ImpactReload, ImpactRestart}
}

// Plan is what a dry run answers: what an apply of the spec would do. A spec
// that would be refused is a [Problem] instead.
type Plan struct {
	Impact Impact `json:"impact"`
	// Changes lists the files and units that would change.
	Changes []Change `json:"changes,omitempty"`
	// Conditions are warnings worth showing before the apply.
	Conditions []Condition `json:"conditions,omitempty"`
}

// ChangeAction is what happens to a file or a unit.
type ChangeAction string

// The actions on files and units.
const (
	ChangeCreate ChangeAction = "create"
	ChangeUpdate ChangeAction = "update"
	ChangeDelete ChangeAction = "delete"
)

// Change is one file or unit that an apply touches.
type Change struct {
	// Path is a file's absolute path or a unit's name.
	Path   string       `json:"path"`
	Action ChangeAction `json:"action"`
}

// Listing is what GET /v1/components answers: every component of the machine.
type Listing struct {
	Components []Listed `json:"components"`
}

// Listed is one component in a [Listing].
type Listed struct {
	ID
	Generation int64     `json:"generation"`
	AppliedAt  time.Time `json:"applied_at"`
	Actor      string    `json:"actor"`
	// Claims are the ports that the component holds.
	Claims []Claim `json:"claims,omitempty"`
}
