package tfutil_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
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
	want := "The server web1 is down. Seen at 12:07:09 UTC, when Terraform refreshed the state."
	if len(diags) != 1 || diags[0].Detail() != want || strings.Contains(conditions[0].Message, "Seen") {
		t.Errorf("%v, want %q; the condition is %+v", diags, want, conditions[0])
	}
}

func TestTheReasonOfAProblemComesFirst(t *testing.T) {
	paths := tfutil.Paths{Type: types.ObjectType{AttrTypes: map[string]attr.Type{"members": types.MapType{ElemType: types.StringType}}}}
	undone := "the change was undone: there is no db-replication/b, as before"
	placed := api.Violation{Pointer: "/members/web2", Detail: "web2 takes part already"}
	elsewhere := api.Violation{Pointer: "/nowhere/x", Detail: "is odd"}
	whole := api.Violation{Detail: "nothing answers"}
	for name, test := range map[string]struct {
		problem api.Problem
		want    []string
	}{
		"nothing but the places": {
			problem: api.Problem{Violations: api.Violations{placed, elsewhere}},
			want:    []string{"web2 takes part already.", "/nowhere/x: is odd."},
		},
		"a place": {
			problem: api.Problem{Detail: undone, Violations: api.Violations{placed}},
			want:    []string{"web2 takes part already.\n\nThe change was undone: there is no db-replication/b, as before."},
		},
		"a place that the model does not have": {
			problem: api.Problem{Detail: undone, Violations: api.Violations{elsewhere, placed}},
			want:    []string{"/nowhere/x: is odd.\n\nThe change was undone: there is no db-replication/b, as before.", "web2 takes part already."},
		},
		"the whole spec": {
			problem: api.Problem{Detail: undone, Violations: api.Violations{whole}, Log: []string{"line"}},
			want:    []string{"Nothing answers.\n\nThe change was undone: there is no db-replication/b, as before.\n\nThe last lines of its log:\n  line"},
		},
		"no place": {
			problem: api.Problem{Detail: undone},
			want:    []string{"The change was undone: there is no db-replication/b, as before."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var diags diag.Diagnostics
			tfutil.Explain(&test.problem, paths, &diags)
			var got []string
			for _, d := range diags {
				got = append(got, d.Detail())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestAnInterruptionSaysWhatGoesOn(t *testing.T) {
	watched := func(err error) error {
		return fmt.Errorf("apply: %w", &client.GoesOnError{Verb: api.VerbApply, ID: api.ID{Kind: api.KindAppServer, Name: "shop"}, Machine: "web2", Err: err})
	}
	for name, c := range map[string]struct {
		err             error
		summary, detail string
	}{
		"watched":      {watched(context.Canceled), "Interrupted", "The agent goes on with the apply of app-server/shop on machine web2. Plan again to see how it ended."},
		"nothing yet":  {fmt.Errorf("upload: %w", context.Canceled), "Interrupted", "upload: context canceled."},
		"out of time":  {watched(context.DeadlineExceeded), "The time ran out", "apply: watch apply of app-server/shop, which goes on on machine web2: context deadline exceeded."},
		"another call": {errors.New("no"), "The call of the agent failed", "No."},
	} {
		var diags diag.Diagnostics
		tfutil.Explain(c.err, tfutil.Paths{}, &diags)
		if len(diags) != 1 || diags[0].Summary() != c.summary || diags[0].Detail() != c.detail {
			t.Errorf("%s: %v", name, diags)
		}
	}
}
