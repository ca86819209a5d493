package mariadb

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// grant is what an account has on something that no wanted privilege is on: a
// pattern of databases, a table and its columns, a routine, a role, a proxy.
type grant struct {
	// on is what it is on, as SQL has it; "" for roles.
	on string
	// words are the privileges, a column's with its name behind; or the roles.
	words []string
	// routineIn is the database of a routine, "" for anything else.
	routineIn string
}

// privilegeQueries list all that is granted to accounts; what PUBLIC has is no
// account's own. In a routine's row, part is its type and word a list; in a
// proxy's, name is the other account's host.
func privilegeQueries() []string {
	const account = "CONCAT('''', user, '''@''', host, '''') AS grantee"
	return []string{
		"SELECT grantee, 'global' AS level, '' AS name, '' AS object, '' AS part, privilege_type AS word, is_grantable AS grantable FROM information_schema.user_privileges",
		"SELECT grantee, 'database' AS level, table_schema AS name, '' AS object, '' AS part, privilege_type AS word, is_grantable AS grantable FROM information_schema.schema_privileges",
		"SELECT grantee, 'table' AS level, table_schema AS name, table_name AS object, '' AS part, privilege_type AS word, is_grantable AS grantable FROM information_schema.table_privileges",
		"SELECT grantee, 'column' AS level, table_schema AS name, table_name AS object, column_name AS part, privilege_type AS word, 'NO' AS grantable FROM information_schema.column_privileges",
		"SELECT " + account + ", 'routine' AS level, db AS name, routine_name AS object, routine_type AS part, proc_priv AS word, 'NO' AS grantable FROM mysql.procs_priv",
		"SELECT " + account + ", 'role' AS level, '' AS name, role AS object, '' AS part, '' AS word, 'NO' AS grantable FROM mysql.roles_mapping",
		"SELECT " + account + ", 'proxy' AS level, proxied_host AS name, proxied_user AS object, '' AS part, 'PROXY' AS word, 'NO' AS grantable FROM mysql.proxies_priv",
	}
}

// readPrivileges adds what is granted to accounts.
func readPrivileges(ctx context.Context, c *sql.Conn, accounts map[string]account) error {
	byGrantee := map[string]string{}
	for name, a := range accounts {
		byGrantee["'"+name+"'@'"+a.host+"'"] = name
	}
	for _, query := range privilegeQueries() {
		rows, err := table(ctx, c, query)
		if err != nil {
			return fmt.Errorf("list the grants: %w", err)
		}
		for _, row := range rows {
			if name, managed := byGrantee[row["grantee"]]; managed {
				accounts[name] = accounts[name].with(row)
			}
		}
	}
	return nil
}

// with adds a row of the privilegeQueries.
func (a account) with(row map[string]string) account {
	name, object, words := row["name"], row["object"], wordsOf(row["word"], row["grantable"] == "YES")
	switch row["level"] {
	case "global":
		a.global = union(a.global, words)
	case "database":
		// The heartbeat's grants are those on its table.
		plain, single := plainPattern(name)
		if single && patternEscaper.Replace(plain) == name && (a.name != heartbeatUser || plain != ownSchema) {
			a.grants[plain] = union(a.grants[plain], words)
		} else {
			a.beyond = together(a.beyond, grant{on: backticks(name) + ".*", words: words})
		}
	case "table":
		if a.name == heartbeatUser && name == ownSchema && object == "heartbeat" {
			a.grants[name] = union(a.grants[name], words)
		} else {
			a.beyond = together(a.beyond, grant{on: backticks(name) + "." + backticks(object), words: words})
		}
	case "column":
		for i := range words {
			words[i] += " (" + backticks(row["part"]) + ")"
		}
		a.beyond = together(a.beyond, grant{on: backticks(name) + "." + backticks(object), words: words})
	case "routine":
		a.beyond = together(a.beyond, grant{on: row["part"] + " " + backticks(name) + "." + backticks(object), words: words, routineIn: name})
	case "role":
		a.beyond = together(a.beyond, grant{words: []string{quoted(object)}})
	case "proxy":
		a.beyond = together(a.beyond, grant{on: quoted(object) + "@" + quoted(name), words: words})
	}
	return a
}

// grantOption is the right to pass on what one has, which no app has.
const grantOption = "GRANT OPTION"

// wordsOf returns the privileges of a row. USAGE is none.
func wordsOf(list string, grantable bool) []string {
	var words []string
	for word := range strings.SplitSeq(strings.ToUpper(list), ",") {
		switch word {
		case "", "USAGE":
		case "GRANT": // so mysql.procs_priv calls it
			grantable = true
		default:
			words = append(words, word)
		}
	}
	if grantable {
		words = append(words, grantOption)
	}
	slices.Sort(words)
	return words
}

// together adds a grant to those on the same, sorted by what they are on. One
// statement revokes them all, as a table's privilege takes its columns' with it.
func together(all []grant, g grant) []grant {
	at, found := slices.BinarySearchFunc(all, g, func(a, b grant) int { return cmp.Compare(a.on, b.on) })
	switch {
	case len(g.words) == 0:
		return all
	case !found:
		return slices.Insert(all, at, g)
	}
	all[at].words = union(all[at].words, g.words)
	return all
}

// union returns the words of both, sorted, each once.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// backticks quotes a name that the server itself has reported.
func backticks(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// place is something that privileges are on, as SQL and in words.
type place struct {
	on, where    string
	have, wanted []string
}

// privileges grants what is missing and revokes what is too much, on whatever it
// is. All grants come before all revokes: an app that has its privileges in
// another way than the wanted one is never without.
func (b *builder) privileges(label, who string, have, wanted account) {
	places, err := placesOf(label, have, wanted)
	if !b.check(err) {
		return
	}
	for _, p := range places {
		if missing := strings.Join(without(p.wanted, p.have), ", "); missing != "" {
			b.add(fmt.Sprintf("%s lacks %s%s", label, missing, p.where), "GRANT %s ON %s TO %s", missing, p.on, who)
		}
	}
	for _, p := range places {
		if extra := strings.Join(without(p.have, p.wanted), ", "); extra != "" {
			b.add(fmt.Sprintf("%s has %s%s, which its grants do not give", label, extra, p.where), "REVOKE %s ON %s FROM %s", extra, p.on, who)
		}
	}
	for _, g := range have.beyond {
		switch words := strings.Join(g.words, ", "); {
		case g.on == "":
			for _, role := range g.words { // a statement takes one
				b.add(fmt.Sprintf("%s has the role %s, which its grants do not give", label, role), "REVOKE %s FROM %s", role, who)
			}
		case !g.ofMaker(wanted):
			b.add(fmt.Sprintf("%s has %s on %s, which its grants do not give", label, words, g.on), "REVOKE %s ON %s FROM %s", words, g.on, who)
		}
	}
}

// placesOf returns everything that wanted privileges can be on.
func placesOf(label string, have, wanted account) ([]place, error) {
	places := []place{{on: "*.*", where: " on *.*", have: have.global, wanted: wanted.global}}
	for _, database := range union(slices.Collect(maps.Keys(have.grants)), slices.Collect(maps.Keys(wanted.grants))) {
		if unknown := without(wanted.grants[database], Privileges()); len(unknown) > 0 {
			return nil, fmt.Errorf("%s on %s: %q is no privilege on a database; there are ALL and %s", label, database, unknown[0], strings.Join(Privileges(), ", "))
		}
		pattern, err := grantPattern(database)
		if err != nil {
			return nil, err
		}
		on := pattern + ".*"
		if wanted.onTable != "" && database == ownSchema {
			on = backticks(database) + "." + backticks(wanted.onTable)
		}
		places = append(places, place{on, " on " + database, have.grants[database], wanted.grants[database]})
	}
	return places, nil
}

// ofMaker reports whether these are the privileges that the server gives to who
// makes a routine. They come and go with it.
func (g grant) ofMaker(wanted account) bool {
	return g.routineIn != "" && slices.Contains(wanted.grants[g.routineIn], "CREATE ROUTINE") &&
		len(without(g.words, []string{"ALTER ROUTINE", "EXECUTE", "SHOW CREATE ROUTINE"})) == 0
}
