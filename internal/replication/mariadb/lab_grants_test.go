//go:build lab

package mariadb_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// An app has no other privileges than the wanted ones, whatever they are on and
// whoever granted them, and it has the wanted ones all the time.
func TestGrantsByHand(t *testing.T) {
	s := start(t, 1, 0)[0]
	ctx := t.Context()
	secrets := replication.Secrets{Replication: "repl", Users: map[string]api.Secret{"app": "app", "maker": "maker"}}
	catalog := replication.Catalog{
		Databases: map[string]replication.Database{"shop": {}, "a_b": {}, "stray": {}},
		Users: map[string]replication.User{
			"app":   {Grants: map[string][]string{"shop": {"SELECT"}, "a_b": {"SELECT"}}},
			"maker": {Grants: map[string][]string{"shop": {"CREATE ROUTINE", "SELECT"}}},
		},
	}
	must(t, s.Engine.Unfence(ctx))
	must(t, s.Engine.Claim(ctx, "origin", secrets))
	must(t, s.Engine.Provision(ctx, catalog, replication.Drop{}, secrets))
	for _, statement := range []string{
		"CREATE TABLE shop.`t``1` (id INT, body TEXT)", "CREATE TABLE shop.gone (id INT)",
		"CREATE PROCEDURE shop.p() SELECT 1", "CREATE FUNCTION shop.f() RETURNS INT DETERMINISTIC RETURN 1",
		"CREATE USER other@'%'", "CREATE ROLE `it's`", "CREATE ROLE idle",
	} {
		must(t, s.Exec(ctx, statement))
	}
	must(t, s.App(ctx, "maker", "maker", "CREATE PROCEDURE shop.own() SELECT 1")) // the server lets it execute that
	must(t, s.App(ctx, "maker", "maker", "CALL shop.own()"))
	differences := func() []string {
		t.Helper()
		found, err := s.Engine.Differences(ctx, catalog, secrets)
		must(t, err)
		return found
	}
	if found := differences(); len(found) > 0 {
		t.Fatalf("before anything is granted by hand it differs: %q", found)
	}
	const show = "SELECT GROUP_CONCAT(privilege_type, table_schema ORDER BY 1) FROM information_schema.schema_privileges WHERE grantee = '''app''@''%'''"
	wanted, err := s.Query(ctx, show)
	must(t, err)

	for name, test := range map[string]struct {
		by   []string
		says []string
	}{
		"a grant option":             {[]string{"GRANT USAGE ON shop.* TO app@'%' WITH GRANT OPTION"}, []string{"GRANT OPTION on shop"}},
		"on everything":              {[]string{"GRANT PROCESS ON *.* TO app@'%' WITH GRANT OPTION"}, []string{"GRANT OPTION, PROCESS on *.*"}},
		"on all databases":           {[]string{"GRANT SELECT, DROP ON `%`.* TO app@'%' WITH GRANT OPTION"}, []string{"DROP, GRANT OPTION, SELECT on `%`.*"}},
		"on databases by a pattern":  {[]string{"GRANT INSERT ON `st%`.* TO app@'%'"}, []string{"INSERT on `st%`.*"}},
		"on a name with wildcards":   {[]string{"GRANT INSERT ON a_b.* TO app@'%'"}, []string{"INSERT on `a_b`.*"}},
		"on a table and its columns": {[]string{"GRANT SELECT, DELETE, SELECT (id), UPDATE (body) ON shop.`t``1` TO app@'%' WITH GRANT OPTION"}, []string{"DELETE, GRANT OPTION, SELECT, SELECT (`id`), UPDATE (`body`) on `shop`.`t``1`"}},
		"on a table that is gone":    {[]string{"GRANT DELETE, UPDATE (id) ON shop.gone TO app@'%'", "DROP TABLE shop.gone"}, []string{"on `shop`.`gone`"}},
		"on routines": {
			[]string{"GRANT EXECUTE ON PROCEDURE shop.p TO app@'%' WITH GRANT OPTION", "GRANT ALTER ROUTINE ON FUNCTION shop.f TO app@'%'"},
			[]string{"ALTER ROUTINE on FUNCTION `shop`.`f`", "EXECUTE, GRANT OPTION on PROCEDURE `shop`.`p`"},
		},
		"roles":                 {[]string{"GRANT `it's` TO app@'%' WITH ADMIN OPTION", "GRANT idle TO app@'%'"}, []string{"the role 'idle'", "the role 'it''s'"}},
		"another account":       {[]string{"GRANT PROXY ON other@'%' TO app@'%'"}, []string{"PROXY on 'other'@'%'"}},
		"one's own, in general": {[]string{"GRANT SELECT ON *.* TO app@'%'", "REVOKE SELECT ON shop.* FROM app@'%'"}, []string{"lacks SELECT on shop", "has SELECT on *.*"}},
		"the heartbeat's":       {[]string{"GRANT DELETE ON foobar.* TO foobar_hb@localhost", "GRANT DELETE ON foobar.origin TO foobar_hb@localhost"}, []string{"`foobar`.*", "`foobar`.`origin`"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, statement := range test.by {
				must(t, s.Exec(ctx, statement))
			}
			found := differences()
			if len(found) != len(test.says) || slices.ContainsFunc(test.says, func(say string) bool { return !strings.Contains(strings.Join(found, "\n"), say) }) {
				t.Errorf("it tells %q, want %q", found, test.says)
			}
			must(t, s.Engine.Provision(ctx, catalog, replication.Drop{}, secrets))
			if found := differences(); len(found) > 0 {
				t.Errorf("it still differs: %q", found)
			}
			if now, err := s.Query(ctx, show); err != nil || now != wanted {
				t.Errorf("the app has %q, %v, and should have %q", now, err, wanted)
			}
		})
	}
	must(t, s.App(ctx, "app", "app", "SELECT * FROM shop.`t``1`"))
	must(t, s.App(ctx, "maker", "maker", "CALL shop.own()"))
	must(t, s.Engine.Beat(ctx, 1, "a"))
}
