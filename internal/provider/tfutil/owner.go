package tfutil

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// What the private state says of the owner of a component. It goes wherever
// the resource goes: through a refresh, "terraform state mv", a moved block,
// into and out of modules.
const (
	lineageKey = "lineage" // which resource in which state this is
	takingKey  = "taking"  // from whom the component is to be taken over
	takenKey   = "taken"   // who has taken it over
)

// NewLineage returns a text that no other resource has.
func NewLineage() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // it never fails, as its documentation says
	return hex.EncodeToString(random)
}

// Lineage returns the lineage of a resource; empty if it has none, because it
// is not in a state yet.
func Lineage(ctx context.Context, from PrivateReader) string {
	return get[string](ctx, from, lineageKey)
}

// SetLineage keeps the lineage of a resource.
func SetLineage(ctx context.Context, to PrivateWriter, lineage string) diag.Diagnostics {
	return set(ctx, to, lineageKey, lineage)
}

// Instance tells which resource a plan is about, as Terraform names none:
// the text is the same whenever it plans the same resource. For the second half
// of a replacement Terraform asks without a state, but with what the first half left.
func Instance(ctx context.Context, hasState bool, before PrivateReader, planned PrivateWriter, diags *diag.Diagnostics) string {
	if lineage := Lineage(ctx, before); lineage != "" {
		return lineage
	}
	instance := NewLineage()
	if hasState {
		diags.Append(SetLineage(ctx, planned, instance)...)
	}
	return instance
}

// Taking is a component that is taken over, and was not yet.
type Taking struct {
	// From is the owner that it is taken from, empty for nobody.
	From string `json:"from"`
	// Pending is true until the takeover is done.
	Pending bool `json:"pending"`
}

// SetTaking notes that a component is to be taken over.
func SetTaking(ctx context.Context, to PrivateWriter, taking Taking) diag.Diagnostics {
	return set(ctx, to, takingKey, taking)
}

// GetTaking returns what [SetTaking] noted.
func GetTaking(ctx context.Context, from PrivateReader) Taking {
	return get[Taking](ctx, from, takingKey)
}

// SetTaken notes who has taken a component over; the zero value is nobody.
func SetTaken(ctx context.Context, to PrivateWriter, by api.Ownership) diag.Diagnostics {
	return set(ctx, to, takenKey, by)
}

// Taken returns who has taken a component over.
func Taken(ctx context.Context, from PrivateReader) (by api.Ownership, taken bool) {
	by = get[api.Ownership](ctx, from, takenKey)
	return by, by.Owner != ""
}

// SetOwned notes, after a write, that a component is the resource's own.
func SetOwned(ctx context.Context, to PrivateWriter, lineage string) diag.Diagnostics {
	diags := SetLineage(ctx, to, lineage)
	diags.Append(SetTaking(ctx, to, Taking{})...)
	diags.Append(SetTaken(ctx, to, api.Ownership{})...)
	return diags
}

// ClaimIdentity enters which resource is a component, and adds an error if
// another resource of this plan is the same one.
func (d *Data) ClaimIdentity(machine string, id api.ID, instance string, at path.Path, diags *diag.Diagnostics) {
	if d.Claims.Identify(machine, id, instance) {
		return
	}
	Error(diags, at, "Two resources are one",
		"This resource and another one of this configuration are both %s. Each apply of one would undo what the other says, and a destroy of one would remove what both are. "+
			"Give one of them another name or machine, or remove it. To find the other, look for the resources of this type with the same name: "+
			"other keys of the same for_each or count, other modules, and \"terraform state list\".", named(machine, id))
}

// ChangesHands warns that one resource of the plan stops being a component, or
// a machine, and another becomes it.
func ChangesHands(machine string, id api.ID, diags *diag.Diagnostics) {
	consequence := "It may stop in between, as the order is not certain."
	if id.Name == "" {
		consequence = "Nothing is removed from the machine, but every resource on it shows a change, of unknown impact."
	}
	Warning(diags, path.Empty(), "Destroyed by one resource, created by another",
		"%s is destroyed by one resource of this plan and created by another. %s %s", api.Capital(named(machine, id)), consequence, handOver)
}

// StillHeld refuses a create under a name that a resource of the state still
// has, at the attribute of the name.
func StillHeld(machine string, id api.ID, at path.Path, diags *diag.Diagnostics) {
	Error(diags, at, "The name is still in use",
		"%s exists with another configuration and belongs to a resource of this state, which gives it up in this plan. Terraform may create the new one before that. %s "+
			"If the resource is tainted, \"terraform untaint\" is enough.", named(machine, id), handOver)
}

// handOver says how a resource becomes what another one was.
const handOver = "If only addresses of resources changed (a label, a key of a for_each, a module), write moved { from = <old address>, to = <new address> }, and nothing changes on the machine. " +
	"For two addresses that swap, use \"terraform state mv\" by way of a third. " +
	"Otherwise take two steps: first an apply that destroys the old resource or gives it an unused name, then one that creates the new resource."

// named says which component of a machine, or which machine, an id is.
func named(machine string, id api.ID) string {
	if id.Name == "" { // a machine itself
		return fmt.Sprintf("%s %q", id.Kind, machine)
	}
	return fmt.Sprintf("%s on machine %q", id, machine)
}
