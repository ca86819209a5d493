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
// is known, and the provider is informed so.
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
	// Planned tells that a plan has shown the answer. Where no plan could ask, the
	// apply is the first to do so, and nobody has approved what it is answered.
	Planned bool `json:"planned,omitempty"`
	// At is when it was given.
	At time.Time `json:"at,omitzero"`
	// Plans counts the plans that were shown the same, and Actor made them all; it
	// is empty if several did.
	Plans int    `json:"plans,omitempty"`
	Actor string `json:"actor,omitempty"`
	// Begun tells that an apply has begun with it, and Used that the one of Actor
	// has ended well: then it is the answer of no plan that waits.
	Begun bool `json:"begun,omitempty"`
	Used  bool `json:"used,omitempty"`
}

// waits reports whether a plan that was shown so may still be applied.
func (a answer) waits() bool { return a.Planned && !a.Used }

// shows reports whether the takeover of what owner owns was shown.
func (a answer) shows(owner string) bool { return a.Adopts != nil && *a.Adopts == owner }

// same reports whether two answers tell a create the same.
func (a answer) same(b answer) bool {
	return a.Adopts == nil && b.Adopts == nil || b.Adopts != nil && a.shows(*b.Adopts)
}

// answer returns what is kept of a plan.
func (r *Runner) answer(j job, plan api.Plan) answer {
	a := answer{Impact: plan.Impact, Planned: !j.Write.Approved, At: r.Clock(), Plans: 1, Actor: j.Actor}
	if plan.Adopts != nil {
		a.Adopts = &plan.Adopts.Owner
	}
	return a
}

const (
	// createKey begins, behind the component, the keys of the answers to creates.
	createKey = "create-"
	// replaceKey follows it in those to the second half of a replacement. It adopts
	// what is its own: no plan shows that, and the dry run that begins the apply
	// does not know any more whose resource it is.
	replaceKey = "replace-"
)

// answerKey names the answers to a job of one plan. It begins with the
// component, whose answers are forgotten together. All creates of one spec share
// one key, as nothing tells whose plan an apply belongs to; use is that of the
// answers to replacements.
func (j job) answerKey(use string) string {
	if !j.creates() {
		return answerPrefix(j.ID) + api.OperationID(api.VerbApply, j.ID, j.Base, j.Write.Spec, j.Write.Basis)
	}
	return answerPrefix(j.ID) + createKey + use + api.OperationID(api.VerbApply, j.ID, 0, j.Write.Spec, "")
}

func answerPrefix(id api.ID) string { return id.LeafName() + "." }

// settle returns what a dry run is answered. A takeover that the approved plan
// did not show is refused: somebody was faster. An error of keeping is no reason
// to refuse a plan; what is not kept is not known, and the answer says so.
func (r *Runner) settle(j job, record *Record, plan api.Plan, reader bool) (settled api.Plan, kept error, err error) {
	own, now := &r.answered, r.answer(j, plan)
	if reader {
		own = &r.readers
	}
	if !j.Write.Approved {
		if j.creates() && j.Write.Held && record != nil {
			now.Adopts = &record.Ownership.Owner
			return plan, own.put(j.answerKey(replaceKey), now), nil
		}
		return plan, own.put(j.answerKey(""), now), nil
	}
	if plan.Adopts != nil {
		return r.settleTakeover(j, plan, own)
	}
	before, _, known := r.approved(j, "")
	if !known && j.creates() {
		before, _, known = r.approved(j, replaceKey)
	}
	if !known {
		plan.Forgotten = true
		return plan, own.put(j.answerKey(""), now), nil
	}
	plan.Impact = before.Impact
	return plan, r.answered.amend(j.answerKey(""), func(a *answer) bool {
		begins := j.creates() && a.waits() && !a.Begun
		a.Begun = a.Begun || begins
		return begins
	}), nil
}

// settleTakeover is settle for the apply of a create that finds a component. A
// plan of a create that may still wait decides, whatever was shown to a
// replacement: the apply may be its own. What a reader was shown approves
// nothing, as readers say themselves what they replace.
func (r *Runner) settleTakeover(j job, plan api.Plan, own *answers) (settled api.Plan, kept error, err error) {
	adopts := *plan.Adopts
	plan.Adopts = &adopts
	created, byReader, _ := r.approved(j, "")
	before := created
	if !created.waits() {
		before, byReader, _ = r.approved(j, replaceKey)
		adopts.Replaced = created.Plans <= 1 || !created.Planned
	}
	switch {
	case !before.waits():
		plan.Forgotten, adopts.Replaced = true, false
		return plan, own.put(j.answerKey(""), r.answer(j, plan)), nil
	case !before.shows(adopts.Owner):
		return api.Plan{}, nil, unshown(j.ID, adopts, "Another state was faster", "which the plan did not show. Nothing was changed; plan again, or import the component")
	case byReader:
		return api.Plan{}, nil, unshown(j.ID, adopts, "A reader cannot approve a takeover",
			"which only a plan by the role reader has shown. Nothing was changed; plan again as an administrator, or import the component")
	}
	plan.Impact = before.Impact
	return plan, nil, nil
}

// unshown is the problem of an apply that would take over what no plan has shown.
func unshown(id api.ID, adopts api.Adoption, title, why string) error {
	return &api.Problem{Type: api.ProblemOwned, Title: title,
		Detail: fmt.Sprintf("%s %s, %s", id, adopts.Belongs(), why)}
}

// approved returns the answer that the plan of an apply was given, as far as it is
// known, and whether a reader made the plan, which an admin may apply. What
// readers are answered is kept apart, so that they displace nobody's answers,
// whatever they send. What a plan has shown comes before what an apply was the
// first to ask. Of two plans of an update it is the newer one; an administrator's
// plan of a create, whose key every reader can name, comes before theirs.
func (r *Runner) approved(j job, use string) (before answer, byReader, known bool) {
	key := j.answerKey(use)
	admins, ours := r.answered.get(key)
	readers, theirs := r.readers.get(key)
	first := readers.waits() && (!admins.waits() || !j.creates() && readers.At.After(admins.At))
	if theirs && (!ours || first) {
		return readers, true, true
	}
	return admins, false, ours
}

// noteUse notes of the answer with which a create began that it is used: it
// refuses nothing any more. That is certain only if whoever made the component
// made the plans that were shown so.
func (r *Runner) noteUse(j job) {
	if !j.creates() {
		return
	}
	if err := r.answered.amend(j.answerKey(""), func(a *answer) bool {
		uses := a.waits() && a.Begun && a.Actor != "" && a.Actor == j.Actor
		a.Used = a.Used || uses
		return uses
	}); err != nil {
		r.Logger.Warn("the use of an answer to a dry run is not noted", "error", err)
	}
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

// put keeps an answer. It joins an equal one of plans that may still be applied,
// and what an apply was the first to ask replaces nothing that a plan has shown.
func (a *answers) put(key string, kept answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, known := a.get(key)
	switch {
	case known && before.Planned && !kept.Planned:
		return nil
	case known && before.waits() && before.same(kept):
		kept.Plans, kept.Begun = before.Plans+1, before.Begun
		if before.Actor != kept.Actor {
			kept.Actor = ""
		}
	}
	return a.write(key, kept)
}

// amend changes an answer that is known, if change says so.
func (a *answers) amend(key string, change func(*answer) bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept, known := a.get(key)
	if !known || !change(&kept) {
		return nil
	}
	return a.write(key, kept)
}

func (a *answers) write(key string, kept answer) error {
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
