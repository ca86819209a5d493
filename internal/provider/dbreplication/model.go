package dbreplication

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// settings are the attributes of foobar_db_replication that make its spec, in
// the order of the schema. A nil pointer is an attribute that was left out, or
// one of an object that is not known yet. Write-only attributes are nil unless
// the settings come from the configuration.
type settings struct {
	Primary            string                    `tfsdk:"primary"`
	Members            map[string]member         `tfsdk:"members"`
	Witnesses          map[string]tfutil.Machine `tfsdk:"witnesses"`
	Databases          map[string]database       `tfsdk:"databases"`
	Users              map[string]user           `tfsdk:"users"`
	MaxLag             *string                   `tfsdk:"max_lag"`
	LagHold            *string                   `tfsdk:"lag_hold"`
	MinBinlogRetention *string                   `tfsdk:"min_binlog_retention"`
	Reseed             *reseed                   `tfsdk:"reseed"`
	Drop               *drop                     `tfsdk:"drop"`
}

type member struct {
	Server  *server `tfsdk:"server"`
	Address *string `tfsdk:"address"`
	Delay   *string `tfsdk:"delay"`
}

// server is what a member needs of a foobar_db_server.
type server struct {
	Machine  *tfutil.Machine `tfsdk:"machine"`
	Name     *string         `tfsdk:"name"`
	Engine   *string         `tfsdk:"engine"`
	ServerID *uint32         `tfsdk:"server_id"`
	Port     *int            `tfsdk:"port"`
}

// machine returns the machine that a member is on, as far as it is known.
func (m member) machine() tfutil.Machine {
	if m.Server == nil || m.Server.Machine == nil {
		return tfutil.Machine{}
	}
	return *m.Server.Machine
}

type database struct {
	Charset   *string `tfsdk:"charset"`
	Collation *string `tfsdk:"collation"`
}

type user struct {
	PasswordWO        *api.Secret         `tfsdk:"password_wo"`
	PasswordWOVersion *int64              `tfsdk:"password_wo_version"`
	Grants            map[string][]string `tfsdk:"grants"`
	RequireTLS        *bool               `tfsdk:"require_tls"`
}

type reseed struct {
	Node  string `tfsdk:"node"`
	Token string `tfsdk:"token"`
}

type drop struct {
	Databases []string `tfsdk:"databases"`
	Users     []string `tfsdk:"users"`
	Token     string   `tfsdk:"token"`
}

// spec returns what the agent is to be given. The error is an [api.Problem]
// that points at each value that cannot be sent at all.
func (s settings) spec() (api.DBReplication, error) {
	durations := &tfutil.Durations{}
	spec := api.DefaultDBReplication()
	spec.Primary = s.Primary
	spec.MaxLag = durations.Or(s.MaxLag, spec.MaxLag, "/max_lag")
	spec.LagHold = durations.Or(s.LagHold, spec.LagHold, "/lag_hold")
	spec.MinBinlogRetention = durations.Or(s.MinBinlogRetention, spec.MinBinlogRetention, "/min_binlog_retention")
	for name, m := range s.Members {
		spec.Members[name] = m.spec(durations, api.Pointer("/members").At(name))
	}
	if primary, ok := s.Members[s.Primary]; ok && primary.Server != nil {
		spec.Engine = api.DBEngine(tfutil.Or(primary.Server.Engine, string(spec.Engine)))
	}
	for name, machine := range s.Witnesses {
		spec.Witnesses[name] = peer(machine)
	}
	for name, d := range s.Databases {
		spec.Databases[name] = api.DBDatabase{Charset: tfutil.Or(d.Charset, ""), Collation: tfutil.Or(d.Collation, "")}
	}
	for name, u := range s.Users {
		spec.Users[name] = u.spec()
	}
	if s.Reseed != nil {
		spec.Reseed = &api.DBReseed{Node: s.Reseed.Node, Token: s.Reseed.Token}
	}
	if s.Drop != nil {
		spec.Drop = &api.DBDrop{Databases: tfutil.Sorted(s.Drop.Databases), Users: tfutil.Sorted(s.Drop.Users), Token: s.Drop.Token}
	}
	spec.SecretsVersion = spec.PasswordsVersion()
	return spec, durations.Problem()
}

func (m member) spec(durations *tfutil.Durations, at api.Pointer) api.DBMember {
	spec := api.DBMember{
		DBPeer: peer(m.machine()),
		Host:   tfutil.Or(m.Address, hostOf(m.machine())),
		Delay:  durations.Or(m.Delay, 0, at.At("delay")),
	}
	if s := m.Server; s != nil {
		spec.Server, spec.ServerID, spec.Port = tfutil.Or(s.Name, ""), tfutil.Or(s.ServerID, 0), tfutil.Or(s.Port, 0)
	}
	return spec
}

func (u user) spec() api.DBUser {
	spec := api.DBUser{
		PasswordVersion: tfutil.Or(u.PasswordWOVersion, 0),
		Grants:          map[string][]string{},
		RequireTLS:      tfutil.Or(u.RequireTLS, requireTLS),
	}
	for database, privileges := range u.Grants {
		spec.Grants[database] = tfutil.Sorted(privileges)
	}
	return spec
}

// peer returns how other machines find and know a machine.
func peer(machine tfutil.Machine) api.DBPeer {
	return api.DBPeer{Address: machine.Endpoint(), Key: machine.Key.ValueString(), Incarnation: machine.Incarnation.ValueInt64()}
}

// hostOf returns the host at which a machine's agent is reached, "" if it is
// not known.
func hostOf(machine tfutil.Machine) string {
	host, _, err := tfutil.SplitAddress(machine.Address.ValueString())
	if err != nil {
		return machine.Address.ValueString()
	}
	return host
}

// newSettings returns the attributes that show spec, with every default filled
// in. It is the inverse of [settings.spec]; where prior says the same in other
// words, its words stay, and what is write-only stays null.
func newSettings(spec api.DBReplication, prior settings) settings {
	shown := settings{
		Primary:            spec.Primary,
		Members:            map[string]member{},
		Witnesses:          map[string]tfutil.Machine{},
		Databases:          map[string]database{},
		Users:              newUsers(spec.Users, prior.Users),
		MaxLag:             new(spec.MaxLag.String()),
		LagHold:            new(spec.LagHold.String()),
		MinBinlogRetention: new(spec.MinBinlogRetention.String()),
	}
	for name, m := range spec.Members {
		machine := newMachine(name, m.DBPeer, prior.Members[name].machine())
		shown.Members[name] = member{
			Server: &server{
				Machine: &machine, Name: new(m.Server), Engine: new(string(spec.Engine)), ServerID: new(m.ServerID), Port: new(m.Port),
			},
			Address: new(m.Host),
			Delay:   new(m.Delay.String()),
		}
	}
	for name, p := range spec.Witnesses {
		shown.Witnesses[name] = newMachine(name, p, prior.Witnesses[name])
	}
	for name, d := range spec.Databases {
		shown.Databases[name] = database{Charset: tfutil.Optional(d.Charset), Collation: tfutil.Optional(d.Collation)}
	}
	if r := spec.Reseed; r != nil {
		shown.Reseed = &reseed{Node: r.Node, Token: r.Token}
	}
	if d := spec.Drop; d != nil {
		shown.Drop = &drop{Databases: tfutil.Sorted(d.Databases), Users: tfutil.Sorted(d.Users), Token: d.Token}
	}
	return shown
}

// newUsers shows users. None are null where prior has them so: an attribute
// that holds something write-only cannot have a default.
func newUsers(users map[string]api.DBUser, prior map[string]user) map[string]user {
	if len(users) == 0 && prior == nil {
		return nil
	}
	shown := map[string]user{}
	for name, u := range users {
		grants := map[string][]string{}
		for database, privileges := range u.Grants {
			grants[database] = tfutil.Sorted(privileges)
		}
		shown[name] = user{PasswordWOVersion: tfutil.Optional(u.PasswordVersion), Grants: grants, RequireTLS: new(u.RequireTLS)}
	}
	return shown
}

// newMachine shows a peer as a machine, with the address in prior's words or,
// without any, as short as it can be written.
func newMachine(name string, p api.DBPeer, prior tfutil.Machine) tfutil.Machine {
	machine := tfutil.Machine{
		Name: types.StringValue(name), Address: types.StringValue(shortest(p.Address)),
		Incarnation: types.Int64PointerValue(tfutil.Optional(p.Incarnation)), Key: types.StringPointerValue(tfutil.Optional(p.Key)),
	}
	if machine.Endpoint() == prior.Endpoint() {
		machine.Address = prior.Address
	}
	return machine
}

// shortest leaves out of an agent's address the port that is the default.
func shortest(address string) string {
	if host, port, err := tfutil.SplitAddress(address); err == nil && port == api.DefaultPort {
		return host
	}
	return address
}

// showStatus sets what moves by itself; null where nothing is known.
func showStatus(raw json.RawMessage, m *model) error {
	m.CurrentPrimary, m.Epoch, m.Roles = types.StringNull(), types.Int64Null(), types.MapNull(types.StringType)
	if len(raw) == 0 {
		return nil
	}
	var status api.DBReplicationStatus
	if err := json.Unmarshal(raw, &status); err != nil {
		return err
	}
	roles := make(map[string]attr.Value, len(status.Members))
	for _, name := range slices.Sorted(maps.Keys(status.Members)) {
		roles[name] = types.StringPointerValue(tfutil.Optional(string(status.Members[name].Role)))
	}
	m.CurrentPrimary = types.StringPointerValue(tfutil.Optional(status.CurrentPrimary))
	m.Epoch = types.Int64Value(int64(status.Epoch)) //nolint:gosec // it counts changes of the primary
	m.Roles = types.MapValueMust(types.StringType, roles)
	return nil
}
