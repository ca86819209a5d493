//go:build lab

package mariadb_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// What a plan lets through as a character set or collation is what the server
// shows: a database that has it is found as it was wanted. Which there are, the
// server is asked.
func TestCharsets(t *testing.T) {
	s := start(t, 1, 0)[0]
	ctx := t.Context()
	names := func(query string) []string {
		t.Helper()
		text, err := s.Query(ctx, "SET STATEMENT group_concat_max_len = 1000000 FOR "+query)
		must(t, err)
		return strings.Split(text, ",")
	}
	spec := api.DefaultDBReplication()
	for _, name := range names("SELECT GROUP_CONCAT(full_collation_name) FROM information_schema.collation_character_set_applicability") {
		spec.Databases[name] = api.DBDatabase{Collation: name}
	}
	for _, v := range spec.Validate() {
		if strings.HasPrefix(string(v.Pointer), "/databases/") {
			t.Errorf("the server has what is refused at %s: %s", v.Pointer, v.Detail)
		}
	}
	asked := map[string]replication.Database{
		"all": {Charset: "UTF8MB4", Collation: "utf8mb4_uca1400_ai_ci"}, "none": {}, "later": {Charset: "utf8mb5", Collation: "utf8mb5_bin"}, "slip": {Collation: "utf8mb4_binn"},
	}
	lexicon, ok := s.Engine.(replication.Lexicon)
	if !ok {
		t.Fatal("the engine cannot be asked for names")
	}
	unknown, err := lexicon.Unknown(ctx, asked)
	must(t, err)
	if later, slip := unknown["later"], unknown["slip"]; len(unknown) != 2 || later.Charset == nil || later.Collation == nil || slip.Charset != nil ||
		slip.Collation == nil || !slices.Contains(slip.Collation.Nearest, "utf8mb4_bin") || !strings.HasPrefix(slip.Collation.Version, "MariaDB 1") {
		t.Errorf("unknown are %+v", unknown)
	}
	wanted := replication.Catalog{Databases: map[string]replication.Database{}}
	for name, d := range map[string]api.DBDatabase{
		"a": {Charset: "UTF8MB4"}, "b": {Charset: "utf8mb3", Collation: "utf8mb3_general_ci"}, "c": {Collation: "utf8mb4_uca1400_ai_ci"}, "d": {Collation: "utf8mb4_0900_ai_ci"}, "e": {Collation: "binary"},
	} {
		wanted.Databases[name] = replication.Database{Charset: d.Charset, Collation: d.Collation}
	}
	secrets := replication.Secrets{Replication: "repl"}
	must(t, s.Engine.Unfence(ctx))
	must(t, s.Engine.Claim(ctx, "origin", secrets))
	must(t, s.Engine.Provision(ctx, wanted, replication.Drop{}, secrets))
	if left, err := s.Engine.Differences(ctx, wanted, secrets); err != nil || len(left) > 0 {
		t.Errorf("it still differs: %q, %v", left, err)
	}
}
