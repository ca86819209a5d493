package converge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// unsureSuffix ends the name of the mark beside a component's journal.
const unsureSuffix = ".unsure"

// Files are the kinds of files that an [Engine] keeps, below the agent's
// directory. What is below a journal's directory goes with it.
func Files() []statefile.Kind {
	return []statefile.Kind{
		{
			Pattern: "transactions/*/*/" + journalFile, Holds: "the undo journal of a change", Stays: true,
			Check: statefile.JSON(checkJournal), Severity: api.SeverityError,
		},
		{
			Pattern: "transactions/*/*", Holds: "the undo journal of a change", Dir: true, Leftovers: []string{"transactions/*/.*.foobar-new"}, Severity: api.SeverityError,
			Then: "Some files of the component, and what runs, may be as before the interrupted change, others as after it. " +
				"terraform apply sets it right. If the component is in no configuration any more, apply it once more and destroy it.",
			Settled: func(path string) bool { return !exists(path + unsureSuffix) },
		},
	}
}

func checkJournal(path string, j journal) error {
	if j.Component != journalOf(path) {
		return errors.New("it is not the journal of the component that it is named for")
	}
	return nil
}

// state returns the agent's directory, on the disk.
func (e *Engine) state() string { return e.disk().path(filepath.Dir(e.Dir)) }

// Unsure returns a path that tells that the state of a component is not known, and why
// not; "" if it is known. The next transaction makes it so.
func (e *Engine) Unsure(id api.ID) (mark, why string) {
	mark = e.journalDir(id) + unsureSuffix
	content, err := statefile.Read(e.disk().path(mark))
	if err == nil && content == nil && !exists(e.disk().path(mark)) {
		return "", ""
	}
	if why = strings.TrimSpace(string(content)); why == "" {
		why = damagedJournal
	}
	return mark, why
}

// damagedJournal and leftUndoing are why the state of a component is not known.
const (
	damagedJournal = "the journal of an interrupted change was damaged"
	leftUndoing    = "a change failed and could not be undone, and another one went on from there"
)

// giveUp sets the journal of a component aside, and forgets the one that its transaction
// went on from. The mark comes first, with the reason: a kill in between loses neither.
func (e *Engine) giveUp(id api.ID, why string) error {
	if err := e.markUnsure(id, why); err != nil {
		return err
	}
	if err := e.forgetLeft(id); err != nil {
		return err
	}
	_, err := statefile.SetAside(e.state(), e.disk().path(e.journalDir(id)))
	return err
}

func (e *Engine) markUnsure(id api.ID, why string) error {
	return e.disk().replace(e.journalDir(id)+unsureSuffix, []byte(why+"\n"), rootOnly())
}

// makeSure takes the mark away.
func (e *Engine) makeSure(id api.ID) error { return e.disk().remove(e.journalDir(id) + unsureSuffix) }

// copyOf returns the content that a file had. A copy that is not what was saved
// is damaged.
func (e *Engine) copyOf(j *journal, s saved) ([]byte, error) {
	path := e.disk().path(filepath.Join(e.journalDir(j.Component), s.Copy))
	content, err := statefile.Read(path)
	switch {
	case err != nil:
		return nil, err
	case content == nil && !exists(path):
		return nil, &statefile.Damaged{Path: path, Err: os.ErrNotExist}
	case sum(content) != s.Sum:
		return nil, &statefile.Damaged{Path: path, Err: fmt.Errorf("it is not the copy of %s that was saved", strings.TrimSpace(s.Path))}
	}
	return content, nil
}
