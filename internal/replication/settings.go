package replication

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RuntimeSettings are the settings of a running server that replication needs
// and that can be set while it runs, by the member that it is. What needs a
// restart belongs to the foobar_db_server, and is only reported.
func RuntimeSettings(t Topology, primary, id NodeID) map[string]string {
	return map[string]string{
		"gtid_strict_mode":               "ON",
		"binlog_format":                  "ROW",
		"sync_binlog":                    "1",
		"innodb_flush_log_at_trx_commit": "1",
		purgeSetting:                     purgeNeeds(t, primary, id),
	}
}

// purgeSetting is how many replicas must be connected for binary logs to
// expire (MDEV-31404). It keeps logs for a replica that is away, and keeps them
// for ever where there is none.
const purgeSetting = "slave_connections_needed_for_purge"

// purgeNeeds is what it has to be at a member: all replicas at the primary, and
// nobody connects to the others.
func purgeNeeds(t Topology, primary, id NodeID) string {
	if id != primary {
		return "0"
	}
	return strconv.Itoa(max(len(t.Members)-1, 0))
}

// setting matches members that show another value than want; a number matches
// from want upwards. A member that does not show it is not checked.
func setting(name, want string) func(sight) []hit { return each(everybody, strays(name, want)) }

func strays(name, want string) func(member) string {
	return func(m member) string {
		have, ok := m.Settings[name]
		if !ok || settingIs(have, want) {
			return ""
		}
		return fmt.Sprintf("%s is %s, %s is needed", name, have, want)
	}
}

func settingIs(have, want string) bool {
	least, errWant := strconv.Atoi(want)
	number, errHave := strconv.Atoi(have)
	if errWant == nil && errHave == nil {
		return number >= least
	}
	return strings.EqualFold(have, want)
}

func durable(v sight) []hit {
	return each(everybody, func(m member) string {
		var loose []string
		for _, name := range []string{"sync_binlog", "innodb_flush_log_at_trx_commit"} {
			if have, ok := m.Settings[name]; ok && have != "1" {
				loose = append(loose, name+" is "+have)
			}
		}
		if len(loose) == 0 {
			return ""
		}
		return strings.Join(loose, ", ") + ": a power loss may lose what was acknowledged; 1 is needed"
	})(v)
}

func purgeRule(v sight) []hit {
	return each(everybody, func(m member) string {
		want := purgeNeeds(v.Desired, v.holder, m.id)
		have, ok := m.Settings[purgeSetting]
		switch {
		case !ok || have == want:
			return ""
		case want == "0":
			return fmt.Sprintf("%s is %s: as no replica connects to it, no binary log ever expires, and the disk fills", purgeSetting, have)
		}
		return fmt.Sprintf("%s is %s: binary logs may expire while one of the replicas is away; %s is needed", purgeSetting, have, want)
	})(v)
}

func retentionShort(v sight) []hit {
	return each(everybody, func(m member) string {
		seconds, err := strconv.ParseInt(m.Settings["binlog_expire_logs_seconds"], 10, 64)
		kept := time.Duration(seconds) * time.Second
		if err != nil || seconds == 0 || kept >= time.Duration(v.Desired.MinRetention) {
			return "" // 0 keeps them for ever
		}
		return fmt.Sprintf("keeps binary logs for %s, at least %s is asked for: a replica that is away for longer has to be seeded again", kept, v.Desired.MinRetention)
	})(v)
}

// looseSettings returns what of a member's settings has to be set, by name.
func (v sight) looseSettings(m member) map[string]string {
	loose := map[string]string{}
	exact := []string{purgeSetting, "sync_binlog", "innodb_flush_log_at_trx_commit"}
	for name, want := range RuntimeSettings(v.Desired, v.holder, m.id) {
		have, ok := m.Settings[name]
		if ok && (!settingIs(have, want) || slices.Contains(exact, name) && have != want) {
			loose[name] = want
		}
	}
	return loose
}
