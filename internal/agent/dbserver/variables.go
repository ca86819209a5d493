package dbserver

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// variable is one line of the configuration.
type variable struct {
	api.DBSetting
	// value is in its canonical form, see [api.DBSetting.Parse].
	value string
	// pointer is the place in the spec that it comes from, "" for none.
	pointer api.Pointer
	// watched tells that the running server has to show this value. What the
	// fencing and the replication change while the server runs is not.
	watched bool
}

// variablesOf returns every line of a server's configuration, in its order.
func variablesOf(name string, spec api.DBServer) []variable {
	return slices.Concat(places(name, spec), replicationReady(spec), given(spec))
}

// line is a variable that nobody changes behind the agent's back, as it is read-only.
func line(name, value string) variable {
	return variable{DBSetting: api.DBSetting{Name: name}, value: value}
}

// places are the variables that name places on the machine.
func places(name string, spec api.DBServer) []variable {
	p := PathsOf(name)
	lines := []variable{
		line("datadir", p.Data),
		line("tmpdir", p.State+"/tmp"),
		line("secure_file_priv", p.State+"/files"),
		line("socket", p.Socket),
		line("pid_file", "/run/"+p.runtime+"/mariadb.pid"),
		line("slow_query_log_file", p.logs+"/slow.log"),
		line("ssl_key", p.Key),
		line("ssl_cert", p.Certificate),
		line("ssl_ca", p.CA),
	}
	if len(spec.ListenAddresses) == 0 {
		off := line("skip_networking", "ON")
		off.pointer = "/listen_addresses"
		return append(lines, off)
	}
	listen, port := line("bind_address", strings.Join(spec.ListenAddresses, ",")), line("port", strconv.Itoa(spec.Port))
	listen.pointer, port.pointer = "/listen_addresses", "/port"
	return append(lines, listen, port)
}

// replicationReady are the variables that a member of a replication has to
// have; reference/replication.md 2.4 tells why each. A server has them before
// it is a member, so that becoming one needs no restart.
func replicationReady(spec api.DBServer) []variable {
	boolean := api.DBSetting{Type: api.DBSettingBool, Runtime: true}
	number := api.DBSetting{Type: api.DBSettingInt, Runtime: true}
	watch := func(s api.DBSetting, name, value string, runtime bool) variable {
		s.Name, s.Runtime = name, runtime
		return variable{DBSetting: s, value: value, watched: true}
	}
	id := watch(number, "server_id", strconv.FormatUint(uint64(spec.ServerID), 10), false)
	id.pointer = "/server_id"
	return []variable{
		line("read_only", "ON"),
		// CREATE TABLE takes no DATA DIRECTORY then, of no engine and from nobody: a
		// table in another place breaks every copy, and may be gone after a restart.
		// NO_DIR_IN_CREATE would do the same for sessions that keep it.
		line("symbolic_links", "OFF"),
		id,
		watch(number, "gtid_domain_id", "0", true),
		watch(boolean, "gtid_strict_mode", "ON", true),
		line("log_bin", "binlog"),
		watch(boolean, "log_slave_updates", "ON", false),
		watch(api.DBSetting{Type: api.DBSettingEnum}, "binlog_format", "ROW", true),
		watch(boolean, "master_verify_checksum", "ON", true),
		watch(number, "sync_binlog", "1", true),
		watch(number, "innodb_flush_log_at_trx_commit", "1", true),
		line("relay_log", "relay"),
		line("slave_parallel_threads", "8"),
		line("slave_parallel_mode", "optimistic"),
		line("slave_net_timeout", "4"),
		// At its start the server purges before anybody can tell it that
		// replicas need its logs. With 1 it keeps them then; see purges for what
		// follows.
		line("slave_connections_needed_for_purge", "1"),
		watch(boolean, "skip_name_resolve", "ON", false),
		watch(boolean, "require_secure_transport", "ON", true),
		watch(api.DBSetting{Type: api.DBSettingEnum}, "event_scheduler", "OFF", true),
	}
}

// given are the spec's settings, and the agent's own defaults for the others.
func given(spec api.DBServer) []variable {
	var lines []variable
	for _, s := range api.DBSettings(spec.Engine) {
		text, ok := spec.Settings[s.Name]
		if !ok {
			text = s.Default
		}
		if !ok && text == "" {
			continue
		}
		value, err := s.Parse(text)
		if err != nil { // a valid spec has none
			value = text
		}
		lines = append(lines, variable{DBSetting: s, value: value, pointer: api.Pointer("/settings").At(s.Name), watched: true})
	}
	return lines
}

// shown is a variable as the running server has it.
type shown struct {
	value, fallback string
	// origin is where the value comes from: "COMPILE-TIME", "AUTO", "CONFIG",
	// "COMMAND-LINE", "ENVIRONMENT" or "SQL".
	origin string
}

// difference is a variable of the running server that is not what it should be.
type difference struct {
	variable
	// shows is the server's value, canonical where it can be.
	shows string
	// unset tells that the configuration has no such line: the engine's own
	// default, which is value, should hold.
	unset bool
}

// compare returns what differs in the running server, in the configuration's
// order. Apply repairs what Observe tells, because both ask this function.
func compare(name string, spec api.DBServer, server map[string]shown) []difference {
	var found []difference
	configured := map[string]bool{}
	for _, v := range variablesOf(name, spec) {
		configured[v.Name] = true
		now, known := server[v.Name]
		if !v.watched || !known {
			continue
		}
		if shows := canonical(v.DBSetting, now.value); shows != v.value {
			found = append(found, difference{variable: v, shows: shows})
		}
	}
	for _, s := range api.DBSettings(spec.Engine) {
		now, known := server[s.Name]
		if configured[s.Name] || !known || now.origin == "COMPILE-TIME" || now.origin == "AUTO" {
			continue
		}
		shows, fallback := canonical(s, now.value), canonical(s, now.fallback)
		if s.Computed {
			fallback = "the engine's own" // whatever is said while it runs, it is not that
		}
		if shows != fallback {
			at := api.Pointer("/settings").At(s.Name)
			found = append(found, difference{variable{s, fallback, at, true}, shows, true})
		}
	}
	return found
}

// canonical returns the canonical form of a value that the server shows, or
// the value itself where it has none: an operator can set what a spec cannot.
func canonical(s api.DBSetting, value string) string {
	if parsed, err := s.Parse(value); err == nil {
		return parsed
	}
	if s.Type == api.DBSettingSeconds && strings.Contains(value, ".") {
		return strings.TrimRight(strings.TrimRight(value, "0"), ".")
	}
	return value
}

// literal returns the SQL that a variable is set to.
func (d difference) literal() string {
	switch {
	case d.unset:
		return "DEFAULT"
	case d.Type == api.DBSettingEnum, d.Type == api.DBSettingSet, d.Type == api.DBSettingName:
		return "'" + d.value + "'" // words of a table, or of letters, digits and underscores
	}
	return d.value
}

// observed returns the spec with the server's own values in it, and those
// differences that are of no value of the spec.
func observed(spec api.DBServer, differences []difference) (api.DBServer, []difference) {
	seen, strange := spec, []difference{}
	seen.Settings = maps.Clone(spec.Settings)
	for _, d := range differences {
		switch steps := d.pointer.Steps(); {
		case len(steps) == 2:
			seen.Settings[d.Name] = d.shows
		case d.pointer == "/server_id":
			n, err := strconv.ParseUint(d.shows, 10, 32)
			if err == nil {
				seen.ServerID = uint32(n)
				continue
			}
			strange = append(strange, d)
		default:
			strange = append(strange, d)
		}
	}
	return seen, strange
}

// parseConfig returns the variables of a configuration that renderConfig made.
func parseConfig(text []byte) map[string]string {
	found := map[string]string{}
	for row := range bytes.Lines(text) {
		row = bytes.TrimSpace(row)
		name, value, ok := bytes.Cut(row, []byte("="))
		if ok && !bytes.HasPrefix(row, []byte("#")) {
			found[string(name)] = string(value)
		}
	}
	return found
}

// takenAtRuntime reports whether a running server can take over a variable.
func takenAtRuntime(name string) bool {
	for _, v := range replicationReady(api.DBServer{}) {
		if v.Name == name {
			return v.watched && v.Runtime
		}
	}
	s, ok := api.DBSettingNamed(api.EngineMariaDB, name)
	return ok && s.Runtime
}
