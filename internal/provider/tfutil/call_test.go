package tfutil_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// What a user is shown about each failure, at a read, a plan, a write, a
// delete and a look, stands in a golden file, to be read as a user would.
func TestWhatAUserIsReported(t *testing.T) {
	now := time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	call := tfutil.Call{
		Machine: tfutil.Machine{Name: types.StringValue("web2"), Address: types.StringValue("10.0.0.2")},
		Paths:   tfutil.Paths{Type: types.ObjectType{AttrTypes: map[string]attr.Type{"port": types.Int64Type}}},
		Seen:    now.Add(-26 * time.Hour), Now: now,
		Import: "terraform import foobar_app_server.<label> 'web2@10.0.0.2/shop'", Resource: "foobar_app_server",
	}
	givenUp := call
	givenUp.Forget = map[string]bool{"web2": true}
	for name, err := range map[string]error{
		"unreachable":    &client.Unreachable{Machine: "web2", Address: "10.0.0.2:9443", Err: errors.New("connect: no route to host")},
		"not-enrolled":   &client.NotEnrolled{Machine: "web2", Address: "10.0.0.2:9443"},
		"wrong-machine":  &client.WrongMachine{Machine: "web2", Address: "10.0.0.2:9443", Detail: `it is machine "web3" of deployment "shop"`},
		"wrong-ca":       &client.WrongCA{Machine: "web2", Address: "10.0.0.2:9443", Detail: `the machine's certificate comes from "foobar CA of other"`},
		"too-old":        &client.TooOld{Machine: "web2", Version: "0.9.0", Missing: []string{"blue-green"}},
		"no-credentials": tfutil.Credentials{}.Missing("Give the provider ca_seed."),
		"unknown-seed":   tfutil.Credentials{Unknown: []string{"ca_seed"}}.Missing("Give the provider ca_seed."),
		"violations": &api.Problem{
			Type: api.ProblemInvalid, Title: "The configuration is not valid",
			Violations: api.Violations{{Pointer: "/port", Detail: "70000 is not a port"}, {Pointer: "/secret_place", Detail: "is unknown here"}},
		},
		"rolled-back": &api.Problem{
			Type: api.ProblemRolledBack, Title: "The release did not become healthy", Detail: "the old one serves on",
			Log: []string{"Traceback (most recent call last):", "KeyError: 'DATABASE'"},
		},
		"exists": &api.Problem{
			Type: api.ProblemExists, Title: "The component exists with another configuration",
			Detail: "app-server/shop is on this machine already, as applied by alice@laptop at 2026-03-04 11:58:00 UTC",
		},
		"generation": &api.Problem{
			Type: api.ProblemGeneration, Title: "The component was changed by somebody else",
			Detail: "generation 3 of app-server/shop is expected, but generation 4 was applied by alice@laptop at 2026-03-04 11:58:00 UTC; plan again",
		},
		"not-found": &api.Problem{Type: api.ProblemNotFound, Title: "Not found", Detail: "there is no component app-server/shop"},
		"cut-off":   fmt.Errorf("watch apply of app-server/shop, which goes on on machine web2: %w", context.DeadlineExceeded),
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			for _, when := range []struct {
				name string
				tell func(*diag.Diagnostics)
			}{
				{"read", func(d *diag.Diagnostics) { call.ReadFailed(err, d) }},
				{"read of what is given up", func(d *diag.Diagnostics) { givenUp.ReadFailed(err, d) }},
				{"plan", func(d *diag.Diagnostics) { call.PlanFailed(err, d) }},
				{"write", func(d *diag.Diagnostics) { call.WriteFailed(err, d) }},
				{"delete", func(d *diag.Diagnostics) { call.DeleteFailed(err, d) }},
				{"delete of what is given up", func(d *diag.Diagnostics) { givenUp.DeleteFailed(err, d) }},
				{"part in what another machine holds", func(d *diag.Diagnostics) { call.PassedOver(err, "It is passed over.", d) }},
				{"look", func(d *diag.Diagnostics) { call.LookFailed(err, d) }},
			} {
				var diags diag.Diagnostics
				when.tell(&diags)
				fmt.Fprintf(&text, "== %s\n%s", when.name, render(diags))
			}
			golden.Compare(t, name+".txt", text.String())
		})
	}
}

func TestMachineThatIsNoLongerEnrolledWasRebuilt(t *testing.T) {
	call := tfutil.Call{Machine: tfutil.Machine{
		Name: types.StringValue("web2"), Incarnation: types.Int64Value(1), Key: types.StringValue("sha256:00"),
	}}
	var diags diag.Diagnostics
	call.ReadFailed(&client.NotEnrolled{Machine: "web2", Address: "10.0.0.2:9443"}, &diags)
	golden.Compare(t, "rebuilt.txt", render(diags))
}

// render writes diagnostics as plainly as can be.
func render(diags diag.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		at := ""
		if placed, ok := d.(diag.DiagnosticWithPath); ok {
			at = " at " + placed.Path().String()
		}
		fmt.Fprintf(&b, "%s%s: %s\n", d.Severity(), at, d.Summary())
		for line := range strings.SplitSeq(d.Detail(), "\n") {
			fmt.Fprintf(&b, "%s\n", strings.TrimRight("    "+line, " "))
		}
	}
	return b.String()
}
