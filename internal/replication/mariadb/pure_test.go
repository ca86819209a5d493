package mariadb

import (
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

var update = flag.Bool("update", false, "write the golden files")

func TestText(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"plain", "'plain'"},
		{"", "''"},
		{`it's`, `'it''s'`},
		{`\`, `'\\'`},
		{`\'; DROP DATABASE shop; -- `, `'\\''; DROP DATABASE shop; -- '`},
		{"ünï\n", "'ünï\n'"},
	} {
		if got, err := Text(test.text); err != nil || got != test.want {
			t.Errorf("%q became %s, %v, want %s", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{"a\x00b", "\xff"} {
		if got, err := Text(text); err == nil {
			t.Errorf("%q became %s", text, got)
		}
	}
}

func TestIdentifier(t *testing.T) {
	for _, test := range []struct{ name, quoted, pattern string }{
		{"shop", "`shop`", "`shop`"},
		{"a_b%c", "`a_b%c`", "`a\\_b\\%c`"},
		{"x` . `y", "`x`` . ``y`", "`x`` . ``y`"},
		{`back\slash`, "`back\\slash`", "`back\\\\slash`"},
		{"naïve", "`naïve`", "`naïve`"},
	} {
		quoted, err := Identifier(test.name)
		pattern, errPattern := grantPattern(test.name)
		if err != nil || errPattern != nil || quoted != test.quoted || pattern != test.pattern {
			t.Errorf("%q became %s and %s, %v", test.name, quoted, pattern, err)
		}
		plain, single := plainPattern(strings.ReplaceAll(strings.Trim(pattern, "`"), "``", "`"))
		if !single || plain != test.name {
			t.Errorf("the pattern %s stands for %q", pattern, plain)
		}
	}
	for _, name := range []string{"", " a", "a ", "a\x00", "a\nb", "\xff", strings.Repeat("x", 65), "😀"} {
		if got, err := Identifier(name); err == nil {
			t.Errorf("%q became %s", name, got)
		}
	}
	for _, pattern := range []string{"a_b", "%", `a\`} {
		if name, single := plainPattern(pattern); single {
			t.Errorf("the pattern %q was taken for %q alone", pattern, name)
		}
	}
}

// TestNativeHash: the value is what SELECT PASSWORD('secret') answers.
func TestNativeHash(t *testing.T) {
	if got := nativeHash("password"); got != "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19" {
		t.Errorf("it is %s", got)
	}
}

func TestChangeMaster(t *testing.T) {
	got, err := changeMaster(replication.Source{As: "web2", Host: "web1", Port: 3306, CA: "/ca", Certificate: "/c", Key: "/k", Password: `p'\`, Delay: 3600e9})
	const want = `CHANGE MASTER TO MASTER_HOST = 'web1', MASTER_PORT = 3306, MASTER_USER = 'foobar_repl_web2', MASTER_PASSWORD = 'p''\\', ` +
		`MASTER_CONNECT_RETRY = 5, MASTER_HEARTBEAT_PERIOD = 2, MASTER_DELAY = 3600, MASTER_SSL = 1, MASTER_SSL_CA = '/ca', MASTER_SSL_CERT = '/c', MASTER_SSL_KEY = '/k', ` +
		`MASTER_SSL_VERIFY_SERVER_CERT = 1, MASTER_USE_GTID = slave_pos`
	if err != nil || got != want {
		t.Errorf("it is %s, %v", got, err)
	}
	if _, err := changeMaster(replication.Source{As: "web2", Password: "secret\x00"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
}

func TestSourceOf(t *testing.T) {
	got := sourceOf(map[string]string{
		"Connection_name": "x", "Master_Host": "h", "Master_Port": "3307", "Master_Server_Id": "7", "Slave_IO_Running": "Connecting", "Slave_SQL_Running": "No",
		"Last_IO_Errno": "1045", "Last_IO_Error": "denied", "Using_Gtid": "Slave_Pos", "SQL_Delay": "60", "Master_SSL_Allowed": "Yes", "Master_SSL_Verify_Server_Cert": "Yes",
	})
	want := replication.SourceView{
		Channel: "x", Host: "h", Port: 3307, ServerID: 7, AutoPosition: true, TLS: true, Delay: api.Duration(60e9),
		Receiver: replication.Thread{State: replication.ThreadConnecting, Errno: 1045, Error: "denied"}, Applier: replication.Thread{State: replication.ThreadStopped},
	}
	if got != want {
		t.Errorf("it is %+v", got)
	}
	if odd := sourceOf(map[string]string{"Slave_IO_Running": "Whatever"}); odd.Receiver.State != replication.ThreadStopped || odd.TLS || odd.AutoPosition {
		t.Errorf("what is not known was taken for well: %+v", odd)
	}
}

func TestParseBinlogInfo(t *testing.T) {
	for text, want := range map[string]string{
		"binlog.000002\t379\t0-1-42\n":              "0-1-42",
		"binlog.000002\t379\t0-1-42,\n1-1-7\n":      "0-1-42,1-1-7",
		"mysql-bin.000001\t1\t0-4294967295-1":       "0-4294967295-1",
		"binlog.000002\t379":                        "",
		"":                                          "",
		"binlog.000002\t379\t\n":                    "",
		"binlog.000002\t379\tnot a transaction id ": "",
	} {
		got, err := parseBinlogInfo(text)
		if (err == nil) != (want != "") || got.String() != want {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

func FuzzParseBinlogInfo(f *testing.F) {
	f.Add("binlog.000002\t379\t0-1-42\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parseBinlogInfo(text); err == nil && got.Empty() {
			t.Errorf("%q is a position without a transaction id", text)
		}
	})
}

// certificate is what a member shows.
func certificate(node string) replication.Certificate {
	return replication.Certificate{
		Subject: pkix.Name{OrganizationalUnit: []string{"db-server.main"}, CommonName: node + ".shop.internal"}, Issuer: pkix.Name{CommonName: "foobar CA of shop"},
	}
}

// TestRequirement: the server has to show again its configuration, or every plan
// would have a difference.
func TestRequirement(t *testing.T) {
	const subject, issuer = "/OU=db-server.main/CN=web2.shop.internal", "/CN=foobar CA of shop"
	got, err := requireCertificate(certificate("web2"))
	if err != nil || got != "SUBJECT '"+subject+"' AND ISSUER '"+issuer+"'" || got != requirement(3, subject, issuer, "") {
		t.Errorf("it is %s, %v", got, err)
	}
	for _, other := range []string{requirement(0, subject, issuer, ""), requirement(1, "", "", ""), requirement(2, "", "", ""), requirement(3, subject, "", ""), requirement(3, subject, issuer, "x")} {
		if other == got {
			t.Errorf("%s was taken for the same", other)
		}
	}
	for _, name := range []pkix.Name{{}, {CommonName: "a/CN=b"}, {CommonName: "ü"}, {CommonName: "a\n"}, {Country: []string{"DE"}, CommonName: "a"}} {
		if got, err := oneLine(name); err == nil {
			t.Errorf("%q became %s", name, got)
		}
	}
}

// TestConverge holds the statements of each case in a golden file.
func TestConverge(t *testing.T) {
	secrets := replication.Secrets{Replication: "r", Replicas: map[replication.NodeID]replication.Certificate{"web2": certificate("web2")}, Users: map[string]api.Secret{"app": "password"}}
	wanted := replication.Catalog{
		Databases: map[string]replication.Database{"shop": {}, "we`ird_1": {Charset: "utf8mb4", Collation: "utf8mb4_bin"}},
		Users: map[string]replication.User{
			"app":    {Grants: map[string][]string{"shop": {"select", "Insert"}, "we`ird_1": {"ALL"}}, RequireTLS: true},
			"o'neil": {},
		},
	}
	goal, err := wantedState(wanted, secrets, "root", "mysql")
	if err != nil {
		t.Fatal(err)
	}
	existing := func(change func(*state)) state {
		s, err := wantedState(wanted, secrets, "root", "mysql")
		if err != nil {
			t.Fatal(err)
		}
		s.accounts["old"] = account{name: "old", host: "%"}
		s.databases["old"] = replication.Database{Charset: "utf8mb4"}
		change(&s)
		return s
	}
	hash := regexp.MustCompile(`\*[0-9A-F]`)
	var b strings.Builder
	for _, test := range []struct {
		name string
		have state
		drop replication.Drop
	}{
		{"nothing exists", state{}, replication.Drop{}},
		{"all is well", existing(func(*state) {}), replication.Drop{}},
		{"the password was changed", existing(func(s *state) { a := s.accounts["app"]; a.secret = "*00"; s.accounts["app"] = a }), replication.Drop{}},
		{"TLS is not required", existing(func(s *state) { a := s.accounts["app"]; a.require = requireNone; s.accounts["app"] = a }), replication.Drop{}},
		{"any certificate of the CA will do", existing(func(s *state) {
			a := s.accounts["foobar_repl_web2"]
			a.require = requireX509
			s.accounts["foobar_repl_web2"] = a
		}), replication.Drop{}},
		{"a member has left", existing(func(s *state) { s.accounts["foobar_repl_web3"] = account{name: "foobar_repl_web3", host: "%"} }), replication.Drop{}},
		{"the account that all members once shared", existing(func(s *state) {
			s.accounts["foobar_repl"] = account{name: "foobar_repl", host: "%", secret: nativeHash("x"), require: requireTLS, global: []string{"REPLICATION SLAVE"}}
		}), replication.Drop{}},
		{"grants differ", existing(func(s *state) {
			a := s.accounts["app"]
			a.global, a.grants = []string{"SUPER"}, map[string][]string{"shop": {"SELECT"}, "old": {"DELETE"}}
			s.accounts["app"] = a
		}), replication.Drop{}},
		{"grants by hand", existing(func(s *state) {
			a := s.accounts["app"]
			for _, row := range [][6]string{ // level, name, object, part, word, grantable
				{"global", "", "", "", "USAGE", "YES"},
				{"database", "shop", "", "", "INSERT", "YES"},
				{"database", "shop", "", "", "SELECT", "YES"},
				{"database", "%", "", "", "SELECT", "NO"},
				{"database", "we`ird_1", "", "", "DROP", "NO"},
				{"table", "shop", "t`1", "", "SELECT", "YES"},
				{"column", "shop", "t`1", "a`b", "UPDATE", "NO"},
				{"routine", "shop", "f", "FUNCTION", "Execute,Alter Routine,Grant", "NO"},
				{"routine", "we`ird_1", "own", "PROCEDURE", "Execute,Alter Routine", "NO"},
				{"routine", "shop", "not its own", "PROCEDURE", "Execute", "NO"},
				{"role", "", "it's", "", "", "NO"},
				{"role", "", "admin", "", "", "NO"},
				{"proxy", "%", "old", "", "PROXY", "NO"},
			} {
				a = a.with(map[string]string{"level": row[0], "name": row[1], "object": row[2], "part": row[3], "word": row[4], "grantable": row[5]})
			}
			s.accounts["app"] = a
			beat := s.accounts[heartbeatUser]
			beat = beat.with(map[string]string{"level": "table", "name": "foobar", "object": "heartbeat", "word": "UPDATE", "grantable": "NO"})
			s.accounts[heartbeatUser] = beat.with(map[string]string{"level": "database", "name": "foobar", "word": "UPDATE", "grantable": "NO"})
		}), replication.Drop{}},
		{"another charset", existing(func(s *state) {
			s.databases["we`ird_1"] = replication.Database{Charset: "latin1", Collation: "latin1_bin"}
		}), replication.Drop{}},
		{"a consent", existing(func(*state) {}), replication.Drop{Databases: []string{"old", "shop", "never"}, Users: []string{"old", "app", "never"}}},
	} {
		fmt.Fprintf(&b, "# %s\n", test.name)
		changes, err := converge(test.have, goal, test.drop)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		for _, c := range changes {
			fmt.Fprintf(&b, "%s\n    %s\n", c.says, c.sql)
			if hash.MatchString(c.says) || strings.Contains(c.sql, "'password'") {
				t.Errorf("%s: a secret is in %+v", test.name, c)
			}
		}
	}
	golden(t, "testdata/converge.golden", b.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestConvergeRefuses(t *testing.T) {
	user := func(name string, grants map[string][]string) replication.Catalog {
		return replication.Catalog{Users: map[string]replication.User{name: {Grants: grants}}}
	}
	database := func(name, charset string) replication.Catalog {
		return replication.Catalog{Databases: map[string]replication.Database{name: {Charset: charset}}}
	}
	for name, catalog := range map[string]replication.Catalog{
		"a database of the server":       database("MySQL", ""),
		"the replication's own":          database("foobar", ""),
		"an account of the server":       user("root", nil),
		"an account of the replication":  user("foobar_repl_b", nil),
		"a charset with SQL in it":       database("shop", "utf8; DROP DATABASE x"),
		"a name with a NUL":              database("a\x00", ""),
		"a privilege that is none":       user("app", map[string][]string{"shop": {"SELECT ON *.* TO root; --"}}),
		"a privilege on all databases":   user("app", map[string][]string{"shop": {"SUPER"}}),
		"a grant on a server's database": user("app", map[string][]string{"mysql": {"SELECT"}}),
	} {
		goal, err := wantedState(catalog, replication.Secrets{Replication: "r", Users: map[string]api.Secret{"app": "p", "root": "p"}}, "root", "mysql")
		if err == nil {
			_, err = converge(state{}, goal, replication.Drop{})
		}
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for _, drop := range []replication.Drop{{Databases: []string{"mysql"}}, {Users: []string{"foobar_hb"}}} {
		if _, err := converge(state{}, state{}, drop); err == nil {
			t.Errorf("%+v was accepted", drop)
		}
	}
}

// FuzzQuoting: whatever a text is, it stays within its quotes.
func FuzzQuoting(f *testing.F) {
	f.Add("it's", `\'`)
	f.Fuzz(func(t *testing.T, text, name string) {
		if quoted, err := Text(text); err == nil && !stays(quoted, '\'', true) {
			t.Errorf("%q leaves its quotes as %s", text, quoted)
		}
		if quoted, err := Identifier(name); err == nil && !stays(quoted, '`', false) {
			t.Errorf("%q leaves its quotes as %s", name, quoted)
		}
		if quoted, err := grantPattern(name); err == nil && !stays(quoted, '`', false) {
			t.Errorf("%q leaves its quotes as %s", name, quoted)
		}
	})
}

// stays reads a quoted text as the server's lexer does.
func stays(quoted string, mark byte, escapes bool) bool {
	if len(quoted) < 2 || quoted[0] != mark {
		return false
	}
	for i := 1; i < len(quoted); i++ {
		switch {
		case escapes && quoted[i] == '\\':
			i++
		case quoted[i] == mark && i+1 < len(quoted) && quoted[i+1] == mark:
			i++
		case quoted[i] == mark:
			return i == len(quoted)-1
		}
	}
	return false
}
