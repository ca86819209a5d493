package dbserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func (f *fake) observe(spec api.DBServer) (operation.Observation, api.DBServer, api.DBServerStatus) {
	f.t.Helper()
	seen, err := f.Observe(f.t.Context(), "main", *version(f.t, spec))
	if err != nil {
		f.t.Fatal(err)
	}
	server, _ := seen.Spec.(api.DBServer)
	state, _ := seen.Status.(api.DBServerStatus)
	return seen, server, state
}

func TestObserve(t *testing.T) {
	spec := set("innodb_buffer_pool_size", "256M", "long_query_time", "0.50", "slow_query_log", "1")
	f := newFake(t, spec)
	if err := os.WriteFile(f.root+PathsOf("main").Data+"/binlog.000001", make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	seen, server, state := f.observe(spec)
	if string(api.Encode(server)) != string(api.Encode(spec)) || len(seen.Drift) > 0 || len(seen.Conditions) > 0 {
		t.Errorf("a server as it was applied is %v with drift %v, conditions %v", server, seen.Drift, seen.Conditions)
	}
	if want := (api.DBServerStatus{Version: "11.8.6-MariaDB", PID: 7, Connections: 3, DataBytes: 100, BinlogBytes: 100, Databases: []string{"shop"}, Origin: "0123"}); !reflect.DeepEqual(state, want) {
		t.Errorf("the status is %+v, want %+v", state, want)
	}
	for name, value := range map[string]string{"slow_query_log": "OFF", "innodb_buffer_pool_size": "134217728", "wait_timeout": "5", "server_id": "7", "gtid_strict_mode": "OFF", "read_only": "ON"} {
		f.variables[name] = shown{value, f.variables[name].fallback, "SQL"}
	}
	seen, server, state = f.observe(spec)
	for name, want := range map[string]string{"slow_query_log": "OFF", "innodb_buffer_pool_size": "134217728", "wait_timeout": "5", "long_query_time": "0.50"} {
		if server.Settings[name] != want {
			t.Errorf("%s is observed as %q, want %q", name, server.Settings[name], want)
		}
	}
	if server.ServerID != 7 || !state.Fenced || spec.Settings["slow_query_log"] != "1" {
		t.Errorf("observed %+v, %+v; the spec became %v", server, state, spec.Settings)
	}
	if d := seen.Drift["foobar-db-main.service"]; !strings.Contains(d.Detail, "gtid_strict_mode") || strings.Contains(d.Detail, "read_only") {
		t.Errorf("the drift is %v", seen.Drift)
	}
}

func TestObserveConditions(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*fake)
		want string
	}{
		"no answer": {func(f *fake) { f.connect = func(string) server { return local{f.root + "/none"} } }, "EngineSilent"},
		"no data": {func(f *fake) {
			if err := os.RemoveAll(f.root + PathsOf("main").Data); err != nil {
				f.t.Fatal(err)
			}
		}, "DataMissing"},
		"a file in place of the data": {func(f *fake) {
			data := f.root + PathsOf("main").Data
			if err := os.RemoveAll(data); err != nil {
				f.t.Fatal(err)
			}
			if err := os.WriteFile(data, nil, 0o600); err != nil {
				f.t.Fatal(err)
			}
		}, "DataMissing"},
		"a table of InnoDB that is elsewhere": {func(f *fake) { f.inData("shop/notes.isl", "/elsewhere/shop/notes.ibd") }, "DataElsewhere"},
		"a table of MyISAM that is elsewhere": {func(f *fake) { f.linkInData("shop/notes.MYD", "/elsewhere/notes.MYD") }, "DataElsewhere"},
		"a database that is elsewhere":        {func(f *fake) { f.linkInData("shop", "/elsewhere/shop") }, "DataElsewhere"},
	} {
		f := newFake(t, plain())
		test.edit(f)
		seen, _, _ := f.observe(plain())
		if len(seen.Conditions) != 1 || seen.Conditions[0].Type != test.want {
			t.Errorf("%s: the conditions are %v", name, seen.Conditions)
		}
	}
	f := newFake(t, plain())
	f.active = false
	if seen, server, _ := f.observe(plain()); len(seen.Conditions)+len(seen.Drift) > 0 || server.ServerID != 1 {
		t.Errorf("a server that is down: %+v", seen)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.active = true
	if _, err := f.Observe(ctx, "main", *version(t, plain())); err == nil {
		t.Error("a caller that has gone gets an observation")
	}
}

// inData writes a file of the data, linkInData a link.
func (f *fake) inData(name, content string) {
	f.t.Helper()
	path := filepath.Join(f.root+PathsOf("main").Data, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) linkInData(name, target string) {
	f.t.Helper()
	path := filepath.Join(f.root+PathsOf("main").Data, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink(target, path)); err != nil {
		f.t.Fatal(err)
	}
}

func TestSurvey(t *testing.T) {
	f := newFake(t, plain())
	f.inData("binlog.000001", "123")
	f.inData("shop/notes.ibd", "1234")
	f.inData("shop/parts#P#p0.isl", "/elsewhere")
	f.inData("shop/parts#P#p1.isl", "/elsewhere")
	f.linkInData("shop/old.MYI", "/elsewhere/old.MYI")
	f.linkInData("shop/old.MYD", "/elsewhere/old.MYD")
	got := survey(f.root + PathsOf("main").Data)
	slices.Sort(got.elsewhere)
	if want := []string{"shop.old", "shop.parts"}; got.bytes != 3+4+2*int64(len("/elsewhere")) || got.binlogs != 3 || !slices.Equal(got.elsewhere, want) {
		t.Errorf("it is %+v", got)
	}
	if message := got.conditions()[0].Message; !strings.Contains(message, "directory: shop.old, shop.parts. ") {
		t.Errorf("it says %s", message)
	}
}

func TestObserveClients(t *testing.T) {
	f := newFake(t, plain())
	for table, says := range map[string]string{
		"": "not there", strings.Replace(f.loaded, "reject", "accept", 1): "changed by hand",
	} {
		f.loaded = table
		seen, _, _ := f.observe(plain())
		if d := seen.Drift["nftables inet foobar_db_main"]; !strings.Contains(d.Detail, says) {
			t.Errorf("the drift is %v, want %q", seen.Drift, says)
		}
	}
}

// TestDataOfAServer: "no database" and "not known" differ on the wire, however many
// there are the status is short, and a server that does not say keeps the rest.
func TestDataOfAServer(t *testing.T) {
	many := slices.Repeat([]string{"shop"}, 1000)
	for name, test := range map[string]struct {
		databases []string
		err       error
		want      string
	}{
		"none":      {nil, nil, `"databases":[],"origin":"0123"`},
		"one":       {many[:1], nil, `"databases":["shop"],"origin":"0123"`},
		"too many":  {many, nil, `"more_databases":980,"origin":"0123"`},
		"not known": {nil, errors.New("a table is damaged"), `"databases":null}`},
	} {
		now := status{version: "11.8.9-MariaDB", connections: 3}.with(test.databases, "0123", test.err)
		var state api.DBServerStatus
		now.fill(&state)
		if text := string(api.Encode(state)); !strings.Contains(text, test.want) || len(text) > 1000 || state.Version == "" || state.Connections != 3 {
			t.Errorf("%s: %s", name, text)
		}
	}
}
