package appserver

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// hasArtifact is a validator of a release that says which artifact it is.
type hasArtifact struct{}

// Description implements [validator.Object].
func (hasArtifact) Description(context.Context) string { return "source, sha256 or both" }

// MarkdownDescription implements [validator.Object].
func (h hasArtifact) MarkdownDescription(ctx context.Context) string { return h.Description(ctx) }

// ValidateObject implements [validator.Object].
func (hasArtifact) ValidateObject(_ context.Context, req validator.ObjectRequest, resp *validator.ObjectResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	given := req.ConfigValue.Attributes()
	if source, sum := given["source"], given["sha256"]; source.IsNull() && sum.IsNull() {
		tfutil.Error(&resp.Diagnostics, req.Path, "The release is missing",
			"The release has neither source nor sha256. Give source, the path of its artifact; or sha256, if the machine has the artifact already; and check the spelling of its attributes: Terraform drops those that it does not know.")
	}
}
