package machine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

type model struct {
	Name               types.String   `tfsdk:"name"`
	Address            types.String   `tfsdk:"address"`
	Incarnation        types.Int64    `tfsdk:"incarnation"`
	Key                types.String   `tfsdk:"key"`
	AgentVersion       types.String   `tfsdk:"agent_version"`
	ImageID            types.String   `tfsdk:"image_id"`
	CertificateExpires types.String   `tfsdk:"certificate_expires"`
	Drift              types.Map      `tfsdk:"drift"`
	Timeouts           timeouts.Value `tfsdk:"timeouts"`
}

// machine returns which machine is meant.
func (m *model) machine() tfutil.Machine {
	return tfutil.Machine{Name: m.Name, Address: m.Address, Incarnation: m.Incarnation, Key: m.Key}
}

func (m *model) call() tfutil.Call { return tfutil.Call{Machine: m.machine(), Place: addressPath} }

// imported reports whether the machine was never met by this state.
func (m *model) imported() bool { return m.Key.IsNull() }

// show sets what the machine tells of itself.
func (m *model) show(info api.Info) {
	m.Incarnation = types.Int64Value(info.Incarnation)
	m.Key = types.StringValue(info.Key)
	m.AgentVersion = types.StringValue(info.Version)
	m.ImageID = types.StringValue(info.ImageID)
	m.CertificateExpires = types.StringValue(info.CertificateExpires.UTC().Format(time.RFC3339))
}

// showDrift sets in what the machine's trust differs from what the provider
// has. Without credentials, or of an agent that does not tell, nothing is compared.
func (m *model) showDrift(cas []api.TrustedCA, own []string) {
	drift := map[string]attr.Value{}
	if own != nil && cas != nil {
		for _, ca := range cas {
			if !slices.Contains(own, ca.Pin) {
				drift["CA "+ca.Pin] = types.StringValue(fmt.Sprintf("The machine trusts a CA that the provider does not have: %q, until %s. "+
					"Its seed gives control of this machine. An apply removes the CA. If you did not change the CA, the machine's audit log says who added it.",
					ca.Name, ca.Expires.UTC().Format(time.DateOnly)))
			}
		}
		for _, pin := range own {
			if !slices.ContainsFunc(cas, func(ca api.TrustedCA) bool { return ca.Pin == pin }) {
				drift["CA "+pin] = types.StringValue("The machine does not trust this CA of the provider yet. An apply adds it.")
			}
		}
	}
	m.Drift = types.MapValueMust(types.StringType, drift)
}

// noDrift is the drift of a machine that trusts just what it should.
func noDrift() types.Map { return types.MapValueMust(types.StringType, map[string]attr.Value{}) }

// keepFacts takes over what the same VM has reported before.
func (m *model) keepFacts(before model) {
	m.Key = before.Key
	m.AgentVersion = before.AgentVersion
	m.ImageID = before.ImageID
	m.CertificateExpires = before.CertificateExpires
}

// forgetFacts gives up what another VM has reported.
func (m *model) forgetFacts() {
	m.Key = types.StringUnknown()
	m.AgentVersion = types.StringUnknown()
	m.ImageID = types.StringUnknown()
	m.CertificateExpires = types.StringUnknown()
}

type identity struct {
	Name types.String `tfsdk:"name"`
}

// setIdentity stores whose identity it is. Terraform before 1.12 has no place
// for it, but the framework demands it all the same.
func (m *model) setIdentity(ctx context.Context, to *tfsdk.ResourceIdentity) diag.Diagnostics {
	if to == nil {
		return nil
	}
	return to.Set(ctx, identity{Name: m.Name})
}
