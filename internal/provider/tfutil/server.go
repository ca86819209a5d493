package tfutil

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// framework is all that the plugin framework's server implements.
type framework interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
	tfprotov6.StateStoreServer
}

// server is the edge of the provider, where every diagnostic about a configuration,
// a state or an ephemeral value leaves it: validators of the framework's, refusals
// of an agent's, and our own. What this provider does not offer (functions, lists,
// actions, state stores) passes as it is. What holds for all diagnostics is done here:
//   - [placeable] cuts each path to what Terraform can place, and the text
//     names the attribute exactly.
//   - [distinct] leaves out what is said already.
//   - [fit] refuses values that the framework could not convert, which it
//     would call a bug of the provider.
//
// There is no other single place: the framework makes diagnostics of its own
// after the last code of ours has run, and knows no hook for them.
type server struct {
	framework

	once  sync.Once
	types schemaTypes
}

// schemaTypes are the types of all configurations, by their names.
type schemaTypes struct {
	provider                          tftypes.Type
	resources, dataSources, ephemeral map[string]tftypes.Type
}

// NewServer returns the server of a provider.
func NewServer(p provider.Provider) (tfprotov6.ProviderServer, error) {
	inner, ok := providerserver.NewProtocol6(p)().(framework)
	if !ok {
		return nil, fmt.Errorf("the plugin framework's server lacks a part of the protocol")
	}
	return &server{framework: inner}, nil
}

// schemas returns the types of all configurations. They are asked for once;
// without them, nothing is refused here.
func (s *server) schemas(ctx context.Context) *schemaTypes {
	s.once.Do(func() {
		all, err := s.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
		if err != nil || all.Provider == nil {
			return
		}
		s.types = schemaTypes{
			provider:    all.Provider.ValueType(),
			resources:   valueTypes(all.ResourceSchemas),
			dataSources: valueTypes(all.DataSourceSchemas),
			ephemeral:   valueTypes(all.EphemeralResourceSchemas),
		}
	})
	return &s.types
}

func valueTypes(schemas map[string]*tfprotov6.Schema) map[string]tftypes.Type {
	all := make(map[string]tftypes.Type, len(schemas))
	for name, schema := range schemas {
		all[name] = schema.ValueType()
	}
	return all
}

// ValidateProviderConfig implements [tfprotov6.ProviderServer].
func (s *server) ValidateProviderConfig(ctx context.Context, req *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	c := read(s.schemas(ctx).provider, req.Config)
	req.Config = c.fitting
	resp, err := s.framework.ValidateProviderConfig(ctx, req)
	if resp != nil {
		resp.Diagnostics = c.placed(resp.Diagnostics)
	}
	return resp, err
}

// ConfigureProvider implements [tfprotov6.ProviderServer].
func (s *server) ConfigureProvider(ctx context.Context, req *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	resp, err := s.framework.ConfigureProvider(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}

// ValidateResourceConfig implements [tfprotov6.ResourceServer].
func (s *server) ValidateResourceConfig(ctx context.Context, req *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	c := read(s.schemas(ctx).resources[req.TypeName], req.Config)
	req.Config = c.fitting
	resp, err := s.framework.ValidateResourceConfig(ctx, req)
	if resp != nil {
		resp.Diagnostics = c.placed(resp.Diagnostics)
	}
	return resp, err
}

// ReadResource implements [tfprotov6.ResourceServer].
func (s *server) ReadResource(ctx context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	resp, err := s.framework.ReadResource(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}

// PlanResourceChange implements [tfprotov6.ResourceServer].
func (s *server) PlanResourceChange(ctx context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	resp, err := s.framework.PlanResourceChange(ctx, req)
	if resp != nil && len(resp.Diagnostics) > 0 {
		resp.Diagnostics = read(s.schemas(ctx).resources[req.TypeName], req.Config).placed(resp.Diagnostics)
	}
	return resp, err
}

// ApplyResourceChange implements [tfprotov6.ResourceServer].
func (s *server) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	resp, err := s.framework.ApplyResourceChange(ctx, req)
	if resp != nil && len(resp.Diagnostics) > 0 {
		resp.Diagnostics = read(s.schemas(ctx).resources[req.TypeName], req.Config).placed(resp.Diagnostics)
	}
	return resp, err
}

// ImportResourceState implements [tfprotov6.ResourceServer].
func (s *server) ImportResourceState(ctx context.Context, req *tfprotov6.ImportResourceStateRequest) (*tfprotov6.ImportResourceStateResponse, error) {
	resp, err := s.framework.ImportResourceState(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}

// ValidateDataResourceConfig implements [tfprotov6.DataSourceServer].
func (s *server) ValidateDataResourceConfig(ctx context.Context, req *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	c := read(s.schemas(ctx).dataSources[req.TypeName], req.Config)
	req.Config = c.fitting
	resp, err := s.framework.ValidateDataResourceConfig(ctx, req)
	if resp != nil {
		resp.Diagnostics = c.placed(resp.Diagnostics)
	}
	return resp, err
}

// ReadDataSource implements [tfprotov6.DataSourceServer].
func (s *server) ReadDataSource(ctx context.Context, req *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	resp, err := s.framework.ReadDataSource(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}

// ValidateEphemeralResourceConfig implements [tfprotov6.EphemeralResourceServer].
func (s *server) ValidateEphemeralResourceConfig(ctx context.Context, req *tfprotov6.ValidateEphemeralResourceConfigRequest) (*tfprotov6.ValidateEphemeralResourceConfigResponse, error) {
	c := read(s.schemas(ctx).ephemeral[req.TypeName], req.Config)
	req.Config = c.fitting
	resp, err := s.framework.ValidateEphemeralResourceConfig(ctx, req)
	if resp != nil {
		resp.Diagnostics = c.placed(resp.Diagnostics)
	}
	return resp, err
}

// OpenEphemeralResource implements [tfprotov6.EphemeralResourceServer].
func (s *server) OpenEphemeralResource(ctx context.Context, req *tfprotov6.OpenEphemeralResourceRequest) (*tfprotov6.OpenEphemeralResourceResponse, error) {
	resp, err := s.framework.OpenEphemeralResource(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}

// UpgradeResourceState implements [tfprotov6.ResourceServer].
func (s *server) UpgradeResourceState(ctx context.Context, req *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	resp, err := s.framework.UpgradeResourceState(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}

// UpgradeResourceIdentity implements [tfprotov6.ResourceServer].
func (s *server) UpgradeResourceIdentity(ctx context.Context, req *tfprotov6.UpgradeResourceIdentityRequest) (*tfprotov6.UpgradeResourceIdentityResponse, error) {
	resp, err := s.framework.UpgradeResourceIdentity(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}

// MoveResourceState implements [tfprotov6.ResourceServer].
func (s *server) MoveResourceState(ctx context.Context, req *tfprotov6.MoveResourceStateRequest) (*tfprotov6.MoveResourceStateResponse, error) {
	resp, err := s.framework.MoveResourceState(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}

// RenewEphemeralResource implements [tfprotov6.EphemeralResourceServer].
func (s *server) RenewEphemeralResource(ctx context.Context, req *tfprotov6.RenewEphemeralResourceRequest) (*tfprotov6.RenewEphemeralResourceResponse, error) {
	resp, err := s.framework.RenewEphemeralResource(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}

// CloseEphemeralResource implements [tfprotov6.EphemeralResourceServer].
func (s *server) CloseEphemeralResource(ctx context.Context, req *tfprotov6.CloseEphemeralResourceRequest) (*tfprotov6.CloseEphemeralResourceResponse, error) {
	resp, err := s.framework.CloseEphemeralResource(ctx, req)
	if resp != nil {
		resp.Diagnostics = configuration{}.placed(resp.Diagnostics)
	}
	return resp, err
}
