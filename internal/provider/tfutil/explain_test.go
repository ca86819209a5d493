package tfutil_test

import (
	"strings"
	"testing"
	"time"

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

func TestAConditionOfARefreshSaysWhenItWasSeen(t *testing.T) {
	var diags diag.Diagnostics
	conditions := []api.Condition{{Type: "ServerDown", Severity: api.SeverityWarning, Message: "The server web1 is down"}}
	tfutil.WarnSeen(conditions, tfutil.Paths{}, tfutil.Machine{}, time.Date(2026, 5, 1, 14, 7, 9, 0, time.FixedZone("", 7200)), &diags)
	want := "The server web1 is down. Seen at 12:07:09 UTC, before this run changed anything."
	if len(diags) != 1 || diags[0].Detail() != want || strings.Contains(conditions[0].Message, "Seen") {
		t.Errorf("%v, want %q; the condition is %+v", diags, want, conditions[0])
	}
}
