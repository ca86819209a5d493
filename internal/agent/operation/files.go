package operation

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// reserveFile is the [host.Reserve] of deletions, below the agent's directory.
const reserveFile = "reserve"

// Files are the kinds of files that a [Runner] keeps, below the agent's directory.
func Files() []statefile.Kind {
	return []statefile.Kind{
		{
			Pattern: "operations/*.json", Holds: "the record of an operation",
			Check: statefile.JSON(checkOperation), Severity: api.SeverityWarning,
			Then: "Components do not depend on it: an operation that was under way then was finished or undone by its own journal. Remove the file to end this condition.",
		},
		{
			Pattern: "operations/*.events", Holds: "the events of an operation",
			Severity: api.SeverityWarning,
			Then:     "Nothing depends on them. Remove the file to end this condition.",
		},
		{
			Pattern: "boot-id", Holds: "the last boot whose components were started",
			Severity: api.SeverityWarning,
			Then:     "The agent has started all components again, also those that were stopped since the boot. Remove the file to end this condition.",
		},
		{
			Pattern: reserveFile, Holds: "nothing, and takes the room that deletions need on a full disk",
			Severity: api.SeverityWarning,
			Then:     "The agent has made it again. Remove the file to end this condition.",
		},
		{
			Pattern: "components/*/*.json", Holds: "the record of a component", Stays: true, Renewed: true,
			Leftovers: []string{"components/*/.*.foobar-new"},
			Check:     statefile.JSON(checkRecord), Severity: api.SeverityWarning,
			Then: "The component was applied again since. Remove the file to end this condition.",
		},
		{
			Pattern: "secrets/*/*.json", Holds: "the secrets of a component", Stays: true, Renewed: true,
			Leftovers: []string{"secrets/*/.*.foobar-new"},
			Check:     statefile.JSON(checkSecrets), Severity: api.SeverityWarning,
			Then: "The component was applied again since. Remove the file to end this condition.",
		},
	}
}

func checkOperation(path string, op api.Operation) error {
	switch {
	case op.ID+".json" != filepath.Base(path):
		return errors.New("it is not the record of the operation that it is named for")
	case op.Component.Name == "" || op.Verb != api.VerbApply && op.Verb != api.VerbDelete:
		return fmt.Errorf("%q is no operation that this version of the agent knows", op.Verb)
	case !op.State.Done() && op.State != api.OperationQueued && op.State != api.OperationRunning:
		return fmt.Errorf("%q is no state that this version of the agent knows", op.State)
	}
	return nil
}

func checkRecord(path string, r Record) error {
	kind, name := filepath.Base(filepath.Dir(path)), strings.TrimSuffix(filepath.Base(path), ".json")
	switch {
	case string(r.Kind) != kind || r.Name != name:
		return errors.New("it is not the record of the component that it is named for")
	case r.Generation < 1 || !json.Valid(r.Spec):
		return errors.New("it has no generation or no spec, which this version of the agent always writes")
	}
	return nil
}

func checkSecrets(_ string, held secrets) error {
	if held.Version < 1 {
		return errors.New("it has no version, which this version of the agent always writes")
	}
	return nil
}

// recordLost is the problem of a read of a component whose record is damaged.
func recordLost(record *Record) error {
	return &api.Problem{
		Type: api.ProblemDamaged, Title: "The component's record is damaged", File: record.lost.Path,
		Detail: fmt.Sprintf("what was applied to %s is not known: %v. It runs on as it is, and the file stays as it is. terraform apply restores it from the state that holds it. If no state does, move the file away on the machine as root, and apply again", record.ID, record.lost),
	}
}

// record returns what a job goes on from. One that is lost is of the generation
// that the job is based on: nobody else can say.
func (r *Runner) record(j job) *Record {
	record := r.store.read(j.ID)
	if record != nil && record.lost != nil {
		record.Generation = j.Base
	}
	return record
}

// unsure reports whether the running engine may have read other files than
// those that are recorded or in place.
func (r *Runner) unsure(id api.ID, record *Record) bool {
	mark, _ := r.Engine.Unsure(id)
	return record != nil && record.lost != nil || mark != "" || r.undoHeld(id)
}

// noteUnsure adds what of a component's own files is damaged to its drift: an
// apply repairs it.
func (r *Runner) noteUnsure(id api.ID, drift map[string]api.Drift) {
	if path, why := r.Engine.Unsure(id); path != "" {
		drift[path] = api.Drift{Detail: why + ": some files and the running engine may be as before it, others as after it"}
	}
	if _, damaged := r.store.secrets(id); damaged != nil {
		drift[damaged.Path] = api.Drift{Detail: fmt.Sprintf("the secrets that the agent keeps are damaged: %v", damaged.Err)}
	}
}
