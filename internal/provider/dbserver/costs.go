package dbserver

import (
	"fmt"
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// costs tells which values make a change a restart. The engine reads them at
// its start only, and a server that starts is fenced.
func costs(before, after api.DBServer) []api.Condition {
	var all []api.Condition
	restart := func(at api.Pointer, name string) {
		all = append(all, api.Condition{
			Type: "Restart", Severity: api.SeverityWarning, Pointer: at,
			Message: fmt.Sprintf("The engine reads %s at its start only: the apply restarts it and cuts off its clients. It comes back fenced, as after every start", name),
		})
	}
	for _, attribute := range []struct {
		name    string
		changed bool
	}{
		{"server_id", before.ServerID != after.ServerID},
		{"listen_addresses", !slices.Equal(before.ListenAddresses, after.ListenAddresses)},
		{"port", before.Port != after.Port && len(after.ListenAddresses) > 0},
	} {
		if attribute.changed {
			restart(api.Pointer("").At(attribute.name), attribute.name)
		}
	}
	names := maps.Clone(before.Settings)
	maps.Copy(names, after.Settings)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := before.Settings[name]
		is, has := after.Settings[name]
		setting, known := api.DBSettingNamed(after.Engine, name)
		if known && !setting.Runtime && (had != has || was != is) {
			restart(api.Pointer("/settings").At(name), name)
		}
	}
	return all
}
