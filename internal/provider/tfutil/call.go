package tfutil

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Call is a call of a machine's agent, and turns its failure into diagnostics.
type Call struct {
	// Machine is who was called, Place the attribute that says where it is;
	// "machine" if it is empty.
	Machine Machine
	Place   path.Path
	// Paths leads from the problems that it answers to attributes.
	Paths Paths
	// Seen is when it last reported of what was asked for, zero if that is not
	// known; Now is the time.
	Seen, Now time.Time
	// Forget are the machines that the provider lists in forget_unreachable.
	Forget map[string]bool
	// Import is the command that brings into the state what is there already.
	Import string
	// Resource is the type of the resource that makes what is looked for, as
	// Terraform names it.
	Resource string
	// Promised tells that an earlier walk has asked the machine already and
	// shown what it said, so that there is no going back to not knowing.
	Promised bool
}

// ReadFailed tells why the state could not be refreshed. It stays as it is: a
// machine that did not prove who it is cannot say that anything is gone.
func (c Call) ReadFailed(err error, diags *diag.Diagnostics) {
	reason, ok := c.reason(err)
	if !ok || (IsMissing(err) && reason.wrong) {
		c.WriteFailed(err, diags)
		return
	}
	then := "Nothing can be changed on the machine until this is settled."
	if name := c.Machine.Name.ValueString(); c.Forget[name] {
		then = fmt.Sprintf("The provider lists %q in forget_unreachable: a destroy goes on without the machine.", name)
	}
	Warning(diags, c.place(), reason.summary, "%s",
		joined(reason.detail, fmt.Sprintf("The state is kept as it was last known%s. %s", c.age(), then)))
}

// PlanFailed tells why the dry run failed. What the machine has to be asked
// for is unknown then; what the machine refuses is an error.
func (c Call) PlanFailed(err error, diags *diag.Diagnostics) {
	if api.IsProblem(err, api.ProblemSecretsMissing) {
		return // they are brought along by the apply
	}
	reason, ok := c.reason(err)
	switch {
	case !ok:
		c.explain(err, diags)
	case reason.wrong || c.Promised:
		Error(diags, c.place(), reason.summary, "%s", reason.detail)
	default:
		Warning(diags, c.place(), reason.summary, "%s",
			joined(reason.detail, "The plan could not be checked on the machine; the apply will be."))
	}
}

// WriteFailed tells why a write failed.
func (c Call) WriteFailed(err error, diags *diag.Diagnostics) {
	if reason, ok := c.reason(err); ok {
		Error(diags, c.place(), reason.summary, "%s", reason.detail)
		return
	}
	c.explain(err, diags)
}

// PassedOver warns that a machine could not be asked for its part in a write,
// and what follows from that. Where waiting would not help, or the machine
// itself refused, it is an error.
func (c Call) PassedOver(err error, consequence string, diags *diag.Diagnostics) {
	reason, ok := c.reason(err)
	switch {
	case !ok:
		Error(diags, c.place(), fmt.Sprintf("Machine %q refuses its part", c.Machine.Name.ValueString()), "%s", Sentence(err))
	case reason.wrong || IsMissing(err):
		Error(diags, c.place(), reason.summary, "%s", reason.detail)
	default:
		Warning(diags, c.place(), reason.summary, "%s", joined(reason.detail, consequence))
	}
}

// DeleteFailed tells why a delete failed, unless the machine is one that was
// given up: what was on it is forgotten, with a warning.
func (c Call) DeleteFailed(err error, diags *diag.Diagnostics) {
	reason, ok := c.reason(err)
	name := c.Machine.Name.ValueString()
	switch {
	case !ok:
		c.explain(err, diags)
	case c.Forget[name]:
		Warning(diags, path.Empty(), "Forgotten, not removed", "%s",
			joined(reason.detail, fmt.Sprintf("The provider lists %q in forget_unreachable, so that this leaves the state; what is on the machine stays there.", name)))
	case IsMissing(err):
		Error(diags, c.place(), reason.summary, "%s", reason.detail)
	default:
		Error(diags, c.place(), reason.summary, "%s",
			joined(reason.detail, fmt.Sprintf("If the machine is gone for good, let the provider forget what was on it: forget_unreachable = [%q].", name)))
	}
}

func (c Call) place() path.Path {
	if len(c.Place.Steps()) > 0 {
		return c.Place
	}
	return path.Root("machine")
}

// Refusal returns why a plan has to be refused after a read that failed so;
// none if the read went well, or its failure may pass by itself.
func (c Call) Refusal(err error) Refusal {
	reason, ok := c.reason(err)
	if !ok || !reason.wrong || IsMissing(err) {
		return Refusal{}
	}
	return Refusal{Summary: reason.summary, Detail: reason.detail, Rebuilt: c.lost(err)}
}

// explain adds what a problem alone cannot know.
func (c Call) explain(err error, diags *diag.Diagnostics) {
	problem, ok := errors.AsType[*api.Problem](err)
	if ok && problem.Type == api.ProblemExists && c.Import != "" {
		shown := *problem
		shown.Detail = joined(problem.Detail,
			"If another resource of this configuration has been this component until now, first apply the removal or the new name of that one by itself. If only the address of the resource changed, write moved { from = <old address>, to = <new address> }.",
			"Otherwise import the component, and look at the plan:\n  "+c.Import)
		err = &shown
	}
	Explain(err, c.Paths, diags)
}

// age says how old the knowledge is, if that is known.
func (c Call) age() string {
	if c.Seen.IsZero() {
		return ""
	}
	return fmt.Sprintf(", %s ago (%s)", roughly(c.Now.Sub(c.Seen)), c.Seen.UTC().Format(time.RFC3339))
}

// roughly names a span as a person would.
func roughly(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := int(d / unit.size); n == 1 {
			return "1 " + unit.name
		} else if n > 1 {
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return "less than a minute"
}
