package tfutil

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Data is what the provider hands to everything in it, once per run: it knows
// the credentials, and keeps what the resources of one plan have to know of
// one another.
type Data struct {
	// Deployment names the machines' deployment; empty if it is not known yet.
	Deployment string
	// Agents reaches the machines.
	Agents Agents
	// Claims is the table of ports that are claimed in this plan.
	Claims Claims
	// Forget holds the machines that are gone for good, by name: what was on
	// them leaves the state without a word from them.
	Forget map[string]bool
	// Now is the clock.
	Now func() time.Time
}

// Agents reaches machines. Nothing is dialled before the first call.
type Agents interface {
	// Agent returns the agent of a machine whose name and address are known.
	// Its error says which value of the provider is missing.
	Agent(machine Machine) (Agent, error)
}

// Agent is the agent of one machine. Its errors are [api.Problem]s, which an
// agent answered that proved who it is, or classes of package client.
type Agent interface {
	// Info tells about the machine.
	Info(ctx context.Context) (api.Info, error)
	// Component returns what was applied and what is observed.
	Component(ctx context.Context, id api.ID) (api.Component, error)
	// Plan is the dry run of an Apply.
	Plan(ctx context.Context, id api.ID, base int64, write api.Write) (api.Plan, error)
	// Apply carries out a write on the component, of which base is the
	// present generation (0: there is none), and waits for its end. Progress
	// is called for each event.
	Apply(ctx context.Context, id api.ID, base int64, write api.Write, progress func(api.Event)) (api.Operation, error)
	// Delete removes the component, as Apply changes it.
	Delete(ctx context.Context, id api.ID, base int64, progress func(api.Event)) (api.Operation, error)
	// Upload brings a blob of the given SHA-256 and size in bytes to the
	// machine, unless it is there.
	Upload(ctx context.Context, sha256 string, size int64, blob io.ReaderAt) error
}

// DataFrom returns the provider's data as the framework hands it over; nil as
// long as the provider is not configured, which is so while validating.
func DataFrom(provided any, diags *diag.Diagnostics) *Data {
	if provided == nil {
		return nil
	}
	data, ok := provided.(*Data)
	if !ok {
		diags.AddError("Unexpected provider data", fmt.Sprintf("Found a %T. This is a bug in the provider; please report it.", provided))
	}
	return data
}
