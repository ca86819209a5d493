package mariadb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// The compiler says it first if they part.
var _ replication.Lexicon = (*Engine)(nil)

// Unknown asks the server which character sets and collations it has.
func (e *Engine) Unknown(ctx context.Context, databases map[string]replication.Database) (map[string]replication.UnknownNames, error) {
	var version string
	known := map[string][]string{}
	err := e.pinned(ctx, func(c *sql.Conn) error {
		const query = `SELECT 'charset' AS kind, character_set_name AS name, VERSION() AS version FROM information_schema.character_sets
			UNION SELECT 'collation', full_collation_name, VERSION() FROM information_schema.collation_character_set_applicability`
		rows, err := table(ctx, c, query)
		if err != nil {
			return fmt.Errorf("list the character sets and collations: %w", err)
		}
		for _, row := range rows {
			known[row["kind"]] = append(known[row["kind"]], strings.ToLower(row["name"]))
			version, _, _ = strings.Cut(row["version"], "-")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found := map[string]replication.UnknownNames{}
	for name, d := range databases {
		unknown := replication.UnknownNames{
			Charset: unknownName(version, d.Charset, known["charset"]), Collation: unknownName(version, d.Collation, known["collation"]),
		}
		if unknown.Charset != nil || unknown.Collation != nil {
			found[name] = unknown
		}
	}
	return found, nil
}

// unknownName returns a name if it is given and not known.
func unknownName(version, name string, known []string) *replication.UnknownName {
	if name = strings.ToLower(name); name == "" || slices.Contains(known, name) {
		return nil
	}
	return &replication.UnknownName{Version: "MariaDB " + version, Nearest: api.NearestCharset(name, known)}
}
