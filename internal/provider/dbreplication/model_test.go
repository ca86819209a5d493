package dbreplication

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// least is the least that a replication can be: a stand-alone database.
func least() api.DBReplication {
	spec := api.DefaultDBReplication()
	spec.Primary = "web1"
	spec.Members["web1"] = api.DBMember{
		DBPeer: api.DBPeer{Address: "10.0.0.1:9443"}, Server: "notes", ServerID: 1, Host: "10.0.0.1", Port: 3306,
	}
	return spec
}

// everything is a spec in which no value is its type's zero or a default.
func everything() api.DBReplication {
	spec := least()
	key := api.KeyPin([]byte("key"))
	spec.Members["web1"] = api.DBMember{
		DBPeer: api.DBPeer{Address: "10.0.0.1:9444", Key: key, Incarnation: 3}, Server: "notes", ServerID: 4294967295, Host: "10.1.0.1", Port: 3307,
		Delay: api.Duration(time.Minute),
	}
	spec.Members["web2"] = api.DBMember{
		DBPeer: api.DBPeer{Address: "web2.example:9443", Key: key, Incarnation: 2}, Server: "other", ServerID: 2, Host: "2001:db8::2", Port: 3306,
		Delay: api.Duration(time.Hour),
	}
	spec.Witnesses["lb1"] = api.DBPeer{Address: "[2001:db8::10]:9443", Key: key, Incarnation: 1}
	spec.Databases["notes"] = api.DBDatabase{Charset: "utf8mb4", Collation: "utf8mb4_bin"}
	spec.Users["notes"] = api.DBUser{PasswordVersion: 7, Grants: map[string][]string{"notes": {"INSERT", "SELECT"}}, RequireTLS: true}
	spec.SecretsVersion = spec.PasswordsVersion()
	spec.MaxLag, spec.LagHold, spec.MinBinlogRetention = api.Duration(time.Second), api.Duration(time.Minute), api.Duration(time.Hour)
	spec.Reseed = &api.DBReseed{Node: "web2", Token: "a"}
	spec.Drop = &api.DBDrop{Databases: []string{"old"}, Users: []string{"older"}, Token: "b"}
	return spec
}

func TestSpecComesBackFromItsAttributes(t *testing.T) {
	for name, want := range map[string]api.DBReplication{"everything": everything(), "a stand-alone database": least()} {
		t.Run(name, func(t *testing.T) {
			got, err := throughState(t, newSettings(want, settings{})).spec()
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("spec came back as\n%s, %v, not\n%s", api.Encode(got), err, api.Encode(want))
			}
			if v := want.Validate(); len(v) > 0 {
				t.Errorf("the spec is not valid: %v", v)
			}
		})
	}
}

func TestSpecOfLeftOutAttributesHasTheDefaults(t *testing.T) {
	got, err := settings{
		Primary: "web1",
		Members: map[string]member{"web1": {Server: &server{
			Machine: &tfutil.Machine{Name: types.StringValue("web1"), Address: types.StringValue("10.0.0.1")},
			Name:    new("notes"), Engine: new("mariadb"), ServerID: new(uint32(1)), Port: new(3306),
		}}},
	}.spec()
	if want := least(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("spec is\n%s, %v, not\n%s", api.Encode(got), err, api.Encode(want))
	}
}

func TestAddressesStayAsTheyWereWritten(t *testing.T) {
	spec := everything()
	prior := newSettings(spec, settings{})
	of := func(address string) tfutil.Machine { return tfutil.Machine{Address: types.StringValue(address)} }
	moved, same, witness := of("10.0.0.1"), of("web2.example"), of("2001:db8::10")
	prior.Members["web1"].Server.Machine = &moved
	prior.Members["web2"].Server.Machine = &same
	prior.Witnesses["lb1"] = witness
	got := newSettings(spec, prior)
	for what, c := range map[string]struct {
		got  tfutil.Machine
		want string
	}{
		"another address":                {got.Members["web1"].machine(), "10.0.0.1:9444"},
		"a member without the port":      {got.Members["web2"].machine(), "web2.example"},
		"a witness without the brackets": {got.Witnesses["lb1"], "2001:db8::10"},
	} {
		if c.got.Address.ValueString() != c.want {
			t.Errorf("%s is shown as %s, not %q", what, c.got.Address, c.want)
		}
	}
}

func TestRepairCostsTheSameWhateverIsLeftOfIt(t *testing.T) {
	spec := everything()
	if got := foresee(spec, spec); got.Impact != api.ImpactRuntime {
		t.Errorf("a repair costs %s", got.Impact)
	}
	other := spec
	other.MaxLag++
	if got := foresee(spec, other); got.Impact != api.ImpactNone {
		t.Errorf("of a change the agent tells the cost, which is at least %s", got.Impact)
	}
}

func TestStatusIsNullWhereNothingIsKnown(t *testing.T) {
	null := model{CurrentPrimary: types.StringNull(), Epoch: types.Int64Null(), Roles: types.MapNull(types.StringType)}
	seen := api.DBReplicationStatus{
		CurrentPrimary: "web1", Epoch: 3,
		Members: map[string]api.DBMemberStatus{"web1": {Role: api.DBRolePrimary}, "web2": {}},
	}
	for name, c := range map[string]struct {
		raw  []byte
		want model
	}{
		"nothing": {nil, null},
		"everything": {api.Encode(seen), model{
			CurrentPrimary: types.StringValue("web1"), Epoch: types.Int64Value(3),
			Roles: types.MapValueMust(types.StringType, map[string]attr.Value{"web1": types.StringValue("primary"), "web2": types.StringNull()}),
		}},
		"no primary": {api.Encode(api.DBReplicationStatus{}), model{
			CurrentPrimary: types.StringNull(), Epoch: types.Int64Value(0), Roles: types.MapValueMust(types.StringType, map[string]attr.Value{}),
		}},
	} {
		var got model
		if err := showStatus(c.raw, &got); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
	var got model
	if err := showStatus([]byte(`{"epoch": "three"}`), &got); err == nil || !reflect.DeepEqual(got, null) {
		t.Errorf("what cannot be read is %v, %v", got, err)
	}
}

func TestMachinesBesidesTheCoordinator(t *testing.T) {
	m := model{settings: newSettings(everything(), settings{})}
	if got := others(m); !slices.Equal(got, []string{"lb1", "web2"}) {
		t.Errorf("the others are %v", got)
	}
	if got := slices.Sorted(maps.Keys(participants(m))); !slices.Equal(got, []string{"lb1", "web1", "web2"}) {
		t.Errorf("%v take part", got)
	}
}

// throughState writes settings into a Terraform state and reads them back.
func throughState(t *testing.T, in settings) (out settings) {
	t.Helper()
	s := schema.Schema{Attributes: attributes()}
	if diags := s.ValidateImplementation(t.Context()); diags.HasError() {
		t.Fatal(diags)
	}
	for _, name := range append(kind().Moving, "machine") {
		delete(s.Attributes, name)
	}
	state := tfsdk.State{Schema: s, Raw: tftypes.NewValue(s.Type().TerraformType(t.Context()), nil)}
	if diags := state.Set(t.Context(), in); diags.HasError() {
		t.Fatal(diags)
	}
	if diags := state.Get(t.Context(), &out); diags.HasError() {
		t.Fatal(diags)
	}
	return out
}

// What is taken out and not dropped stays on the servers, which nobody would
// notice: a user goes on to log in.
func TestTakenOutIsAWarning(t *testing.T) {
	both := everything()
	both.Databases = map[string]api.DBDatabase{"notes": {}, "shop": {}}
	both.Users = map[string]api.DBUser{"ann": {}, "bob": {}}
	both.Drop = &api.DBDrop{Databases: []string{"old"}, Token: "used"}
	without := func(drop *api.DBDrop) api.DBReplication {
		spec := both
		spec.Databases, spec.Users, spec.Drop = map[string]api.DBDatabase{"shop": {}}, nil, drop
		return spec
	}
	database := []string{`"notes" is no longer in databases`, "stays on the servers with all data", `drop = { databases = ["notes"]`}
	users := []string{`"ann", "bob" are no longer in users`, "stay on the servers", "apps can still log in", `drop = { users = ["ann", "bob"]`}
	used := append(slices.Clone(database), `token is "used" as before`)
	for name, test := range map[string]struct {
		after           api.DBReplication
		database, users []string
	}{
		"nothing":                       {after: both},
		"both":                          {without(nil), database, users},
		"with a consent to other names": {without(&api.DBDrop{Databases: []string{"older"}, Token: "new"}), database, users},
		"with a consent":                {after: without(&api.DBDrop{Databases: []string{"notes"}, Users: []string{"ann", "bob"}, Token: "new"})},
		"with one that was used":        {without(&api.DBDrop{Databases: []string{"notes"}, Users: []string{"bob", "ann"}, Token: "used"}), used, users},
		"of the databases alone":        {without(&api.DBDrop{Databases: []string{"notes"}, Token: "new"}), nil, users},
	} {
		want := map[api.Pointer][]string{"/databases": test.database, "/users": test.users}
		for _, c := range foresee(both, test.after).Conditions {
			for _, says := range want[c.Pointer] {
				if c.Severity != api.SeverityWarning || !strings.Contains(c.Message, says) {
					t.Errorf("%s: %+v does not say %q", name, c, says)
				}
			}
			if want[c.Pointer] == nil {
				t.Errorf("%s: got %+v", name, c)
			}
			delete(want, c.Pointer)
		}
		for at, says := range want {
			if says != nil {
				t.Errorf("%s: no warning on %s", name, at)
			}
		}
	}
}
