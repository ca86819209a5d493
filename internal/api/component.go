package api

import (
	"encoding/json"
	"fmt"
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
	// Owner is the lineage of the resource that writes: who owns the component
	// from then on. See [Ownership].
	Owner string `json:"owner,omitempty"`
	// TakesOver is the owner from whom the write takes the component over,
	// because the plan showed it. A write is refused with [ProblemOwned] if the
	// component belongs to anybody else than Owner and TakesOver.
	TakesOver string `json:"takes_over,omitempty"`
	// Held tells that Owner's state holds the component, as it was applied under
	// an earlier incarnation of the machine. Such a write names no generation, as
	// the machine may be a new one; what it finds and Owner owns, it changes. The dry run of a replacement says it, too.
	Held bool `json:"held,omitempty"`
	// Approved marks a dry run as the repetition of one whose answer was
	// approved: the agent answers what it answered then, as far as it can.
	Approved bool `json:"approved,omitempty"`
	// Basis tells the dry runs of one plan from those of other plans: a hash of
	// the state that the plan rests on. It says nothing to the agent.
	Basis string `json:"basis,omitempty"`
	// Forget names machines that are gone for good: a deletion does not wait
	// for their part in it. Only a deletion takes it.
	Forget []string `json:"forget,omitempty"`
}

// CheckOwner reports why owner cannot be a lineage; nil if it can. Empty is none.
func CheckOwner(owner string) error {
	if len(owner) > MaxOwnerLength {
		return errorf("%q has %d characters; at most %d are allowed", owner, len(owner), MaxOwnerLength)
	}
	return nil
}

// MaxOwnerLength bounds a lineage, in bytes: 128 random bits in hexadecimal
// need 32.
const MaxOwnerLength = 64

// Ownership tells who owns a component: one resource in one Terraform state.
type Ownership struct {
	// Owner is the resource's lineage, a random text that was made when the
	// resource was created or imported. Empty means that nobody owns it.
	Owner string `json:"owner,omitempty"`
	// Actor and Time tell who made Owner the owner, and when.
	Actor string    `json:"actor,omitempty"`
	Time  time.Time `json:"time,omitzero"`
}

// By describes who it was and when, for a person.
func (o Ownership) By() string {
	return fmt.Sprintf("%s at %s", o.Actor, o.Time.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// Claiming is the body of PUT /v1/{kind}/{name}:own, which changes the owner of
// a component and nothing else of it.
type Claiming struct {
	Owner     string `json:"owner"`
	TakesOver string `json:"takes_over,omitempty"`
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
	// Ownership tells whose it is.
	Ownership Ownership `json:"ownership"`
	// Failed is the last change, if that has failed; nil if it has not.
	Failed *FailedChange `json:"failed,omitempty"`
}

// FailedChange is a change of a component that did not work.
type FailedChange struct {
	// Operation is its id, Actor who asked for it, At when it ended.
	Operation string    `json:"operation"`
	Actor     string    `json:"actor"`
	At        time.Time `json:"at"`
	// Error says in one line why.
	Error string `json:"error"`
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
	// Machine is the machine that it concerns, if not the one that reports it.
	Machine string `json:"machine,omitempty"`
}

// Impact is what a change costs the traffic through a component.
type Impact string

// The impacts, cheapest first.
const (
	ImpactNone    Impact = "none"
	ImpactRuntime Impact = "runtime"
	ImpactReload  Impact = "reload"
	// ImpactRelease is that of a new version which starts beside the old one: the
	// traffic is switched once it is healthy, and no request is lost.
	ImpactRelease Impact = "release"
	ImpactRestart Impact = "restart"
	// ImpactStart is that of every create: the component is started, unless it
	// runs already. In a replacement the old one stops before. No provider knows
	// at apply that a create was planned as half of a replacement, so both say it.
	ImpactStart Impact = "start"
)

// Impacts lists every impact, cheapest first.
func Impacts() []Impact {
	return []Impact{ImpactNone, ImpactRuntime, ImpactReload, ImpactRelease, ImpactRestart, ImpactStart}
}

// Plan is what a dry run answers: what an apply of the spec would do. A spec
// that would be refused is a [Problem] instead.
type Plan struct {
	Impact Impact `json:"impact"`
	// Changes lists the files and units that would change.
	Changes []Change `json:"changes,omitempty"`
	// Conditions are warnings worth showing before the apply.
	Conditions []Condition `json:"conditions,omitempty"`
	// Missing lists the checksums of artifacts that the machine would need and
	// does not have: they have to be uploaded before the apply.
	Missing []string `json:"missing,omitempty"`
	// Adopts is set if the write would adopt a component that another owner has,
	// or is creating right now.
	Adopts *Adoption `json:"adopts,omitempty"`
	// Forgotten tells of an approved dry run that the machine does not know what
	// was approved: nobody asked it before, or it was booted since.
	Forgotten bool `json:"forgotten,omitempty"`
}

// Adoption is what there is to know of a component before it is adopted.
type Adoption struct {
	// Ownership tells whose it is, and since when.
	Ownership
	// Applied tells who applied it last, and when.
	Applied Ownership `json:"applied"`
	// Replaced tells of an approved dry run that it is the asker's own, which a
	// replacement adopts: nobody takes anything over.
	Replaced bool `json:"replaced,omitempty"`
}

// Belongs says whose a component is that no plan has shown, for a person. Nothing
// tells whether that is who asks, as in a run that was interrupted.
func (a Adoption) Belongs() string {
	if a.Owner == "" {
		return "belongs to no Terraform state, and was last applied by " + a.Applied.By()
	}
	return "belongs to another resource or Terraform state, or to an earlier or interrupted run of this one: it was taken by " + a.By()
}

// ChangeAction is what happens to a file or a unit.
type ChangeAction string

// The actions on files and units.
const (
	ChangeCreate ChangeAction = "create"
	ChangeUpdate ChangeAction = "update"
	ChangeDelete ChangeAction = "delete"
	// ChangeAttributes sets the mode or the owner of a file whose content stays.
	ChangeAttributes ChangeAction = "attributes"
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
	Ownership  Ownership `json:"ownership"`
	// Claims are the ports that the component holds.
	Claims []Claim `json:"claims,omitempty"`
}
