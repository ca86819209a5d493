package operation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// admission is what may be done for a job, given what is recorded.
type admission int

const (
	refused admission = iota
	// change: the job goes on from what is recorded.
	change
	// adopt: the component is there already with the wanted spec.
	adopt
)

// admit compares what a job is based on with what is recorded. Its error tells
// who was there first.
func (r *Runner) admit(j job, record *Record) (admission, error) {
	switch {
	case record != nil && record.lost != nil && j.verb == api.VerbDelete: // its files and units are not known
		return refused, recordLost(record)
	case record != nil && record.lost != nil && j.creates() && !j.Write.Held: // whose it is, is not known: it may be another's
		return refused, recordLost(record)
	case record != nil && record.lost != nil:
		return change, nil //nolint:nilerr // what is lost is replaced
	case record == nil && j.verb == api.VerbDelete:
		return refused, notFound("component %s", j.ID)
	case record == nil && j.Base == 0:
		return change, nil
	case record == nil:
		return refused, &api.Problem{Type: api.ProblemGeneration, Title: "The component was changed by somebody else",
			Detail: fmt.Sprintf("generation %d of %s is expected, but there is none on this machine: it was removed, or the machine was rebuilt", j.Base, j.ID)}
	case j.creates() && !j.Write.Held && !sameSpec(j.kind, j.spec, record.Spec):
		return refused, exists(j.ID, record)
	case !j.mayWrite(record.Ownership.Owner):
		return refused, owned(j.ID, record)
	case j.Base == record.Generation && j.verb == api.VerbDelete:
		return change, nil
	case j.verb == api.VerbApply && sameSpec(j.kind, j.spec, record.Spec) && (j.Base == 0 || j.Base == record.Generation):
		return adopt, nil
	case j.Base == record.Generation || j.changesOwn(record):
		return change, nil
	case j.creates():
		return refused, exists(j.ID, record)
	}
	return refused, &api.Problem{Type: api.ProblemGeneration, Title: "The component was changed by somebody else",
		Detail: fmt.Sprintf("generation %d of %s is expected, but generation %d was applied by %s; plan again", j.Base, j.ID, record.Generation, record.by())}
}

// exists is the problem of a create of what stands with another spec.
func exists(id api.ID, record *Record) error {
	return &api.Problem{Type: api.ProblemExists, Title: "The component exists with another configuration",
		Detail: fmt.Sprintf("%s is on this machine already, as applied by %s", id, record.by())}
}

func (r *Record) by() string {
	return fmt.Sprintf("%s at %s", r.Actor, r.AppliedAt.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// sameSpec compares a spec with a recorded one as this agent understands it.
func sameSpec(kind Kind, spec Spec, recorded json.RawMessage) bool {
	before, err := kind.Validate(recorded)
	return err == nil && string(api.Encode(before)) == string(api.Encode(spec))
}

// target is what a job is about to put in place.
type target struct {
	version converge.Version
	// secrets are the values that it was rendered with.
	secrets secrets
}

// execute does what a job asks for and returns the component's generation
// after it.
func (r *Runner) execute(ctx context.Context, j job) (int64, error) {
	record := r.record(j)
	how, err := r.admit(j, record)
	if err != nil {
		return 0, err
	}
	if j.verb == api.VerbDelete {
		return 0, r.converge(ctx, j, record, nil)
	}
	r.log.event(j.Operation, api.PhaseValidate, "the spec is valid")
	if how == adopt {
		intact, err := r.intact(ctx, j, record)
		if err != nil {
			return 0, err
		}
		if intact {
			if err := r.hand(record, j.Write.Owner, j.Actor); err != nil {
				return 0, err
			}
			r.log.event(j.Operation, api.PhaseCommit, "nothing to do: everything is as it was applied")
			return record.Generation, nil
		}
	}
	to, err := r.prepare(ctx, j, record)
	if err != nil {
		return 0, err
	}
	if err := r.converge(ctx, j, record, to); err != nil {
		return 0, err
	}
	return next(record), nil
}

func next(record *Record) int64 {
	if record == nil {
		return 1
	}
	return record.Generation + 1
}

// intact reports whether a component stands as it was recorded, on the disk
// and in the running engine, and with the secrets that its spec asks for.
func (r *Runner) intact(ctx context.Context, j job, record *Record) (bool, error) {
	seen, err := r.inspect(ctx, j.kind, record)
	if err != nil {
		return false, err
	}
	held, _ := r.store.secrets(j.ID)
	return len(seen.drift) == 0 && string(seen.observed) == string(seen.spec) && held.Version == secretsVersion(j.spec), nil
}

// prepare does all that can be done before anything is touched: claims,
// secrets, rendering, the engine's own check.
func (r *Runner) prepare(ctx context.Context, j job, record *Record) (*target, error) {
	if err := r.claim(j); err != nil {
		return nil, err
	}
	values, err := r.chooseSecrets(j, true)
	if err != nil {
		return nil, err
	}
	r.log.event(j.Operation, api.PhaseRender, "render files and units")
	state, err := r.render(ctx, j, record, values)
	if err != nil {
		return nil, err
	}
	to := &target{converge.Version{Spec: j.spec, State: state}, values}
	if err := r.uploaded(ctx, state); err != nil {
		return nil, err
	}
	if err := r.authentic(ctx, state, nil); err != nil {
		return nil, err
	}
	r.log.event(j.Operation, api.PhaseCheck, "have the engine check the configuration")
	return to, r.check(ctx, j, to.version)
}

// render turns a job's spec into a state, to stand beside what is in place.
func (r *Runner) render(ctx context.Context, j job, record *Record, values secrets) (converge.State, error) {
	before, err := r.inPlace(ctx, record)
	if err != nil {
		return converge.State{}, err
	}
	state, err := j.kind.Render(j.ID.Name, j.spec, values.Values, before)
	if err == nil && record != nil && record.lost != nil {
		err = r.assume(ctx, j, record, state, values)
	}
	if err != nil {
		return converge.State{}, fmt.Errorf("render %s: %w", j.ID, err)
	}
	return state, nil
}

// inPlace returns what stands of a component. Where it is not known what the
// running engine has read, all of it counts as touched.
func (r *Runner) inPlace(ctx context.Context, record *Record) (converge.InPlace, error) {
	if record == nil || record.lost != nil {
		return converge.InPlace{}, nil
	}
	state := record.Applied.State
	if r.unsure(record.ID, record) {
		return converge.InPlace{State: state, Touched: state.Everything()}, nil
	}
	touched, err := r.Engine.Touched(ctx, record.Applied)
	return converge.InPlace{State: state, Touched: touched}, err
}

// assume has a lost record say that a state was applied: what differs from it is
// put right, and a failure brings back what stands now. What the kind would make
// beside that state may stand instead: it counts as applied too, so that it goes.
func (r *Runner) assume(ctx context.Context, j job, record *Record, state converge.State, values secrets) error {
	beside, err := j.kind.Render(j.ID.Name, j.spec, values.Values, converge.InPlace{State: state, Touched: state.Everything()})
	if err != nil {
		return err
	}
	var standing []converge.Unit
	for _, unit := range beside.Units {
		status, err := r.Units.Status(ctx, unit.Name)
		if err != nil {
			return err
		}
		if !status.Missing() {
			standing = append(standing, unit)
		}
	}
	beside.Units = standing
	record.Applied = converge.NewApplied(nil, state.And(beside))
	return nil
}

// uploaded makes sure that the artifacts of trees that do not stand yet are here.
func (r *Runner) uploaded(ctx context.Context, state converge.State) error {
	missing, err := r.missing(ctx, state)
	if err != nil || len(missing) == 0 {
		return err
	}
	problem := blob.Missing(missing[0].SHA256)
	problem.Violations = []api.Violation{{Pointer: missing[0].Source, Detail: problem.Detail}}
	problem.Detail = ""
	return problem
}

// missing returns the trees whose artifact is needed and not here: they do not
// stand yet, or have a signature to be checked.
func (r *Runner) missing(ctx context.Context, state converge.State) ([]converge.Tree, error) {
	var missing []converge.Tree
	for _, t := range state.Trees {
		status, err := r.Blobs.Status(ctx, t.SHA256)
		if err != nil {
			return nil, err
		}
		if status.Complete {
			continue
		}
		stands := false
		if t.Signature == nil {
			if stands, err = r.Engine.Stands(ctx, t); err != nil {
				return nil, err
			}
		}
		if !stands {
			missing = append(missing, t)
		}
	}
	return missing, nil
}

// authentic makes sure that the signatures of all artifacts hold, apart from
// those that are missing: before anything of them is unpacked.
func (r *Runner) authentic(ctx context.Context, state converge.State, missing []converge.Tree) error {
	for _, t := range state.Trees {
		if t.Signature == nil || slices.ContainsFunc(missing, func(o converge.Tree) bool { return o.Path == t.Path }) {
			continue
		}
		signature, found := artifact.ParseSignature(t.Signature.Text, t.Signature.Keys)
		if len(found) > 0 { // which Validate has seen to
			return fmt.Errorf("read the signature of %s: %w", t.SHA256, found[0])
		}
		err := r.Blobs.Authenticate(ctx, t.SHA256, signature)
		if bad, ok := errors.AsType[*artifact.SignatureError](err); ok {
			return api.Violations{{Pointer: t.Signature.Source, Detail: bad.Reason}}.Problem()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPrefix begins the name of a directory in which a state is checked.
const checkPrefix = "check-"

// check writes a state where only the engine's checker will look for it.
func (r *Runner) check(ctx context.Context, j job, v converge.Version) (err error) {
	dir, err := os.MkdirTemp(r.Runtime, checkPrefix)
	if err != nil {
		return fmt.Errorf("stage %s: %w", j.ID, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	staged, err := converge.Stage(dir, j.ID.Name, v)
	if err != nil {
		return err
	}
	return j.kind.Check(ctx, staged)
}

// claim notes the ports that a job's spec listens on, unless others have them:
// components that stand, those that are being applied, the agent itself.
func (r *Runner) claim(j job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.claimed(j); err != nil {
		return err
	}
	r.component(j.ID).claims = j.spec.Claims()
	return nil
}

// claimable is claim for a dry run: it notes nothing.
func (r *Runner) claimable(j job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.claimed(j)
}

func (r *Runner) claimed(j job) error {
	taken, err := r.taken(j.ID)
	if err != nil {
		return err
	}
	var found api.Violations
	for _, want := range j.spec.Claims() {
		for holder, claims := range taken {
			for _, has := range claims {
				if want.Overlaps(has) {
					found = append(found, api.Violation{Pointer: want.Pointer, Holder: holder,
						Detail: fmt.Sprintf("%s is taken by %s on this machine; choose another port or address", want, holder)})
				}
			}
		}
	}
	if len(found) > 0 {
		return &api.Problem{Type: api.ProblemClaimed, Title: "The port is taken", Violations: found}
	}
	return nil
}

// taken returns the claims of all but one component, by their holder. The
// caller holds r.mu.
func (r *Runner) taken(but api.ID) (map[string][]api.Claim, error) {
	taken := map[string][]api.Claim{"the agent itself": r.Reserved}
	records, err := r.store.list()
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		if kind := r.kinds[record.Kind]; kind != nil && record.ID != but {
			taken[record.String()] = claims(kind, record)
		}
	}
	for id, c := range r.components {
		if id != but && len(c.claims) > 0 {
			taken[id.String()] = append(taken[id.String()], c.claims...)
		}
	}
	return taken, nil
}

func claims(kind Kind, record *Record) []api.Claim {
	spec, err := kind.Validate(record.Spec)
	if err != nil {
		return nil // an older agent's spec that this one does not understand
	}
	return spec.Claims()
}

// chooseSecrets returns the values that belong to a job's spec: those that are
// held if their version is the wanted one, else those that were sent.
func (r *Runner) chooseSecrets(j job, required bool) (secrets, error) {
	version := secretsVersion(j.spec)
	if version == 0 {
		return secrets{}, nil
	}
	held, _ := r.store.secrets(j.ID) // damaged ones are not held
	switch {
	case held.Version == version:
		return held, nil
	case len(j.Write.Secrets) > 0 || !required:
		return secrets{version, j.Write.Secrets}, nil
	}
	var found api.Violations
	found.Add("/"+secretsMember, "the values of version %d were not sent, and this machine does not have them", version)
	return secrets{}, &api.Problem{Type: api.ProblemSecretsMissing, Title: "Secrets are missing", Violations: found}
}

// secretsMember is the member in which every kind that has secrets keeps their
// version.
const secretsMember = "secrets_version"

// secretsVersion returns the version of a spec's secrets, 0 if it has none.
func secretsVersion(spec Spec) int64 {
	var s struct {
		Version int64 `json:"secrets_version"`
	}
	if json.Unmarshal(api.Encode(spec), &s) != nil {
		return 0
	}
	return s.Version
}

// note is what a transaction remembers for [Runner.Recover].
type note struct {
	Operation string `json:"operation"`
	// Spec and State are what was to be put in place; none for a deletion.
	Spec  json.RawMessage `json:"spec,omitempty"`
	State converge.State  `json:"state"`
}

// converge brings the machine to a target, nil for none, with the records.
func (r *Runner) converge(ctx context.Context, j job, record *Record, to *target) error {
	from, before := r.version(j.kind, record)
	t := converge.Transaction{
		Component: j.ID,
		From:      from,
		Progress: func(phase api.Phase, format string, args ...any) {
			r.log.event(j.Operation, phase, format, args...)
		},
	}
	n := note{Operation: j.Operation}
	var after *converge.Version
	if to != nil {
		after = &to.version
		t.To = &to.version.State
		n.Spec, n.State = api.Encode(j.spec), to.version.State.WithoutSecrets()
	}
	t.Note = api.Encode(n)
	t.Books = r.books(j, record, to)
	edited, err := r.edited(from, r.unsure(j.ID, record))
	if err != nil {
		return err
	}
	change := converge.Change{Name: j.ID.Name, From: before, To: after, Edited: edited, Forget: j.Write.Forget}
	t.Follow = follow(j.kind, record, change, t.Progress)
	activate := t.Follow.Activate
	t.Follow.Activate = func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error {
		if change.Paths = paths; !undo {
			r.log.update(j.Operation, func(op *api.Operation) { op.Impact = j.kind.Impact(change) })
		}
		return activate(ctx, paths, undo)
	}
	if err := r.Engine.Apply(ctx, t); err != nil {
		return err
	}
	r.collect()
	return nil
}

// version returns what is recorded, as the engine and as the kind see it. The
// latter is nil for a spec of an older agent that this one does not understand.
func (r *Runner) version(kind Kind, record *Record) (*converge.Applied, *converge.Version) {
	if record == nil {
		return nil, nil
	}
	spec, err := kind.Validate(record.Spec)
	if err != nil || record.lost != nil {
		return &record.Applied, nil
	}
	return &record.Applied, &converge.Version{Spec: spec, State: record.Applied.State}
}

// edited returns the files whose content is not as it was applied. If it is
// not known what was applied, all are.
func (r *Runner) edited(applied *converge.Applied, unsure bool) (map[string]bool, error) {
	if applied == nil {
		return nil, nil
	}
	if unsure {
		edited := map[string]bool{}
		for _, f := range applied.State.Files {
			edited[f.Path] = true
		}
		return edited, nil
	}
	return r.Engine.Edited(*applied)
}

// follow returns what has a kind follow a change or its undoing.
func follow(kind Kind, record *Record, change converge.Change, progress converge.Progress) converge.Follow {
	turned := func(paths map[string]api.ChangeAction, undo bool) (converge.Change, error) {
		c := change
		c.Paths, c.Undo = paths, undo
		if undo {
			c.From, c.To = change.To, change.From
		}
		if undo && record != nil && change.From == nil { // to the kind it would look like a deletion
			return c, fmt.Errorf("the spec that %s had before is not understood by this version of the agent; its files are back, apply it again", record.ID)
		}
		return c, nil
	}
	f := converge.Follow{Activate: func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error {
		c, err := turned(paths, undo)
		if err != nil {
			return err
		}
		return kind.Apply(ctx, c, progress)
	}}
	if switcher, ok := kind.(Switcher); ok {
		f.Switched = func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error {
			c, err := turned(paths, undo)
			if err != nil {
				return nil //nolint:nilerr // the activation has told it
			}
			return switcher.Switched(ctx, c, progress)
		}
	}
	return f
}

// books returns the records of a component as they will be.
func (r *Runner) books(j job, record *Record, to *target) []converge.Book {
	paths := []string{r.store.secretsPath(j.ID), r.store.recordPath(j.ID)}
	if to == nil {
		return []converge.Book{{Path: paths[0]}, {Path: paths[1]}}
	}
	spec := api.Encode(j.spec)
	hash := sha256.Sum256(spec)
	updated := Record{
		ID: j.ID, Generation: next(record), Spec: spec, Hash: hex.EncodeToString(hash[:]),
		AppliedAt: r.Clock().UTC(), Actor: j.Actor, Operation: j.Operation, Run: j.run, SecretsVersion: to.secrets.Version,
		Ownership: r.ownership(record, j.Write.Owner, j.Actor),
	}
	var from *converge.Applied
	if record != nil {
		from = &record.Applied
	}
	updated.Applied = converge.NewApplied(from, to.version.State)
	_, damaged := r.store.secrets(j.ID)
	kept := converge.Book{Path: paths[0], Damaged: damaged != nil}
	if to.secrets.Version != 0 {
		kept.Content = api.Encode(to.secrets)
	}
	return []converge.Book{kept, {Path: paths[1], Content: api.Encode(updated), Damaged: record != nil && record.lost != nil}}
}

// collect removes the artifacts that no component refers to any more. Those of
// earlier releases stay as long as their trees do, so that going back needs no
// upload, whatever happened to the tree.
func (r *Runner) collect() { r.collectBut(true) }

// makeRoom is collect for a machine that has no room for an upload: artifacts of
// earlier releases go too. Their trees stay.
func (r *Runner) makeRoom() { r.collectBut(false) }

func (r *Runner) collectBut(earlier bool) {
	records, err := r.store.list()
	if err != nil {
		r.Logger.Warn("unused artifacts are not removed", "error", err)
		return
	}
	blobs, trees := map[string]bool{}, map[string]bool{}
	for _, record := range records {
		if record.lost != nil {
			r.Logger.Warn("unused artifacts are not removed", "error", record.lost)
			return
		}
		for _, t := range record.Applied.State.Trees {
			blobs[t.SHA256] = true
		}
		for _, t := range record.Applied.Kept {
			trees[t.SHA256] = true
			blobs[t.SHA256] = blobs[t.SHA256] || earlier
		}
	}
	if err := r.Blobs.Collect(blobs, trees); err != nil {
		r.Logger.Warn("unused artifacts are not removed", "error", err)
	}
}
