package dbserver

import (
	"net"
	"reflect"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// everything is a spec in which no value is its type's zero or a default.
func everything() api.DBServer {
	return api.DBServer{
		Engine:          api.EngineMariaDB,
		ServerID:        4294967295,
		ListenAddresses: []string{"10.0.0.1", "2001:db8::1"},
		Port:            3307,
		AllowedClients:  []string{"10.0.0.2/32", "192.0.2.0/24", "2001:db8::2/128"},
		Settings: map[string]string{
			"innodb_buffer_pool_size": "134217728", "slow_query_log": "ON", "transaction_isolation": "READ-COMMITTED", "max_connections": "200",
		},
	}
}

func TestSpecOfLeftOutAttributesHasTheDefaults(t *testing.T) {
	want := api.DefaultDBServer()
	want.ServerID = 7
	got := settings{Engine: "mariadb", ServerID: new(uint32(7))}.spec()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("spec is\n%s\nnot\n%s", api.Encode(got), api.Encode(want))
	}
}

func TestSpecComesBackFromItsAttributes(t *testing.T) {
	defaults := api.DefaultDBServer()
	defaults.ServerID = 1
	silent := everything()
	silent.ListenAddresses = []string{}
	for name, want := range map[string]api.DBServer{"everything": everything(), "defaults": defaults, "nowhere to listen": silent} {
		t.Run(name, func(t *testing.T) {
			got := throughState(t, newSettings(want, settings{})).spec()
			if !reflect.DeepEqual(got, want) {
				t.Errorf("spec came back as\n%s\nnot\n%s", api.Encode(got), api.Encode(want))
			}
			if v := want.Validate(); len(v) > 0 {
				t.Errorf("the spec is not valid: %v", v)
			}
		})
	}
}

func TestSpellingOfTheUserStays(t *testing.T) {
	prior := settings{
		AllowedClients: []string{"10.0.0.2:9443", "192.0.2.0/24", "198.51.100.0/24"},
		Settings: map[string]string{
			"innodb_buffer_pool_size": "128M", "slow_query_log": "1", "transaction_isolation": "serializable", "max_heap_table_size": "1G",
		},
	}
	spec := everything()
	spec.Settings["max_heap_table_size"] = "33554432" // changed by hand
	got := newSettings(spec, prior)
	wantClients := []string{"10.0.0.2:9443", "192.0.2.0/24", "2001:db8::2"}
	if !reflect.DeepEqual(got.AllowedClients, wantClients) {
		t.Errorf("clients are shown as %v, not %v", got.AllowedClients, wantClients)
	}
	wantSettings := map[string]string{
		"innodb_buffer_pool_size": "128M", "slow_query_log": "1", "transaction_isolation": "READ-COMMITTED",
		"max_connections": "200", "max_heap_table_size": "32M",
	}
	if !reflect.DeepEqual(got.Settings, wantSettings) {
		t.Errorf("settings are shown as %v, not %v", got.Settings, wantSettings)
	}
}

func TestClientsAreMachinesAddressesAndNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1":             "10.0.0.1/32",
		"10.0.0.1:9443":        "10.0.0.1/32",
		"10.0.0.1/32":          "10.0.0.1/32",
		"10.0.0.0/24":          "10.0.0.0/24",
		"2001:DB8::1":          "2001:db8::1/128",
		"[2001:db8::1]:9443":   "2001:db8::1/128",
		"2001:db8:0::/48":      "2001:db8::/48",
		"10.0.0.1/24":          "10.0.0.1/24", // the spec's own validation refuses these
		"web1.example":         "web1.example",
		"web1.example:9443":    "web1.example:9443",
		"fe80::1%eth0":         "fe80::1%eth0",
		"":                     "",
		"10.0.0.1, 10.0.0.2":   "10.0.0.1, 10.0.0.2",
		"10.0.0.1:99999999999": "10.0.0.1:99999999999",
	} {
		if got := network(text); got != want {
			t.Errorf("%q is %q, not %q", text, got, want)
		}
	}
	got := networks([]string{"10.0.0.2", "10.0.0.1/32", "10.0.0.1"})
	if want := []string{"10.0.0.1/32", "10.0.0.2/32"}; !reflect.DeepEqual(got, want) {
		t.Errorf("networks are %v, not %v", got, want)
	}
}

func FuzzNetwork(f *testing.F) {
	for _, seed := range []string{"10.0.0.1", "10.0.0.0/24", "[2001:db8::1]:9443", "web1:9443", "fe80::1%eth0", "::ffff:10.0.0.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := network(text)
		if again := network(once); again != once {
			t.Errorf("%q becomes %q, and that %q", text, once, again)
		}
	})
}

func TestServerIDsAreOneForEachServerAndStayThat(t *testing.T) {
	// These stand in binary logs: they must be the same in every release.
	const web1, web2 = 372300063, 1369620302
	if got := serverID("test", "web1", "notes"); got != web1 {
		t.Errorf("the server id is %d, not %d", got, web1)
	}
	if got := serverID("test", "web2", "notes"); got != web2 {
		t.Errorf("the server id is %d, not %d", got, web2)
	}
	seen := map[uint32]bool{}
	for _, names := range [][3]string{{"a", "b", "c"}, {"ab", "c", "c"}, {"a", "b", "cc"}, {"a", "bc", "c"}, {"b", "a", "c"}} {
		seen[serverID(names[0], names[1], names[2])] = true
	}
	if len(seen) != 5 {
		t.Errorf("of five servers some have the same id: %v", seen)
	}
}

func TestCertificateHasTheAddressesOfTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		listen []string
		agent  string
		want   []net.IP
	}{
		"every address":        {[]string{"*"}, "10.0.0.1:9443", []net.IP{net.ParseIP("10.0.0.1")}},
		"every one, by a name": {[]string{"*"}, "web1.example", nil},
		"some":                 {[]string{"10.0.0.7", "2001:db8::7"}, "10.0.0.1", []net.IP{net.ParseIP("10.0.0.7"), net.ParseIP("2001:db8::7")}},
		"none":                 {[]string{}, "10.0.0.1", nil},
	} {
		if got := leafAddresses(c.listen, c.agent); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// throughState writes settings into a Terraform state and reads them back.
func throughState(t *testing.T, in settings) (out settings) {
	t.Helper()
	s := schema.Schema{Attributes: attributes()}
	if diags := s.ValidateImplementation(t.Context()); diags.HasError() {
		t.Fatal(diags)
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
