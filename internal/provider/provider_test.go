package provider_test

import (
	"reflect"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	frameworkprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider"
)

// described is what the schemas of all kinds have in common.
type described interface {
	GetMarkdownDescription() string
	GetDescription() string
}

// schemas calls check with the schema of everything that the provider offers.
func schemas(t *testing.T, check func(t *testing.T, name, description string, attributes any, invalid func() bool)) {
	t.Helper()
	ctx := t.Context()
	p := provider.New("test")()
	var own frameworkprovider.SchemaResponse
	p.Schema(ctx, frameworkprovider.SchemaRequest{}, &own)
	check(t, "provider", own.Schema.MarkdownDescription, own.Schema.Attributes, func() bool {
		return own.Schema.ValidateImplementation(ctx).HasError()
	})
	for _, make := range p.Resources(ctx) {
		r := make()
		var named resource.MetadataResponse
		var s resource.SchemaResponse
		r.Metadata(ctx, resource.MetadataRequest{ProviderTypeName: "foobar"}, &named)
		r.Schema(ctx, resource.SchemaRequest{}, &s)
		check(t, named.TypeName, s.Schema.MarkdownDescription, s.Schema.Attributes, func() bool {
			return s.Schema.ValidateImplementation(ctx).HasError()
		})
	}
	for _, make := range p.DataSources(ctx) {
		d := make()
		var named datasource.MetadataResponse
		var s datasource.SchemaResponse
		d.Metadata(ctx, datasource.MetadataRequest{ProviderTypeName: "foobar"}, &named)
		d.Schema(ctx, datasource.SchemaRequest{}, &s)
		check(t, "data "+named.TypeName, s.Schema.MarkdownDescription, s.Schema.Attributes, func() bool {
			return s.Schema.ValidateImplementation(ctx).HasError()
		})
	}
	ephemerals, ok := p.(frameworkprovider.ProviderWithEphemeralResources)
	if !ok {
		t.Fatal("the provider has no ephemeral resources")
	}
	for _, make := range ephemerals.EphemeralResources(ctx) {
		e := make()
		var named ephemeral.MetadataResponse
		var s ephemeral.SchemaResponse
		e.Metadata(ctx, ephemeral.MetadataRequest{ProviderTypeName: "foobar"}, &named)
		e.Schema(ctx, ephemeral.SchemaRequest{}, &s)
		check(t, "ephemeral "+named.TypeName, s.Schema.MarkdownDescription, s.Schema.Attributes, func() bool {
			return s.Schema.ValidateImplementation(ctx).HasError()
		})
	}
}

func TestSchemasAreSound(t *testing.T) {
	seen := map[string]bool{}
	schemas(t, func(t *testing.T, name, description string, _ any, invalid func() bool) {
		if invalid() {
			t.Errorf("%s: the framework refuses the schema", name)
		}
		if description == "" {
			t.Errorf("%s has no description", name)
		}
		seen[name] = true
	})
	for _, name := range []string{
		"foobar_machine", "foobar_bootstrap", "foobar_load_balancer", "foobar_app_server", "foobar_db_server", "foobar_db_replication",
		"data foobar_machine", "data foobar_load_balancer", "data foobar_app_server", "data foobar_db_server", "data foobar_db_replication",
		"ephemeral foobar_client_certificate",
	} {
		if !seen[name] {
			t.Errorf("%s is not offered", name)
		}
	}
}

func TestEveryAttributeIsDescribed(t *testing.T) {
	schemas(t, func(t *testing.T, name, _ string, attributes any, _ func() bool) {
		describe(t, name, reflect.ValueOf(attributes))
	})
}

// describe walks the attributes in a map of whatever kind of schema, and
// those nested in them.
func describe(t *testing.T, at string, attributes reflect.Value) {
	t.Helper()
	if !attributes.IsValid() {
		return
	}
	for _, key := range attributes.MapKeys() {
		name := at + "." + key.String()
		attribute := attributes.MapIndex(key).Elem()
		if d, ok := attribute.Interface().(described); !ok || d.GetMarkdownDescription()+d.GetDescription() == "" {
			t.Errorf("%s has no description", name)
		}
		if nested := attribute.FieldByName("Attributes"); nested.IsValid() {
			describe(t, name, nested)
		}
		if object := attribute.FieldByName("NestedObject"); object.IsValid() {
			describe(t, name, object.FieldByName("Attributes"))
		}
	}
}
