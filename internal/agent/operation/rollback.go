package operation

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Earlier is the spec that was applied to a component before the present one.
type Earlier struct {
	Spec json.RawMessage `json:"spec"`
	// Generation, AppliedAt and Actor are those of its last apply.
	Generation int64     `json:"generation"`
	AppliedAt  time.Time `json:"applied_at"`
	Actor      string    `json:"actor"`
	// SecretsAlone tells that the change from it was one of the secrets alone. Their values
	// are not held any more, so there is no way back to it. Before is the last spec that
	// differs in more, nil if there was none.
	SecretsAlone bool     `json:"secrets_alone,omitempty"`
	Before       *Earlier `json:"before,omitempty"`
}

// RolledBack is a rollback that an operator has ordered and no apply has followed.
type RolledBack struct {
	// Generation is the one that was left: that of the configuration.
	Generation int64     `json:"generation"`
	At         time.Time `json:"at"`
	Actor      string    `json:"actor"`
}

// by says who applied it, and when.
func (e *Earlier) by() string {
	return fmt.Sprintf("%s at %s", e.Actor, e.AppliedAt.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// whole returns the last spec that can be gone back to, nil if there was none.
func (e *Earlier) whole() *Earlier {
	if e != nil && e.SecretsAlone {
		return e.Before
	}
	return e
}

// rolledBack returns the spec that a rollback applies, and what is to be said of it.
func rolledBack(j job, record *Record) (json.RawMessage, []string, error) {
	if j.Base != record.Generation {
		return nil, nil, &api.Problem{Type: api.ProblemGeneration, Title: "The component was changed meanwhile",
			Detail: fmt.Sprintf("the rollback of %s was meant for generation %d, but while it waited generation %d was applied by %s; look at \"foobar-agent status\", and roll back again if it still has to be", j.ID, j.Base, record.Generation, record.by())}
	}
	earlier, err := j.choose(record)
	if err != nil {
		return nil, nil, err
	}
	notes := []string{
		fmt.Sprintf("go back from generation %d (%sapplied by %s) to generation %d (%sapplied by %s)",
			record.Generation, j.release(record.Spec), record.by(), earlier.Generation, j.release(earlier.Spec), earlier.by()),
		"what differs: " + strings.Join(differing(record.Spec, earlier.Spec), ", "),
	}
	present := rawSecretsVersion(record.Spec)
	if note := secretsStay(rawSecretsVersion(earlier.Spec), present); note != "" {
		notes = append(notes, note)
	}
	return withSecretsVersion(earlier.Spec, present), notes, nil
}

// choose returns what a rollback goes back to: what served before the last change. That
// change may have been of the secrets alone, which cannot be undone; the one before is gone
// back to only if the order names its generation.
func (j job) choose(record *Record) (*Earlier, error) {
	last, back := record.Earlier, record.Earlier.whole()
	none := &api.Problem{Type: api.ProblemInvalid, Title: "There is nothing to roll back to"}
	further := ""
	if back != nil {
		further = fmt.Sprintf("generation %d (%sapplied by %s)", back.Generation, j.release(back.Spec), back.by())
	}
	switch {
	case last == nil:
		none.Detail = fmt.Sprintf("%s has had no other configuration on this machine than the present one, which %s applied", j.ID, record.by())
	case j.to != 0 && (back == nil || j.to != back.Generation):
		none.Detail = fmt.Sprintf("generation %d of %s is not on this machine", j.to, j.ID)
		if back != nil {
			none.Detail += "; the one that can be gone back to is " + further
		}
	case j.to != 0 || !last.SecretsAlone:
		return back, nil
	default:
		none.Title = "The last change was of the secrets alone"
		none.Detail = fmt.Sprintf("the present configuration of %s, applied by %s, differs from generation %d in the secrets alone, and the values that those had are not on this machine any more. Nothing was changed. Set the secrets with Terraform, with a new version.",
			j.ID, record.by(), last.Generation)
		if back != nil {
			none.Detail += fmt.Sprintf(" To go back further, to %s, with the secrets as they are now: foobar-agent rollback -to %d %s", further, back.Generation, j.ID)
		}
	}
	return nil, none
}

// release says what a spec has the component run, for the front of a list; nothing where
// this version of the agent does not understand it.
func (j job) release(raw json.RawMessage) string {
	operable, ok := j.kind.(Operable)
	spec, err := j.kind.Validate(raw)
	if !ok || err != nil {
		return ""
	}
	return operable.Release(spec) + ", "
}

// differing names the attributes of two specs that differ, apart from the version of their
// secrets, which a rollback leaves.
func differing(a, b json.RawMessage) []string {
	var before, after map[string]json.RawMessage
	if json.Unmarshal(a, &before) != nil || json.Unmarshal(b, &after) != nil {
		return []string{"all of it"}
	}
	all := maps.Clone(before)
	maps.Copy(all, after)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		return name == secretsMember || string(before[name]) == string(after[name])
	})
}

// secretsStay says that a rollback leaves the secrets, "" where it has nothing to leave.
func secretsStay(before, present int64) string {
	switch {
	case before == present:
		return ""
	case present == 0:
		return fmt.Sprintf("it stays without secrets: those of version %d, which it had then, are not held any more", before)
	case before == 0:
		return fmt.Sprintf("the secrets stay, of version %d: it had none then", present)
	}
	return fmt.Sprintf("the secrets stay those of version %d: those of version %d, which it had then, are not held any more", present, before)
}

// earlier returns what a record is to keep as the spec before spec.
func (j job) earlier(record *Record, spec json.RawMessage) *Earlier {
	if record == nil || record.lost != nil {
		return nil
	}
	if sameSpec(j.kind, j.spec, record.Spec) {
		return record.Earlier
	}
	left := &Earlier{Spec: record.Spec, Generation: record.Generation, AppliedAt: record.AppliedAt, Actor: record.Actor}
	if sameSpec(j.kind, j.spec, withSecretsVersion(record.Spec, rawSecretsVersion(spec))) {
		left.SecretsAlone, left.Before = true, record.Earlier.whole()
	}
	return left
}

// rolledBack returns what a record is to keep of a rollback, at a time. A restart
// leaves it, a second rollback goes forth again, and an apply ends it.
func (j job) rolledBack(record *Record, now time.Time) *RolledBack {
	switch {
	case record == nil || record.lost != nil:
		return nil
	case j.order == orderRestart:
		return record.RolledBack
	case j.order == orderRollback && record.RolledBack == nil:
		return &RolledBack{Generation: record.Generation, At: now.UTC(), Actor: strings.TrimSuffix(j.Actor, fmt.Sprintf(" (%s)", orderRollback))}
	}
	return nil
}

// conditions tell of a rollback: as information while nobody asks for a change, and as a
// warning in the plan of one, which may bring back what an operator has left.
func (b *RolledBack) conditions(id api.ID, severity api.Severity) []api.Condition {
	if b == nil {
		return nil
	}
	return []api.Condition{{
		Type: "RolledBack", Severity: severity,
		Message: fmt.Sprintf("%s was rolled back from generation %d at %s by %s. Where the configuration is still that of generation %[2]d, an apply brings it back, its release included: change the configuration first.",
			id, b.Generation, b.At.UTC().Format("2006-01-02 15:04:05 UTC"), b.Actor),
	}}
}

func rawSecretsVersion(spec json.RawMessage) int64 {
	var s struct {
		Version int64 `json:"secrets_version"`
	}
	if json.Unmarshal(spec, &s) != nil {
		return 0
	}
	return s.Version
}

// withSecretsVersion returns a spec with another version of its secrets.
func withSecretsVersion(spec json.RawMessage, version int64) json.RawMessage {
	var members map[string]json.RawMessage
	if rawSecretsVersion(spec) == version || json.Unmarshal(spec, &members) != nil {
		return spec
	}
	members[secretsMember] = api.Encode(version)
	return api.Encode(members)
}
