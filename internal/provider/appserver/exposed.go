package appserver

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// warnOfExposed warns of variables of the environment that look like secrets.
func warnOfExposed(ctx context.Context, config tfsdk.Config) diag.Diagnostics {
	at := path.Root("environment")
	var environment types.Map
	diags := config.GetAttribute(ctx, at, &environment)
	for _, name := range slices.Sorted(maps.Keys(environment.Elements())) {
		value, ok := environment.Elements()[name].(types.String)
		if why := exposes(name, value.ValueString()); ok && why != "" {
			tfutil.Warning(&diags, at.AtMapKey(name), "A secret in the environment",
				"%s %s. Terraform shows values of environment in plans, and keeps them in the state and in saved plans. Move it to secrets_wo, with secrets_wo_version, and change the secret if a state has it already.", name, why)
		}
	}
	return diags
}

// secretEndings are how names of variables end that hold secrets.
func secretEndings() []string {
	return []string{
		"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY", "SECRET_KEY", "SESSION_KEY", "SIGNING_KEY", "ENCRYPTION_KEY",
	}
}

// exposes says why a variable is likely to be a secret, "" if it is not. The path of
// a file that holds one is none, nor what is empty or not known yet.
func exposes(name, value string) string {
	if value == "" || strings.HasPrefix(value, "/") {
		return ""
	}
	upper := strings.ToUpper(name)
	if slices.ContainsFunc(secretEndings(), func(ending string) bool { return strings.HasSuffix(upper, ending) }) {
		return "is named like a secret"
	}
	if at, err := url.Parse(value); err == nil && at.Host != "" {
		if password, _ := at.User.Password(); password != "" {
			return "is a URL with a password in it"
		}
	}
	return ""
}
