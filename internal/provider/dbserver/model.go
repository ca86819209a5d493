package dbserver

import (
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// settings are the attributes of foobar_db_server that make its spec, in the
// order of the schema. A nil pointer is an attribute that was left out.
type settings struct {
	Engine          string            `tfsdk:"engine"`
	ServerID        *uint32           `tfsdk:"server_id"`
	ListenAddresses []string          `tfsdk:"listen_addresses"`
	Port            *int              `tfsdk:"port"`
	AllowedClients  []string          `tfsdk:"allowed_clients"`
	Settings        map[string]string `tfsdk:"settings"`
}

// spec returns what the agent is to be given, in the one spelling that stands
// for all: what means the same is the same spec.
func (s settings) spec() api.DBServer {
	defaults := api.DefaultDBServer()
	engine := api.DBEngine(s.Engine)
	spec := api.DBServer{
		Engine:          engine,
		ServerID:        tfutil.Or(s.ServerID, 0),
		ListenAddresses: tfutil.Sorted(s.ListenAddresses),
		Port:            tfutil.Or(s.Port, defaults.Port),
		AllowedClients:  networks(s.AllowedClients),
		Settings:        canonical(engine, s.Settings),
	}
	if s.ListenAddresses == nil {
		spec.ListenAddresses = defaults.ListenAddresses
	}
	return spec
}

// newSettings returns the attributes that show spec, with every default filled
// in. It is the inverse of [settings.spec]; where prior says the same in other
// words, its words stay.
func newSettings(spec api.DBServer, prior settings) settings {
	return settings{
		Engine:          string(spec.Engine),
		ServerID:        new(spec.ServerID),
		ListenAddresses: tfutil.Sorted(spec.ListenAddresses),
		Port:            new(spec.Port),
		AllowedClients:  clients(spec.AllowedClients, prior.AllowedClients),
		Settings:        spelled(spec.Engine, spec.Settings, prior.Settings),
	}
}
