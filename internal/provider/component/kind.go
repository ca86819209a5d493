// Package component is the life of every component in Terraform: plan,
// create, read, update, delete and import of whatever kind, against the agent
// of the machine that it is on. A kind adds its attributes and the conversion
// between its model and its spec; all that can go wrong on the way is handled
// here, once.
//
// What stays true:
//   - Only an agent that proved who it is can say that a component is gone.
//     Whatever else keeps an agent from answering leaves the state as it is
//     and warns; writes fail.
//   - A write is based on the generation in the state, 0 on a machine that was
//     rebuilt. A lost race is shown, never retried.
//   - A plan that is empty calls nobody. A changed timeout alone neither.
//   - A component has one owner: the resource whose lineage is in its private
//     state. Only the first refresh after an import changes the owner outside of
//     an apply.
//   - The plan with which an apply begins has the values of the approved one, or
//     an error of its own. Terraform gives it nothing of that plan, so what has
//     to be the same is remembered by the agent (package operation), or constant.
//   - Of a replacement, only the second half has the private state of the first
//     and no state; Terraform drops its warnings, and the apply knows of neither.
package component

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// DefaultTimeout bounds a create, an update or a delete whose configuration
// names no timeout. It is the agent's own bound for an operation.
const DefaultTimeout = 5 * time.Minute

// Spec is a kind's spec, one of package api's.
type Spec interface {
	// Validate says what is wrong with the spec on any machine.
	Validate() api.Violations
	// Claims are the ports that a component of this spec listens on.
	Claims() []api.Claim
}

// Kind is what the life of a component has to know of its kind. M is the
// resource's model, a struct that embeds [Model]; S is its spec.
type Kind[M any, S Spec] struct {
	// Kind names it to agents, TypeName to Terraform, without the provider's
	// name ("load_balancer"), Title to people ("load balancer").
	Kind     api.Kind
	TypeName string
	Title    string
	// Description is the resource's page in Markdown, Attributes what it has
	// beyond those of [Model].
	Description string
	Attributes  map[string]schema.Attribute
	// Renamed is where the model calls something otherwise than the spec, see
	// [tfutil.Paths].
	Renamed map[api.Pointer]api.Pointer
	// Local names the attributes whose change alone is no matter of the
	// machine, beyond "timeouts": where a file lies, for instance.
	Local []string
	// MachineAt, if there is one, returns where a configuration says which
	// machine the component is on; nowhere as long as that is not known. The
	// attribute "machine" is computed then, and no other machine replaces the
	// resource. Without it the attribute itself says it.
	MachineAt func(ctx context.Context, config tfsdk.Config) (path.Path, diag.Diagnostics)
	// Shared returns the model's embedded part.
	Shared func(model *M) *Model
	// Spec returns what the agent is to be given. It is given models in which
	// all attributes of the kind are known. An [api.Problem] is shown on the
	// attributes that it points at.
	Spec func(model M) (S, error)
	// Show sets the attributes of the model that spec has values for.
	Show func(spec S, model *M)
	// Status, if there is one, sets the attributes that Moving names to what
	// the component's status says, and to null where it is empty: nothing is
	// known then. A write leaves them open, as the machine moves meanwhile; one
	// that changes nothing but what Steady names keeps them, as a refresh has
	// shown them.
	Status func(status json.RawMessage, model *M) error
	Moving []string
	Steady []string
	// Resolve, if there is one, checks while planning what is on this side,
	// and plans what follows from it: the checksum of a file, for instance.
	// Any value may be unknown; the deployment's name is empty then.
	Resolve func(ctx context.Context, data *tfutil.Data, req resource.ModifyPlanRequest, plan *tfsdk.Plan) diag.Diagnostics
	// Check, if there is one, returns what is wrong with a configuration and
	// does not show in its spec, at places of the spec.
	Check func(config M) api.Violations
	// Guess, if there is one, sets in a configuration that is checked by itself
	// what only Resolve will plan to something that is valid.
	Guess func(config *M)
	// Doubts, if there is one, returns what a plan of a change warns of by itself:
	// values that are allowed and do hardly what was wanted.
	Doubts func(planned M) []tfutil.Doubt
	// Foresee, if there is one, tells what can be said without the machine of a
	// change from what it shows to another spec: the least impact, and which
	// values make it a costly one. The machine compares with what was applied,
	// and does not count what somebody has changed at run time since.
	Foresee func(before, after S) api.Plan
	// Lost, if there is one, says of an update what of the component's data was on
	// rebuilt machines alone, and what becomes of it, in whole sentences; "" if
	// nothing was.
	Lost func(before, after M) string
	// Ends says what a destroy ends beyond the ports that are closed, and what
	// stays, in whole sentences.
	Ends string
	// Secrets, if there is one, returns the write-only values of a
	// configuration, by name.
	Secrets func(config M) map[string]api.Secret
	// SecretSets, if there is one, returns the same with their versions.
	SecretSets func(config M) tfutil.SecretSets
	// Prepare, if there is one, brings to the machine, and to others that have
	// a part in the component, what the write refers to, such as a blob or a
	// certificate. The configuration has the write-only values. The error is
	// one of the component's own machine; of others the diagnostics tell.
	Prepare func(ctx context.Context, data *tfutil.Data, planned, config M) (diag.Diagnostics, error)
	// Left, if there is one, takes away what only a part in the component was
	// good for, once an update or a destroy has succeeded. After is nil for a
	// destroy. It only warns: the component itself is as planned.
	Left func(ctx context.Context, data *tfutil.Data, before M, after *M) diag.Diagnostics
	// Lacks, if there is one, says why Prepare will not bring an artifact that
	// the machine lacks; nil if it will.
	Lacks func(config M, spec S) error
	// Keep, if there is one, notes in the private state, after a write, what
	// the next plan has to know of the configuration.
	Keep func(ctx context.Context, config M, to tfutil.PrivateWriter) diag.Diagnostics
	// Beside, if there is one, notes in a plan what the resources of other kinds
	// have to know of this one, and returns what is wrong between it and those that
	// were planned before it, at places of the spec.
	Beside func(walk *tfutil.Walk, machine tfutil.Machine, spec S) []api.Condition
	// Others, if there is one, names the other machines that have a part in
	// the component: a destroy may forget those that are gone for good.
	Others func(model M) []string
}

// Resource is the resource of a kind.
type Resource[M any, S Spec] struct {
	kind Kind[M, S]
	data *tfutil.Data
}

// New returns the resource of a kind.
func New[M any, S Spec](kind Kind[M, S]) resource.Resource { return &Resource[M, S]{kind: kind} }

// Metadata implements [resource.Resource].
func (r *Resource[M, S]) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + r.kind.TypeName
}

// Schema implements [resource.Resource].
func (r *Resource[M, S]) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := shared(ctx, r.kind.Title)
	maps.Copy(attributes, r.kind.Attributes)
	resp.Schema = schema.Schema{MarkdownDescription: r.kind.Description, Attributes: attributes}
}

// shared returns the schema of [Model].
func shared(ctx context.Context, title string) map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"machine": tfutil.MachineAttribute(),
		"name": schema.StringAttribute{
			MarkdownDescription: fmt.Sprintf("Name of the %s on its machine: %s. Another name replaces it.", title, tfutil.NameText()),
			Required:            true,
			Validators:          []validator.String{tfutil.Name()},
			PlanModifiers:       []planmodifier.String{tfutil.ReplaceIfRenamed()},
		},
		"generation": schema.Int64Attribute{
			MarkdownDescription: "Counts the applied changes on the machine, from 1. A write is refused if it is not based on the present one.",
			Computed:            true,
		},
		"impact": schema.StringAttribute{
			MarkdownDescription: "What a planned change costs the traffic: " + tfutil.Choices(api.Impacts()) +
				". Everything that is created says `start`: the component is started, unless it runs already; in a replacement the old one stops before. A plan shows the impact of a change when the machine can be asked; it is unknown otherwise.",
			Computed: true,
		},
		"drift": schema.MapNestedAttribute{
			MarkdownDescription: "Files and units of the machine that differ from what was applied and belong to no attribute, such as an edited file. The next apply repairs all of them.",
			Computed:            true,
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"detail": schema.StringAttribute{
					MarkdownDescription: "What differs.",
					Computed:            true,
				},
				"attributes": schema.ListAttribute{
					MarkdownDescription: "The attributes that the changed lines came from.",
					ElementType:         types.StringType,
					Computed:            true,
				},
			}},
		},
		"timeouts": tfutil.TimeoutsAttribute(ctx, "How long a change may take on the machine. When the time is up, the agent stops the change and undoes it where it can, and the apply fails.", timeouts.Opts{
			Create: true, Update: true, Delete: true,
			CreateDescription: timeoutText("create"),
			UpdateDescription: timeoutText("update"),
			DeleteDescription: timeoutText("delete"),
		}),
	}
}

func timeoutText(verb string) string {
	return fmt.Sprintf("How long the machine may take to %s it. Waiting for other changes on the machine, at most 15 minutes, does not count. Default `5m`.", verb)
}

// IdentitySchema implements [resource.ResourceWithIdentity].
func (r *Resource[M, S]) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"machine": identityschema.StringAttribute{
			Description:       "Name of the machine.",
			RequiredForImport: true,
		},
		"name": identityschema.StringAttribute{
			Description:       "Name of the " + r.kind.Title + " on its machine.",
			RequiredForImport: true,
		},
	}}
}

// Configure implements [resource.ResourceWithConfigure].
func (r *Resource[M, S]) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.data = tfutil.DataFrom(req.ProviderData, &resp.Diagnostics)
}

// id returns the component's id.
func (r *Resource[M, S]) id(shared *Model) api.ID {
	return api.ID{Kind: r.kind.Kind, Name: shared.Name.ValueString()}
}

// decode reads a spec as an agent answers it. What a newer agent adds is
// passed over.
func (r *Resource[M, S]) decode(raw json.RawMessage) (S, error) {
	var spec S
	if err := json.Unmarshal(raw, &spec); err != nil {
		return spec, fmt.Errorf("read the spec that the agent answered: %w", err)
	}
	return spec, nil
}

// paths returns the way from pointers into specs to attributes.
func (r *Resource[M, S]) paths(ctx context.Context) tfutil.Paths {
	var resp resource.SchemaResponse
	r.Schema(ctx, resource.SchemaRequest{}, &resp)
	return tfutil.Paths{Type: resp.Schema.Type(), Renamed: r.kind.Renamed}
}

// The attributes of [Model].
var (
	machinePath    = path.Root("machine")
	namePath       = path.Root("name")
	generationPath = path.Root("generation")
	impactPath     = path.Root("impact")
	driftPath      = path.Root("drift")
)

// The optional parts of a resource that this one has.
var (
	_ resource.ResourceWithConfigure   = (*Resource[struct{}, Spec])(nil)
	_ resource.ResourceWithIdentity    = (*Resource[struct{}, Spec])(nil)
	_ resource.ResourceWithImportState = (*Resource[struct{}, Spec])(nil)
	_ resource.ResourceWithModifyPlan  = (*Resource[struct{}, Spec])(nil)

	_ resource.ResourceWithValidateConfig = (*Resource[struct{}, Spec])(nil)
)
