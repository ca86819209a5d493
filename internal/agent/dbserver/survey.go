package dbserver

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// surveyed is what lies in a data directory.
type surveyed struct {
	// bytes are those of all files, binlogs those of the binary logs.
	bytes, binlogs int64
	// elsewhere are the tables whose files are outside of it.
	elsewhere []string
}

// survey looks through a data directory. What disappears meanwhile is not counted.
func survey(data string) surveyed {
	var s surveyed
	root, err := os.OpenRoot(data) // the engine's account could lead it elsewhere
	if err != nil {
		return s
	}
	defer root.Close() //nolint:errcheck // it was only read
	_ = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // gone
		}
		// MyISAM and Aria keep a link to a file that is elsewhere, InnoDB a file
		// with its path.
		if entry.Type()&fs.ModeSymlink != 0 || path.Ext(name) == ".isl" {
			if table := tableOfFile(name); !slices.Contains(s.elsewhere, table) {
				s.elsewhere = append(s.elsewhere, table)
			}
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // gone
		}
		s.bytes += info.Size()
		if strings.HasPrefix(path.Base(name), "binlog.") {
			s.binlogs += info.Size()
		}
		return nil
	})
	return s
}

// tableOfFile returns the table of "shop/notes.ibd" or "shop/notes#P#p0.isl".
func tableOfFile(name string) string {
	table, _, _ := strings.Cut(strings.TrimSuffix(name, path.Ext(name)), "#P#")
	return strings.ReplaceAll(table, "/", ".")
}

// maxListed is how many tables a condition names.
const maxListed = 5

// conditions tells of tables that are not all in the data directory. The server
// makes none: they come with data that were adopted, or by hand.
func (s surveyed) conditions() []api.Condition {
	if len(s.elsewhere) == 0 {
		return nil
	}
	listed := strings.Join(s.elsewhere[:min(len(s.elsewhere), maxListed)], ", ")
	if more := len(s.elsewhere) - maxListed; more > 0 {
		listed += fmt.Sprintf(" and %d more", more)
	}
	first := s.elsewhere[0]
	return []api.Condition{{
		Type: "DataElsewhere", Severity: api.SeverityWarning,
		Message: fmt.Sprintf("Tables keep their files outside of the data directory: %[1]s. No replica can be seeded from this server, "+
			"and the rows are lost with the other place. Move each table, as root on the primary: CREATE TABLE %[2]s_new LIKE %[2]s; "+
			"INSERT INTO %[2]s_new SELECT * FROM %[2]s; RENAME TABLE %[2]s TO %[2]s_old, %[2]s_new TO %[2]s; DROP TABLE %[2]s_old. "+
			"One with foreign keys needs mariadb-dump instead: dump it, drop it, load the dump.", listed, first),
	}}
}
