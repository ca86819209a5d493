package dbserver

import (
	"reflect"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestOnlyWhatIsReadAtAStartCostsOne(t *testing.T) {
	const none, runtime, restart = api.ImpactNone, api.ImpactRuntime, api.ImpactRestart
	for name, c := range map[string]struct {
		change func(s *api.DBServer)
		impact api.Impact
		want   []api.Pointer // of what makes it a restart
	}{
		"nothing":              {func(*api.DBServer) {}, none, nil},
		"a runtime setting":    {func(s *api.DBServer) { s.Settings["max_connections"] = "300" }, runtime, nil},
		"clients":              {func(s *api.DBServer) { s.AllowedClients = nil }, runtime, nil},
		"a setting":            {func(s *api.DBServer) { s.Settings["innodb_buffer_pool_size"] = "268435456" }, restart, []api.Pointer{"/settings/innodb_buffer_pool_size"}},
		"a setting taken back": {func(s *api.DBServer) { delete(s.Settings, "innodb_buffer_pool_size") }, restart, []api.Pointer{"/settings/innodb_buffer_pool_size"}},
		"a setting more": {
			func(s *api.DBServer) { s.Settings["performance_schema"], s.Settings["wait_timeout"] = "ON", "60" },
			restart, []api.Pointer{"/settings/performance_schema"},
		},
		"the server id":       {func(s *api.DBServer) { s.ServerID = 3 }, restart, []api.Pointer{"/server_id"}},
		"where it listens":    {func(s *api.DBServer) { s.ListenAddresses, s.Port = []string{"10.0.0.1"}, 3308 }, restart, []api.Pointer{"/listen_addresses", "/port"}},
		"no longer listening": {func(s *api.DBServer) { s.ListenAddresses, s.Port = []string{}, 3308 }, restart, []api.Pointer{"/listen_addresses"}},
	} {
		after := everything()
		c.change(&after)
		plan := foresee(everything(), after)
		var got []api.Pointer
		for _, condition := range plan.Conditions {
			got = append(got, condition.Pointer)
		}
		if plan.Impact != c.impact || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %s for %v, want %s for %v", name, plan.Impact, got, c.impact, c.want)
		}
	}
}
