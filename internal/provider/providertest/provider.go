package providertest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// OwnCA is the pin of the only CA that the provider has.
const OwnCA = "sha256:0000000000000000000000000000000000000000000000000000000000000001"

// Machines are machines in memory, by name.
type Machines map[string]*Machine

// New returns machines of the given names, on which there is nothing yet.
func New(names ...string) Machines {
	machines := make(Machines, len(names))
	for _, name := range names {
		machines[name] = &Machine{
			name:        name,
			incarnation: 1,
			components:  map[api.ID]*stored{},
			blobs:       map[string]bool{},
			leaves:      map[string]pki.ServiceNames{},
			enlisted:    map[string]api.DBMembership{},
			status:      map[api.ID]json.RawMessage{},
			answered:    map[string]answered{},
			impact:      api.ImpactReload,
		}
		machines[name].Trusts(OwnCA)
	}
	return machines
}

var _ tfutil.Agents = Machines{}

// Agent implements [tfutil.Agents].
func (m Machines) Agent(machine tfutil.Machine) (tfutil.Agent, error) {
	agent, ok := m[machine.Name.ValueString()]
	if !ok {
		return nil, fmt.Errorf("there is no machine %s", machine.Name)
	}
	return session{machine: agent, target: machine}, nil
}

// Factories returns a provider foobar, for the steps of a test, that has only
// the given resources and data sources and reaches only these machines.
func (m Machines) Factories(resources []func() resource.Resource, dataSources ...func() datasource.DataSource) map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"foobar": func() (tfprotov6.ProviderServer, error) {
			// A new one for each run, as Terraform starts the provider anew.
			return tfutil.NewServer(&bare{machines: m, resources: resources, dataSources: dataSources})
		},
	}
}

// WithCredentials is [Machines.Factories] with what c points at as the
// provider's credentials.
func (m Machines) WithCredentials(c *tfutil.Credentials, resources []func() resource.Resource) map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"foobar": func() (tfprotov6.ProviderServer, error) {
			return tfutil.NewServer(&bare{machines: m, resources: resources, credentials: c})
		},
	}
}

// bare is a provider that has no configuration.
type bare struct {
	credentials *tfutil.Credentials
	machines    Machines
	resources   []func() resource.Resource
	dataSources []func() datasource.DataSource
}

// Metadata implements [provider.Provider].
func (b *bare) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "foobar"
}

// Schema implements [provider.Provider].
func (b *bare) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{}
}

// Configure implements [provider.Provider].
func (b *bare) Configure(_ context.Context, _ provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	data := &tfutil.Data{Credentials: tfutil.Credentials{Deployment: "test"}, Agents: b.machines, Now: time.Now, TrustedCAs: []string{OwnCA}, Forget: map[string]bool{}}
	if b.credentials != nil {
		data.Credentials = *b.credentials
	}
	for name, machine := range b.machines {
		if machine.givenUp {
			data.Forget[name] = true
		}
	}
	resp.ResourceData, resp.DataSourceData = data, data
}

// Resources implements [provider.Provider].
func (b *bare) Resources(context.Context) []func() resource.Resource { return b.resources }

// DataSources implements [provider.Provider].
func (b *bare) DataSources(context.Context) []func() datasource.DataSource { return b.dataSources }
