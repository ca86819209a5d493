package tfutil

import (
	"context"
	"net"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Machine is the model of the attribute "machine": which machine a component
// is on, and how to reach it. Its four attributes are those of the resource
// foobar_machine, so that "machine = foobar_machine.web1" is all that a
// configuration says; Terraform drops the resource's others on the way, and a
// change of those touches no dependant.
type Machine struct {
	Name        types.String `tfsdk:"name"`
	Address     types.String `tfsdk:"address"`
	Incarnation types.Int64  `tfsdk:"incarnation"`
	Key         types.String `tfsdk:"key"`
}

// Known reports whether name and address are known, so that the machine can
// be called.
func (m Machine) Known() bool {
	return !m.Name.IsNull() && !m.Name.IsUnknown() && !m.Address.IsNull() && !m.Address.IsUnknown()
}

// Same reports whether both are known to be the same VM: one name, one incarnation.
func (m Machine) Same(other Machine) bool {
	return m.Name.Equal(other.Name) && m.Incarnation.Equal(other.Incarnation) &&
		!m.Name.IsUnknown() && !m.Incarnation.IsUnknown()
}

// Rebuilt reports whether it is another VM than before of the same name, or may be
// one, as its incarnation is not known yet.
func (m Machine) Rebuilt(before Machine) bool {
	return m.Name.Equal(before.Name) && !m.Name.IsUnknown() && !m.Incarnation.IsNull() && !before.Incarnation.IsNull() && !m.Same(before)
}

// Since returns the machine with what is known from before filled in where a
// configuration leaves it open: the incarnation as long as it has the same
// name, the key as long as it is the same VM. The address keeps its spelling.
// What is not known from before is unknown until the machine is met.
func (m Machine) Since(before Machine) Machine {
	named := m.Name.Equal(before.Name) && !m.Name.IsUnknown()
	if m.Incarnation.IsNull() {
		m.Incarnation = types.Int64Unknown()
		if named && !before.Incarnation.IsNull() {
			m.Incarnation = before.Incarnation
		}
	}
	if m.Key.IsNull() {
		m.Key = types.StringUnknown()
		if m.Same(before) && !before.Key.IsNull() {
			m.Key = before.Key
		}
	}
	if named && sameAddress(m.Address.ValueString(), before.Address.ValueString()) {
		m.Address = before.Address
	}
	return m
}

// Endpoint returns where the machine's agent is reached, always with a port.
// What is no address stays as it is, for others to refuse.
func (m Machine) Endpoint() string {
	host, port, err := SplitAddress(m.Address.ValueString())
	if err != nil {
		return m.Address.ValueString()
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// sameAddress reports whether an agent at the one address is one at the other.
func sameAddress(a, b string) bool {
	left, right := Machine{Address: types.StringValue(a)}, Machine{Address: types.StringValue(b)}
	return a != "" && b != "" && left.Endpoint() == right.Endpoint()
}

// KeepAddress returns a plan modifier under which another spelling of an
// agent's address, such as one with its usual port, is no change.
func KeepAddress() planmodifier.String { return keepAddress{} }

type keepAddress struct{}

func (keepAddress) Description(context.Context) string {
	return "another spelling of the same address is no change"
}

func (m keepAddress) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

// PlanModifyString implements [planmodifier.String].
func (keepAddress) PlanModifyString(_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	if sameAddress(req.StateValue.ValueString(), req.PlanValue.ValueString()) {
		resp.PlanValue = req.StateValue
	}
}

// MachineAttribute returns the attribute "machine" of every component. Only a
// machine of another name makes another component of it: a new address is
// where the same machine is found now, and a new incarnation is a rebuilt
// machine, on which an update restores everything.
func MachineAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "The machine that it is on: `foobar_machine.web1`, or an object of its `name` and `address`. " +
			"Another name replaces the resource; another address or incarnation does not.",
		Required: true,
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				MarkdownDescription: "The machine's name, which its certificate has to prove: " + NameText() + ".",
				Required:            true,
				Validators:          []validator.String{Name()},
				PlanModifiers:       []planmodifier.String{ReplaceIfRenamed()},
			},
			"address": schema.StringAttribute{
				MarkdownDescription: "Where its agent is reached: a host or `host:port`; the port is 9443 if none is given.",
				Required:            true,
				Validators:          []validator.String{Address()},
			},
			"incarnation": schema.Int64Attribute{
				MarkdownDescription: "Which VM of that name it is. A higher one than in the state is a rebuilt VM, on which the next apply restores everything.",
				Optional:            true,
				Computed:            true,
				Validators:          []validator.Int64{Incarnation()},
				PlanModifiers:       []planmodifier.Int64{keepIncarnation{}},
			},
			"key": schema.StringAttribute{
				MarkdownDescription: "The pin of the machine's public key. A machine that shows another key is refused.",
				Optional:            true,
				Computed:            true,
				Validators:          []validator.String{Check("Invalid key", "the pin of a key, as foobar_machine has it", api.CheckKeyPin)},
				PlanModifiers:       []planmodifier.String{keepKey{}},
			},
		},
	}
}

// ReplaceIfRenamed returns a plan modifier that replaces the resource if both
// the old and the new value are known and differ; an unknown one never does.
func ReplaceIfRenamed() planmodifier.String {
	const why = "another name is another thing: the resource is replaced"
	return stringplanmodifier.RequiresReplaceIf(
		func(_ context.Context, req planmodifier.StringRequest, resp *stringplanmodifier.RequiresReplaceIfFuncResponse) {
			resp.RequiresReplace = !req.PlanValue.IsUnknown() && !req.StateValue.IsNull()
		}, why, why)
}

// keepIncarnation keeps the incarnation that a machine was met with, where
// the configuration leaves it open.
type keepIncarnation struct{}

func (keepIncarnation) Description(context.Context) string {
	return "stays as it was first seen"
}

func (m keepIncarnation) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

// PlanModifyInt64 implements [planmodifier.Int64].
func (keepIncarnation) PlanModifyInt64(ctx context.Context, req planmodifier.Int64Request, resp *planmodifier.Int64Response) {
	if !req.ConfigValue.IsNull() || req.StateValue.IsNull() || !req.PlanValue.IsUnknown() {
		return
	}
	var before, after types.String
	name := req.Path.ParentPath().AtName("name")
	resp.Diagnostics.Append(req.State.GetAttribute(ctx, name, &before)...)
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, name, &after)...)
	if before.Equal(after) {
		resp.PlanValue = req.StateValue
	}
}

// keepKey keeps the pin of a machine's key, where the configuration leaves it
// open, for as long as it is the same VM.
type keepKey struct{}

func (keepKey) Description(context.Context) string {
	return "stays as long as it is the same VM"
}

func (m keepKey) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

// PlanModifyString implements [planmodifier.String].
func (keepKey) PlanModifyString(ctx context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	if !req.ConfigValue.IsNull() || req.StateValue.IsNull() || !req.PlanValue.IsUnknown() {
		return
	}
	var before, after, configured Machine
	at := req.Path.ParentPath()
	resp.Diagnostics.Append(req.State.GetAttribute(ctx, at, &before)...)
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, at, &after)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, at, &configured)...)
	sameVM := configured.Incarnation.IsNull() || configured.Incarnation.Equal(before.Incarnation)
	if before.Name.Equal(after.Name) && sameVM {
		resp.PlanValue = req.StateValue
	}
}
