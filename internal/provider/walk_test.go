package provider_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// block is something that can be configured: a resource, a data source, an
// ephemeral resource or the provider.
type block struct {
	name   string
	schema *tfprotov6.Schema
	// base is a valid configuration in which every attribute has a value.
	base tftypes.Value
	// validate has the server check another one.
	validate func(t *testing.T, config tftypes.Value) []*tfprotov6.Diagnostic
}

// blocks returns all blocks of a server.
func blocks(t *testing.T, server tfprotov6.ProviderServer) []block {
	t.Helper()
	ctx := t.Context()
	all, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var found []block
	add := func(name string, schema *tfprotov6.Schema, validate func(*tfprotov6.DynamicValue) []*tfprotov6.Diagnostic) {
		text, ok := bases()[name]
		if !ok {
			t.Fatalf("bases has no %s", name)
		}
		base, err := (&tfprotov6.DynamicValue{JSON: []byte(text)}).Unmarshal(schema.ValueType())
		if err != nil {
			t.Fatalf("the base of %s: %v", name, err)
		}
		b := block{name: name, schema: schema, base: base, validate: func(t *testing.T, config tftypes.Value) []*tfprotov6.Diagnostic {
			t.Helper()
			dynamic, err := tfprotov6.NewDynamicValue(schema.ValueType(), config)
			if err != nil {
				t.Fatal(err)
			}
			return validate(&dynamic)
		}}
		for _, d := range b.validate(t, base) {
			if d.Severity == tfprotov6.DiagnosticSeverityError {
				t.Fatalf("the base of %s is refused at %s: %s", name, d.Attribute, d.Detail)
			}
		}
		found = append(found, b)
	}
	add("provider", all.Provider, func(config *tfprotov6.DynamicValue) []*tfprotov6.Diagnostic {
		resp, err := server.ValidateProviderConfig(ctx, &tfprotov6.ValidateProviderConfigRequest{Config: config})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Diagnostics
	})
	for name, schema := range all.ResourceSchemas {
		add(name, schema, func(config *tfprotov6.DynamicValue) []*tfprotov6.Diagnostic {
			resp, err := server.ValidateResourceConfig(ctx, &tfprotov6.ValidateResourceConfigRequest{
				TypeName: name, Config: config, ClientCapabilities: &tfprotov6.ValidateResourceConfigClientCapabilities{WriteOnlyAttributesAllowed: true},
			})
			if err != nil {
				t.Fatal(err)
			}
			return resp.Diagnostics
		})
	}
	for name, schema := range all.DataSourceSchemas {
		add("data "+name, schema, func(config *tfprotov6.DynamicValue) []*tfprotov6.Diagnostic {
			resp, err := server.ValidateDataResourceConfig(ctx, &tfprotov6.ValidateDataResourceConfigRequest{TypeName: name, Config: config})
			if err != nil {
				t.Fatal(err)
			}
			return resp.Diagnostics
		})
	}
	for name, schema := range all.EphemeralResourceSchemas {
		add("ephemeral "+name, schema, func(config *tfprotov6.DynamicValue) []*tfprotov6.Diagnostic {
			resp, err := server.ValidateEphemeralResourceConfig(ctx, &tfprotov6.ValidateEphemeralResourceConfigRequest{TypeName: name, Config: config})
			if err != nil {
				t.Fatal(err)
			}
			return resp.Diagnostics
		})
	}
	slices.SortFunc(found, func(a, b block) int { return strings.Compare(a.name, b.name) })
	return found
}

// places returns where the values of a configuration are, besides the whole
// and what is null, outermost first.
func places(t *testing.T, config tftypes.Value) []*tftypes.AttributePath {
	t.Helper()
	var all []*tftypes.AttributePath
	if err := tftypes.Walk(config, func(at *tftypes.AttributePath, v tftypes.Value) (bool, error) {
		if len(at.Steps()) > 0 && !v.IsNull() {
			all = append(all, at)
		}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b *tftypes.AttributePath) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// with returns a configuration with another value at a place.
func with(t *testing.T, config tftypes.Value, place *tftypes.AttributePath, value func(tftypes.Value) tftypes.Value) tftypes.Value {
	t.Helper()
	changed, err := tftypes.Transform(config, func(at *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		if at.Equal(place) {
			return value(v), nil
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// attributeOf returns the attribute that a path leads to or through, and its
// name without keys: `backends.servers.port`.
func attributeOf(schema *tfprotov6.Schema, at *tftypes.AttributePath) (name string, found *tfprotov6.SchemaAttribute) {
	attributes := schema.Block.Attributes
	for _, step := range at.Steps() {
		named, ok := step.(tftypes.AttributeName)
		if !ok {
			continue
		}
		i := slices.IndexFunc(attributes, func(a *tfprotov6.SchemaAttribute) bool { return a.Name == string(named) })
		if i < 0 {
			return name, found
		}
		found = attributes[i]
		name = strings.TrimPrefix(name+"."+found.Name, ".")
		attributes = nil
		if found.NestedType != nil {
			attributes = found.NestedType.Attributes
		}
	}
	return name, found
}

// TestBasesHaveEveryAttribute keeps the walks over them complete.
func TestBasesHaveEveryAttribute(t *testing.T) {
	for _, b := range blocks(t, server(t)) {
		given := map[string]bool{}
		for _, at := range places(t, b.base) {
			name, _ := attributeOf(b.schema, at)
			given[name] = true
		}
		var miss func(prefix string, attributes []*tfprotov6.SchemaAttribute)
		miss = func(prefix string, attributes []*tfprotov6.SchemaAttribute) {
			for _, a := range attributes {
				settable := a.Required || a.Optional
				if settable && !given[prefix+a.Name] && !strings.HasPrefix(a.Name, "client_") { // in place of the seed
					t.Errorf("the base of %s lacks %s", b.name, prefix+a.Name)
				}
				if settable && a.NestedType != nil {
					miss(prefix+a.Name+".", a.NestedType.Attributes)
				}
			}
		}
		miss("", b.schema.Block.Attributes)
	}
}

// bases returns, for each block, a valid configuration as JSON.
func bases() map[string]string {
	const machine = `"machine": {"name": "web1", "address": "10.0.0.1", "incarnation": 1, "key": "` + pin + `"}`
	const timeouts = `"timeouts": {"create": "1m", "update": "1m", "delete": "1m"}`
	view := `{` + machine + `, "name": "shop"}`
	seed, checksum := strconv.Quote(strings.Repeat("01", 32)), strconv.Quote(strings.Repeat("0", 64))
	return map[string]string{
		"provider": `{"deployment": "shop", "ca_seed": ` + seed + `, "ca_not_after": "2040-01-01T00:00:00Z", "forget_unreachable": ["web9"]}`,
		"foobar_machine": `{"name": "web1", "address": "10.0.0.1", "incarnation": 1,
			"timeouts": {"create": "1m", "update": "1m"}}`,
		"foobar_bootstrap": `{"name": "web1", "incarnation": 1, "listen": ":9443"}`,
		"foobar_load_balancer": `{` + machine + `, "name": "www", ` + timeouts + `,
			"engine": "haproxy", "max_connections": 100, "trusted_proxies": ["10.0.0.0/8"],
			"traffic_timeouts": {"connect": "1s", "client": "1s", "server": "1s", "queue": "1s", "http_request": "1s", "keep_alive": "1s", "tunnel": "1s"},
			"frontends": {"http": {"address": "10.0.0.1", "port": 80, "backend": "web", "log_format": "%ci"}},
			"backends": {"web": {"algorithm": "source",
				"health_check": {"method": "GET", "path": "/", "host": "www.example", "status": 200, "body_pattern": "ok", "interval": "1s", "timeout": "1s", "rise": 1, "fall": 1},
				"servers": {"web1": {"address": "10.0.0.1", "port": 80, "weight": 1, "backup": false, "drain": false, "max_connections": 2, "agent_check_port": 7081}}}}}`,
		"foobar_app_server": `{` + machine + `, "name": "shop", ` + timeouts + `,
			"release": {"source": "/nonexistent.tar.gz", "sha256": ` + checksum + `, "max_bytes": 1000,
				"signature": "untrusted comment: made with a throw-away key\nRURHi+RJdy1UqJQps3QOY3oLnBXQcs8S+mVp+OxXeu8SqBIPHu77QRECLJcwWzcHvL2pO9TUvgL/EMDZ+poMEYUSW26wO36Upg8=\ntrusted comment: shop 1.4.0\n3AGjJhS5f7mQJgsaXX0KRpsEPck4C94i2HyK6ia8Yr+QLy4as00wg/g9365RYqEswAWkAQQaiZ/LB1uzu83/DA==\n",
				"public_keys": ["RWRHi+RJdy1UqNbSTMdeEcy+4R3BMB8Mwl9OfKRGfZFM7DI7BB+jtC+B"]}, "command": ["./bin/app", "--verbose"],
			"app_ports": [8000, 8001], "address": "*", "port": 80, "trusted_proxies": ["10.0.0.0/8"], "request_limits": {"body_bytes": 1000, "header_bytes": 2000}, "request_timeouts": {"headers": "5s", "body": "5s", "send": "5s", "app": "5s", "websocket": "5s"},
			"underscores_in_headers": true, "static": {"/assets/": {"directory": "public", "cache": "1h"}}, "response_headers": {"X-Frame-Options": "DENY"}, "gzip": true,
			"environment": {"A": "b"}, "secrets_wo": {"B": "c"}, "secrets_wo_version": 1,
			"health_check": {"path": "/", "interval": "1s", "timeout": "1s", "successes": 1, "start_timeout": "10s", "min_healthy_time": "1s"},
			"strategy": "blue_green", "drain_timeout": "10s", "stop_timeout": "10s", "restart_trigger": "again",
			"liveness": {"path": "/", "interval": "5s", "timeout": "1s", "failures": 2}, "agent_check_port": 8081,
			"limits": {"memory": "50%", "cpu": 100, "tasks": 100, "open_files": 1000},
			"logs": {"rate": 100, "retention": "24h", "max_bytes": 10000000}}`,
		"foobar_db_server": `{` + machine + `, "name": "main", ` + timeouts + `,
			"engine": "mariadb", "server_id": 1, "listen_addresses": ["10.0.0.1"], "port": 3306, "allowed_clients": ["10.0.0.2"], "settings": {"max_connections": "100"}}`,
		"foobar_db_replication": `{"name": "main", ` + timeouts + `, "primary": "web1",
			"members": {
				"web1": {"server": {` + machine + `, "name": "main", "engine": "mariadb", "server_id": 1, "port": 3306}, "address": "10.0.0.1", "delay": "0s"},
				"web2": {"server": {"machine": {"name": "web2", "address": "10.0.0.2", "incarnation": 1, "key": "` + pin + `"}, "name": "main", "engine": "mariadb", "server_id": 2, "port": 3306}, "address": "10.0.0.2", "delay": "0s"}},
			"witnesses": {"lb1": {"name": "lb1", "address": "10.0.0.10", "incarnation": 1, "key": "` + pin + `"}},
			"databases": {"shop": {"charset": "utf8mb4", "collation": "utf8mb4_bin"}},
			"users": {"app": {"password_wo": "secret", "password_wo_version": 1, "grants": {"shop": ["SELECT"]}, "require_tls": true}},
			"max_lag": "1s", "lag_hold": "1s", "min_binlog_retention": "1s",
			"reseed": {"node": "web2", "token": "a"}, "drop": {"databases": ["old"], "users": ["old"], "token": "a"}}`,
		"data foobar_machine":                 `{` + machine + `}`,
		"data foobar_load_balancer":           view,
		"data foobar_app_server":              view,
		"data foobar_db_server":               view,
		"data foobar_db_replication":          view,
		"ephemeral foobar_client_certificate": `{"role": "reader", "actor": "ci", "ttl": "1h"}`,
	}
}
