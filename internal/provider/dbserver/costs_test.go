package dbserver

import (
	"maps"
	"reflect"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestOnlyWhatIsReadAtAStartCostsOne(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *api.DBServer)
		want   []api.Pointer
	}{
		"nothing":               {func(*api.DBServer) {}, nil},
		"a runtime setting":     {func(s *api.DBServer) { s.Settings["max_connections"] = "300" }, nil},
		"clients":               {func(s *api.DBServer) { s.AllowedClients = nil }, nil},
		"a setting":             {func(s *api.DBServer) { s.Settings["innodb_buffer_pool_size"] = "268435456" }, []api.Pointer{"/settings/innodb_buffer_pool_size"}},
		"a setting taken back":  {func(s *api.DBServer) { delete(s.Settings, "innodb_buffer_pool_size") }, []api.Pointer{"/settings/innodb_buffer_pool_size"}},
		"a setting more":        {func(s *api.DBServer) { s.Settings["performance_schema"] = "ON" }, []api.Pointer{"/settings/performance_schema"}},
		"the server id":         {func(s *api.DBServer) { s.ServerID = 3 }, []api.Pointer{"/server_id"}},
		"where it listens":      {func(s *api.DBServer) { s.ListenAddresses, s.Port = []string{"10.0.0.1"}, 3308 }, []api.Pointer{"/listen_addresses", "/port"}},
		"no longer listening":   {func(s *api.DBServer) { s.ListenAddresses = []string{} }, []api.Pointer{"/listen_addresses"}},
		"an unheard-of setting": {func(s *api.DBServer) { s.Settings["unheard_of"] = "1" }, nil},
	} {
		after := everything()
		after.Settings = maps.Clone(after.Settings)
		c.change(&after)
		var got []api.Pointer
		for _, condition := range costs(everything(), after) {
			got = append(got, condition.Pointer)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: a restart for %v, want %v", name, got, c.want)
		}
	}
}
