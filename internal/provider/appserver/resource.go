// Package appserver is the resource and the data source foobar_app_server.
package appserver

import (
	"net/netip"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/component"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

const (
	typeName = "app_server"
	title    = "app server"
)

const description = "Runs a release of your app under a user and a systemd unit of its own, with nginx in front.\n\n" +
	"The app listens on the Unix socket in `$SOCKET`, or on the TCP port in `$PORT` if `app_ports` are set. " +
	"A new release starts in the free one of two slots, beside the release that serves. Once it is healthy, and has stayed so, the traffic is switched " +
	"to it, the old one finishes its requests and stops. A release that does not become healthy never sees a request: the apply fails, " +
	"the error shows the app's last log lines, and the old release goes on serving. The load balancer's health check for it is `GET " + api.AppHealthPath + "`, " +
	"which nginx answers with 200, and with 404 while the app server drains, without asking the app: an app that is slow under load is not taken out of service on all machines.\n\n" +
	"The plan checks the artifact by the rules that the machine unpacks it by. The app can read its release and not change it; it may write to `/tmp`, " +
	"`/var/tmp` and the directory in `$RUNTIME_DIRECTORY`, which are emptied when it stops. The guide *Artifacts* has the rules.\n\n" +
	"What moves by itself, such as the app's health and its recent log lines, is in the data source of the same name."

// model is the resource's model.
type model struct {
	component.Model
	settings
}

// New returns the resource foobar_app_server.
func New() resource.Resource {
	return component.New(kind())
}

func kind() component.Kind[model, api.AppServer] {
	return component.Kind[model, api.AppServer]{
		Kind:        api.KindAppServer,
		TypeName:    typeName,
		Title:       title,
		Description: description,
		Ends:        "The app is stopped.",
		Attributes:  attributes(),
		Renamed:     renamed(),
		Shared:      func(m *model) *component.Model { return &m.Model },
		Spec:        func(m model) (api.AppServer, error) { return m.spec() },
		Show:        func(spec api.AppServer, m *model) { m.settings = newSettings(spec) },
		Resolve:     resolve,
		Check:       check,
		Doubts:      doubts,
		Guess:       guess,
		Secrets:     func(config model) map[string]api.Secret { return config.SecretsWO },
		SecretSets:  secretSets,
		Prepare:     upload,
		Lacks:       func(config model, spec api.AppServer) error { return lacks(config, spec.Release.SHA256) },
		Keep:        keep,
		Beside:      open,
	}
}

// secretSets returns the secrets of a configuration, which have one version.
func secretSets(config model) tfutil.SecretSets {
	values := make(map[api.Pointer]api.Secret, len(config.SecretsWO))
	for name, secret := range config.SecretsWO {
		values[api.Pointer("/secrets").At(name)] = secret
	}
	return tfutil.SecretSets{"/secrets_version": {Version: tfutil.Or(config.SecretsWOVersion, 0), Values: values}}
}

// open notes where load balancers reach the app server, and which of them it trusts, and
// returns those planned before that it does not.
func open(walk *tfutil.Walk, machine tfutil.Machine, spec api.AppServer) []api.Condition {
	at := machine.IP()
	if own, err := netip.ParseAddr(spec.Address); err == nil && !own.IsUnspecified() {
		at = own.Unmap()
	}
	if !at.IsValid() {
		return nil
	}
	front := tfutil.Front{
		Machine: machine.Name.ValueString(), Trusted: spec.TrustedProxies,
		At: netip.AddrPortFrom(at, uint16(spec.Port)), //nolint:gosec // a port, as the spec is valid
	}
	var found []api.Condition
	for _, b := range walk.Open(front) {
		found = append(found, front.NotTrusted(b, "/trusted_proxies")...)
	}
	return found
}

// check returns what is wrong with a configuration and shows at another place
// in its spec (of a version that is left out, the secrets are the line), or what
// the spec alone cannot tell, as of a signature.
func check(config model) api.Violations {
	var v api.Violations
	if len(config.SecretsWO) > 0 && config.SecretsWOVersion == nil {
		v.Add("/secrets", "the secrets have no version; set secrets_wo_version = 1, and raise it with each change of a secret")
	}
	if _, whole := config.Static["/"]; whole && config.Command != nil && len(config.Command) == 0 {
		v.Add("/command", `the command is empty; name the program and its arguments, such as ["./bin/app", "--verbose"], or leave command out for a site of files alone`)
	}
	tooLong(config, &v)
	if r := config.Release; r.Signature != nil && len(r.PublicKeys) > 0 {
		_, wrong := artifact.ParseSignature(*r.Signature, r.PublicKeys)
		for _, w := range wrong {
			v.Add(api.Pointer("/release/"+w.At), "%s", w.Reason)
		}
	}
	return v
}

// renamed is where the attributes are called otherwise than in the spec: what
// is write-only is called so by custom.
func renamed() map[api.Pointer]api.Pointer {
	return map[api.Pointer]api.Pointer{
		"/secrets":         "/secrets_wo",
		"/secrets_version": "/secrets_wo_version",
	}
}
