// Package clientcertificate is the ephemeral resource
// foobar_client_certificate: a certificate for a job that has no seed.
package clientcertificate

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

const (
	description = "Mints a client certificate, for a job that only plans and is not to have the seed: give it to that job's provider as " +
		"`client_certificate` and `client_key`. Certificate and key are never written to a plan or a state."
	defaultRole  = api.RoleReader
	defaultActor = "reader"
	defaultTTL   = api.Duration(time.Hour)
)

// roles are the roles that a client can have.
func roles() []api.Role { return []api.Role{api.RoleReader, api.RoleAdmin} }

// Ephemeral is the ephemeral resource foobar_client_certificate.
type Ephemeral struct{ data *tfutil.Data }

var _ ephemeral.EphemeralResourceWithConfigure = (*Ephemeral)(nil)

// New returns the ephemeral resource.
func New() ephemeral.EphemeralResource { return &Ephemeral{} }

// Metadata implements [ephemeral.EphemeralResource].
func (e *Ephemeral) Metadata(_ context.Context, req ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_client_certificate"
}

// Configure implements [ephemeral.EphemeralResourceWithConfigure].
func (e *Ephemeral) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.data = tfutil.DataFrom(req.ProviderData, &resp.Diagnostics)
}

// Schema implements [ephemeral.EphemeralResource].
func (e *Ephemeral) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"role": schema.StringAttribute{
				MarkdownDescription: fmt.Sprintf("What it allows: `reader` looks at everything that is no secret, `admin` does everything. Default `%s`.", defaultRole),
				Optional:            true,
				Validators:          []validator.String{tfutil.OneOf(roles())},
			},
			"actor": schema.StringAttribute{
				MarkdownDescription: fmt.Sprintf("Who will use it, for the machines' audit logs: %s. Default `%s`.", pki.ActorRule(), defaultActor),
				Optional:            true,
				Validators: []validator.String{
					tfutil.Check("Invalid actor", pki.ActorRule(), pki.CheckActor),
				},
			},
			"ttl": schema.StringAttribute{
				MarkdownDescription: fmt.Sprintf("How long it is valid, `%s` to `%s`. Default `%s`.", pki.ClientLifetimes().Low, pki.ClientLifetimes().High, defaultTTL),
				CustomType:          tfutil.DurationType{},
				Optional:            true,
				Validators:          []validator.String{tfutil.Check("Invalid duration", pki.ClientLifetimes().String(), checkTTL)},
			},
			"certificate_pem": schema.StringAttribute{
				MarkdownDescription: "The certificate in PEM, followed by the CA's.",
				Computed:            true,
			},
			"private_key_pem": schema.StringAttribute{
				MarkdownDescription: "Its private key in PEM (PKCS #8).",
				Computed:            true,
				Sensitive:           true,
			},
			"expires": schema.StringAttribute{
				MarkdownDescription: "When it ends, as RFC 3339 writes it.",
				Computed:            true,
			},
		},
	}
}

// checkTTL leaves what is no duration to the attribute's type.
func checkTTL(text string) error {
	d, err := api.ParseDuration(text)
	if err == nil && !pki.ClientLifetimes().Hold(d) {
		return fmt.Errorf("%s is out of bounds; allowed are %s", text, pki.ClientLifetimes())
	}
	return nil
}

type model struct {
	Role           types.String    `tfsdk:"role"`
	Actor          types.String    `tfsdk:"actor"`
	TTL            tfutil.Duration `tfsdk:"ttl"`
	CertificatePEM types.String    `tfsdk:"certificate_pem"`
	PrivateKeyPEM  types.String    `tfsdk:"private_key_pem"`
	Expires        types.String    `tfsdk:"expires"`
}

// Open implements [ephemeral.EphemeralResource].
func (e *Ephemeral) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var m model
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	authority, err := e.data.Credentials.Authority()
	if err != nil {
		tfutil.Error(&resp.Diagnostics, path.Empty(), "The certificate cannot be signed", "%s", tfutil.Sentence(err))
		return
	}
	signer := pki.Signer{Authority: authority, Now: e.data.Now, Random: rand.Reader}
	if err := m.mint(signer); err != nil {
		tfutil.Error(&resp.Diagnostics, path.Empty(), "The certificate cannot be signed", "%s", tfutil.Sentence(err))
		return
	}
	resp.Diagnostics.Append(resp.Result.Set(ctx, m)...)
}

// mint completes the model with a certificate.
func (m *model) mint(signer pki.Signer) error {
	role, actor, ttl := defaultRole, defaultActor, defaultTTL
	if !m.Role.IsNull() {
		role = api.Role(m.Role.ValueString())
	}
	if !m.Actor.IsNull() {
		actor = m.Actor.ValueString()
	}
	if !m.TTL.IsNull() {
		ttl = tfutil.DurationOf(m.TTL)
	}
	issued, err := signer.Client(role, actor, time.Duration(ttl))
	if err != nil {
		return err
	}
	m.CertificatePEM = types.StringValue(issued.CertificatePEM() + pki.EncodeCertificate(signer.Certificate()))
	m.PrivateKeyPEM = types.StringValue(issued.KeyPEM().Reveal())
	m.Expires = types.StringValue(issued.Certificate.NotAfter.UTC().Format(time.RFC3339))
	return nil
}
