package appserver

import (
	"context"
	"maps"
	"regexp"
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

// warnOfEmpty warns of secrets without a value, as a variable without a default leaves them.
func warnOfEmpty(ctx context.Context, config tfsdk.Config) diag.Diagnostics {
	at := path.Root("secrets_wo")
	var secrets types.Map
	diags := config.GetAttribute(ctx, at, &secrets)
	for _, name := range slices.Sorted(maps.Keys(secrets.Elements())) {
		value, ok := secrets.Elements()[name].(types.String)
		if ok && !value.IsNull() && !value.IsUnknown() && value.ValueString() == "" {
			tfutil.Warning(&diags, at.AtMapKey(name), "A secret is empty",
				"%s has no value, and the app gets an empty text. Check the variable that it comes from, or remove %[1]s.", name)
		}
	}
	return diags
}

// secretEndings are how names of variables end that hold secrets. One that begins with "_"
// is a word by itself: COMPASS is none.
func secretEndings() []string {
	return []string{
		"PASSWORD", "PASSWD", "PASSPHRASE", "_PASS", "_PWD", "SECRET", "TOKEN", "CREDENTIALS", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY",
		"SECRET_KEY", "SECRET_KEY_BASE", "SESSION_KEY", "SIGNING_KEY", "ENCRYPTION_KEY",
	}
}

// switches are the values of a variable that turns something on or off.
func switches() []string { return []string{"true", "false", "yes", "no", "on", "off"} }

var (
	// numberPattern is the number of one of several variables, as in API_TOKEN_1.
	numberPattern = regexp.MustCompile(`_?[0-9]+$`)
	// passwordURL matches a URL with a password. People write "%" and "#" in one as they are,
	// which no parser of URLs takes.
	passwordURL = regexp.MustCompile(`[A-Za-z0-9]://[^:/?#@\s]*:[^/?\s]+@`)
	// passwordText matches a password in a query or in pairs of names and values, and in
	// USER:PASSWORD@tcp(…), as Go's driver for MySQL has it.
	passwordText = regexp.MustCompile(`(?i)(^|[?&;,\s])(password|passwd|pwd)(=|\s+=\s+)['"]?[^\s&;'"]|^[^:/@\s]+:\S+@(tcp|unix)\(`)
)

// exposes says why a variable is likely to be a secret, "" if it is not. The path of
// a file that holds one is none, nor is a switch, nor what is empty or not known yet.
func exposes(name, value string) string {
	if value == "" || strings.HasPrefix(value, "/") || slices.Contains(switches(), strings.ToLower(value)) {
		return ""
	}
	word := "_" + numberPattern.ReplaceAllString(strings.ToUpper(name), "")
	switch {
	case slices.ContainsFunc(secretEndings(), func(ending string) bool { return strings.HasSuffix(word, ending) }):
		return "is named like a secret"
	case passwordURL.MatchString(value):
		return "is a URL with a password in it"
	case passwordText.MatchString(value):
		return "holds a password"
	}
	return ""
}
