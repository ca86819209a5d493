package operation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// target is what a job is about to put in place.
type target struct {
	version converge.Version
	// secrets are the values that it was rendered with.
	secrets secrets
}

// basis is what a job goes on from: what really stands of its component.
type basis struct {
	// applied is nil if there is nothing. As the kind sees it, it is version, which is
	// nil too for a spec that this version of the agent does not understand.
	applied *converge.Applied
	version *converge.Version
	// known is applied as it was noted, and not as it was found.
	known converge.Applied
	// beside is what stands beside it, and nobody has recorded.
	beside converge.State
}

// stands returns what a change begins with: its state alone, if its spec is not understood.
func (b basis) stands() *converge.Version {
	if b.version == nil && b.applied != nil {
		return &converge.Version{State: b.applied.State}
	}
	return b.version
}

// prepare does all that can be done before anything is touched: claims,
// secrets, rendering, the engine's own check.
func (r *Runner) prepare(ctx context.Context, j job, record *Record) (basis, *target, error) {
	if err := r.claim(j); err != nil {
		return basis{}, nil, err
	}
	values, err := r.chooseSecrets(j, true)
	if err != nil {
		return basis{}, nil, err
	}
	r.log.event(j.Operation, api.PhaseRender, "render files and units")
	from, state, err := r.render(ctx, j, record, values)
	if err != nil {
		return from, nil, err
	}
	to := &target{converge.Version{Spec: j.spec, State: state, Secrets: values.Values}, values}
	if err := r.uploaded(ctx, state); err != nil {
		return from, nil, err
	}
	if err := r.authentic(ctx, state, nil); err != nil {
		return from, nil, err
	}
	r.log.event(j.Operation, api.PhaseCheck, "have the engine check the configuration")
	return from, to, r.check(ctx, j, to.version)
}

// render turns a job's spec into a state, to stand beside what is in place.
func (r *Runner) render(ctx context.Context, j job, record *Record, values secrets) (basis, converge.State, error) {
	from, err := r.basis(ctx, j, record)
	if err != nil {
		return from, converge.State{}, err
	}
	before, err := r.inPlace(ctx, j, record, from)
	if err != nil {
		return from, converge.State{}, err
	}
	state, err := j.kind.Render(j.ID.Name, j.spec, values.Values, before)
	if err == nil && record != nil && record.lost != nil {
		from, err = r.assume(ctx, j, record, state)
	}
	if err != nil {
		return from, converge.State{}, fmt.Errorf("render %s: %w", j.ID, err)
	}
	return from, state, nil
}

// basis returns what a job goes on from. Of a lost record, only what the disk tells
// is known.
func (r *Runner) basis(ctx context.Context, j job, record *Record) (basis, error) {
	from := basis{}
	if record == nil {
		return from, nil
	}
	from.applied, from.version = r.serving(j.kind, record)
	from.known = *from.applied
	switcher, ok := j.kind.(Switcher)
	if !ok {
		return from, nil
	}
	serving, beside, err := r.Engine.Standing(ctx, from.applied.State, switcher.Sides(j.ID.Name))
	if err != nil {
		return from, err
	}
	applied := *from.applied
	applied.State = serving
	from.applied, from.beside = &applied, beside
	switch {
	case from.version != nil:
		from.version.State = serving
	case record.lost != nil && len(serving.Links) > 0: // what serves is best known by what is wanted
		from.version = &converge.Version{Spec: j.spec, State: serving}
	}
	return from, nil
}

// inPlace returns what a job is rendered beside. Where it is not known what the
// running engine has read, all of it counts as touched.
func (r *Runner) inPlace(ctx context.Context, j job, record *Record, from basis) (converge.InPlace, error) {
	if from.applied == nil {
		return converge.InPlace{}, nil
	}
	before := converge.InPlace{State: from.applied.State}
	if from.version != nil {
		before.Spec = from.version.Spec
	}
	if r.unsure(record.ID, record) || j.order == orderRestart {
		before.Touched = before.State.Everything()
		return before, nil
	}
	var err error
	before.Touched, err = r.Engine.Touched(ctx, from.known)
	return before, err
}

// assume has a lost record say that a state was applied: what differs from it is
// put right, and a failure brings back what stands now. It returns what a job goes on
// from then.
func (r *Runner) assume(ctx context.Context, j job, record *Record, state converge.State) (basis, error) {
	record.Applied = converge.NewApplied(nil, state)
	from, err := r.basis(ctx, j, record)
	if err == nil {
		record.Applied = *from.applied
	}
	return from, err
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
// stand yet, or have a signature of which it is not known what it has to sign.
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
		stands, err := r.Engine.Stands(ctx, t)
		if err == nil && stands && t.Signature != nil {
			_, err = r.Blobs.Digest(ctx, t.SHA256)
		}
		if !stands || api.IsProblem(err, api.ProblemBlobMissing) {
			missing, err = append(missing, t), nil
		}
		if err != nil {
			return nil, err
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
		digest, err := r.Blobs.Digest(ctx, t.SHA256)
		if err == nil {
			err = signature.Check(digest)
		}
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
	return rawSecretsVersion(api.Encode(spec))
}
