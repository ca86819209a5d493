package tfutil_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

func TestConditionNamesTheMachineThatItConcerns(t *testing.T) {
	machine := tfutil.Machine{Name: types.StringValue("web1")}
	for concerns, want := range map[string]string{"": "Unobservable on machine web1", "web2": "Unobservable on machine web2"} {
		var diags diag.Diagnostics
		condition := api.Condition{Type: "Unobservable", Severity: api.SeverityWarning, Message: "x", Machine: concerns}
		tfutil.Warn([]api.Condition{condition}, tfutil.Paths{}, machine, &diags)
		if len(diags) != 1 || diags[0].Summary() != want {
			t.Errorf("a condition of %q: %v, want %q", concerns, diags, want)
		}
	}
}
