package operation

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// mayWrite reports whether a job may change or remove what owner owns: its own,
// nobody's, and what it says that it takes over.
func (j job) mayWrite(owner string) bool {
	return owner == "" || owner == j.Write.Owner || owner == j.Write.TakesOver
}

// changesOwn reports whether a create on another spec, which [Runner.admit]
// lets pass if the owner's state holds the component, is a change: the machine got
// another incarnation, kept its disk, and the write names no generation for it.
func (j job) changesOwn(record *Record) bool {
	return j.creates() && j.Write.Owner != "" && j.Write.Owner == record.Ownership.Owner
}

// owned is the problem of a write to what belongs to another owner.
func owned(id api.ID, record *Record) error {
	return &api.Problem{Type: api.ProblemOwned, Title: "The component belongs to another state",
		Detail: fmt.Sprintf("%s belongs to another Terraform state: it was taken by %s, and last applied by %s. Nothing was changed", id, record.Ownership.By(), record.by())}
}

// ownership returns whose a component is after a write of owner. A write that
// names no owner changes none.
func (r *Runner) ownership(record *Record, owner, actor string) api.Ownership {
	if record != nil && (owner == "" || owner == record.Ownership.Owner) {
		return record.Ownership
	}
	if owner == "" {
		return api.Ownership{}
	}
	return api.Ownership{Owner: owner, Actor: actor, Time: r.Clock().UTC()}
}

// transfer records another owner of a component, and nothing else of it. The
// caller has the component's turn.
func (r *Runner) transfer(record *Record, owner, actor string) error {
	updated := *record
	updated.Ownership = r.ownership(record, owner, actor)
	return r.rewrite(record, updated)
}

// adopted records that an apply found a component as it wants it: it has another owner,
// and is rolled back no more.
func (r *Runner) adopted(record *Record, owner, actor string) error {
	updated := *record
	updated.Ownership, updated.RolledBack = r.ownership(record, owner, actor), nil
	return r.rewrite(record, updated)
}

// rewrite replaces a record by one of the same files, unless it is the same.
func (r *Runner) rewrite(record *Record, updated Record) error {
	if updated.Ownership == record.Ownership && updated.RolledBack == record.RolledBack {
		return nil
	}
	if err := replaceFile(filepath.Join(r.store.root, r.store.recordPath(record.ID)), api.Encode(updated)); err != nil {
		return fmt.Errorf("record what is known of %s: %w", record.ID, err)
	}
	*record = updated
	return nil
}

// Own changes the owner of a component; files, units and the generation stay.
// It waits for an operation that is at work on the component.
func (r *Runner) Own(ctx context.Context, id api.ID, claiming api.Claiming, actor string) (api.Ownership, error) {
	if _, err := r.kind(id); err != nil {
		return api.Ownership{}, err
	}
	c, done := r.use(id)
	defer done()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return api.Ownership{}, context.Cause(ctx)
	}
	record := r.store.read(id)
	switch {
	case record == nil:
		return api.Ownership{}, notFound("component %s", id)
	case record.lost != nil:
		return api.Ownership{}, recordLost(record)
	}
	j := job{Request: Request{ID: id, Write: api.Write{Owner: claiming.Owner, TakesOver: claiming.TakesOver}}}
	if !j.mayWrite(record.Ownership.Owner) {
		return api.Ownership{}, owned(id, record)
	}
	if err := r.transfer(record, claiming.Owner, actor); err != nil {
		return api.Ownership{}, err
	}
	return record.Ownership, nil
}

// adopts returns whose component a create would adopt; nil if it creates one.
// What another state is creating right now counts: the create will wait for it.
func (r *Runner) adopts(j job, record *Record) *api.Adoption {
	switch {
	case !j.creates() || record != nil && record.lost != nil:
		return nil
	case record != nil && (j.Write.Owner == "" || record.Ownership.Owner != j.Write.Owner):
		return &api.Adoption{Ownership: record.Ownership, Applied: api.Ownership{Actor: record.Actor, Time: record.AppliedAt}}
	case record != nil:
		return nil
	}
	if op, creating := r.log.unendedOf(j.ID, api.VerbApply); creating && (j.Write.Owner == "" || op.Owner != j.Write.Owner) {
		creator := api.Ownership{Owner: op.Owner, Actor: op.Actor, Time: op.Created}
		return &api.Adoption{Ownership: creator, Applied: api.Ownership{Actor: op.Actor, Time: op.Created}}
	}
	return nil
}
