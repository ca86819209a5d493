package provider

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// The environment variables that stand in for attributes which are not set.
const (
	envSeed        = "FOOBAR_CA_SEED"
	envCertificate = "FOOBAR_CLIENT_CERTIFICATE"
	envKey         = "FOOBAR_CLIENT_KEY"
)

// Configure implements [provider.Provider]. It calls nobody, and puts up with
// values that are not known yet: what needs them says so.
func (p *Provider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var m model
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	m.environment(os.Getenv)
	credentials := m.credentials(&resp.Diagnostics)
	pool := m.pool(p.now, credentials, &resp.Diagnostics)
	data := &tfutil.Data{
		Credentials: credentials,
		Agents:      &agents{credentials: credentials, pool: pool},
		Forget:      m.forget(ctx, &resp.Diagnostics),
		Now:         p.now,
	}
	if pool != nil {
		data.TrustedCAs = pool.Credentials().Pins()
	}
	resp.ResourceData = data
	resp.DataSourceData = data
	resp.EphemeralResourceData = data
	resp.ActionData = data
	resp.ListResourceData = data
}

// environment fills in what the configuration leaves open. What is set there,
// though its value may be unknown, counts: an unknown seed is not another one.
func (m *model) environment(get func(string) string) {
	if !m.CASeed.IsNull() || !m.ClientCertificate.IsNull() {
		return
	}
	if seed := get(envSeed); seed != "" {
		m.CASeed = types.StringValue(seed)
		return
	}
	if certificate := get(envCertificate); certificate != "" {
		m.ClientCertificate = types.StringValue(certificate)
		m.ClientKey = types.StringValue(get(envKey))
	}
}

// credentials reads what the configuration gives.
func (m *model) credentials(diags *diag.Diagnostics) tfutil.Credentials {
	c := tfutil.Credentials{Deployment: m.Deployment.ValueString()}
	for _, attribute := range []struct {
		name  string
		value types.String
	}{
		{"deployment", m.Deployment}, {"ca_seed", m.CASeed}, {"ca_not_after", m.CANotAfter},
		{"client_certificate", m.ClientCertificate}, {"client_key", m.ClientKey},
	} {
		if attribute.value.IsUnknown() {
			c.Unknown = append(c.Unknown, attribute.name)
		}
	}
	if m.CASeed.IsNull() || m.CASeed.IsUnknown() || m.CANotAfter.IsUnknown() {
		return c
	}
	if end := m.CANotAfter.ValueString(); end != "" {
		c.CAEnd, _ = readEnd(end) // the schema refuses what is none
	}
	seed, err := pki.ParseSeed(m.CASeed.ValueString())
	if err != nil {
		tfutil.Error(diags, path.Root("ca_seed"), "Invalid CA seed", "%s", tfutil.Sentence(err))
		return c
	}
	c.Seed = &seed
	return c
}

// readEnd reads when a CA is to end.
func readEnd(text string) (time.Time, error) {
	end, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time as RFC 3339 writes it, such as \"2040-01-01T00:00:00Z\"", text)
	}
	return end, pki.CheckAuthorityEnd(end)
}

// restartPatience bounds the wait for an agent that restarts, which takes it
// 1.5 s on a small machine: long enough for a slow one, short enough for a plan
// around a machine whose agent stays away.
const restartPatience = 5 * time.Second

// pool returns what reaches machines; nil without credentials, or not yet.
func (m *model) pool(now func() time.Time, c tfutil.Credentials, diags *diag.Diagnostics) *client.Pool {
	if len(c.Unknown) > 0 || diags.HasError() {
		return nil
	}
	var shown client.Credentials
	var err error
	at := path.Root("ca_seed")
	switch {
	case c.Seed != nil:
		shown, err = admin(now, c)
	case !m.ClientCertificate.IsNull():
		at = path.Root("client_certificate")
		shown, err = given(m.ClientCertificate.ValueString(), m.ClientKey.ValueString())
	default:
		return nil
	}
	if err != nil {
		tfutil.Error(diags, at, "Invalid credentials", "%s", tfutil.Sentence(err))
		return nil
	}
	if shown.Deployment() != c.Deployment {
		tfutil.Error(diags, at, "Invalid credentials",
			"The client certificate is for the deployment %q, and this is %q. Correct deployment, or give a certificate of this one.", shown.Deployment(), c.Deployment)
		return nil
	}
	return client.NewPool(shown, client.Options{Now: now, RestartPatience: restartPatience})
}

// admin returns the credentials that follow from the seed.
func admin(now func() time.Time, c tfutil.Credentials) (client.Credentials, error) {
	authority, err := c.Authority()
	if err != nil {
		return client.Credentials{}, err
	}
	return client.Admin(pki.Signer{Authority: authority, Now: now, Random: rand.Reader}, actor())
}

// given returns the credentials of a certificate that is followed by its CA's.
func given(chain, key string) (client.Credentials, error) {
	first, rest := pem.Decode([]byte(chain))
	if first == nil {
		return client.Given(chain, api.Secret(key), "")
	}
	return client.Given(string(pem.EncodeToMemory(first)), api.Secret(key), string(rest))
}

// actor names who runs Terraform, for the audit logs of the machines.
func actor() string {
	name := "terraform"
	if who, err := user.Current(); err == nil {
		name = who.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	if pki.CheckActor(name) != nil {
		return "terraform" // the names of this host are none that a certificate can hold
	}
	return name
}

// forget returns the machines that are given up.
func (m *model) forget(ctx context.Context, diags *diag.Diagnostics) map[string]bool {
	var names []types.String
	if !m.ForgetUnreachable.IsUnknown() {
		diags.Append(m.ForgetUnreachable.ElementsAs(ctx, &names, false)...)
	}
	forget := make(map[string]bool, len(names))
	for _, name := range names {
		forget[name.ValueString()] = true
	}
	return forget
}

// agents reaches machines through the provider's pool.
type agents struct {
	credentials tfutil.Credentials
	pool        *client.Pool
}

// Agent implements [tfutil.Agents].
func (a *agents) Agent(machine tfutil.Machine) (tfutil.Agent, error) {
	if a.pool == nil {
		return nil, a.credentials.Missing("Give the provider ca_seed, or client_certificate and client_key, or set " + envSeed + ".")
	}
	return a.pool.Machine(client.Target{
		Name:        machine.Name.ValueString(),
		Address:     machine.Address.ValueString(),
		Incarnation: machine.Incarnation.ValueInt64(),
		Key:         machine.Key.ValueString(),
	})
}
