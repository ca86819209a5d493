package dbreplication

import (
	"cmp"
	"context"
	"encoding/base64"
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// detach ends the replication. Data stay where they are. A machine that lost the
// configuration gets it again, this one too, since it does not know which database is
// to detach. Nobody else gets anything: a destroy that is refused leaves all as it
// was. The users' passwords are no part of it, as nothing holds them for a destroy;
// if it fails later, the next apply sends them.
func (c *coordinator) detach(ctx context.Context, forget []string) error {
	if err := c.settle(ctx, api.DBReplication{}); err != nil {
		return err
	}
	goal := replication.Goal{Detach: true}
	for _, machine := range forget {
		goal.Forget = append(goal.Forget, replication.NodeID(machine))
	}
	config, known := c.Parts.Config(c.name)
	if !known {
		config = c.config("")
	}
	s := c.look(ctx, callTimeout)
	if ids := c.curable(s, config.Spec, goal); len(ids) > 0 {
		cured := goal
		cured.Forget = slices.Concat(goal.Forget, ids)
		if _, err := replication.Plan(s, cured); err != nil {
			return problemOf(c.spec, err)
		}
		failures := c.send(ctx, config, ids)
		if self := c.Parts.Self(); slices.Contains(ids, self) {
			if err := c.Parts.SetConfig(ctx, c.name, config); err != nil {
				failures[self] = err
			}
		}
		for _, id := range slices.Sorted(maps.Keys(failures)) { // of which the plan decides
			c.progress(api.PhaseActivate, "%s does not take the replication's configuration: %v", id, failures[id])
		}
		s = c.look(ctx, callTimeout)
	}
	return c.carryOut(ctx, s, goal)
}

// config returns the replication's configuration with a password, a new one if
// there is none.
func (c *coordinator) config(password api.Secret) api.DBConfig {
	return api.DBConfig{
		Spec: c.spec, Users: c.passwords,
		Replication: cmp.Or(password, api.Secret(base64.RawURLEncoding.EncodeToString(random(32)))),
	}
}

// curable returns the machines that lack the configuration, are in it, and may not
// be forgotten anyway.
func (c *coordinator) curable(s replication.Snapshot, spec api.DBReplication, goal replication.Goal) []replication.NodeID {
	peers := spec.Peers()
	return slices.DeleteFunc(lacking(s), func(id replication.NodeID) bool {
		_, in := peers[string(id)]
		return !in || slices.Contains(goal.Forget, id)
	})
}
