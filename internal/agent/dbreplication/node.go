// Package dbreplication is an agent's side of foobar_db_replication: what a
// machine keeps of each replication that it takes part in, the orders that it
// carries out for the coordinator, and the keeper, which after a boot opens the
// database of a primary, and nobody else's.
//
// See README.md beside this file for what must stay true.
package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Deps are what a node works with. All are required, but for Clock.
type Deps struct {
	// State is the directory below which parts are kept, durably:
	// /var/lib/foobar/replications; Runtime outlives the agent, and not the
	// boot: /run/foobar/replications.
	State, Runtime string
	// Hosts is /etc/hosts.
	Hosts string
	// Self is this machine's name, Deployment that of its deployment.
	Self, Deployment string
	Units            Units
	// Open finds the database server of a name, see [OpenMariaDB].
	Open func(server string) (Database, error)
	// Servers returns the names of this machine's database servers, see [MariaDBs].
	Servers func() []string
	// Peers are the other machines, see [PeersOver].
	Peers Peers
	Log   hclog.Logger
	// Clock is the machine's if it is nil.
	Clock replication.Clock
}

// Node is this machine, in all the replications that it takes part in. Its
// methods may be called at the same time.
type Node struct {
	Deps
	clock replication.Clock

	// alive ends with the node; orders and keepers run under it, and are waited for.
	alive context.Context
	end   context.CancelCauseFunc
	busy  sync.WaitGroup

	hosts sync.Mutex // is held by who writes Hosts

	mu          sync.Mutex
	parts       map[string]*part
	serverLocks map[string]chan struct{} // by the name of a db-server
	running     bool
	applied     func(name string) bool // see Coordinates
}

// errStopping is why what runs ends with the agent.
var errStopping = errors.New("the agent stops")

// NewNode returns the node with the parts that are on the disk. One that cannot
// be read is kept too, and says so: it neither votes nor opens.
func NewNode(deps Deps) (*Node, error) {
	n := &Node{Deps: deps, clock: deps.Clock, parts: map[string]*part{}, serverLocks: map[string]chan struct{}{}}
	if n.clock == nil {
		n.clock = Wall{}
	}
	for _, dir := range []string{deps.State, deps.Runtime} {
		if err := makeDir(dir); err != nil {
			return nil, fmt.Errorf("open the replications: %w", err)
		}
	}
	entries, err := os.ReadDir(deps.State)
	if err != nil {
		return nil, fmt.Errorf("open the replications: %w", err)
	}
	n.alive, n.end = context.WithCancelCause(context.Background())
	for _, entry := range entries {
		if api.CheckName(entry.Name()) != nil {
			continue
		}
		if path := n.Dir(entry.Name()); !isDir(path) {
			to, err := statefile.SetAside(agentDir(path), path)
			deps.Log.Error("what stands in the place of a replication's directory was set aside", "path", path, "now", to, "error", err)
			continue
		}
		n.parts[entry.Name()] = loadPart(n, entry.Name())
	}
	return n, nil
}

// Run runs the keepers until ctx ends. It returns when all that it started, and
// all orders, have ended.
func (n *Node) Run(ctx context.Context) {
	n.mu.Lock()
	n.running = true
	for _, p := range n.parts {
		n.keep(p)
	}
	n.mu.Unlock()
	<-ctx.Done()
	n.Close()
}

// Close breaks off what runs, and waits for its end.
func (n *Node) Close() {
	n.mu.Lock()
	n.running = false
	n.end(errStopping)
	n.mu.Unlock()
	n.busy.Wait()
	for _, p := range n.all() {
		p.close()
	}
}

// start runs f until it returns or the node ends; it reports whether the node
// has not ended already.
func (n *Node) start(f func(ctx context.Context)) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.alive.Err() != nil {
		return false
	}
	n.busy.Go(func() { f(n.alive) })
	return true
}

// keep starts the keeper of a part, once. The node is locked.
func (n *Node) keep(p *part) {
	if !n.running || p.kept {
		return
	}
	p.kept = true
	for _, duty := range p.duties() {
		n.busy.Go(func() { duty(n.alive) })
	}
}

// keeps reports whether the keeper of a part runs.
func (n *Node) keeps(p *part) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return p.kept
}

// serverLockFor returns what whoever changes a server holds, which is in as many
// parts as it has been in replications.
func (n *Node) serverLockFor(server string) chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.serverLocks[server] == nil {
		n.serverLocks[server] = make(chan struct{}, 1)
	}
	return n.serverLocks[server]
}

// takenBy returns the replication, other than but, that the server takes part
// in now, "" if there is none.
func (n *Node) takenBy(server, but string) string {
	for name, p := range n.all() {
		if name != but && p.serves() == server && p.counted() {
			return name
		}
	}
	return ""
}

// all returns the parts by name. Who has locked a part may lock the node, and
// never the other way round.
func (n *Node) all() map[string]*part {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.parts)
}

// part returns the part of a name, nil if there is none.
func (n *Node) part(name string) *part {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.parts[name]
}

// Enlist keeps which machines take part, as members or witnesses, and may from
// then on talk about the replication, and who said so. [Node.Leave] ends it.
func (n *Node) Enlist(_ context.Context, name, by string, m api.DBMembership) error {
	if err := n.checkMembership(name, m); err != nil {
		return err
	}
	n.mu.Lock()
	p, ok := n.parts[name]
	if !ok {
		if err := makeDir(n.Dir(name)); err != nil {
			n.mu.Unlock()
			return fmt.Errorf("take part in replication %s: %w", name, err)
		}
		p = loadPart(n, name)
		n.parts[name] = p
		n.keep(p)
	}
	n.mu.Unlock()
	return p.enlist(by, m)
}

func (n *Node) checkMembership(name string, m api.DBMembership) error {
	v := m.Validate()
	if err := api.CheckName(name); err != nil {
		v.Add("", "%s", err)
	}
	if _, ok := m.Peers[n.Deps.Self]; !ok {
		v.Add("/peers", "this machine, %q, is not among them; a machine gets its own replications only", n.Deps.Self)
	}
	if err := v.Problem(); err != nil {
		return err
	}
	return nil
}

// View shows this machine's part to a machine that takes part too.
func (n *Node) View(ctx context.Context, name string, by api.DBCaller) (replication.NodeView, error) {
	p, err := n.admit(name, by)
	if err != nil {
		return replication.NodeView{}, err
	}
	p.awaitReconciled(ctx)
	view, err := p.view(ctx)
	enlisted := p.enlisted()
	view.Membership = &enlisted
	return view, err
}

// AwaitReconciled waits until the own server, if it was started a moment ago, is what its
// part makes it, before somebody looks.
func (n *Node) AwaitReconciled(ctx context.Context, name string) {
	if p := n.part(name); p != nil {
		p.awaitReconciled(ctx)
	}
}

// Record is this machine's vote: what it has recorded. It needs no database.
func (n *Node) Record(ctx context.Context, name string, by api.DBCaller) (replication.Record, error) {
	p, err := n.admit(name, by)
	if err != nil {
		return replication.Record{}, err
	}
	return p.store.Record(ctx)
}

// UpdateConfig keeps what the coordinator sends.
func (n *Node) UpdateConfig(ctx context.Context, name string, by api.DBCaller, config api.DBConfig) error {
	p, err := n.admitMember(name, by)
	if err != nil {
		return err
	}
	if by.Node != config.Spec.Primary {
		return forbidden("%s sends the configuration of a replication of which %s is the primary; the machine of the primary does that", by.Node, config.Spec.Primary)
	}
	return p.setConfig(ctx, config)
}

// Copy writes a copy of this member's data to another member.
func (n *Node) Copy(ctx context.Context, name string, by api.DBCaller, to io.Writer) error {
	p, err := n.admitMember(name, by)
	if err != nil {
		return err
	}
	database, config := p.database(), p.config()
	if config == nil || database == nil {
		return refused("There is no data to copy", "%s has no database of replication %s", n.Deps.Self, name)
	}
	if _, member := config.Spec.Members[by.Node]; !member {
		return forbidden("%s is no member of replication %s yet; its data go to members only", by.Node, name)
	}
	p.log.Info("a member copies the data", "to", by.Node)
	if err := database.Engine.Donate(ctx, to); err != nil {
		p.log.Warn("a copy of the data broke off", "to", by.Node, "error", err)
		return err
	}
	return nil
}

// admit returns the part, if the caller may talk about it.
func (n *Node) admit(name string, by api.DBCaller) (*part, error) {
	p := n.part(name)
	if p == nil {
		return nil, forbidden("%s takes no part in a replication %q", n.Deps.Self, name)
	}
	peer, listed := p.enlisted().Peers[by.Node]
	switch {
	case !listed:
		return nil, forbidden("%s is not among the machines that %s knows to take part in replication %q", by.Node, n.Deps.Self, name)
	case peer.Key != "" && peer.Key != by.Key:
		return nil, forbidden("%s shows another key than the one that it is to have in replication %q: it was rebuilt since, or is another machine; terraform apply sends the new key", by.Node, name)
	}
	return p, nil
}

// admitMember returns the part, if the caller may command it and have its data.
// Who that may be is not in what machines tell one another: a witness would tell
// of itself that it is the primary.
func (n *Node) admitMember(name string, by api.DBCaller) (*part, error) {
	p, err := n.admit(name, by)
	if err != nil {
		return nil, err
	}
	if !p.enlisted().Member(by.Node) {
		return nil, forbidden("%s is a witness by the list that %s has of replication %q: it may look and vote; orders come from members, and the data go to members only", by.Node, n.Deps.Self, name)
	}
	return p, nil
}

// Self returns this machine's name in a replication.
func (n *Node) Self() replication.NodeID { return replication.NodeID(n.Deps.Self) }

// Local returns this machine's own part, for a coordinator that holds its lock.
func (n *Node) Local(name string) (*replication.Local, error) {
	p := n.part(name)
	if p == nil {
		return nil, notEnlisted(n.Deps.Self, name)
	}
	return p.local(), nil
}

// Enlisted returns which machines take part, if this one does.
func (n *Node) Enlisted(name string) (api.DBMembership, bool) {
	p := n.part(name)
	if p == nil {
		return api.DBMembership{}, false
	}
	m := p.enlisted()
	return m, len(m.Peers) > 0
}

// Config returns what the coordinator sent last.
func (n *Node) Config(name string) (api.DBConfig, bool) {
	p := n.part(name)
	if p == nil || p.config() == nil {
		return api.DBConfig{}, false
	}
	return *p.config(), true
}

// SetConfig keeps what the coordinator, which is this machine, has decided.
func (n *Node) SetConfig(ctx context.Context, name string, config api.DBConfig) error {
	p := n.part(name)
	if p == nil {
		return notEnlisted(n.Deps.Self, name)
	}
	return p.setConfig(ctx, config)
}

// Dir is where a part is kept. It exists from the first [Node.Enlist] on.
func (n *Node) Dir(name string) string { return filepath.Join(n.State, name) }

func forbidden(format string, args ...any) error {
	return &api.Problem{Type: api.ProblemForbidden, Title: "The machine may not do that", Detail: fmt.Sprintf(format, args...)}
}

func refused(title, format string, args ...any) error {
	return &api.Problem{Type: api.ProblemEngineRefused, Title: title, Detail: fmt.Sprintf(format, args...)}
}

func notEnlisted(self, name string) error {
	return &api.Problem{
		Type: api.ProblemNotFound, Title: "The machine takes no part in the replication",
		Detail: fmt.Sprintf("%s takes no part in replication %q yet; terraform apply sends all machines the list of those that do first", self, name),
	}
}
