package operation

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Purger is a [Kind] whose components leave data on the machine when they are removed.
type Purger interface {
	// Left lists the components that data is there of, also those that exist.
	Left() ([]string, error)
	// Leftovers returns what a component that was removed has left.
	Leftovers(ctx context.Context, name string) (api.Leftovers, error)
	// Purge removes it. It can be run twice.
	Purge(ctx context.Context, name string) error
}

// Leftovers returns what a component has left that does not exist any more.
func (r *Runner) Leftovers(ctx context.Context, id api.ID) (api.Leftovers, error) {
	purger, err := r.purger(id)
	if err != nil {
		return api.Leftovers{}, err
	}
	return purger.Leftovers(ctx, id.Name)
}

// AllLeftovers returns what all components have left that do not exist any more.
func (r *Runner) AllLeftovers(ctx context.Context) (api.AllLeftovers, error) {
	all := api.AllLeftovers{Components: []api.ComponentLeftovers{}}
	for _, kind := range slices.Sorted(maps.Keys(r.kinds)) {
		purger, ok := r.kinds[kind].(Purger)
		if !ok {
			continue
		}
		names, err := purger.Left()
		if err != nil {
			return all, err
		}
		for _, name := range names {
			id := api.ID{Kind: kind, Name: name}
			if r.Has(id) {
				continue
			}
			left, err := purger.Leftovers(ctx, name)
			if err != nil {
				return all, err
			}
			all.Components = append(all.Components, api.ComponentLeftovers{ID: id, Leftovers: left})
		}
	}
	return all, nil
}

// Purge removes for good what a component has left that does not exist any more, and
// returns what that was. The consent is the component's name.
func (r *Runner) Purge(ctx context.Context, id api.ID, consent string) (api.Leftovers, error) {
	purger, err := r.purger(id)
	if err != nil {
		return api.Leftovers{}, err
	}
	if consent != id.Name {
		return api.Leftovers{}, &api.Problem{Type: api.ProblemInvalid, Title: "The consent does not fit",
			Detail: fmt.Sprintf("%q was given; to delete for good what %s has left, give its name %q", consent, id, id.Name)}
	}
	var left api.Leftovers
	ran, err := r.between(id)(ctx, func(ctx context.Context) error {
		if _, err := r.purger(id); err != nil { // somebody may have made it meanwhile
			return err
		}
		var err error
		if left, err = purger.Leftovers(ctx, id.Name); err != nil {
			return err
		}
		return purger.Purge(ctx, id.Name)
	})
	if !ran && err == nil {
		err = stands(id, "an operation is at work on it")
	}
	return left, err
}

// purger returns what knows the leftovers of a component, if that does not exist.
func (r *Runner) purger(id api.ID) (Purger, error) {
	kind, err := r.kind(id)
	if err != nil {
		return nil, err
	}
	purger, ok := kind.(Purger)
	if !ok {
		return nil, &api.Problem{Type: api.ProblemInvalid, Title: "There is nothing to purge",
			Detail: nothingToPurge(id)}
	}
	if record := r.store.read(id); record != nil {
		return nil, stands(id, "it is on this machine")
	}
	return purger, nil
}

// nothingToPurge says what becomes of the data of a kind that is not purged.
func nothingToPurge(id api.ID) string {
	switch id.Kind {
	case api.KindLoadBalancer:
		return "a load balancer has no data: its destroy removes its configuration and its unit, and its log lines stay in the machine's journal until newer ones drive them out"
	case api.KindDBServer:
		return fmt.Sprintf("a destroy keeps the data of a database, and no command of the agent deletes them. To delete them for good once %s is destroyed, remove /var/lib/foobar-db/%s as root", id, id.Name)
	case api.KindDBReplication:
		return "a replication has no data of its own: a destroy detaches its members, and each foobar_db_server keeps its data"
	case api.KindAppServer: // is purged
	}
	return fmt.Sprintf("a component of the kind %q has no data that only a purge removes", id.Kind)
}

func stands(id api.ID, why string) error {
	return &api.Problem{Type: api.ProblemExists, Title: "The component exists",
		Detail: fmt.Sprintf("%s: %s. Only what is left of a component that was destroyed can be purged; destroy it first", id, why)}
}
