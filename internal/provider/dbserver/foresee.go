package dbserver

import (
	"fmt"
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// foresee tells what a change costs, and which values make it a restart: the
// engine reads them at its start only, and a server that starts is fenced.
func foresee(before, after api.DBServer) api.Plan {
	plan := api.Plan{Impact: api.ImpactNone}
	for _, at := range changed(before, after) {
		name := at.Steps()[len(at.Steps())-1]
		setting, _ := api.DBSettingNamed(after.Engine, name)
		if at == "/allowed_clients" || setting.Runtime {
			if plan.Impact == api.ImpactNone {
				plan.Impact = api.ImpactRuntime
			}
			continue
		}
		plan.Impact = api.ImpactRestart
		plan.Conditions = append(plan.Conditions, api.Condition{
			Type: "Restart", Severity: api.SeverityWarning, Pointer: at,
			Message: fmt.Sprintf("The engine reads %s at its start only: the apply restarts it and cuts off its clients. It comes back fenced, as after every start; if it is the primary of a replication, its agent opens it again by itself, within seconds", name),
		})
	}
	return plan
}

// changed returns the places in which two specs differ, by the least part that
// has a cost of its own.
func changed(before, after api.DBServer) []api.Pointer {
	var places []api.Pointer
	for _, attribute := range []struct {
		at   api.Pointer
		same bool
	}{
		{"/server_id", before.ServerID == after.ServerID},
		{"/listen_addresses", slices.Equal(before.ListenAddresses, after.ListenAddresses)},
		{"/port", before.Port == after.Port || len(after.ListenAddresses) == 0},
		{"/allowed_clients", slices.Equal(before.AllowedClients, after.AllowedClients)},
	} {
		if !attribute.same {
			places = append(places, attribute.at)
		}
	}
	names := maps.Clone(before.Settings)
	maps.Copy(names, after.Settings)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := before.Settings[name]
		is, has := after.Settings[name]
		if had != has || was != is {
			places = append(places, api.Pointer("/settings").At(name))
		}
	}
	return places
}
