package provider_test

import (
	"strings"
	"testing"
	"time"

	frameworkprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// configured returns what a provider block with these texts gives to all kinds.
func configured(t *testing.T, block map[string]tftypes.Value) *tfutil.Data {
	t.Helper()
	p := provider.New("test")()
	var own frameworkprovider.SchemaResponse
	p.Schema(t.Context(), frameworkprovider.SchemaRequest{}, &own)
	values := map[string]tftypes.Value{}
	for name, attribute := range own.Schema.Attributes {
		values[name] = tftypes.NewValue(attribute.GetType().TerraformType(t.Context()), nil)
	}
	for name, value := range block {
		values[name] = value
	}
	raw := tftypes.NewValue(own.Schema.Type().TerraformType(t.Context()), values)
	var resp frameworkprovider.ConfigureResponse
	p.Configure(t.Context(), frameworkprovider.ConfigureRequest{Config: tfsdk.Config{Schema: own.Schema, Raw: raw}}, &resp)
	if resp.Diagnostics.HasError() {
		t.Fatal(resp.Diagnostics)
	}
	data, ok := resp.ResourceData.(*tfutil.Data)
	if !ok {
		t.Fatalf("the resources are given %T", resp.ResourceData)
	}
	return data
}

func text(value any) tftypes.Value { return tftypes.NewValue(tftypes.String, value) }

func TestTheCAEndsWhenItIsReported(t *testing.T) {
	for name, test := range map[string]struct {
		given tftypes.Value
		want  time.Time
	}{
		"given":     {text("2040-01-01T02:00:00+02:00"), time.Date(2040, time.January, 1, 0, 0, 0, 0, time.UTC)},
		"not given": {text(nil), pki.DefaultAuthorityEnd()},
	} {
		t.Run(name, func(t *testing.T) {
			data := configured(t, map[string]tftypes.Value{
				"deployment": text("shop"), "ca_seed": text(strings.Repeat("01", 32)), "ca_not_after": test.given,
			})
			authority, err := data.Credentials.Authority()
			if err != nil {
				t.Fatal(err)
			}
			if end := authority.Certificate().NotAfter; !end.Equal(test.want) {
				t.Errorf("it ends at %s, want %s", end, test.want)
			}
		})
	}
}

func TestAnEndOfTheCAThatIsNotKnownIsWaitedFor(t *testing.T) {
	data := configured(t, map[string]tftypes.Value{
		"deployment": text("shop"), "ca_seed": text(strings.Repeat("01", 32)), "ca_not_after": text(tftypes.UnknownValue),
	})
	_, err := data.Credentials.Authority()
	if !tfutil.IsMissing(err) || !strings.Contains(err.Error(), "ca_not_after is not known yet") {
		t.Errorf("the CA is refused with %v", err)
	}
}

func TestWrongEndsOfTheCA(t *testing.T) {
	var own frameworkprovider.SchemaResponse
	provider.New("test")().Schema(t.Context(), frameworkprovider.SchemaRequest{}, &own)
	attribute, ok := own.Schema.Attributes["ca_not_after"].(schema.StringAttribute)
	if !ok {
		t.Fatal("there is no ca_not_after")
	}
	for given, want := range map[string]string{
		"tomorrow":             `"tomorrow" is not a time as RFC 3339 writes it, such as "2040-01-01T00:00:00Z"`,
		"":                     "is not a time as RFC 3339",
		"2040-01-01":           "is not a time as RFC 3339",
		"2024-01-01T00:00:00Z": "before its start",
		"2040-01-01T00:00:00Z": "",
	} {
		var resp validator.StringResponse
		for _, v := range attribute.Validators {
			v.ValidateString(t.Context(), validator.StringRequest{ConfigValue: types.StringValue(given)}, &resp)
		}
		var found string
		for _, d := range resp.Diagnostics {
			found += d.Detail()
		}
		if !strings.Contains(found, want) || (found == "") != (want == "") {
			t.Errorf("%q gets %q, want %q", given, found, want)
		}
	}
}
