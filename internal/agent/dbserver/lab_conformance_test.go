//go:build lab

package dbserver_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/conformance"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestLabConformance(t *testing.T) {
	onLabMachine(t)
	leaves := makeLeaf(t, "conform")
	clearData(t, "conform")
	first := small()
	second := small()
	second.ServerID, second.ListenAddresses, second.Port = 2, []string{"127.0.0.1", "127.0.0.2"}, 13307
	second.AllowedClients = []string{"10.0.0.0/24", "10.1.2.3/32", "fd00::/8"}
	second.Settings["max_connections"], second.Settings["innodb_log_buffer_size"] = "90", "4M"
	second.Settings["sql_mode"], second.Settings["long_query_time"] = "NO_ZERO_DATE,strict_all_tables", "0.25"

	// A port that another program holds: nobody can see it before the start.
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	taken, _ := listener.Addr().(*net.TCPAddr)
	broken := small()
	broken.ListenAddresses, broken.Port = []string{"127.0.0.1"}, taken.Port

	units := systemd.New()
	t.Cleanup(units.Close)
	p := dbserver.PathsOf("conform")
	byHand := func(statement string) func(context.Context) error {
		return func(ctx context.Context) error { return execute(ctx, p.Socket, statement) }
	}
	conformance.Run(t, conformance.Suite{
		Kind:  dbserver.New(dbserver.Deps{Units: units, Journal: logs.Journal{}, LeafDir: leaves}),
		Name:  "conform",
		Units: units,
		First: api.Encode(first), Second: api.Encode(second), Broken: api.Encode(broken),
		Breaks: []conformance.Break{
			{Name: "a setting of the spec by hand", Do: byHand("SET GLOBAL max_connections = 77")},
			{Name: "another setting by hand", Do: byHand("SET GLOBAL wait_timeout = 99")},
			{Name: "durability by hand", Do: byHand("SET GLOBAL sync_binlog = 0")},
			{Name: "encryption by hand", Do: byHand("SET GLOBAL require_secure_transport = OFF")},
			{Name: "the packet filter flushed", Do: command("nft", "flush", "ruleset")},
			{Name: "a rule by hand", Do: command("nft", "insert", "rule", "inet", p.Table, "clients", "accept")},
			{Name: "another configuration runs", Do: func(ctx context.Context) error { return startAnother(ctx, units, p) }},
		},
		Serves: func(ctx context.Context, raw json.RawMessage) error { return serves(ctx, p, raw) },
	})
}

// small returns a server that starts fast.
func small() api.DBServer {
	s := api.DefaultDBServer()
	s.ServerID, s.ListenAddresses, s.Port = 1, []string{"*"}, 13306
	s.Settings = map[string]string{"innodb_buffer_pool_size": "16M", "innodb_log_file_size": "16M", "max_connections": "50"}
	return s
}

func command(name string, args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		output, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s %q: %w: %s", name, args, err, output)
		}
		return nil
	}
}

// startAnother has the server run on a file that is not the one in place.
func startAnother(ctx context.Context, units *systemd.Manager, p dbserver.Paths) error {
	text, err := os.ReadFile(p.Config)
	if err != nil {
		return err
	}
	another := string(text) + "back_log=7\n"
	if err := os.WriteFile(p.Config, []byte(another), 0o644); err != nil {
		return err
	}
	if err := units.Restart(ctx, p.Unit); err != nil {
		return err
	}
	return os.WriteFile(p.Config, text, 0o644)
}

// serves sees that the server is fenced, listens, and has the settings.
func serves(ctx context.Context, p dbserver.Paths, raw json.RawMessage) error {
	var spec api.DBServer
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	return superuser(p.Socket, func(db *sql.DB) error {
		var fenced bool
		var id uint32
		var port int
		if err := db.QueryRowContext(ctx, "SELECT @@read_only, @@server_id, @@port").Scan(&fenced, &id, &port); err != nil {
			return err
		}
		if !fenced || id != spec.ServerID || port != spec.Port {
			return fmt.Errorf("read_only is %v, server_id %d, port %d", fenced, id, port)
		}
		for name, text := range spec.Settings {
			setting, _ := api.DBSettingNamed(spec.Engine, name)
			var value string
			if err := db.QueryRowContext(ctx, "SELECT @@GLOBAL."+name).Scan(&value); err != nil {
				return err
			}
			want, err := setting.Parse(text)
			if err != nil {
				return err
			}
			if got, _ := setting.Parse(strings.TrimRight(value, "\n")); got != want {
				return fmt.Errorf("%s is %s, want %s", name, value, text)
			}
		}
		return nil
	})
}
