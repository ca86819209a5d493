package bootstrap

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

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
