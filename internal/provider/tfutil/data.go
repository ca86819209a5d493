package tfutil

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// Data is what the provider gives to everything in it, once per run: it knows
// the credentials, and keeps what the resources of one plan have to know of
// one another.
type Data struct {
	// Credentials are those of the provider block.
	Credentials Credentials
	// TrustedCAs are the pins of the CAs that machines are to trust, that of
	// the CA which signs first; nil if there are no credentials.
	TrustedCAs []string
	// Agents reaches the machines.
	Agents Agents
	// Claims is the table of ports that are claimed in this plan.
	Claims Claims
	// Artifacts are the files of releases that were read on this walk.
	Artifacts Artifacts
	// Walk is what is noted on this walk over the configuration.
	Walk Walk
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

// Agent is the agent of one machine, as [client.Machine] is one. Its errors
// are [api.Problem]s, which an agent answered that proved who it is, or the
// classes of package client.
type Agent interface {
	// Enroll makes the machine a member of the deployment, or meets one that is.
	Enroll(ctx context.Context) (api.Enrolled, error)
	// Renew signs the machine's certificate again, and gives it the CAs of the
	// provider in place of those that it trusts.
	Renew(ctx context.Context) (api.Enrolled, error)
	// Info tells about the machine.
	Info(ctx context.Context) (api.Info, error)
	// Get returns what was applied to a component, and what is observed of it.
	Get(ctx context.Context, id api.ID) (api.Component, error)
	// Plan is the dry run of a write that is based on generation base.
	Plan(ctx context.Context, id api.ID, base int64, write api.Write) (api.Plan, error)
	// Apply carries out a change and waits for its end; progress is called
	// with each event.
	Apply(ctx context.Context, c client.Change, progress func(api.Event)) (api.Operation, error)
	// Delete removes a component, as Apply changes it.
	Delete(ctx context.Context, c client.Change, progress func(api.Event)) (api.Operation, error)
	// Own makes a resource the owner of a component, and changes nothing else.
	Own(ctx context.Context, id api.ID, claiming api.Claiming) (api.Ownership, error)
	// UploadBlob brings size bytes of the given SHA-256 to the machine, unless
	// they are there.
	UploadBlob(ctx context.Context, sha256 string, content io.ReaderAt, size int64, sent func(bytes int64)) error
	// EnsureLeaf makes sure that a service of the machine has a certificate
	// that names the machine and what is wanted besides.
	EnsureLeaf(ctx context.Context, service string, besides pki.ServiceNames) error
	// TrimLeaf takes the names out of a service's certificate that are not the
	// machine's own.
	TrimLeaf(ctx context.Context, service string) error
	// Enlist tells the machine which machines it takes part in a replication with.
	Enlist(ctx context.Context, replication string, membership api.DBMembership) error
	// Leave ends the machine's membership in a replication, if it has one.
	Leave(ctx context.Context, replication string) error
}

// DataFrom returns the provider's data as the framework passes it on; nil as
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
