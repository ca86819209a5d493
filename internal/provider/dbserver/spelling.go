package dbserver

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// Clients and settings can be written in several ways. The agent gets one of
// them; the state keeps the user's; and a plan in which nothing is but written
// otherwise is empty.

// network returns the network that an allowed client stands for: a CIDR, an
// address, or what [tfutil.SplitAddress] reads, so that a machine's attribute
// "address" can be given as it is. What is none of them stays as it is, for
// the spec's own validation to refuse.
func network(text string) string {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.String()
	}
	host, _, err := tfutil.SplitAddress(text)
	if err != nil {
		return text
	}
	address, err := netip.ParseAddr(host)
	if err != nil || address.Zone() != "" {
		return text
	}
	return netip.PrefixFrom(address, address.BitLen()).String()
}

// networks returns the networks of all clients, as a spec has them.
func networks(clients []string) []string {
	all := make([]string, 0, len(clients))
	for _, client := range clients {
		all = append(all, network(client))
	}
	return tfutil.Sorted(all)
}

// clients returns networks as the attribute shows them: in the words of prior
// where it has some, and a network of one address as that address otherwise.
func clients(networks, prior []string) []string {
	var all []string
	for _, client := range prior {
		if slices.Contains(networks, network(client)) {
			all = append(all, client)
		}
	}
	for _, n := range networks {
		if slices.ContainsFunc(all, func(client string) bool { return network(client) == n }) {
			continue
		}
		if prefix, err := netip.ParsePrefix(n); err == nil && prefix.IsSingleIP() {
			n = prefix.Addr().String()
		}
		all = append(all, n)
	}
	return tfutil.Sorted(all)
}

// canonical returns settings in the engine's own spelling. What the engine
// does not know stays as it is, for the spec's own validation to refuse.
func canonical(engine api.DBEngine, settings map[string]string) map[string]string {
	all := make(map[string]string, len(settings))
	for name, text := range settings {
		all[name] = text
		if setting, ok := api.DBSettingNamed(engine, name); ok {
			if value, err := setting.Parse(text); err == nil {
				all[name] = value
			}
		}
	}
	return all
}

// spelled returns settings as the attribute shows them: in the words of prior
// where they mean the same, and sizes with a suffix otherwise.
func spelled(engine api.DBEngine, settings, prior map[string]string) map[string]string {
	was := canonical(engine, prior)
	all := canonical(engine, settings)
	for name, value := range all {
		if before, ok := was[name]; ok && before == value {
			all[name] = prior[name]
			continue
		}
		if setting, ok := api.DBSettingNamed(engine, name); ok && setting.Type == api.DBSettingSize {
			if size, err := api.ParseSize(value); err == nil {
				all[name] = api.FormatSize(size)
			}
		}
	}
	return all
}

// keepClients is a plan modifier under which clients that are but written
// otherwise are no change.
type keepClients struct{}

// Description implements [planmodifier.Set].
func (keepClients) Description(context.Context) string {
	return "another spelling of the same clients is no change"
}

// MarkdownDescription implements [planmodifier.Set].
func (k keepClients) MarkdownDescription(ctx context.Context) string { return k.Description(ctx) }

// PlanModifySet implements [planmodifier.Set].
func (keepClients) PlanModifySet(ctx context.Context, req planmodifier.SetRequest, resp *planmodifier.SetResponse) {
	var before, after []types.String
	resp.Diagnostics.Append(req.StateValue.ElementsAs(ctx, &before, true)...)
	resp.Diagnostics.Append(req.PlanValue.ElementsAs(ctx, &after, true)...)
	if req.StateValue.IsNull() || req.PlanValue.IsUnknown() || slices.ContainsFunc(after, types.String.IsUnknown) {
		return
	}
	if slices.Equal(networks(texts(before)), networks(texts(after))) {
		resp.PlanValue = req.StateValue
	}
}

func texts(values []types.String) []string {
	all := make([]string, 0, len(values))
	for _, value := range values {
		all = append(all, value.ValueString())
	}
	return all
}

// keepSettings is a plan modifier under which settings that are but written
// otherwise are no change.
type keepSettings struct{}

// Description implements [planmodifier.Map].
func (keepSettings) Description(context.Context) string {
	return "another spelling of the same settings is no change"
}

// MarkdownDescription implements [planmodifier.Map].
func (k keepSettings) MarkdownDescription(ctx context.Context) string { return k.Description(ctx) }

// PlanModifyMap implements [planmodifier.Map].
func (keepSettings) PlanModifyMap(ctx context.Context, req planmodifier.MapRequest, resp *planmodifier.MapResponse) {
	var engine types.String
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("engine"), &engine)...)
	before, known := textsByName(req.StateValue)
	after, alsoKnown := textsByName(req.PlanValue)
	if req.StateValue.IsNull() || !known || !alsoKnown {
		return
	}
	of := api.DBEngine(engine.ValueString())
	if maps.Equal(canonical(of, before), canonical(of, after)) {
		resp.PlanValue = req.StateValue
	}
}

// textsByName returns the texts in a map, and whether all of them are known.
func textsByName(value types.Map) (texts map[string]string, known bool) {
	texts = make(map[string]string, len(value.Elements()))
	for name, element := range value.Elements() {
		text, ok := element.(types.String)
		if !ok || text.IsUnknown() {
			return nil, false
		}
		texts[name] = text.ValueString()
	}
	return texts, !value.IsUnknown()
}
