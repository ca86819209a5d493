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
}

// answer returns what is kept of a plan. A resource that replaces itself adopts
// what is its own: no plan shows that, and the one that begins the apply does not
// know any more whose resource it is.
func (j job) answer(plan api.Plan, record *Record) answer {
	a := answer{Impact: plan.Impact}
	switch {
	case plan.Adopts != nil:
		a.Adopts = &plan.Adopts.Owner
	case j.creates() && j.Write.Held && record != nil:
		a.Adopts = &record.Ownership.Owner
	}
	return a
}

// answerKey names the answers to a job of one plan. It begins with the
// component, whose answers are forgotten together.
func (j job) answerKey() string {
	return j.answerPrefix() + api.OperationID(api.VerbApply, j.ID, j.Base, j.Write.Spec, j.Write.Basis)
}

func (j job) answerPrefix() string { return j.ID.LeafName() + "." }

// settle returns what a dry run is answered. A takeover that the approved plan
// did not show is refused: somebody was faster. An error of keeping is no reason
// to refuse a plan; what is not kept is not known, and the answer says so. What
// readers are answered is kept apart, so that they displace nobody's answers,
// whatever they send.
func (r *Runner) settle(j job, record *Record, plan api.Plan, reader bool) (settled api.Plan, kept error, err error) {
	own := &r.answered
	if reader {
		own = &r.readers
	}
	if !j.Write.Approved {
		return plan, own.put(j.answerKey(), j.answer(plan, record)), nil
	}
	before, known := r.answered.get(j.answerKey())
	if !known { // a plan that a reader made may be applied by an admin
		before, known = r.readers.get(j.answerKey())
	}
	if !known {
		plan.Forgotten = true
		return plan, own.put(j.answerKey(), j.answer(plan, record)), nil
	}
	if plan.Adopts != nil && (before.Adopts == nil || *before.Adopts != plan.Adopts.Owner) {
		return api.Plan{}, nil, &api.Problem{Type: api.ProblemOwned, Title: "Another state was faster",
			Detail: fmt.Sprintf("%s belongs to another Terraform state: it was taken by %s, which the plan did not show. Nothing was changed; plan again", j.ID, plan.Adopts.By())}
	}
	plan.Impact = before.Impact
	return plan, nil, nil
}

// forget removes what was answered about a component that a job has changed, but
// what a plan has shown of the job's own apply stays true: the takeover of what it
// was creating.
func (a *answers) forget(j job) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	entries, err := os.ReadDir(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	failures := []error{err}
	for _, e := range entries {
		key, ours := strings.CutSuffix(e.Name(), ".json")
		kept, _ := a.get(key)
		shown := ours && j.verb == api.VerbApply && kept.Adopts != nil && *kept.Adopts == j.Write.Owner
		if strings.HasPrefix(e.Name(), j.answerPrefix()) && !shown {
			failures = append(failures, os.RemoveAll(filepath.Join(a.dir, e.Name())))
		}
	}
	_ = os.Remove(a.dir) // which fails where answers about others are left
	return errors.Join(failures...)
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
