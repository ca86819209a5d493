package foreign_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// giving lists the files of the agent whose code gives files to another account or
// change who may do what with them, each with why no other account can swap what
// it reaches. Whoever needs one more finds what it takes in this package.
var giving = map[string]string{
	"agent/converge/disk.go":               "by descriptor, of what it has made itself or opened without following a link",
	"agent/server/local.go":                "of a socket in /run/foobar, which is root's",
	"agent/blob/unpack.go":                 "below a directory of root's, by a descriptor of it",
	"agent/dbreplication/store.go":         "by descriptor, of a file in a directory of root's",
	"agent/operation/conformance/tests.go": "of tests, which make damage",
}

// TestWhoGivesFilesAway holds the callers against the list.
func TestWhoGivesFilesAway(t *testing.T) {
	found := map[string]bool{}
	for _, room := range []string{"agent", "replication"} {
		err := filepath.WalkDir(filepath.Join("..", room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(node ast.Node) bool {
				if call, ok := node.(*ast.SelectorExpr); ok && slices.Contains([]string{"Chown", "Lchown", "Fchown", "Fchownat", "Chmod", "Fchmod", "Fchmodat"}, call.Sel.Name) {
					found[strings.TrimPrefix(filepath.ToSlash(path), "../")] = true
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, caller := range slices.Sorted(maps.Keys(found)) {
		if giving[caller] == "" {
			t.Errorf("%s changes the owner or the mode of a file: use package foreign, or add it to the list with the reason why no other account can swap what it reaches", caller)
		}
	}
	for _, caller := range slices.Sorted(maps.Keys(giving)) {
		if !found[caller] {
			t.Errorf("%s is in the list and does not do it any more", caller)
		}
	}
}
