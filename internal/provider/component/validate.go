package component

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// ValidateConfig implements [resource.ResourceWithValidateConfig]: it checks a
// configuration by the rules of the spec, as far as its values are known.
func (r *Resource[M, S]) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	paths := r.paths(ctx)
	found, err := tfutil.Violations(ctx, req.Config, paths, func(config tfsdk.Config) api.Violations {
		var model M
		if diags := r.given(ctx, config, &model); diags.HasError() {
			return nil // something required is null, which the schema's own validation shows
		}
		return r.violations(model)
	})
	if err == nil {
		err = found.Problem()
	}
	if err != nil {
		tfutil.Explain(err, paths, &resp.Diagnostics)
	}
}

// violations returns what is wrong with a model that comes straight from a
// configuration.
func (r *Resource[M, S]) violations(config M) api.Violations {
	var found api.Violations
	if r.kind.Check != nil {
		found = r.kind.Check(config)
	}
	if r.kind.Guess != nil {
		r.kind.Guess(&config)
	}
	spec, err := r.kind.Spec(config)
	if err != nil {
		return found // a value that is none of its type, which the type's own validation shows
	}
	found = append(found, spec.Validate()...)
	secretive, ok := any(spec).(interface {
		ValidateSecrets(secrets map[string]api.Secret) api.Violations
	})
	if ok && r.kind.Secrets != nil {
		found = append(found, secretive.ValidateSecrets(r.kind.Secrets(config))...)
	}
	return found
}
