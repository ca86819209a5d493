// Package provider is the Terraform provider: its configuration, and the list
// of everything that it offers.
package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/bootstrap"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/clientcertificate"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/dbreplication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/loadbalancer"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/machine"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// Provider is the provider.
type Provider struct {
	version string
	now     func() time.Time
}

var (
	_ provider.Provider                       = (*Provider)(nil)
	_ provider.ProviderWithEphemeralResources = (*Provider)(nil)
)

// New returns what makes providers of a version.
func New(version string) func() provider.Provider {
	return func() provider.Provider { return &Provider{version: version, now: time.Now} }
}

// Metadata implements [provider.Provider].
func (p *Provider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "foobar"
	resp.Version = p.version
}

// model is the provider block.
type model struct {
	Deployment        types.String `tfsdk:"deployment"`
	CASeed            types.String `tfsdk:"ca_seed"`
	CANotAfter        types.String `tfsdk:"ca_not_after"`
	ClientCertificate types.String `tfsdk:"client_certificate"`
	ClientKey         types.String `tfsdk:"client_key"`
	ForgetUnreachable types.Set    `tfsdk:"forget_unreachable"`
}

// Schema implements [provider.Provider].
func (p *Provider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	both := stringvalidator.AlsoRequires(path.MatchRoot("client_certificate"), path.MatchRoot("client_key"))
	notSeed := stringvalidator.ConflictsWith(path.MatchRoot("ca_seed"))
	resp.Schema = schema.Schema{
		MarkdownDescription: "Turns plain VMs into a load-balanced web stack, through the agent that is baked into their image.",
		Attributes: map[string]schema.Attribute{
			"deployment": schema.StringAttribute{
				MarkdownDescription: "Name of the deployment: all machines that trust one CA; " + tfutil.NameText() + ". Part of every certificate; cannot be changed later.",
				Required:            true,
				Validators:          []validator.String{tfutil.Name()},
			},
			"ca_seed": schema.StringAttribute{
				MarkdownDescription: "The 32-byte seed of the deployment's CA, in hexadecimal or base64 (`openssl rand -hex 32`). It gives control of every machine: " +
					"pass it as an ephemeral value or in the environment variable `FOOBAR_CA_SEED`, so that it is stored nowhere.",
				Optional:   true,
				Sensitive:  true,
				Validators: []validator.String{tfutil.Check("Invalid CA seed", "32 bytes in hexadecimal or base64", checkSeed)},
			},
			"ca_not_after": schema.StringAttribute{
				MarkdownDescription: "When the deployment's CA certificate ends, as `2040-01-01T00:00:00Z`. Choose it before the first apply: machines and clients keep the certificate " +
					"that they have until they are given another one. Default: fifty years from the first of January 2025.",
				Optional: true,
				Validators: []validator.String{tfutil.Check("Invalid time", "a time as RFC 3339 writes it", func(text string) error {
					_, err := readEnd(text)
					return err
				})},
			},
			"client_certificate": schema.StringAttribute{
				MarkdownDescription: "In place of the seed, for jobs that only plan: a client certificate in PEM followed by its CA's, such as the ephemeral resource " +
					"`foobar_client_certificate` gives. Environment variable `FOOBAR_CLIENT_CERTIFICATE`.",
				Optional:   true,
				Validators: []validator.String{both, notSeed},
			},
			"client_key": schema.StringAttribute{
				MarkdownDescription: "The key of `client_certificate` in PEM. Environment variable `FOOBAR_CLIENT_KEY`.",
				Optional:            true,
				Sensitive:           true,
				Validators:          []validator.String{both, notSeed},
			},
			"forget_unreachable": schema.SetAttribute{
				MarkdownDescription: "Names of machines that no longer exist. Their resources can be destroyed without contacting them. A name has " + tfutil.NameText() + ".",
				ElementType:         types.StringType,
				Optional:            true,
				Validators:          []validator.Set{setvalidator.ValueStringsAre(tfutil.Name())},
			},
		},
	}
}

// Resources implements [provider.Provider].
func (p *Provider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		bootstrap.NewResource,
		machine.NewResource,
		loadbalancer.New,
		appserver.New,
		dbserver.New,
		dbreplication.New,
	}
}

// DataSources implements [provider.Provider].
func (p *Provider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{
		machine.NewDataSource,
		loadbalancer.NewDataSource,
		appserver.NewDataSource,
		dbserver.NewDataSource,
		dbreplication.NewDataSource,
	}
}

// EphemeralResources implements [provider.ProviderWithEphemeralResources].
func (p *Provider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{clientcertificate.New}
}

func checkSeed(text string) error {
	_, err := pki.ParseSeed(text)
	return err
}
