package tfutil

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
)

// What a read leaves in a resource's private state. It is no secret, and no
// place for one.
const (
	seenKey       = "seen"       // when the machine last reported of the resource
	refusedKey    = "refused"    // why nothing can be planned, until a read finds otherwise
	unrecordedKey = "unrecorded" // whether the machine shows another spec than was applied
	sourceKey     = "source"     // which file the last write named, where one was
)

// PrivateReader is the framework's private state, to be read.
type PrivateReader interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
}

// PrivateWriter is the framework's private state, to be written.
type PrivateWriter interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// SetSeen notes when the machine reported of a resource, or took a write of it:
// whatever refused a plan before is over, and what it shows is what was applied.
func SetSeen(ctx context.Context, to PrivateWriter, at time.Time) diag.Diagnostics {
	diags := set(ctx, to, seenKey, at.UTC().Truncate(time.Second))
	diags.Append(SetRefusal(ctx, to, Refusal{})...)
	diags.Append(SetUnrecorded(ctx, to, false)...)
	return diags
}

// Seen returns when the machine last reported of a resource; zero if that is not known.
func Seen(ctx context.Context, from PrivateReader) time.Time {
	return get[time.Time](ctx, from, seenKey)
}

// SetUnrecorded notes, after [SetSeen], whether the machine shows another spec
// than was applied: one that is in the state, and has to be applied even where
// the configuration says the same.
func SetUnrecorded(ctx context.Context, to PrivateWriter, unrecorded bool) diag.Diagnostics {
	return set(ctx, to, unrecordedKey, unrecorded)
}

// Unrecorded returns what [SetUnrecorded] noted.
func Unrecorded(ctx context.Context, from PrivateReader) bool {
	return get[bool](ctx, from, unrecordedKey)
}

// SetSource notes which file the configuration of the last write named.
func SetSource(ctx context.Context, to PrivateWriter, source string) diag.Diagnostics {
	return set(ctx, to, sourceKey, source)
}

// Source returns what [SetSource] noted, "" if nothing.
func Source(ctx context.Context, from PrivateReader) string {
	return get[string](ctx, from, sourceKey)
}

// Refusal is why a plan is refused: somebody answered who is not the machine
// that was meant. The zero value is none.
type Refusal struct {
	Summary string `json:"summary"`
	Detail  string `json:"detail"`
	// Rebuilt tells that another incarnation is the usual way out.
	Rebuilt bool `json:"rebuilt"`
}

// SetRefusal notes what a read found, for the plan that follows it. A read
// itself is no error: the configuration may hold the way out already, such as
// the machine's new address or incarnation.
func SetRefusal(ctx context.Context, to PrivateWriter, refusal Refusal) diag.Diagnostics {
	return set(ctx, to, refusedKey, refusal)
}

// Refused returns the refusal that the last read left.
func Refused(ctx context.Context, from PrivateReader) Refusal {
	return get[Refusal](ctx, from, refusedKey)
}

// Refuse adds the refusal, if it is one, as the error of a plan which changes
// nothing about it.
func (r Refusal) Refuse(at path.Path, diags *diag.Diagnostics) {
	if r != (Refusal{}) {
		Error(diags, at, r.Summary, "%s", r.Detail)
	}
}

func set(ctx context.Context, to PrivateWriter, key string, value any) diag.Diagnostics {
	text, err := json.Marshal(value)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Cannot keep what is known", err.Error())}
	}
	return to.SetKey(ctx, key, text)
}

// get returns a value; of one that is not there, or that another version left, what
// can be read.
func get[T any](ctx context.Context, from PrivateReader, key string) (value T) {
	if text, _ := from.GetKey(ctx, key); len(text) > 0 {
		_ = json.Unmarshal(text, &value)
	}
	return value
}
