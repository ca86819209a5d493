package dbreplication

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Apply brings all machines of the replication to the spec, or ends it. It
// undoes nothing when the transaction around it is undone: the executor has
// taken back by then what may be taken back, and from a point of no return the
// way is forward. What differs from the recorded spec then is drift, which the
// next apply of whatever spec repairs.
func (k *Kind) Apply(ctx context.Context, change converge.Change, progress converge.Progress) error {
	if change.Undo {
		return nil
	}
	c, err := k.coordinator(change, progress)
	if err != nil || c == nil {
		return err
	}
	if change.To == nil {
		err = c.detach(ctx, change.Forget)
	} else if c.passwords, err = passwordsOf(change.Name, c.spec, change.To.State); err == nil {
		err = c.converge(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return &converge.StandsError{Err: err}
	}
	return err
}

// coordinator is one replication, as its coordinator deals with it in one call.
type coordinator struct {
	*Kind

	name string
	// spec is what the replication is to be or, for a deletion, what it was.
	spec     api.DBReplication
	topology replication.Topology
	// former are what it was, by the last apply that succeeded and by what the
	// machines were given last; applied is the first of these, if there was one.
	former  []api.DBReplication
	applied *api.DBReplication
	// nodes are all machines, also members that have left.
	nodes     map[replication.NodeID]replication.Node
	passwords map[string]api.Secret
	journal   journal
	consents  consents
	progress  converge.Progress
}

// coordinator returns what coordinates a change; nil for a deletion of which
// nothing is known any more.
func (k *Kind) coordinator(change converge.Change, progress converge.Progress) (*coordinator, error) {
	var specs []api.DBReplication // the first counts, the others know of machines that have left
	for _, version := range []*converge.Version{change.To, change.From} {
		if version == nil {
			continue
		}
		spec, err := specOf(version.Spec)
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	if config, ok := k.Parts.Config(change.Name); ok {
		specs = append(specs, config.Spec)
	}
	if len(specs) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to coordinate
	}
	dir := k.Parts.Dir(change.Name)
	c := &coordinator{
		Kind: k, name: change.Name, spec: specs[0], topology: topologyOf(change.Name, k.Deployment, specs[0]), former: specs[1:],
		journal: journal{dir}, consents: consents{dir}, progress: progress,
	}
	if change.To != nil && change.From != nil {
		c.applied = &c.former[0]
	}
	c.nodes = c.reach()
	return c, k.coordinates(c.spec)
}

// impossible refuses what no order of steps leads to, whatever the machines show.
func (c *coordinator) impossible() error {
	if err := c.demoted(); err != nil {
		return err
	}
	return c.exchanged()
}

// demoted refuses to make a witness of a member in one go. Who leaves is asked
// to follow nobody any more, which a machine does as the member it was.
func (c *coordinator) demoted() error {
	var found api.Violations
	for _, machine := range slices.Sorted(maps.Keys(c.spec.Witnesses)) {
		for _, former := range c.former {
			if _, member := former.Members[machine]; member {
				found.Add(placeOf(c.spec, replication.NodeID(machine)), "%q is a member as yet: take it out of members and apply, then make it a witness", machine)
				break
			}
		}
	}
	return inOneStep("A member becomes a witness in one step",
		"a member that is to be a witness has to leave the replication first, or it would go on following the primary", found)
}

// exchanged refuses another database server for a member in one go: nothing
// would end the part that the present one has, and its data are others.
func (c *coordinator) exchanged() error {
	if c.applied == nil {
		return nil
	}
	var found api.Violations
	for _, machine := range slices.Sorted(maps.Keys(c.spec.Members)) {
		former, member := c.applied.Members[machine]
		if server := c.spec.Members[machine].Server; member && former.Server != server {
			found.Add(placeOf(c.spec, replication.NodeID(machine)).At("server"),
				"%q takes part with its server %q as yet: take it out of members and apply, then add it with %q; the primary's server cannot be another one", machine, former.Server, server)
		}
	}
	return inOneStep("A member changes its database server in one step",
		"another server has other data, and the present one would go on as what it is", found)
}

// inOneStep refuses what was found to take two applies; of nothing it is nil.
func inOneStep(title, detail string, found api.Violations) error {
	if len(found) == 0 {
		return nil
	}
	return &api.Problem{Type: api.ProblemEngineRefused, Title: title, Detail: detail, Violations: found}
}

// reach returns the machines of the spec, and the members of what it was.
func (c *coordinator) reach() map[replication.NodeID]replication.Node {
	peers := map[string]api.DBPeer{}
	for _, former := range slices.Backward(c.former) {
		for machine, member := range former.Members {
			peers[machine] = member.DBPeer
		}
	}
	maps.Copy(peers, c.spec.Peers())
	nodes := map[replication.NodeID]replication.Node{}
	for machine, peer := range peers {
		id := replication.NodeID(machine)
		if id == c.Parts.Self() {
			nodes[id] = own{parts: c.Parts, name: c.name}
			continue
		}
		nodes[id] = &remote{replication: c.name, id: id, peer: peer, dial: c.Dial, clock: c.clock(), waits: c.waits()}
	}
	return nodes
}

func (k *Kind) clock() replication.Clock {
	if k.Clock != nil {
		return k.Clock
	}
	return Wall{}
}

// look takes a snapshot, in which no machine is waited for longer than patience
// at a time.
func (c *coordinator) look(ctx context.Context, patience time.Duration) replication.Snapshot {
	observers := map[replication.NodeID]replication.Observer{}
	for id, node := range c.nodes {
		observers[id] = hasty{Observer: node, limit: patience}
	}
	c.mu.Lock()
	previous, known := c.seen[c.name]
	c.mu.Unlock()
	before := &previous
	if !known {
		before = nil
	}
	s := replication.Gather(ctx, c.topology, observers, before, c.clock().Now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]replication.Snapshot{}
	}
	c.seen[c.name] = s
	return s
}

// converge brings the replication to the spec. What has to be refused is
// refused before anybody is sent anything new, as far as it can be seen then.
func (c *coordinator) converge(ctx context.Context) error {
	if _, ok := c.Parts.Enlisted(c.name); !ok {
		return notEnlisted(string(c.Parts.Self()), c.name)
	}
	if err := c.impossible(); err != nil {
		return err
	}
	if err := c.settle(ctx, c.spec); err != nil {
		return err
	}
	goal, err := c.consents.goal(c.spec)
	if err != nil {
		return err
	}
	if _, err := replication.Plan(c.look(ctx, callTimeout), goal); err != nil && !fleeting(err) {
		return problemOf(c.spec, err)
	}
	if err := c.tell(ctx); err != nil {
		return err
	}
	s := c.look(ctx, callTimeout)
	if err := c.carryOut(ctx, s, goal); err != nil {
		return err
	}
	c.leftBehind(s)
	return c.consents.finish(c.spec, s)
}

// fleeting reports whether a refusal may be over once the machines are configured.
func fleeting(err error) bool {
	return replication.IsRefused(err, replication.RefusedUnobservable) || replication.IsRefused(err, replication.RefusedUnconfigured) ||
		replication.IsRefused(err, replication.RefusedNoMajority)
}

// settle ends what an earlier apply left in the middle. What cannot be ended,
// because a machine is gone or an address was wrong, is left as it stands: each
// step can be done anew, and the next look sees which have to. So is what needs
// a consent that is not given any more.
func (c *coordinator) settle(ctx context.Context, given api.DBReplication) error {
	if err := c.mend(ctx, given); err != nil {
		return err
	}
	entry, err := c.journal.Load(ctx)
	if err != nil || entry == nil {
		return err
	}
	if withdrawn(*entry, given) {
		c.progress(api.PhaseActivate, "the operation %s, which was broken off, has a consent that is not given any more: taking a new look", entry.Operation.ID)
		entry.Next++ // it may have been used
		if err := c.consents.settle(entry); err != nil {
			return err
		}
		entry.Ended = true
		return c.journal.Save(ctx, *entry)
	}
	if !entry.Ended {
		c.progress(api.PhaseActivate, "ending the operation %s, which was broken off", entry.Operation.ID)
	}
	unsettled := c.executor().Settle(ctx)
	if ctx.Err() != nil {
		return unsettled
	}
	if entry, err = c.journal.Load(ctx); err != nil {
		return err
	}
	if err := c.consents.settle(entry); err != nil || unsettled == nil {
		return err
	}
	c.progress(api.PhaseActivate, "it cannot be ended (%v): taking a new look", unsettled)
	entry.Ended = true
	return c.journal.Save(ctx, *entry)
}

// carryOut plans from what was just seen, and does what is planned.
func (c *coordinator) carryOut(ctx context.Context, s replication.Snapshot, goal replication.Goal) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("look at the machines: %w", context.Cause(ctx))
	}
	steps, err := replication.Plan(s, goal)
	if err != nil || len(steps) == 0 {
		return problemOf(c.spec, err)
	}
	op := replication.NewOperation(hex.EncodeToString(random(16)), s, steps)
	if err := c.consents.begin(op.ID, c.spec); err != nil {
		return err
	}
	failed := c.executor().Run(ctx, op)
	entry, err := c.journal.Load(ctx)
	if err == nil {
		err = c.consents.settle(entry)
	}
	return errors.Join(c.explain(failed), err)
}

// executor returns what carries out operations on the machines.
func (c *coordinator) executor() *replication.Executor {
	return &replication.Executor{
		Journal: c.journal, Nodes: c.nodes, Clock: c.clock(),
		Locks: locks{parts: c.Parts, name: c.name, nodes: c.nodes, former: c.journal.last},
		Progress: func(step replication.Step, message string) {
			c.progress(api.PhaseActivate, "%s: %s", step.Node, message)
		},
	}
}

// explain makes a problem of a step that failed, at the machine's place.
func (c *coordinator) explain(err error) error {
	failed, ok := errors.AsType[*replication.StepFailed](err)
	if !ok {
		return err
	}
	problem := &api.Problem{Type: api.ProblemEngineRefused, Title: "A step of the replication failed", Detail: failed.Error()}
	if cause, ok := errors.AsType[*api.Problem](failed.Err); ok {
		problem.Log = cause.Log
	}
	if !failed.Undone {
		problem.Detail += "; the next apply goes on from there"
	}
	if at := placeOf(c.spec, failed.Step.Node); at != "" {
		problem.Violations = []api.Violation{{Pointer: at, Detail: fmt.Sprintf("%s did not %s", failed.Step.Node, failed.Step.Do)}}
	}
	return problem
}

// waitsEvery is how often is reported that an order is still being carried out.
const waitsEvery = 15 * time.Second

// waits returns what tells of orders that take their time.
func (c *coordinator) waits() func(ctx context.Context, r *remote, order replication.Order) {
	var config time.Time
	return func(ctx context.Context, r *remote, order replication.Order) {
		now := c.clock().Now()
		if now.Sub(config) < waitsEvery {
			return
		}
		config = now
		arrived := ""
		if view, err := r.Observe(ctx); err == nil && view.Seeding != nil && view.Seeding.Bytes > 0 {
			arrived = fmt.Sprintf(", %d MiB have arrived", view.Seeding.Bytes>>20)
		}
		c.progress(api.PhaseActivate, "%s: still at it: %s%s", r.id, order.Action, arrived)
	}
}

// tell tells this machine and then, side by side, all others of the spec. One
// that does not answer is for the plan to decide; one that refuses is in the way.
func (c *coordinator) tell(ctx context.Context) error {
	before, _ := c.Parts.Config(c.name)
	config := c.config(before.Replication)
	if err := c.Parts.SetConfig(ctx, c.name, config); err != nil {
		return err
	}
	return c.unconfigured(c.send(ctx, config, c.topology.Voters()))
}

// send sends other machines, side by side, the replication's configuration, and
// returns which did not take it.
func (c *coordinator) send(ctx context.Context, config api.DBConfig, ids []replication.NodeID) map[replication.NodeID]error {
	witness := api.DBConfig{Spec: config.Spec} // has no use for passwords
	var mutex sync.Mutex
	var all sync.WaitGroup
	failures := map[replication.NodeID]error{}
	for _, id := range ids {
		node, ok := c.nodes[id].(*remote)
		if !ok {
			continue
		}
		message := witness
		if _, member := config.Spec.Members[string(id)]; member {
			message = config
		}
		all.Go(func() {
			if err := node.UpdateConfig(ctx, message); err != nil {
				mutex.Lock()
				defer mutex.Unlock()
				failures[id] = err
			}
		})
	}
	all.Wait()
	return failures
}

// unconfigured says whom the coordinator could not tell, and fails for those who refused.
func (c *coordinator) unconfigured(failures map[replication.NodeID]error) error {
	var refusals []error
	for _, id := range slices.Sorted(maps.Keys(failures)) {
		cause, refused := errors.AsType[*api.Problem](failures[id])
		if !refused {
			c.progress(api.PhaseActivate, "%s cannot be sent the configuration: %v", id, failures[id])
			continue
		}
		refusals = append(refusals, &api.Problem{
			Type: api.ProblemEngineRefused, Title: "A machine of the replication refuses",
			Detail:     fmt.Sprintf("%s does not take the configuration: %s", id, cause),
			Violations: []api.Violation{{Pointer: placeOf(c.spec, id), Detail: cause.Title}},
		})
	}
	return errors.Join(refusals...)
}

// leftBehind tells of members that left and could not be asked to detach.
func (c *coordinator) leftBehind(s replication.Snapshot) {
	for _, id := range slices.Sorted(maps.Keys(s.Nodes)) {
		if _, member := c.topology.Members[id]; !member && s.Nodes[id].Unobservable != nil {
			c.progress(api.PhaseActivate, "%s is a member no more and does not answer (%s): it may still follow", id, s.Nodes[id].Unobservable.Reason)
		}
	}
}

// random returns n random bytes.
func random(n int) []byte {
	bytes := make([]byte, n)
	_, _ = rand.Read(bytes) // never fails
	return bytes
}
