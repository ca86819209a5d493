package dbreplication

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Files are the kinds of files of a [Node] in "replications", below the agent's
// directory. All stay where they are until they are replaced, since a damaged
// one is not the same as none: it may have been of a higher epoch.
func Files() []statefile.Kind {
	const replaced = "It was replaced since. Remove the file to end this condition."
	stays := func(file, holds string, check func(string, []byte) error, here string) statefile.Kind {
		return statefile.Kind{
			Pattern: "replications/*/" + file, Holds: holds, Stays: true, Renewed: true, Check: check,
			Severity: api.SeverityWarning, Then: replaced, Here: here,
		}
	}
	return []statefile.Kind{
		stays(recordFile, "what the machine has recorded of the replication", statefile.JSON(checkRecord), ""),
		stays(membershipFile, "which machines take part in the replication", statefile.JSON(func(_ string, m enlistment) error { return unless(len(m.Peers) > 0, "machines") }), ""),
		stays(configFile, "what the replication is to be", statefile.JSON(func(_ string, t api.DBConfig) error { return unless(t.Spec.Primary != "", "primary") }), ""),
		stays(seededFile, "the last copy of the data", statefile.JSON(func(_ string, s seeded) error { return unless(s.Order != "", "order") }),
			"The data themselves say whether they may be replaced. The next copy writes it again; without one, remove the file to end this condition."),
		stays(followedFile, "the password that the replica uses", statefile.JSON(func(_ string, f followed) error { return unless(f.Password != "", "password") }),
			"terraform apply gives the replica the password again."),
		stays(journalFile, "the journal of the replication's operations", statefile.JSON(func(_ string, e replication.Entry) error { return unless(e.Operation.ID != "", "operation") }),
			"Whether an operation was broken off is not known. terraform apply observes all machines again and continues from there."),
		stays(consentsFile, "the consents that were used up", statefile.JSON(func(_ string, b consentBook) error {
			return unless(len(b.Reseed)+len(b.Drop) > 0 || b.Operation != "", "consents")
		}),
			"Which consents were used up is not known. terraform apply takes those that it is given as used up; give another token where one is needed."),
		{
			Pattern: "replications/*", Holds: "the machine's part in a replication", Dir: true, Severity: api.SeverityError,
			Then:    "The machine neither votes nor opens its database. terraform apply sends it again.",
			Renewed: true,
		},
	}
}

func checkRecord(_ string, record replication.Record) error {
	return unless(record.Epoch > 0, "epoch")
}

// unless is what is wrong with a file that lacks what was always written.
func unless(has bool, what string) error {
	if has {
		return nil
	}
	return fmt.Errorf("it has no %s, and was never written without", what)
}

// check holds the content of a part's file against what its kind has to hold.
func check(path string, content []byte) error {
	for _, kind := range Files() {
		if kind.Check != nil && filepath.Base(kind.Pattern) == filepath.Base(path) {
			return kind.Check(path, content)
		}
	}
	return nil // of the runtime directory
}

// readFile reads a file of a part; found tells whether there is one. Its error
// is a [statefile.Damaged].
func readFile(path string, value any) (found bool, err error) {
	var content json.RawMessage
	return statefile.ReadJSON(path, &content, func() error {
		if err := check(path, content); err != nil {
			return err
		}
		return json.Unmarshal(content, value)
	})
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// keepDamaged keeps what is about to be replaced and is damaged.
func keepDamaged(path string) error {
	var value any
	if _, err := readFile(path, &value); err == nil {
		return nil
	}
	_, err := statefile.Keep(agentDir(path), path)
	return err
}

// agentDir returns the directory that [Deps.State], or Runtime, lies in.
func agentDir(path string) string {
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if filepath.Base(dir) == "replications" {
			return filepath.Dir(dir)
		}
	}
	return filepath.Dir(path)
}
