package dbserver

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// stage writes a spec's configuration where Check finds it.
func stage(t *testing.T, spec api.DBServer) converge.Staged {
	t.Helper()
	staged, err := converge.Stage(t.TempDir(), "main", *version(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	return staged
}

// wrote returns what "mariadbd --help --verbose" of 11.8.6 wrote in the sandbox.
func wrote(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What MariaDB 11.8.6 says is word for word what it said on a machine.
func TestCheck(t *testing.T) {
	elsewhere := plain()
	elsewhere.ListenAddresses = []string{"127.0.0.1", "10.0.0.9"}
	for name, test := range map[string]struct {
		spec    api.DBServer
		output  string
		adopted map[string]string
		refused bool
		pointer api.Pointer
		says    string
	}{
		"nothing to say":                         {spec: plain()},
		"its own limits":                         {spec: set("max_connections", "100000"), output: "2026-11-22  8:58:02 0 [Warning] Changed limits: max_open_files: 20000  max_connections: 16770 (was 100000)  table_cache: 200 (was 2000)\n"},
		"a warning about nothing that was given": {spec: plain(), output: "2026-11-22  8:58:02 0 [Warning] 'innodb_flush_method' is deprecated\n"},
		"a warning about a setting that is taken as it is": {
			spec: set("back_log", "80"), output: "2026-11-22  8:58:02 0 [Warning] '--back-log' is deprecated and will be removed in a future release.\n",
			adopted: map[string]string{"back_log": "80"},
		},
		"a setting that is changed": {
			spec: set("back_log", "5"), output: "2026-11-22  8:58:02 0 [Warning] option 'back-log': value 5 adjusted to 7\n",
			adopted: map[string]string{"back_log": "7"}, pointer: "/settings/back_log", says: "would use 7 instead of 5. Write 7",
		},
		"a value that is refused": {
			spec: set("sql_mode", "NO_ZERO_DATE"), refused: true,
			output:  "2026-11-22  8:58:01 0 [ERROR] mariadbd: Error while setting value 'NONSENSE' to 'sql_mode'\n",
			pointer: "/settings/sql_mode", says: "NONSENSE",
		},
		"an unknown collation": {
			spec: set("collation_server", "zork"), refused: true, output: "2026-11-22  9:15:31 0 [ERROR] Unknown collation: 'zork'\n",
			pointer: "/settings/collation_server", says: "zork",
		},
		"an unknown character set": {
			spec: set("character_set_server", "utf9"), refused: true, output: wrote(t, "unknown-charset.txt"),
			pointer: "/settings/character_set_server", says: `MariaDB refuses "utf9": Character set 'utf9' is not a compiled character set`,
		},
		"an unknown collation, in full": {
			spec: set("collation_server", "zork"), refused: true, output: wrote(t, "unknown-collation.txt"),
			pointer: "/settings/collation_server", says: `MariaDB refuses "zork": Unknown collation: 'zork'`,
		},
		"a refusal of which the sandbox is no reason": {
			spec: plain(), refused: true, output: "2026-11-30 14:26:46 0 [Warning] failed to retrieve the MAC address\n", says: "no reason",
		},
		"a collation of another set": {
			spec: set("character_set_server", "latin1"), refused: true,
			output:  "2026-11-22  8:58:02 0 [ERROR] COLLATION 'utf8mb4_bin' is not valid for CHARACTER SET 'latin1'\n",
			pointer: "/settings/character_set_server", says: "not valid",
		},
		"a line without a level":           {spec: plain(), refused: true, output: "Segmentation fault\n", says: "no reason"},
		"a warning as the only reason":     {spec: plain(), refused: true, output: "2026-11-22  8:58:02 0 [Warning] Failed to normalize the argument\n", says: "normalize"},
		"an address of another machine":    {spec: elsewhere, pointer: "/listen_addresses/1", says: "10.0.0.1"},
		"no address of the machine needed": {spec: alone()},
		"more than the machine's memory": {
			spec: set("innodb_buffer_pool_size", "500G"), pointer: "/settings/innodb_buffer_pool_size",
			says: "500G is more memory than this machine has, which is 2G; write at most 1433M",
		},
		"more than the memory, of one client":             {spec: set("sort_buffer_size", "3G"), pointer: "/settings/sort_buffer_size", says: "3G is more memory than this machine has"},
		"all of the memory":                               {spec: set("innodb_buffer_pool_size", "2G")},
		"more than the memory, of what is no memory":      {spec: set("max_binlog_total_size", "500G")},
		"more than the memory, in what a row may be long": {spec: set("max_allowed_packet", "3G")},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, plain())
			runs := 0
			f.check = func(context.Context, []byte, ...string) (verdict, error) {
				runs++
				return verdict{refused: test.refused && runs == 1, output: test.output, adopted: test.adopted}, nil
			}
			err := f.Check(t.Context(), stage(t, test.spec))
			if test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			violationAt(t, err, test.pointer, test.says)
		})
	}
	f := newFake(t, plain())
	f.check = func(context.Context, []byte, ...string) (verdict, error) {
		return verdict{}, errors.New("no such file")
	}
	if err := f.Check(t.Context(), stage(t, plain())); err == nil || api.IsProblem(err, api.ProblemEngineRefused) {
		t.Errorf("a checker that is not there: %v", err)
	}
}

// One check has an end, however many settings are wrong and however slow MariaDB
// is; what was found by then is reported.
func TestCheckIsBounded(t *testing.T) {
	names := []string{"back_log", "max_connections", "table_open_cache", "table_definition_cache", "long_query_time", "wait_timeout",
		"interactive_timeout", "max_allowed_packet", "tmp_table_size", "max_heap_table_size", "sort_buffer_size", "join_buffer_size"}
	var pairs []string
	for _, name := range names {
		pairs = append(pairs, name, "1")
	}
	for name, test := range map[string]struct{ slowAfter, wantRuns, wantFaults int }{
		"many are wrong":   {len(names) + 1, maxTries + 3, maxTries}, // and what it allows
		"MariaDB is slow":  {3, 4 + 2, 3},
		"and never begins": {0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, plain())
			var end time.Time
			runs := 0
			f.check = func(ctx context.Context, config []byte, _ ...string) (verdict, error) {
				deadline, bounded := ctx.Deadline()
				if runs++; !bounded || !end.IsZero() && deadline != end {
					t.Fatalf("run %d ends at %v, those before at %v", runs, deadline, end)
				}
				end = deadline
				if runs > test.slowAfter {
					return verdict{}, context.DeadlineExceeded
				}
				for _, name := range names {
					if strings.Contains(string(config), "\n"+name+"=") {
						return verdict{refused: true, output: "2026-11-22  8:58:01 0 [ERROR] mariadbd: Error while setting value '1' to '" + name + "'\n"}, nil
					}
				}
				return verdict{}, nil
			}
			err := f.Check(t.Context(), stage(t, set(pairs...)))
			if runs != test.wantRuns {
				t.Errorf("MariaDB was run %d times, want %d: %v", runs, test.wantRuns, err)
			}
			if test.wantFaults == 0 {
				if api.IsProblem(err, api.ProblemEngineRefused) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("it ends with %v", err)
				}
				return
			}
			violationAt(t, err, "/settings", "more of them may be wrong")
			if got := len(api.AsProblem(err).Violations) - 1; got != test.wantFaults {
				t.Errorf("%d settings are reported, want %d: %v", got, test.wantFaults, err)
			}
		})
	}
}

func FuzzParseMessages(f *testing.F) {
	f.Add("2026-11-22  9:15:31 0 [ERROR] mariadbd: unknown variable 'foo_bar=3'\n2026-11-22  9:15:31 0 [Warning] x\n[ERROR]\n")
	spec := set("max_connections", "100")
	f.Fuzz(func(t *testing.T, output string) {
		messages := parseMessages(output)
		for _, m := range messages {
			if m.text == "" || strings.Contains(m.text, "\n") {
				t.Errorf("%q is a message", m.text)
			}
		}
		problem := refusal("refused", messages, spec)
		if len(problem.Violations) == 0 && problem.Detail == "" {
			t.Error("a refusal without a reason")
		}
	})
}
