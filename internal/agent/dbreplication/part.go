package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// part is what this machine is in one replication.
type part struct {
	node  *Node
	name  string
	store *store
	log   hclog.Logger
	clock replication.Clock
	// kept tells that the keeper runs; the node's lock guards it.
	kept bool
	// arrived is how much of a copy under way has arrived, in bytes.
	arrived atomic.Int64

	// idle are the server lock of a part without a server.
	idle chan struct{}
	// checking is held by whoever checks whether the replica follows.
	checking chan struct{}

	mu         sync.Mutex
	enlistment enlistment
	managers   managers
	configured *api.DBConfig // nil before the first time
	server     string        // the db-server's name, "" on a witness
	db         *Database     // nil on a witness, and before it has a configuration
	own        *replication.Local
	job        *job
	lock       lock
	life       life
	// reconciledRun is the run of the server that the keeper has reconciled.
	reconciledRun string
	beats         int // heartbeats that failed in a row
	// donor is whose copy arrives, "" if none does.
	donor      replication.NodeID
	conditions map[string]api.Condition
	// fencedIn is the epoch that was recorded when conditionFenced was noted.
	fencedIn uint64
}

// loadPart returns the part as the disk has it. What cannot be read is a
// condition, and missing: that never makes a part do more.
func loadPart(n *Node, name string) *part {
	p := &part{
		node: n, name: name, store: &store{dir: n.Dir(name)}, clock: n.clock,
		log: n.Log.With("replication", name), conditions: map[string]api.Condition{},
		idle: make(chan struct{}, 1), checking: make(chan struct{}, 1),
	}
	p.own = &replication.Local{ID: n.Self(), Records: p.store, Wants: p.wants, Copy: p.copyFrom, Now: n.clock.Now}
	given, _, err := readDurably[enlistment](p.store.path(membershipFile))
	p.condition(conditionMembership, err)
	p.enlistment = given
	_, err = p.store.recorded()
	p.condition(conditionRecord, err)
	p.life = p.readLife()
	config, found, err := readDurably[api.DBConfig](p.store.path(configFile))
	if err == nil && found {
		p.mu.Lock()
		err = p.become(config)
		p.mu.Unlock()
	}
	p.condition(conditionConfig, err)
	return p
}

func (p *part) enlisted() api.DBMembership {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.enlistment.DBMembership
}

func (p *part) config() *api.DBConfig {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.configured
}

func (p *part) database() *Database {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.db
}

func (p *part) local() *replication.Local {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.own
}

func (p *part) enlist(by string, m api.DBMembership) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.managers = managers{} // who asks now asks again
	if reflect.DeepEqual(p.enlistment.DBMembership, m) {
		return nil
	}
	given := enlistment{DBMembership: m, By: by, At: p.clock.Now().UTC()}
	if err := writeDurably(p.store.path(membershipFile), given); err != nil {
		return fmt.Errorf("take part in replication %s: %w", p.name, err)
	}
	p.enlistment = given
	delete(p.conditions, conditionMembership)
	return nil
}

// setConfig keeps what the coordinator tells, and lets the members be found.
func (p *part) setConfig(ctx context.Context, config api.DBConfig) error {
	if err := p.checkConfig(config); err != nil {
		return err
	}
	p.mu.Lock()
	another := p.server != config.Spec.Members[p.node.Deps.Self].Server
	p.mu.Unlock()
	if another {
		release, err := p.take(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	if err := p.keepConfig(config); err != nil {
		return err
	}
	return p.resolve(config.Spec)
}

func (p *part) keepConfig(config api.DBConfig) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.configured != nil && reflect.DeepEqual(*p.configured, config) && p.server == config.Spec.Members[p.node.Deps.Self].Server {
		return nil
	}
	if err := writeDurably(p.store.path(configFile), config); err != nil {
		return fmt.Errorf("keep the configuration of replication %s: %w", p.name, err)
	}
	delete(p.conditions, conditionConfig)
	return p.become(config)
}

func (p *part) checkConfig(config api.DBConfig) error {
	v := config.Spec.Validate()
	self := p.node.Deps.Self
	if _, ok := config.Spec.Peers()[self]; !ok {
		v.Add("", "this machine, %q, is neither a member nor a witness", self)
	}
	p.checkParts(&v, config.Spec)
	if server := config.Spec.Members[self].Server; server != "" {
		if other := p.node.takenBy(server, p.name); other != "" {
			v.Add(api.Pointer("/members").At(self, "server"), "%q on %s takes part in replication %q already; a database takes part in one", server, self, other)
		}
	}
	if err := v.Problem(); err != nil {
		return err
	}
	return nil
}

// checkParts holds what a machine tells of the others against what the seed's
// holder has reported of them.
func (p *part) checkParts(v *api.Violations, spec api.DBReplication) {
	enlisted, peers := p.enlisted(), spec.Peers()
	for _, peer := range slices.Sorted(maps.Keys(peers)) {
		_, known := enlisted.Peers[peer]
		_, member := spec.Members[peer]
		switch {
		case !known:
			v.Add("", "%s does not know yet that %q takes part; terraform apply sends all machines that list first", p.node.Deps.Self, peer)
		case member && !enlisted.Member(peer):
			v.Add(api.Pointer("/members").At(peer), "%s knows %q as a witness; terraform apply sends all machines that list first", p.node.Deps.Self, peer)
		case !member && enlisted.Member(peer):
			v.Add(api.Pointer("/witnesses").At(peer), "%s knows %q as a member; terraform apply sends all machines that list first", p.node.Deps.Self, peer)
		}
	}
}

// become makes the part its configuration to be. The part is locked, and in the
// caller's server lock if its server becomes another one.
func (p *part) become(config api.DBConfig) error {
	p.configured = &config
	return p.use(config.Spec.Members[p.node.Deps.Self].Server)
}

// use makes a server the part's own, or none, as [part.become] does.
func (p *part) use(server string) error {
	if server == p.server {
		return nil
	}
	local := &replication.Local{ID: p.node.Self(), Records: p.store, Wants: p.wants, Copy: p.copyFrom, Now: p.clock.Now}
	former := p.db
	p.db, p.server, p.life = nil, "", life{}
	if server != "" {
		database, err := p.node.Open(server)
		if err != nil {
			p.own = local
			return fmt.Errorf("find the database server %s: %w", server, err)
		}
		local.Engine, local.Progress = &gate{Engine: database.Engine, part: p}, p.progress()
		p.db, p.server, p.life = &database, server, p.readLife()
	}
	p.own = local
	former.close()
	return nil
}

// resolve makes the members' names known to this machine.
func (p *part) resolve(spec api.DBReplication) error {
	addresses := map[string]string{}
	for machine, member := range spec.Members {
		addresses[pki.NodeDNSName(p.node.Deployment, machine)] = member.Host
	}
	p.node.hosts.Lock()
	defer p.node.hosts.Unlock()
	return writeHosts(p.node.Hosts, p.name, addresses)
}

// wants returns what was sent besides orders.
func (p *part) wants(context.Context) (replication.Wants, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.configured == nil {
		return replication.Wants{}, p.unconfigured()
	}
	wants := replication.Wants{
		Topology: topologyOf(p.name, p.node.Deployment, p.configured.Spec),
		Secrets: replication.Secrets{
			Replication: p.configured.Replication, Replicas: certificatesOf(p.node.Deployment, p.configured.Spec), Users: p.configured.Users,
		},
	}
	if p.db != nil {
		wants.TLS = p.db.TLS
	}
	return wants, nil
}

func (p *part) unconfigured() error {
	return refused("The machine has no configuration of the replication yet", "%s has no configuration of replication %s; the machine of the primary sends it first", p.node.Deps.Self, p.name)
}

// copyFrom opens the stream of a donor's data.
func (p *part) copyFrom(ctx context.Context, donor replication.NodeID) (io.ReadCloser, error) {
	at, listed := p.enlisted().Peers[string(donor)]
	if !listed {
		return nil, errors.New("it is not in this machine's list of those that take part")
	}
	return p.node.Peers.Copy(ctx, p.name, donor, at)
}

// noConfig is why nothing but its record is known of a part that is not configured.
const noConfig = "it does not have the replication's configuration"

// view looks at the part. Before it has a configuration, only its record is known.
func (p *part) view(ctx context.Context) (replication.NodeView, error) {
	if p.config() != nil {
		return p.local().Observe(ctx)
	}
	now := p.clock.Now()
	record, err := p.store.Record(ctx)
	if err != nil {
		return replication.NodeView{}, err
	}
	return replication.NodeView{
		Taken: now, Record: record,
		Unobservable: &replication.Unobservable{Since: now, Reason: noConfig, Unconfigured: true},
	}, nil
}

// take gives the caller the part, and the server that it has, to change: one at
// a time has it, an order or the keeper.
func (p *part) take(ctx context.Context) (release func(), err error) {
	return p.hold(ctx, p.serverLock())
}

// hold waits some seconds for a server lock.
func (p *part) hold(ctx context.Context, serverLock chan struct{}) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, handsPatience, errors.New("it is carrying out something else"))
	defer cancel()
	select {
	case serverLock <- struct{}{}:
		return func() { <-serverLock }, nil
	case <-ctx.Done():
		return nil, refused("The machine is busy", "replication %s on %s: %v; apply again when that has ended", p.name, p.node.Deps.Self, context.Cause(ctx))
	}
}

// serverLock is what whoever changes the part holds. Witnesses have some per part.
func (p *part) serverLock() chan struct{} {
	if server := p.serves(); server != "" {
		return p.node.serverLockFor(server)
	}
	return p.idle
}

// serves returns the db-server that takes part, "" on a witness.
func (p *part) serves() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server
}

// counted tells whether this machine's record counts its database in. One that
// was left, or has ended, has no say in the database any more.
func (p *part) counted() bool {
	record, err := p.store.recorded()
	return err != nil || counts(record, p.node.Self())
}

// counts tells whether a record counts a member in.
func counts(record replication.Record, member replication.NodeID) bool {
	return record.Primary != "" && (len(record.Members) == 0 || slices.Contains(record.Members, member))
}

func (p *part) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.db.close()
}

// lifePath is where the part's life is noted, see [life].
func (p *part) lifePath() string { return filepath.Join(p.node.Runtime, p.name+".json") }
