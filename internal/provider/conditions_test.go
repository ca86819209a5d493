package provider_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// conditionPatterns match where the code makes a condition, or warns with one at the
// end of an apply.
func conditionPatterns() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`Type(?::|, c\.Severity =)\s+"([A-Z][a-z]\w+)"`),
		regexp.MustCompile(`\bWarn\("([A-Z][a-z]\w+)"`),
	}
}

// TestTheGuidesListEveryCondition that agent and provider can show: what a plan or
// foobar-agent status names, somebody looks up.
func TestTheGuidesListEveryCondition(t *testing.T) {
	guides := ""
	pages, err := filepath.Glob(filepath.Join(root, "docs/guides/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		guides += read(t, page)
	}
	found := 0
	for _, room := range []string{"agent", "provider", "cmd/foobar-agent"} {
		err := filepath.WalkDir(filepath.Join(root, "internal", room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(filepath.Dir(path), "test") {
				return err
			}
			source, err := os.ReadFile(path) //nolint:gosec // of this repository
			for _, pattern := range conditionPatterns() {
				for _, match := range pattern.FindAllStringSubmatch(string(source), -1) {
					found++
					if !strings.Contains(guides, "`"+match[1]+"`") {
						t.Errorf("%s has the condition %s, which no guide names", path, match[1])
					}
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 30 {
		t.Errorf("only %d conditions were found in the code", found)
	}
}
