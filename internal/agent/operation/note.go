package operation

import (
	"encoding/json"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// note is what a transaction remembers of its change, for a later life of the agent.
// It holds no secret.
type note struct {
	Operation string `json:"operation"`
	// Before and After are what was in place and what was to be, nil for nothing.
	Before *noted `json:"before,omitempty"`
	After  *noted `json:"after,omitempty"`
	// Edited are the files that were not as they had been applied.
	Edited map[string]bool `json:"edited,omitempty"`
}

// noted is a version as a note holds it.
type noted struct {
	// Spec is nil if this version of the agent did not understand it.
	Spec json.RawMessage `json:"spec,omitempty"`
	converge.Applied
}

// noteOf returns the note of a change; before is what it begins with, nil for nothing.
func noteOf(operation string, change converge.Change, before *converge.Applied) note {
	of := func(v *converge.Version, as func() converge.Applied) *noted {
		if v == nil {
			return nil
		}
		n := &noted{Applied: as()}
		if v.Spec != nil {
			n.Spec = api.Encode(v.Spec)
		}
		return n
	}
	return note{
		Operation: operation, Edited: change.Edited,
		Before: of(change.From, func() converge.Applied { return *before }),
		After:  of(change.To, func() converge.Applied { return converge.NewApplied(before, change.To.State) }),
	}
}

// readNote returns the note of a transaction. That of another version of the agent
// may say nothing; the files come back all the same.
func readNote(i converge.Interrupted) note {
	var n note
	if json.Unmarshal(i.Note, &n) != nil {
		return note{}
	}
	return n
}

// change returns the change that a note tells of. A version whose spec is not understood
// has its state alone.
func (n note) change(kind Kind, name string) converge.Change {
	return converge.Change{Name: name, From: n.Before.version(kind), To: n.After.version(kind), Edited: n.Edited}
}

func (n *noted) version(kind Kind) *converge.Version {
	if n == nil {
		return nil
	}
	v := &converge.Version{State: n.State}
	if spec, err := kind.Validate(n.Spec); err == nil && n.Spec != nil {
		v.Spec = spec
	}
	return v
}

// understood returns a change without the versions whose spec is not understood.
func understood(change converge.Change) converge.Change {
	change.From, change.To = onlyUnderstood(change.From), onlyUnderstood(change.To)
	return change
}

func onlyUnderstood(v *converge.Version) *converge.Version {
	if v == nil || v.Spec == nil {
		return nil
	}
	return v
}
