package bootstrap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// TestJSONIsWhatTheLabGives compares with the golden of the lab, which plays the
// cloud: for one seed and one machine, both give the same document.
func TestJSONIsWhatTheLabGives(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("..", "..", "lab", "testdata", "bootstrap.golden"))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pki.ParseSeed("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	r := Resource{data: &tfutil.Data{Credentials: tfutil.Credentials{Deployment: "demo", Seed: &seed}}}
	m := model{Name: types.StringValue("web1"), Incarnation: types.Int64Value(2), Listen: types.StringValue(":9443")}
	var diags diag.Diagnostics
	r.derive(&m, &diags)
	if diags.HasError() {
		t.Fatal(diags)
	}
	if got := m.JSON.ValueString(); got != string(want) {
		t.Errorf("the resource gives:\n%s\nthe lab:\n%s", got, want)
	}
}

// TestReadFindsTheCACertificateInTheDocument reads a state in which it does not
// stand by itself yet.
func TestReadFindsTheCACertificateInTheDocument(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("..", "..", "lab", "testdata", "bootstrap.golden"))
	if err != nil {
		t.Fatal(err)
	}
	var r Resource
	var described resource.SchemaResponse
	r.Schema(t.Context(), resource.SchemaRequest{}, &described)
	state := tfsdk.State{Schema: described.Schema, Raw: tftypes.NewValue(described.Schema.Type().TerraformType(t.Context()), nil)}
	diags := state.Set(t.Context(), model{Name: types.StringValue("web1"), JSON: types.StringValue(string(document))})
	if diags.HasError() {
		t.Fatal(diags)
	}
	resp := resource.ReadResponse{State: state}
	r.Read(t.Context(), resource.ReadRequest{State: state}, &resp)
	var m model
	resp.Diagnostics.Append(resp.State.Get(t.Context(), &m)...)
	if resp.Diagnostics.HasError() {
		t.Fatal(resp.Diagnostics)
	}
	if got := m.CACertificate.ValueString(); !strings.HasPrefix(got, "-----BEGIN CERTIFICATE-----\n") {
		t.Errorf("the CA certificate is %q", got)
	}
}
