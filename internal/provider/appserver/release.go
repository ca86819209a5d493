package appserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

var (
	sourcePath = path.Root("release").AtName("source")
	sumPath    = path.Root("release").AtName("sha256")
	limitPath  = path.Root("release").AtName("max_bytes")

	signaturePath = path.Root("release").AtName("signature")
	keysPath      = path.Root("release").AtName("public_keys")
)

// sourcePointer is where problems of the file are shown. No spec has it.
const sourcePointer api.Pointer = "/release/source"

// resolving is the release of one plan.
type resolving struct {
	// source and given are what the configuration says, present the checksum
	// in the state, null where there is none.
	source, given, present types.String
	maxBytes               types.Int64
	// signature and keys are what the configuration wants of the file.
	signature types.String
	keys      types.List
	// before is the source that the present release was read from, "" if that
	// is not known.
	before string
}

func newResolving(ctx context.Context, req resource.ModifyPlanRequest) (resolving, diag.Diagnostics) {
	var r resolving
	diags := req.Config.GetAttribute(ctx, sourcePath, &r.source)
	diags.Append(req.Config.GetAttribute(ctx, sumPath, &r.given)...)
	diags.Append(req.Plan.GetAttribute(ctx, limitPath, &r.maxBytes)...)
	diags.Append(req.Config.GetAttribute(ctx, signaturePath, &r.signature)...)
	diags.Append(req.Config.GetAttribute(ctx, keysPath, &r.keys)...)
	if !req.State.Raw.IsNull() {
		diags.Append(req.State.GetAttribute(ctx, sumPath, &r.present)...)
		r.before = tfutil.Source(ctx, req.Private)
	}
	return r, diags
}

// resolve plans the checksum of the release: that of the file at source, which
// must then be the one that the configuration gives, if any. The file is
// checked by the rules that the machine will unpack it by.
func resolve(ctx context.Context, data *tfutil.Data, req resource.ModifyPlanRequest, plan *tfsdk.Plan) diag.Diagnostics {
	r, diags := newResolving(ctx, req)
	if !req.ClientCapabilities.DeferralAllowed { // the plan with which an apply begins repeats nothing
		diags.Append(warnOfExposed(ctx, req.Config)...)
		diags.Append(warnOfEmpty(ctx, req.Config)...)
	}
	switch {
	case diags.HasError() || r.source.IsNull():
		return diags
	case r.source.IsUnknown() || r.maxBytes.IsUnknown():
		if r.given.IsNull() {
			diags.Append(plan.SetAttribute(ctx, sumPath, types.StringUnknown())...)
		}
		return diags
	}
	file, err := data.Artifacts.Open(ctx, r.source.ValueString(), r.maxBytes.ValueInt64())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.missing(ctx, req, plan, &diags)
		return diags
	case err != nil:
		tfutil.Error(&diags, sourcePath, "The artifact cannot be read", "%s%s", tfutil.Sentence(err), r.withoutDamaged())
		return diags
	}
	defer func() { _ = file.Close() }() // nothing was written
	if file.Bad != nil {
		tfutil.Error(&diags, sourcePath, "Invalid artifact", "%s%s", tfutil.Sentence(errors.New(file.Bad.Of("the file "+r.source.ValueString()))), r.withoutDamaged())
	}
	if r.given.IsNull() {
		diags.Append(plan.SetAttribute(ctx, sumPath, file.SHA256)...)
	}
	switch {
	case !r.given.IsNull() && !r.given.IsUnknown() && r.given.ValueString() != file.SHA256:
		tfutil.Error(&diags, sumPath, "The artifact has another checksum",
			"The file %s has the SHA-256 %s, not %s. If it was built again, give its new checksum, or remove sha256. If not, it is another file than you meant, or it is damaged.",
			r.source.ValueString(), file.SHA256, r.given.ValueString())
	default:
		if file.Bad == nil {
			diags.Append(lacking(ctx, file.Holds, r.source.ValueString(), req.Config)...)
		}
		r.authentic(ctx, file, &diags)
	}
	return diags
}

// authentic checks the signature of the file, as far as it is known. What is
// wrong with it by itself was shown by the validation.
func (r resolving) authentic(ctx context.Context, file *tfutil.Artifact, diags *diag.Diagnostics) {
	var keys []types.String
	if !r.keys.IsNull() && !r.keys.IsUnknown() {
		diags.Append(r.keys.ElementsAs(ctx, &keys, false)...)
	}
	texts := make([]string, len(keys))
	for i, key := range keys {
		if texts[i] = key.ValueString(); key.IsNull() || key.IsUnknown() {
			return
		}
	}
	if r.signature.IsNull() || r.signature.IsUnknown() || len(keys) == 0 {
		return
	}
	signature, wrong := artifact.ParseSignature(r.signature.ValueString(), texts)
	if len(wrong) > 0 {
		return
	}
	if err := signature.Check(file.Digest); err != nil {
		tfutil.Error(diags, signaturePath, "The artifact is not signed as it has to be", "%s", tfutil.Sentence(fmt.Errorf("the file %s: %w", r.source.ValueString(), err)))
	}
}

// missing plans without the file: that works as long as the configuration means
// a release which the machine may have.
func (r resolving) missing(ctx context.Context, req resource.ModifyPlanRequest, plan *tfsdk.Plan, diags *diag.Diagnostics) {
	source := r.source.ValueString()
	kept := r.given.IsNull() && r.before == source && !r.present.IsNull()
	fresh := freshMachine(ctx, req, diags)
	switch {
	case r.given.IsNull() && !kept:
		tfutil.Error(diags, sourcePath, "The artifact is missing", "There is no file %s. Build the release, then plan again.%s", located(source), r.withoutFile())
	case fresh:
		tfutil.Error(diags, sourcePath, "The artifact is missing",
			"There is no file %s. The machine is new or was rebuilt, so that the release has to be uploaded. Build it, then plan again.", located(source))
	case kept:
		diags.Append(plan.SetAttribute(ctx, sumPath, r.present)...)
		tfutil.Warning(diags, sourcePath, "The artifact is missing",
			"There is no file %s. The app server keeps the release that it has (SHA-256 %s). To deploy another one, build it, then plan again.", located(source), r.present.ValueString())
	}
}

// located names a file, and where a path that is not absolute leads to.
func located(source string) string {
	whole, err := filepath.Abs(source)
	if err != nil || whole == filepath.Clean(source) {
		return source
	}
	return fmt.Sprintf("%s (%s)", source, whole)
}

// withoutFile says what can be done to an app server without the file.
func (r resolving) withoutFile() string {
	if r.present.IsNull() {
		return ""
	}
	return fmt.Sprintf("\n\nTo keep the release that the app server has, set sha256 = %q. To destroy without the file, run terraform destroy -refresh=false; look at its plan: with -target=ADDRESS it destroys that and what refers to it, without it everything in this state.", r.present.ValueString())
}

// withoutDamaged says what can be done to an app server while the file is
// damaged, which is an error, as a missing one need not be.
func (r resolving) withoutDamaged() string {
	if r.present.IsNull() {
		return ""
	}
	return fmt.Sprintf("\n\nTo keep the release that the app server has, remove the file, and set sha256 = %q. "+
		"To destroy the app server without the file, run terraform destroy -refresh=false; look at its plan: with -target=ADDRESS it destroys that and what refers to it, without it everything in this state.", r.present.ValueString())
}

// freshMachine reports whether the machine surely has no artifact yet: it is
// still to be enrolled, or is another VM than the one in the state.
func freshMachine(ctx context.Context, req resource.ModifyPlanRequest, diags *diag.Diagnostics) bool {
	at := path.Root("machine")
	var given types.Object
	diags.Append(req.Config.GetAttribute(ctx, at, &given)...)
	if given.IsUnknown() || given.IsNull() {
		return given.IsUnknown()
	}
	var configured, planned, before tfutil.Machine
	diags.Append(req.Config.GetAttribute(ctx, at, &configured)...)
	if configured.Key.IsUnknown() || configured.Incarnation.IsUnknown() {
		return true
	}
	if req.State.Raw.IsNull() {
		return false
	}
	diags.Append(req.Plan.GetAttribute(ctx, at, &planned)...)
	diags.Append(req.State.GetAttribute(ctx, at, &before)...)
	return !planned.Same(before)
}

// guess is used in place of resolve where a configuration is checked by itself:
// a checksum that is left out will be that of the file.
func guess(config *model) {
	if tfutil.Or(config.SecretsWOVersion, 0) < 1 && len(config.SecretsWO) > 0 {
		config.SecretsWOVersion = new(int64(1)) // check and the schema say what is wrong with it
	}
	if config.Release.SHA256 == nil {
		config.Release.SHA256 = new(strings.Repeat("0", 2*sha256.Size))
	}
}
