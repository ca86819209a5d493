package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// ConditionAside is the type of the condition of files that were set aside.
const ConditionAside = "StateFileDamaged"

// Sweep is called at the agent's start, before components and operations are read;
// whoever reads earlier, as the identity and the replications do, finds damaged files
// in their place. It removes what a kill left half written, and sets aside damaged
// files, unless they stay, and what is in the place of a directory whose name a
// pattern spells out. What is in the place of another one stays for its readers. What
// it cannot do it logs: the start goes on.
func Sweep(dir string, kinds []Kind, log hclog.Logger) {
	for _, kind := range kinds {
		for _, parent := range fixedParents(kind.Pattern) {
			if info, err := os.Lstat(filepath.Join(dir, parent)); err == nil && !info.IsDir() {
				report(log, dir, filepath.Join(dir, parent), errors.New("it is in the place of a directory"))
			}
		}
		for _, pattern := range append(kind.Leftovers, kind.Pattern+NewSuffix) {
			for _, path := range matches(dir, pattern) {
				if info, err := os.Lstat(path); kind.Dir && err == nil && info.IsDir() {
					continue // a directory of the kind whose name ends so
				}
				if err := os.RemoveAll(path); err != nil {
					log.Warn("a file that was half written cannot be removed", "file", path, "error", err)
				}
			}
		}
		for _, path := range matches(dir, kind.Pattern) {
			if err := kind.inspect(path); err != nil && !kind.Stays {
				report(log, dir, path, err)
			} else if err != nil {
				log.Error("a file of the agent is damaged", "file", path, "reason", err)
			}
		}
	}
}

// settled reports whether nothing more follows from a file that was set aside.
func (k Kind) settled(path string) bool {
	info, err := os.Lstat(path)
	switch {
	case k.Settled != nil:
		return k.Settled(path)
	case !k.Renewed:
		return false
	case errors.Is(err, fs.ErrNotExist):
		return k.Stays // it was set aside when another was written
	case k.Dir:
		return err == nil && info.IsDir()
	}
	return k.inspect(path) == nil
}

// inspect reports what is wrong with a file.
func (k Kind) inspect(path string) error {
	if k.Dir {
		return nil
	}
	if k.Check == nil { // of any size, and with any content
		info, err := os.Lstat(path)
		if err != nil {
			return nil //nolint:nilerr // it was just removed
		}
		return regular(info.Mode())
	}
	content, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return plain(err)
	}
	return k.Check(path, content)
}

func report(log hclog.Logger, dir, path string, reason error) {
	to, err := SetAside(dir, path)
	if err != nil {
		log.Error("a damaged file of the agent cannot be set aside", "file", path, "reason", reason, "error", err)
		return
	}
	log.Error("a damaged file of the agent was set aside", "file", path, "reason", reason, "now", to)
}

// fixedParents returns the directories of a pattern that have a name of their own.
func fixedParents(pattern string) []string {
	var parents []string
	for dir := filepath.Dir(pattern); dir != "."; dir = filepath.Dir(dir) {
		if !strings.ContainsAny(dir, "*?[") {
			parents = append([]string{dir}, parents...)
		}
	}
	return parents
}

func matches(dir, pattern string) []string {
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return nil // the pattern is one of the table's
	}
	return found
}

// named is how many files of a kind a condition names.
const named = 3

// Conditions returns what follows from the files that were set aside, and are
// not replaced yet: one condition for each kind of file.
func Conditions(dir string, kinds []Kind) []api.Condition {
	found := make([][]aside, len(kinds)+1)
	for _, a := range asideIn(dir) {
		i := kindOf(kinds, a.path)
		if i < len(kinds) && kinds[i].settled(filepath.Join(dir, a.path)) {
			continue
		}
		found[i] = append(found[i], a)
	}
	all := present(dir, kinds)
	for i, files := range found {
		if len(files) == 0 {
			continue
		}
		kind := Kind{Holds: "of the agent", Severity: api.SeverityWarning, Then: "What was in it is lost. Remove it to end this condition."}
		if i < len(kinds) {
			kind = kinds[i]
		}
		all = append(all, api.Condition{
			Type: ConditionAside, Severity: kind.Severity,
			Message: fmt.Sprintf("Damaged and set aside: %s (%s). %s", list(files), kind.Holds, kind.Then),
		})
	}
	return all
}

// present returns the conditions of damaged files that stay where they are.
func present(dir string, kinds []Kind) []api.Condition {
	var all []api.Condition
	for _, kind := range kinds {
		if kind.Here == "" {
			continue
		}
		for _, path := range matches(dir, kind.Pattern) {
			if err := kind.inspect(path); err != nil {
				all = append(all, api.Condition{
					Type: ConditionAside, Severity: kind.Severity,
					Message: fmt.Sprintf("Damaged: %s (%s): %v. %s", path, kind.Holds, err, kind.Here),
				})
			}
		}
	}
	return all
}

// kindOf returns the index of the kind that a file is of, len(kinds) if of none.
func kindOf(kinds []Kind, path string) int {
	for i, kind := range kinds {
		if ok, _ := filepath.Match(kind.Pattern, path); ok {
			return i
		}
	}
	return len(kinds)
}

func list(files []aside) string {
	var names []string
	for _, f := range files[:min(len(files), named)] {
		names = append(names, f.at)
	}
	text := strings.Join(names, ", ")
	if more := len(files) - named; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
