package api

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// pairOf returns a valid replication of two members and a witness.
func pairOf() DBReplication {
	r := DefaultDBReplication()
	r.Primary = "web1"
	r.Members = map[string]DBMember{
		"web1": {DBPeer: DBPeer{Address: "10.0.0.1:9443"}, Server: "notes", ServerID: 1, Host: "10.0.0.1", Port: 3306},
		"web2": {DBPeer: DBPeer{Address: "10.0.0.2:9443"}, Server: "notes", ServerID: 2, Host: "10.0.0.2", Port: 3306},
	}
	r.Witnesses = map[string]DBPeer{"lb1": {Address: "10.0.0.10:9443"}}
	r.Databases = map[string]DBDatabase{"notes": {Charset: "utf8mb4"}}
	r.Users = map[string]DBUser{"notes": {PasswordVersion: 1, Grants: map[string][]string{"notes": {"ALL"}}}}
	r.SecretsVersion = r.PasswordsVersion()
	return r
}

func TestDBReplicationValidate(t *testing.T) {
	member := func(change func(*DBMember)) func(*DBReplication) {
		return func(r *DBReplication) {
			m := r.Members["web2"]
			change(&m)
			r.Members["web2"] = m
		}
	}
	user := func(name string, u DBUser) func(*DBReplication) {
		return func(r *DBReplication) {
			r.Users = map[string]DBUser{name: u}
			r.SecretsVersion = r.PasswordsVersion()
		}
	}
	charset := func(charset, collation string) func(*DBReplication) {
		return func(r *DBReplication) {
			r.Databases["notes"] = DBDatabase{Charset: charset, Collation: collation}
		}
	}
	tests := map[string]struct {
		change  func(*DBReplication)
		pointer Pointer
		says    string
	}{
		"well":            {change: func(*DBReplication) {}},
		"one member":      {change: func(r *DBReplication) { delete(r.Members, "web2"); r.Witnesses = nil }},
		"engine":          {func(r *DBReplication) { r.Engine = "oracle" }, "/engine", `"mariadb"`},
		"both names":      {change: charset("UTF8MB4", "utf8mb4_uca1400_ai_ci")},
		"binary":          {change: charset("binary", "binary")},
		"a collation":     {change: charset("", "latin1_bin")},
		"of a later one":  {change: charset("utf8mb5", "utf8mb5_bin")}, // whether it is known is for the server to say
		"unknown primary": {func(r *DBReplication) { r.Primary = "web3" }, "/primary", `the members are: "web1", "web2"`},
		"no members":      {func(r *DBReplication) { r.Members = nil }, "/members", "1 to 9"},
		"bad key":         {func(r *DBReplication) { r.Members["Web 3"] = r.Members["web1"] }, "/members/Web 3", "not a name"},
		"one machine twice": {member(func(m *DBMember) { m.Host = "10.0.0.1" }), "/members/web2/host",
			`is where "web1" is reached too`},
		"duplicate server id":      {member(func(m *DBMember) { m.ServerID = 1 }), "/members/web2/server_id", `"web1"`},
		"no server id":             {member(func(m *DBMember) { m.ServerID = 0 }), "/members/web2/server_id", "0 is out of bounds"},
		"no server":                {member(func(m *DBMember) { m.Server = "" }), "/members/web2/server", "not a name"},
		"host":                     {member(func(m *DBMember) { m.Host = "web2" }), "/members/web2/host", "not an IP address"},
		"port":                     {member(func(m *DBMember) { m.Port = 70000 }), "/members/web2/port", "70000"},
		"delay":                    {member(func(m *DBMember) { m.Delay = Duration(1500 * time.Millisecond) }), "/members/web2/delay", "whole seconds"},
		"agent":                    {member(func(m *DBMember) { m.Address = "10.0.0.2" }), "/members/web2/address", "host:port"},
		"pin":                      {member(func(m *DBMember) { m.Key = "abc" }), "/members/web2/key", "abc"},
		"incarnation":              {member(func(m *DBMember) { m.Incarnation = -1 }), "/members/web2/incarnation", "from 1"},
		"witness is a member":      {func(r *DBReplication) { r.Witnesses["web2"] = DBPeer{Address: "10.0.0.2:9443"} }, "/witnesses/web2", "votes already"},
		"database":                 {func(r *DBReplication) { r.Databases["a`b"] = DBDatabase{} }, "/databases/a`b", "not a name"},
		"own database":             {func(r *DBReplication) { r.Databases["MySQL"] = DBDatabase{} }, "/databases/MySQL", "server's own"},
		"collation":                {func(r *DBReplication) { r.Databases["notes"] = DBDatabase{Collation: "x; DROP"} }, "/databases/notes/collation", "not a word"},
		"charset by an alias":      {charset("UTF8", ""), "/databases/notes/charset", `another name of "utf8mb3"`},
		"collation by an alias":    {charset("", "utf8_general_ci"), "/databases/notes/collation", `"utf8mb3_general_ci"`},
		"short collation":          {charset("", "uca1400_ai_ci"), "/databases/notes/collation", `write "utf8mb4_uca1400_ai_ci"`},
		"short collation of a set": {charset("ucs2", "uca1400_ai_ci"), "/databases/notes/collation", `write "ucs2_uca1400_ai_ci"`},
		"charset for a collation":  {charset("", "utf8mb4"), "/databases/notes/collation", "not a collation"},
		"no such collation":        {charset("", "default"), "/databases/notes/collation", "not a collation"},
		"collation of another set": {charset("latin1", "utf8mb4_bin"), "/databases/notes/collation", `of the character set "utf8mb4"`},
		"own user":                 {user("foobar_repl_web1", DBUser{PasswordVersion: 1}), "/users/foobar_repl_web1", "server's own"},
		"no version":               {user("app", DBUser{}), "/users/app/password_version", "begin with 1"},
		"privilege":                {user("app", DBUser{PasswordVersion: 1, Grants: map[string][]string{"notes": {"SUPER"}}}), "/users/app/grants/notes/0", `"SUPER" is no privilege`},
		"no privilege":             {user("app", DBUser{PasswordVersion: 1, Grants: map[string][]string{"notes": {}}}), "/users/app/grants/notes", "there is no privilege"},
		"secrets version":          {func(r *DBReplication) { r.SecretsVersion = 7 }, "/secrets_version", "is 7"},
		"lag":                      {func(r *DBReplication) { r.MaxLag = -1 }, "/max_lag", "out of bounds"},
		"reseed the primary":       {func(r *DBReplication) { r.Reseed = &DBReseed{Node: "web1", Token: "a"} }, "/reseed/node", "not a replica"},
		"reseed in blank":          {func(r *DBReplication) { r.Reseed = &DBReseed{Node: "web2"} }, "/reseed/token", "no token"},
		"drop what is wanted":      {func(r *DBReplication) { r.Drop = &DBDrop{Databases: []string{"notes"}, Token: "a"} }, "/drop/databases/0", "still in databases"},
		"drop a wanted user":       {func(r *DBReplication) { r.Drop = &DBDrop{Users: []string{"notes"}, Token: "a"} }, "/drop/users/0", "still in users"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := pairOf()
			test.change(&r)
			found := r.Validate()
			if test.says == "" {
				if len(found) > 0 {
					t.Errorf("a valid replication is refused: %v", found)
				}
				return
			}
			if !slices.ContainsFunc(found, func(v Violation) bool {
				return v.Pointer == test.pointer && strings.Contains(v.Detail, test.says)
			}) {
				t.Errorf("got %v, want one at %s that says %q", found, test.pointer, test.says)
			}
		})
	}
}

func TestDBMembershipValidate(t *testing.T) {
	tests := map[string]struct {
		change  func(*DBMembership)
		pointer Pointer
		says    string
	}{
		"well":             {change: func(*DBMembership) {}},
		"no peers":         {func(m *DBMembership) { m.Peers = nil }, "/peers", "1 to 15"},
		"no name":          {func(m *DBMembership) { m.Peers["Web 3"] = m.Peers["web1"] }, "/peers/Web 3", "not a name"},
		"pin":              {func(m *DBMembership) { m.Peers["lb1"] = DBPeer{Address: "lb1:1", Key: "abc"} }, "/peers/lb1/key", "abc"},
		"no members":       {func(m *DBMembership) { m.Members = nil }, "/members", "1 to 9"},
		"unknown member":   {func(m *DBMembership) { m.Members = append(m.Members, "web3") }, "/members/2", `"web3" is not among the peers`},
		"one member twice": {func(m *DBMembership) { m.Members = append(m.Members, "web1") }, "/members/2", "there twice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := pairOf().Membership()
			test.change(&m)
			found := m.Validate()
			if test.says == "" {
				if len(found) > 0 || !m.Member("web1") || !m.Member("web2") || m.Member("lb1") || len(m.Peers) != 3 {
					t.Errorf("%+v: %v", m, found)
				}
				return
			}
			if !slices.ContainsFunc(found, func(v Violation) bool {
				return v.Pointer == test.pointer && strings.Contains(v.Detail, test.says)
			}) {
				t.Errorf("got %v, want one at %s that says %q", found, test.pointer, test.says)
			}
		})
	}
}

func TestPasswordsVersionFollowsUsersAndVersions(t *testing.T) {
	r := pairOf()
	first := r.PasswordsVersion()
	r.Users["notes"] = DBUser{PasswordVersion: 2}
	second := r.PasswordsVersion()
	r.Users["notes"], r.Users["other"] = DBUser{PasswordVersion: 1}, DBUser{PasswordVersion: 1}
	third := r.PasswordsVersion()
	if first == second || first == third || second == third || min(first, second, third) < 1 {
		t.Errorf("versions %d, %d, %d: all should be positive and differ", first, second, third)
	}
	r.Users = nil
	if got := r.PasswordsVersion(); got != 0 {
		t.Errorf("without users: %d, want 0", got)
	}
}

func FuzzDBReplicationValidate(f *testing.F) {
	f.Add([]byte(Encode(pairOf())))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r DBReplication
		if Decode(data, &r) != nil {
			return
		}
		if len(r.Validate()) == 0 && (len(r.Members) == 0 || r.Members[r.Primary].Port == 0) {
			t.Errorf("%s is taken for valid", data)
		}
	})
}
