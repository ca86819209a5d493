package dbserver

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

// plain is the database server of the examples.
func plain() api.DBServer {
	s := api.DefaultDBServer()
	s.ServerID, s.AllowedClients = 1, []string{"10.0.0.0/24"}
	return s
}

// rich uses every attribute.
func rich() api.DBServer {
	s := plain()
	s.ServerID, s.Port = 4294967295, 3307
	s.ListenAddresses = []string{"10.0.0.1", "fd00::1"}
	s.AllowedClients = []string{"10.0.0.0/24", "10.1.2.3/32", "fd00::/8", "fd01::7/128", "0.0.0.0/0"}
	s.Settings = map[string]string{
		"innodb_buffer_pool_size": "2G", "max_connections": "30000", "table_open_cache": "20000", "slow_query_log": "1",
		"max_binlog_total_size": "100G", "transaction_isolation": "read-committed", "long_query_time": "0.250", "sql_mode": "no_zero_date,STRICT_ALL_TABLES", "collation_server": "utf8mb4_bin",
	}
	return s
}

// alone listens on its socket only.
func alone() api.DBServer {
	s := plain()
	s.ListenAddresses, s.AllowedClients = nil, nil
	return s
}

func leafDir(leaf string) string { return "/var/lib/foobar/identity/leaves/" + leaf }

func render(t *testing.T, name string, spec api.DBServer) converge.State {
	t.Helper()
	if err := spec.Validate().Problem(); err != nil {
		t.Fatal(err)
	}
	state, err := New(Deps{LeafDir: leafDir}).Render(name, spec, nil, converge.InPlace{})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestRender(t *testing.T) {
	for name, spec := range map[string]api.DBServer{"plain": plain(), "rich": rich(), "alone": alone()} {
		for _, file := range render(t, "main", spec).Files {
			golden.Compare(t, name+"-"+filepath.Base(file.Path), file.Content)
		}
	}
}

// What a server boots with is never open, whatever the spec.
func TestRenderIsFenced(t *testing.T) {
	for name, spec := range map[string]api.DBServer{"plain": plain(), "rich": rich(), "alone": alone()} {
		config := parseConfig(render(t, "main", spec).File(PathsOf("main").Config).Content)
		for variable, want := range map[string]string{
			"read_only": "ON", "log_bin": "binlog", "gtid_strict_mode": "ON", "sync_binlog": "1",
			"innodb_flush_log_at_trx_commit": "1", "require_secure_transport": "ON", "slave_connections_needed_for_purge": "1",
		} {
			if config[variable] != want {
				t.Errorf("%s: %s is %q", name, variable, config[variable])
			}
		}
		if config["max_binlog_total_size"] == "" || config["binlog_expire_logs_seconds"] == "" {
			t.Errorf("%s: binary logs are kept for ever", name)
		}
	}
}

// Nothing is purged at a start, and something after it: who follows, if anybody
// does, is reported later.
func TestUnitPurgesAfterTheStart(t *testing.T) {
	unit := string(render(t, "main", plain()).File(PathsOf("main").UnitFile).Content)
	started, purges := strings.Index(unit, "\nExecStart="), strings.Index(unit, "\nExecStartPost=-+/usr/lib/foobar/foobar-agent db-server started main\n")
	if started < 0 || purges < started {
		t.Errorf("the unit is\n%s", unit)
	}
}

func TestRenderHasSources(t *testing.T) {
	p := PathsOf("main")
	for path, want := range map[string]map[string]api.Pointer{
		p.Config:   {"server_id=": "/server_id", "max_connections=": "/settings/max_connections", "port=": "/port", "bind_address=": "/listen_addresses"},
		p.Clients:  {"ip saddr 10.1.2.3 accept": "/allowed_clients/1", "ip6 daddr fd00::1": "/listen_addresses/1"},
		p.UnitFile: {"LimitNOFILE=": "/settings/max_connections"},
	} {
		for _, file := range render(t, "main", rich()).Files {
			if file.Path != path {
				continue
			}
			for i, row := range strings.Split(string(file.Content), "\n") {
				for start, pointer := range want {
					if strings.HasPrefix(strings.TrimSpace(row), start) {
						delete(want, start)
						if file.Sources[i+1] != pointer {
							t.Errorf("%s:%d %q comes from %q", path, i+1, row, file.Sources[i+1])
						}
					}
				}
			}
		}
		if len(want) > 0 {
			t.Errorf("%s has no lines for %v", path, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("# a=b\n[mariadbd]\nread_only=ON\nsql_mode=\n=x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for name := range parseConfig(text) {
			if strings.ContainsAny(name, "\n=") {
				t.Errorf("%q is a name", name)
			}
		}
	})
}
