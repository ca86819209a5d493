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
	// Before and After are what was in place and what was to be, nil for nothing, and
	// Before also if its spec is not understood.
	Before *noted `json:"before,omitempty"`
	After  *noted `json:"after,omitempty"`
	// Edited are the files that were not as they had been applied.
	Edited map[string]bool `json:"edited,omitempty"`
}

// noted is a version as a note holds it.
type noted struct {
	Spec  json.RawMessage `json:"spec"`
	State converge.State  `json:"state"`
}

func noteOf(operation string, change converge.Change) note {
	of := func(v *converge.Version) *noted {
		if v == nil {
			return nil
		}
		return &noted{Spec: api.Encode(v.Spec), State: v.State.WithoutSecrets()}
	}
	return note{Operation: operation, Before: of(change.From), After: of(change.To), Edited: change.Edited}
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

// change returns the change that a note tells of.
func (n note) change(kind Kind, name string) converge.Change {
	return converge.Change{Name: name, From: n.Before.version(kind), To: n.After.version(kind), Edited: n.Edited}
}

// version is nil for a spec that this version of the agent does not understand.
func (n *noted) version(kind Kind) *converge.Version {
	if n == nil {
		return nil
	}
	spec, err := kind.Validate(n.Spec)
	if err != nil {
		return nil
	}
	return &converge.Version{Spec: spec, State: n.State}
}
