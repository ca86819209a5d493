package operation

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// answersDir is where answers are kept, below the agent's runtime directory,
	// and readersDir where those to readers are.
	answersDir = "answers"
	readersDir = "readers-answers"
	// keepAnswers bounds how many are kept in each of them.
	keepAnswers = 1024
)

// answers keeps what dry runs were answered, so that the one with which an
// apply begins is answered as the approved plan was: Terraform takes another
// answer for a bug of the provider. An answer is needed for as long as a plan
// may be applied, which is longer than an agent runs. So each is a small file in
// the runtime directory, which is in memory: it outlives the agent and not the
// boot, and a dry run still writes nothing to the disk. After a boot no answer
// is known, and the provider is told so.
type answers struct {
	dir string
	// mu makes the count of the files right.
	mu sync.Mutex
}

// answer is what is compared of an answer.
type answer struct {
	Impact api.Impact `json:"impact"`
	// Adopts is whose component would be adopted, nil if none would.
	Adopts *string `json:"adopts,omitempty"`
	// Replaced tells that it is the asker's own, which a replacement adopts.
	Replaced bool `json:"replaced,omitempty"`
	// Planned tells that a plan has shown the answer. Where no plan could ask, the
	// apply is the first to do so, and nobody has approved what it is answered.
	Planned bool `json:"planned,omitempty"`
}

// answer returns what is kept of a plan. A resource that replaces itself adopts
// what is its own: no plan shows that, and the one that begins the apply does not
// know any more whose resource it is.
func (j job) answer(plan api.Plan, record *Record) answer {
	a := answer{Impact: plan.Impact, Planned: !j.Write.Approved}
	switch {
	case plan.Adopts != nil:
		a.Adopts = &plan.Adopts.Owner
	case j.creates() && j.Write.Held && record != nil:
		a.Adopts, a.Replaced = &record.Ownership.Owner, true
	}
	return a
}

// shows reports whether the takeover of what owner owns was shown.
func (a answer) shows(owner string) bool { return a.Adopts != nil && *a.Adopts == owner }

// createKey begins, behind the component, the keys of the answers to creates.
const createKey = "create-"

// answerKey names the answers to a job of one plan. It begins with the
// component, whose answers are forgotten together.
func (j job) answerKey() string {
	key := api.OperationID(api.VerbApply, j.ID, j.Base, j.Write.Spec, j.Write.Basis)
	if j.creates() {
		key = createKey + key
	}
	return answerPrefix(j.ID) + key
}

func answerPrefix(id api.ID) string { return id.LeafName() + "." }

// settle returns what a dry run is answered. A takeover that the approved plan
// did not show is refused: somebody was faster. An error of keeping is no reason
// to refuse a plan; what is not kept is not known, and the answer says so.
func (r *Runner) settle(j job, record *Record, plan api.Plan, reader bool) (settled api.Plan, kept error, err error) {
	own := &r.answered
	if reader {
		own = &r.readers
	}
	if !j.Write.Approved {
		return plan, own.put(j.answerKey(), j.answer(plan, record)), nil
	}
	before, byReader, known := r.approved(j.answerKey())
	switch {
	case !known || plan.Adopts != nil && !before.Planned:
		plan.Forgotten = true
		return plan, own.put(j.answerKey(), j.answer(plan, record)), nil
	case plan.Adopts == nil:
	case !before.shows(plan.Adopts.Owner):
		return api.Plan{}, nil, unshown(j.ID, plan.Adopts, "Another state was faster", "which the plan did not show. Nothing was changed; plan again, or import the component")
	case byReader && !before.Replaced:
		return api.Plan{}, nil, unshown(j.ID, plan.Adopts, "A reader cannot approve a takeover",
			"which only a plan by the role reader has shown. Nothing was changed; plan again as an administrator, or import the component")
	}
	plan.Impact = before.Impact
	return plan, nil, nil
}

// unshown is the problem of an apply that would take over what no plan has shown.
func unshown(id api.ID, adopts *api.Adoption, title, why string) error {
	return &api.Problem{Type: api.ProblemOwned, Title: title,
		Detail: fmt.Sprintf("%s belongs to another Terraform state: it was taken by %s, %s", id, adopts.By(), why)}
}

// approved returns the answer that the plan of an apply was given, as far as it is
// known, and whether a reader made the plan, which an admin may apply. What
// readers are answered is kept apart, so that they displace nobody's answers,
// whatever they send. What a plan has shown comes before what an apply was the
// first to ask.
func (r *Runner) approved(key string) (before answer, byReader, known bool) {
	admins, ours := r.answered.get(key)
	readers, theirs := r.readers.get(key)
	if theirs && (!ours || readers.Planned && !admins.Planned) {
		return readers, true, true
	}
	return admins, false, ours
}

// forget removes what was answered about updates of a component that was removed:
// a new one begins at the first generation again. An answer to a create stays: it
// said whether something was in place, and what another state creates later is
// still nothing that the plan has shown. A later plan replaces it.
func (a *answers) forget(id api.ID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	entries, err := os.ReadDir(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	failures := []error{err}
	for _, e := range entries {
		if key, found := strings.CutPrefix(e.Name(), answerPrefix(id)); found && !strings.HasPrefix(key, createKey) {
			failures = append(failures, os.RemoveAll(filepath.Join(a.dir, e.Name())))
		}
	}
	_ = os.Remove(a.dir) // which fails where other answers are left
	return errors.Join(failures...)
}

// forgetAnswers removes what was answered about updates of a component that was
// removed; see [answers.forget].
func (r *Runner) forgetAnswers(id api.ID) {
	if err := errors.Join(r.answered.forget(id), r.readers.forget(id)); err != nil {
		r.Logger.Warn("answers to dry runs are not removed", "error", err)
	}
}

func (a *answers) path(key string) string { return filepath.Join(a.dir, key+".json") }

// get returns an answer. A damaged one is not known.
func (a *answers) get(key string) (answer, bool) {
	var kept answer
	found, err := statefile.ReadJSON(a.path(key), &kept, func() error {
		if !slices.Contains(api.Impacts(), kept.Impact) {
			return fmt.Errorf("%q is no impact", kept.Impact)
		}
		return nil
	})
	if !found || err != nil {
		return answer{}, false
	}
	return kept, true
}

func (a *answers) put(key string, kept answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return fmt.Errorf("keep the answer to a dry run: %w", err)
	}
	if err := replaceFile(a.path(key), api.Encode(kept)); err != nil {
		return fmt.Errorf("keep the answer to a dry run: %w", err)
	}
	return a.prune()
}

// prune removes the oldest files, also what a kill has left of one.
func (a *answers) prune() error {
	entries, err := os.ReadDir(a.dir)
	if err != nil || len(entries) <= keepAnswers {
		return err
	}
	written := make(map[string]time.Time, len(entries))
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			written[e.Name()] = info.ModTime()
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		return cmp.Or(written[a.Name()].Compare(written[b.Name()]), cmp.Compare(a.Name(), b.Name()))
	})
	var failures []error
	for _, e := range entries[:len(entries)-keepAnswers] {
		failures = append(failures, os.RemoveAll(filepath.Join(a.dir, e.Name())))
	}
	return errors.Join(failures...)
}
