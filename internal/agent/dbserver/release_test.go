package dbserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// release is a release of MariaDB, as far as its checker and its running server
// tell of the variables that it knows. It writes what the real one writes.
type release struct {
	version string
	known   map[string]bounds
}

// today returns MariaDB 11.8.9, as far as these tests go.
func today() release {
	number := func(low, high, step int64) bounds { return bounds{numeric: true, low: low, high: high, step: step} }
	return release{version: "11.8.9", known: map[string]bounds{
		"group_concat_max_len": number(4, 1<<30, 1), "max_allowed_packet": number(1024, 1<<30, 1024), "back_log": number(1, 65535, 1),
		"innodb_buffer_pool_size": number(2<<20, 1<<62, 1<<20), "max_connections": number(10, 100000, 1),
		"transaction_isolation": {words: []string{"READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"}},
		"sql_mode":              {words: []string{"ANSI_QUOTES", "STRICT_TRANS_TABLES", "NO_ZERO_DATE", "TRADITIONAL"}},
		"slow_query_log":        {},
		"character_set_server":  {words: []string{"utf8mb3", "ucs2", "utf8mb4", "latin1", "utf16", "utf32"}},
		"collation_server":      {words: []string{"latin1_bin", "utf8mb4_bin", "utf8mb4_uca1400_ai_ci"}},
	}}
}

// with returns another release in which one variable is otherwise.
func (r release) with(version, name string, b bounds) release {
	r.version, r.known = version, maps.Clone(r.known)
	r.known[name] = b
	return r
}

func (r release) without(version, name string) release {
	r.version, r.known = version, maps.Clone(r.known)
	delete(r.known, name)
	return r
}

// check is the release's "mariadbd --help --verbose".
func (r release) check(_ context.Context, config []byte, options ...string) (verdict, error) {
	given := parseConfig(config)
	for _, option := range options {
		name, value, _ := strings.Cut(strings.TrimPrefix(option, "--"), "=")
		given[settingName(name)] = value
	}
	var help, table, output strings.Builder
	fmt.Fprintf(&help, "/usr/sbin/mariadbd  Ver %s-MariaDB-deb13u1 from Debian for debian-linux-gnu on x86_64 ()\n", r.version)
	if _, ok := given["character_set_server"]; !ok {
		table.WriteString("character-set-server                                         utf8mb4\n")
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		b, known := r.known[name]
		_, isSetting := api.DBSettingNamed(api.EngineMariaDB, name)
		switch {
		case !known && isSetting && !agentsOwn(name):
			return verdict{refused: true, output: fmt.Sprintf("2026-11-30 12:26:18 0 [ERROR] mariadbd: unknown variable '%s=%s'\n2026-11-30 12:26:18 0 [ERROR] Aborting\n", name, given[name])}, nil
		case !known:
			continue
		}
		if of, isName := map[string]string{"character_set_server": "/usr/sbin/mariadbd: Character set '%s' is not a compiled character set and is not specified in the '/usr/share/mariadb/charsets/Index.xml' file", "collation_server": "2026-11-30 12:26:18 0 [ERROR] Unknown collation: '%s'"}[name]; isName {
			if !slices.Contains(append(b.words, "utf8"), given[name]) {
				return verdict{refused: true, output: "2026-11-30 12:26:18 0 [Warning] failed to retrieve the MAC address\n" + fmt.Sprintf(of, given[name])}, nil
			}
			b.words = nil // the help has no list of them
		}
		value, ok := r.adopt(b, name, given[name], &output)
		if !ok {
			return verdict{refused: true, output: fmt.Sprintf("2026-11-30 12:26:18 0 [ERROR] mariadbd: Error while setting value '%s' to '%s'\n2026-11-30 12:26:18 0 [ERROR] Aborting\n", given[name], name)}, nil
		}
		fmt.Fprintf(&table, "%-60s %s\n", strings.ReplaceAll(name, "_", "-"), value)
	}
	for name, b := range r.known {
		if s, _ := api.DBSettingNamed(api.EngineMariaDB, name); len(b.words) > 0 && s.Type != api.DBSettingName {
			fmt.Fprintf(&help, "  --%s=name \n                      It is what it is. One of: %s\n", strings.ReplaceAll(name, "_", "-"), strings.Join(b.words, ",\n                      "))
		}
	}
	help.WriteString("\nVariables (--variable-name=value)\nand boolean options {FALSE|TRUE}  Value (after reading options)\n--------------------------------- ------------\n" + table.String() + "\nTo see what\n")
	return parseVerdict(help.String(), output.String()), nil
}

// agentsOwn tells the settings that are in a configuration without being given.
func agentsOwn(name string) bool {
	s, _ := api.DBSettingNamed(api.EngineMariaDB, name)
	return s.Default != ""
}

// adopt returns what the release makes of a value. It says so of a number that
// is out of its bounds, and nothing of one that it rounds.
func (r release) adopt(b bounds, name, value string, output *strings.Builder) (string, bool) {
	if len(b.words) > 0 {
		for word := range strings.SplitSeq(value, ",") {
			if word != "" && !slices.Contains(b.words, word) {
				return "", false
			}
		}
		return strings.ReplaceAll(value, "TRADITIONAL", "STRICT_TRANS_TABLES,NO_ZERO_DATE,TRADITIONAL"), true
	}
	if value == "utf8" {
		return "utf8mb3", true
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || !b.numeric {
		return value, true
	}
	bounded := min(max(n, b.low), b.high)
	if bounded != n {
		fmt.Fprintf(output, "2026-11-30 12:26:18 0 [Warning] option '%s': unsigned value %d adjusted to %d\n", name, n, bounded)
	}
	return strconv.FormatInt(bounded/max(b.step, 1)*max(b.step, 1), 10), true
}

// checkOn checks a spec on a machine with one release installed and maybe
// another one running.
func checkOn(t *testing.T, spec api.DBServer, installed release, running *release) error {
	t.Helper()
	f := newFake(t, plain())
	f.check, f.running, f.active = installed.check, running, running != nil
	return f.Check(t.Context(), stage(t, spec))
}

// A point release changes bounds and words. Whatever is allowed by the server at
// hand is taken, whatever it would change or refuse is an error that says what
// it allows: no table of ours knows.
func TestAnotherPointRelease(t *testing.T) {
	now := today()
	narrower := now.with("11.8.10", "group_concat_max_len", bounds{numeric: true, low: 8, high: 1 << 20})
	wider := now.with("11.8.10", "group_concat_max_len", bounds{numeric: true, low: 1, high: 1 << 40})
	coarser := now.with("11.8.10", "group_concat_max_len", bounds{numeric: true, low: 8, high: 1 << 30, step: 8})
	newWord := now.with("11.8.10", "transaction_isolation", bounds{words: []string{"READ-COMMITTED", "SNAPSHOT"}})
	gone := now.without("11.8.10", "back_log")
	for name, test := range map[string]struct {
		setting, value     string
		installed, running *release
		says               []string // nothing: it is allowed
	}{
		"a value that both allow":               {"group_concat_max_len", "1024", &narrower, nil, nil},
		"the greatest of the narrower":          {"group_concat_max_len", "1048576", &narrower, &narrower, nil},
		"one more":                              {"group_concat_max_len", "1048577", &narrower, &narrower, []string{"MariaDB 11.8.10 would use 1048576 instead of 1048577", "allows 8 to 1048576"}},
		"one more, of a server that is stopped": {"group_concat_max_len", "1048577", &narrower, nil, []string{"would use 1048576", "allows 8 to 1048576"}},
		"more than a former release allowed":    {"group_concat_max_len", "4294967296", &wider, &wider, nil},
		"as much, before":                       {"group_concat_max_len", "4294967296", &now, &now, []string{"MariaDB 11.8.9 would use 1073741824 instead of 4294967296", "allows 4 to 1073741824"}},
		"rounded in silence":                    {"group_concat_max_len", "1025", &coarser, &coarser, []string{"would use 1024 instead of 1025", "in steps of 8"}},
		"a size that is rounded":                {"max_allowed_packet", "1025", &now, &now, []string{"would use 1K instead of 1025", "allows 1K to 1G, in steps of 1K"}},
		"a new word":                            {"transaction_isolation", "snapshot", &newWord, &newWord, nil},
		"a new word, before":                    {"transaction_isolation", "snapshot", &now, &now, []string{`MariaDB 11.8.9 does not know "SNAPSHOT"; it allows`, "one of READ-UNCOMMITTED, READ-COMMITTED"}},
		"a new word, on a stopped server":       {"transaction_isolation", "snapshot", &now, nil, []string{`MariaDB 11.8.9 does not know "SNAPSHOT"; it allows`, "one of READ-UNCOMMITTED, READ-COMMITTED"}},
		"a word that is gone":                   {"transaction_isolation", "SERIALIZABLE", &newWord, &newWord, []string{"one of READ-COMMITTED, SNAPSHOT"}},
		"a combined mode":                       {"sql_mode", "TRADITIONAL", &now, &now, []string{`would use "NO_ZERO_DATE,STRICT_TRANS_TABLES,TRADITIONAL"`}},
		"a variable that is gone":               {"back_log", "100", &gone, &gone, []string{"MariaDB 11.8.10 refuses 100: unknown variable"}},
		"updated, but not started yet":          {"group_concat_max_len", "4294967296", &wider, &now, []string{"MariaDB 11.8.9 does not allow 4294967296", "allows 4 to 1073741824"}},
		"updated, read at a start":              {"back_log", "65535", &narrower, &now, nil},
		"an unknown character set":              {"character_set_server", "utf9", &now, &now, []string{`MariaDB 11.8.9 does not know "utf9"; the nearest that it knows are "utf8mb4", "utf16", "utf32". Write one that it knows`}},
		"that of a stopped server":              {"character_set_server", "utf9", &now, nil, []string{`MariaDB 11.8.9 refuses "utf9": Character set 'utf9' is not`, `Write one that it knows, such as "utf8mb4"`}},
		"an unknown collation":                  {"collation_server", "utf9_bin", &now, &now, []string{`MariaDB 11.8.9 does not know "utf9_bin"; the nearest that it knows are "utf8mb4_bin", `}},
		"a name that the server spells other":   {"character_set_server", "utf8", &now, &now, []string{`would use "utf8mb3" instead of "utf8"`, `Write "utf8mb3"`}},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkOn(t, set(test.setting, test.value), *test.installed, test.running)
			if len(test.says) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, says := range test.says {
				violationAt(t, err, api.Pointer("/settings").At(test.setting), says)
			}
		})
	}
}

// MariaDB stops at the first value that it cannot read. All are reported at once,
// with what is wrong outside of the settings.
func TestAllThatIsWrongIsReportedAtOnce(t *testing.T) {
	now := today()
	spec := set("group_concat_max_len", "1", "sql_mode", "NONSENSE", "transaction_isolation", "NEVER", "max_allowed_packet", "2000", "back_log", "80")
	spec.ListenAddresses = []string{"10.0.0.9"}
	for name, running := range map[string]*release{"running": &now, "stopped": nil} {
		t.Run(name, func(t *testing.T) {
			err := checkOn(t, spec, now, running)
			for pointer, says := range map[api.Pointer]string{
				"/listen_addresses/0":             "not an address of this machine",
				"/settings/group_concat_max_len":  "would use 4 instead of 1",
				"/settings/sql_mode":              "any of ANSI_QUOTES",
				"/settings/transaction_isolation": "one of READ-UNCOMMITTED",
				"/settings/max_allowed_packet":    "would use 1K instead of 2000",
			} {
				violationAt(t, err, pointer, says)
			}
			if problem := api.AsProblem(err); len(problem.Violations) != 5 {
				t.Errorf("got %d violations: %v", len(problem.Violations), problem)
			}
		})
	}
}

// What 11.8.9 prints, in part, word for word.
func TestParseVerdict(t *testing.T) {
	const help = `/usr/sbin/mariadbd  Ver 11.8.9-MariaDB-0+deb13u1 from Debian for debian-linux-gnu on x86_64 ( -- Please help get to 10k stars at https://github.com/MariaDB/Server)
Copyright (c) 2000, 2018, Oracle, MariaDB Corporation Ab and others.

  --group-concat-max-len=# 
                      The maximum length of the result of function
                      GROUP_CONCAT()
  -T, --debug-exit-info[=#] 
                      Used for debugging. Use at your own risk
  --sql-mode=name     Sets the sql mode. Any combination of: REAL_AS_FLOAT, PIPES_AS_CONCAT,
                      ANSI_QUOTES,
                      TIME_ROUND_FRACTIONAL, or ALL to set all combinations
  --alter-algorithm[=name] 
                      Unused. One of: DEFAULT, COPY.
                      Deprecated, will be removed in a future release.
  --transaction-isolation=name 
                      Default transaction isolation level. One of: READ-UNCOMMITTED,
                      READ-COMMITTED, REPEATABLE-READ, SERIALIZABLE
  --transaction-prealloc-size=# 
                      Persistent buffer for transactions to be stored in binary
                      log

Variables (--variable-name=value)
and boolean options {FALSE|TRUE}                             Value (after reading options)
------------------------------------------------------------ -------------
allow-suspicious-udfs                                        FALSE
group-concat-max-len                                         1073741824
log-warnings                                                 2
max-connections                                              16770
old-mode                                                     UTF8_IS_UTF8MB3,OLD_FLUSH_STATUS
secure-log-path                                              (No default value)
table-open-cache                                             200

To see what variables a running server is using, type
'SELECT * FROM INFORMATION_SCHEMA.GLOBAL_VARIABLES' instead of 'mariadbd --verbose --help'.
`
	v := parseVerdict(help, "2026-11-30 12:26:18 0 [Warning] option 'log_warnings': unsigned value 4294967296 adjusted to 4294967295\n2026-11-30 12:26:18 0 [Warning] Changed limits: max_open_files: 20000  max_connections: 16770 (was 100000)  table_cache: 200 (was 2000)\n")
	if v.version != "11.8.9" || v.refused {
		t.Errorf("the version is %q", v.version)
	}
	wantAdopted := map[string]string{
		"allow_suspicious_udfs": "FALSE", "group_concat_max_len": "1073741824", "log_warnings": "4294967295", "max_connections": "100000", "table_open_cache": "2000",
		"old_mode": "UTF8_IS_UTF8MB3,OLD_FLUSH_STATUS", "secure_log_path": "(No default value)",
	}
	if !maps.Equal(v.adopted, wantAdopted) {
		t.Errorf("adopted are %v", v.adopted)
	}
	if asked := parseVerdict(help, "", "--log-warnings=0"); asked.adopted["log_warnings"] != "2" {
		t.Errorf("asked for log_warnings it is %q", asked.adopted["log_warnings"])
	}
	wantWords := map[string][]string{
		"sql_mode":              {"REAL_AS_FLOAT", "PIPES_AS_CONCAT", "ANSI_QUOTES", "TIME_ROUND_FRACTIONAL"},
		"transaction_isolation": {"READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"},
		"alter_algorithm":       {"DEFAULT", "COPY"},
	}
	if !maps.EqualFunc(v.words, wantWords, slices.Equal) {
		t.Errorf("words are %v", v.words)
	}
}

func FuzzParseVerdict(f *testing.F) {
	f.Add("mariadbd Ver 1.2.3\n  --a=name One of: B, C\n\nVariables (--variable-name=value)\nx\n----\na-b c\n\n", "[Warning] Changed limits: x max_connections: 1 (was 2)  table_cache: 3 (was 4)")
	f.Fuzz(func(t *testing.T, help, output string) {
		v := parseVerdict(help, output)
		for name, words := range v.words {
			if len(words) > 0 && words[0] == "or" {
				t.Errorf("%s has no first word", name)
			}
		}
	})
}
