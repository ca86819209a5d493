package api

import (
	"slices"
	"strings"
	"testing"
)

// testDBServer returns a valid database server.
func testDBServer() DBServer {
	s := DefaultDBServer()
	s.ServerID = 1
	return s
}

func TestDBServerValidateAdmits(t *testing.T) {
	for name, edit := range map[string]func(*DBServer){
		"defaults":        func(*DBServer) {},
		"the socket only": func(s *DBServer) { s.ListenAddresses = []string{} },
		"some addresses":  func(s *DBServer) { s.ListenAddresses = []string{"10.0.0.1", "fd00::1", "127.0.0.1"} },
		"some clients":    func(s *DBServer) { s.AllowedClients = []string{"10.0.0.0/24", "10.1.2.3/32", "fd00::/8", "0.0.0.0/0"} },
		"settings": func(s *DBServer) {
			s.Settings = map[string]string{"innodb_buffer_pool_size": "128M", "slow_query_log": "on", "sql_mode": "", "long_query_time": "0.5"}
		},
	} {
		s := testDBServer()
		edit(&s)
		if v := s.Validate(); len(v) > 0 {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func TestDBServerValidateRefuses(t *testing.T) {
	setting := func(name, value string) func(*DBServer) {
		return func(s *DBServer) { s.Settings = map[string]string{name: value} }
	}
	for name, test := range map[string]struct {
		edit    func(*DBServer)
		pointer Pointer
		says    string
	}{
		"another engine":          {func(s *DBServer) { s.Engine = "mysql" }, "/engine", `allowed are: "mariadb"`},
		"no server id":            {func(s *DBServer) { s.ServerID = 0 }, "/server_id", "1 to 4294967295"},
		"a port out of range":     {func(s *DBServer) { s.Port = 65536 }, "/port", "is not a port"},
		"the agent's port":        {func(s *DBServer) { s.Port = DefaultPort }, "/port", "the agent's own"},
		"a host name":             {func(s *DBServer) { s.ListenAddresses = []string{"web1"} }, "/listen_addresses/0", "not an address"},
		"every address and one":   {func(s *DBServer) { s.ListenAddresses = []string{"10.0.0.1", "*"} }, "/listen_addresses/1", "take the others out"},
		"an unspecified address":  {func(s *DBServer) { s.ListenAddresses = []string{"0.0.0.0"} }, "/listen_addresses/0", `"*" for all`},
		"an address twice":        {func(s *DBServer) { s.ListenAddresses = []string{"10.0.0.1", "10.0.0.1"} }, "/listen_addresses/1", "twice"},
		"a long address":          {func(s *DBServer) { s.ListenAddresses = []string{"fd00:0::1"} }, "/listen_addresses/0", `write "fd00::1"`},
		"a client without prefix": {func(s *DBServer) { s.AllowedClients = []string{"10.0.0.1"} }, "/allowed_clients/0", "10.0.0.7/32"},
		"bits beyond the prefix":  {func(s *DBServer) { s.AllowedClients = []string{"10.0.0.1/24"} }, "/allowed_clients/0", `write "10.0.0.0/24"`},
		"a client twice":          {func(s *DBServer) { s.AllowedClients = []string{"10.0.0.0/24", "10.0.0.0/24"} }, "/allowed_clients/1", "twice"},
		"too many clients":        {func(s *DBServer) { s.AllowedClients = make([]string, 257) }, "/allowed_clients", "256"},
		"an unknown setting":      {setting("innodb_pool", "1"), "/settings/innodb_pool", `the nearest are "innodb_buffer_pool_size"`},
		"a near one":              {setting("buffer_pool", "1"), "/settings/buffer_pool", `the nearest are "innodb_buffer_pool_size", `},
		"one with dashes":         {setting("max-connections", "1"), "/settings/max-connections", `is written "max_connections" here`},
		"the fence":               {setting("read_only", "OFF"), "/settings/read_only", "boots read-only"},
		"a GTID variable":         {setting("gtid_domain_id", "1"), "/settings/gtid_domain_id", "replication rests on"},
		"durability":              {setting("sync_binlog", "0"), "/settings/sync_binlog", "durable"},
		"an attribute":            {setting("port", "1"), "/settings/port", "attribute of its own: port"},
		"a plugin":                {setting("plugin_load_add", "x"), "/settings/plugin_load_add", "let the server run"},
		"less than makes sense":   {setting("max_binlog_total_size", "1M"), "/settings/max_binlog_total_size", "a size, 64M or more"},
		"a line break":            {setting("sql_mode", "NO_ZERO_DATE\nread_only=OFF"), "/settings/sql_mode", "is not a word"},
		"a line break in a name":  {setting("collation_server", "utf8mb4_bin\nread_only=OFF"), "/settings/collation_server", "no name"},
	} {
		s := testDBServer()
		test.edit(&s)
		v := s.Validate()
		if !slices.ContainsFunc(v, func(x Violation) bool { return x.Pointer == test.pointer && strings.Contains(x.Detail, test.says) }) {
			t.Errorf("%s: got %v, want %q at %s", name, v, test.says, test.pointer)
		}
	}
}

func TestDBServerClaims(t *testing.T) {
	s := testDBServer()
	s.ListenAddresses = []string{"10.0.0.1", "127.0.0.1"}
	claims := s.Claims()
	if len(claims) != 2 || claims[1].String() != "tcp 127.0.0.1:3306" || claims[1].Pointer != "/port" {
		t.Errorf("got %v", claims)
	}
	s.ListenAddresses = nil
	if claims := s.Claims(); len(claims) != 0 {
		t.Errorf("without a listener: %v", claims)
	}
}

func TestDBSettingParse(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"innodb_buffer_pool_size", "128M", "134217728"},
		{"innodb_buffer_pool_size", "134217728", "134217728"},
		{"innodb_buffer_pool_size", "1g", "1073741824"},
		{"max_connections", "0151", "151"},
		{"slow_query_log", "1", "ON"},
		{"slow_query_log", "False", "OFF"},
		{"long_query_time", "0.500000", "0.5"},
		{"long_query_time", "10", "10"},
		{"transaction_isolation", "read-committed", "READ-COMMITTED"},
		{"sql_mode", "no_zero_date, STRICT_ALL_TABLES,NO_ZERO_DATE", "NO_ZERO_DATE,STRICT_ALL_TABLES"},
		{"sql_mode", "", ""},
		{"group_concat_max_len", "4294967295", "4294967295"}, // whether that is too much is for the server to say
		{"collation_server", "utf8mb4_bin", "utf8mb4_bin"},
	} {
		s, ok := DBSettingNamed(EngineMariaDB, test.name)
		got, err := s.Parse(test.text)
		if !ok || err != nil || got != test.want {
			t.Errorf("%s = %q: got %q, %v, want %q", test.name, test.text, got, err, test.want)
		}
	}
	for name, texts := range map[string][]string{
		"innodb_buffer_pool_size": {"", "M", "-1M", "1.5G", "1P", "128MB", "99999999999999T", "9223372036854775808"},
		"max_connections":         {"", "x", "-1", "1e3", "50 ", "9223372036854775808"},
		"max_binlog_size":         {"1023K"},
		"slow_query_log":          {"", "yes", "2"},
		"long_query_time":         {"", "-1", "1e3", "0.1234567", ".5", "NaN"},
		"transaction_isolation":   {"", "A B", "A'B", "A,B"},
		"sql_mode":                {",", "NO_ZERO_DATE,", "A;B"},
		"collation_server":        {"", "UTF8", "a b", "a'b", strings.Repeat("a", 513)},
	} {
		s, _ := DBSettingNamed(EngineMariaDB, name)
		for _, text := range texts {
			if got, err := s.Parse(text); err == nil {
				t.Errorf("%s = %q is taken as %q", name, text, got)
			}
		}
	}
}

// Each setting is whole, sorted by name, and not refused as well.
func TestDBSettings(t *testing.T) {
	all := DBSettings(EngineMariaDB)
	if !slices.IsSortedFunc(all, func(a, b DBSetting) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the settings are not sorted")
	}
	for i, s := range all {
		if i > 0 && all[i-1].Name == s.Name {
			t.Errorf("%s stands there twice", s.Name)
		}
		if reason, refused := DBSettingRefused(EngineMariaDB, s.Name); refused {
			t.Errorf("%s is refused too: %s", s.Name, reason)
		}
		if !strings.HasSuffix(s.Doc, ".") || s.Allowed() == "" {
			t.Errorf("%s: %q, %q", s.Name, s.Doc, s.Allowed())
		}
		if _, err := s.Parse(s.Default); s.Default != "" && err != nil {
			t.Errorf("the default of %s: %v", s.Name, err)
		}
	}
	if DBSettings("other") != nil {
		t.Error("an unknown engine has settings")
	}
}

func TestSize(t *testing.T) {
	for text, n := range map[string]int64{"0": 0, "1": 1, "1K": 1024, "1536": 1536, "3M": 3 << 20, "8G": 8 << 30, "2T": 2 << 40} {
		if got, err := ParseSize(text); err != nil || got != n {
			t.Errorf("%q is %d, %v", text, got, err)
		}
		if got := FormatSize(n); got != text {
			t.Errorf("%d is written %q, want %q", n, got, text)
		}
	}
}

func FuzzDBSettingParse(f *testing.F) {
	for _, text := range []string{"128M", "0.5", "ON", "STRICT_ALL_TABLES,NO_ZERO_DATE", "utf8mb4", "8T", "18446744073709551615K", "-1", "a\nb"} {
		f.Add(text)
	}
	all := DBSettings(EngineMariaDB)
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range all {
			value, err := s.Parse(text)
			if err != nil {
				continue
			}
			if strings.ContainsAny(value, "\n\r'\"\\#;=") {
				t.Errorf("%s = %q is more than a value: %q", s.Name, text, value)
			}
			if again, err := s.Parse(value); err != nil || again != value {
				t.Errorf("%s: %q becomes %q, %v", s.Name, value, again, err)
			}
		}
	})
}

func TestNearest(t *testing.T) {
	var names []string
	for _, s := range DBSettings(EngineMariaDB) {
		names = append(names, s.Name)
	}
	for word, want := range map[string]string{
		"max_conections":  "max_connections",
		"slow_query_lag":  "slow_query_log",
		"buffer_pool":     "innodb_buffer_pool_size",
		"group_concat":    "group_concat_max_len",
		"innodb_pool":     "innodb_buffer_pool_size",
		"wait_timeout_ms": "wait_timeout",
		"":                "back_log",
	} {
		got := Nearest(word, names)
		if len(got) != 3 || got[0] != want {
			t.Errorf("%q: got %q, want %q first", word, got, want)
		}
	}
	if got := Nearest("x", []string{"a"}); len(got) != 1 {
		t.Errorf("of one name there are %q", got)
	}
	if got := Nearest(strings.Repeat("max_connections_", 10), names); got != nil {
		t.Errorf("of a word that is none of them, %q", got)
	}
}

// Who writes utf9 or utf8mb5 means the character set of all of Unicode first.
func TestNearestCharset(t *testing.T) {
	known := []string{"ascii", "binary", "cp1251", "koi8u", "latin1", "latin2", "ucs2", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4"}
	collations := []string{"latin1_bin", "ucs2_bin", "utf16_bin", "utf8mb3_bin", "utf8mb4_bin", "utf8mb4_uca1400_ai_ci"}
	for word, want := range map[string]string{
		"utf9": "utf8mb4", "utf8": "utf8mb4", "utf": "utf8mb4", "utf8mb5": "utf8mb4", "utf8m4": "utf8mb4", "UTF7": "utf8mb4", "utf_8": "utf8mb4",
		"utf16e": "utf16", "latin": "latin1", "latin3": "latin1", "utf33": "utf32",
	} {
		if got := NearestCharset(word, known); len(got) != 3 || got[0] != want || got[0] == got[1] || got[1] == got[2] {
			t.Errorf("%q: got %q, want %q first", word, got, want)
		}
	}
	for word, want := range map[string]string{"utf9_bin": "utf8mb4_bin", "utf8mb4_binn": "utf8mb4_bin", "latin1_bim": "latin1_bin", "utf8mb4_uca1400": "utf8mb4_uca1400_ai_ci"} {
		if got := NearestCharset(word, collations); got[0] != want {
			t.Errorf("%q: got %q, want %q first", word, got, want)
		}
	}
	if got := NearestCharset("utf9", []string{"latin1", "utf16"}); len(got) != 2 || got[0] != "utf16" {
		t.Errorf("of a server without it there are %q", got)
	}
}

// All settings that are wrong are reported at once.
func TestDBServerValidateTellsAllSettings(t *testing.T) {
	s := testDBServer()
	s.Settings = map[string]string{"max_conections": "1", "slow_query_log": "maybe", "max_binlog_size": "1K", "read_only": "OFF", "wait_timeout": "60"}
	if v := s.Validate(); len(v) != 4 {
		t.Errorf("got %d: %v", len(v), v)
	}
}
