package replication_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/gtid"
)

// errKilled is what every call ends with once the world's killer has struck.
var errKilled = errors.New("killed")

// world is a cluster in memory: databases, agents, and the coordinator's
// journal. What is on its "disks" outlives a kill.
type world struct {
	desired replication.Topology
	nodes   map[replication.NodeID]*node
	entry   *replication.Entry
	locks   map[replication.NodeID]string
	// password is the replication's own, as all were given.
	password api.Secret
	clock    time.Time
	// killAt counts the effects until the killer strikes; negative is never.
	killAt int
	dead   bool
	// check is called after every effect.
	check func()
}

// node is one machine.
type node struct {
	*world
	id       replication.NodeID
	witness  bool
	silent   bool
	serverID uint32

	// Durable.
	record   replication.Record
	seeded   string
	followed string
	data     data
	staged   *data
	mark     *replication.SeedMark

	// Lost with the database's process.
	writable bool
	stopped  bool
	lag      *replication.Lag
	settings map[string]string
	source   *replication.Source
	// connected: its connection stands, whatever becomes of the password.
	connected bool
}

// data are what a copy takes along.
type data struct {
	Origin, History, Oldest string
	Databases               []string
	Password                api.Secret
}

func newWorld(witnesses ...replication.NodeID) *world {
	w := &world{
		nodes: map[replication.NodeID]*node{}, locks: map[replication.NodeID]string{}, killAt: -1,
		password: "secret", clock: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), check: func() {},
	}
	w.desired = replication.Topology{Name: "main", Engine: api.EngineMariaDB, Primary: "a", Members: map[replication.NodeID]replication.Member{}, Witnesses: witnesses}
	for _, id := range witnesses {
		w.nodes[id] = &node{world: w, id: id, witness: true}
	}
	return w
}

func (w *world) join(ids ...replication.NodeID) {
	for _, id := range ids {
		w.desired.Members[id] = replication.Member{Host: string(id), Port: 3306}
		if w.nodes[id] == nil {
			w.nodes[id] = &node{world: w, id: id}
			w.nodes[id].reset(uint32(len(w.nodes)))
		}
	}
}

// reset makes a node a rebuilt machine.
func (n *node) reset(serverID uint32) {
	n.serverID, n.record, n.seeded, n.followed, n.data, n.staged, n.mark = serverID, replication.Record{}, "", "", data{}, nil, nil
	n.boot()
	n.source = nil
}

// boot starts the database anew: fenced, with the settings of its file.
func (n *node) boot() {
	n.writable, n.stopped, n.connected = false, false, false
	n.settings = map[string]string{
		"gtid_strict_mode": "ON", "binlog_format": "ROW", "sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1",
		"slave_connections_needed_for_purge": "0", // as of any server after its start, which knows of no replication
	}
}

// effect is a point where the killer may strike. It strikes after the effect,
// or, with before, ahead of it.
func (w *world) effect(do func()) error {
	for _, act := range []func(){func() {}, do} {
		if w.dead {
			return errKilled
		}
		act()
		w.check()
		if w.killAt == 0 {
			w.dead = true
		}
		w.killAt--
	}
	if w.dead {
		return errKilled
	}
	return nil
}

// write adds one transaction of this node's own.
func (n *node) write() {
	history, _ := gtid.Parse(n.data.History)
	var last uint64
	for _, part := range strings.Split(history.String(), ",") {
		var domain, server uint32
		var sequence uint64
		if _, err := fmt.Sscanf(part, "%d-%d-%d", &domain, &server, &sequence); err == nil {
			last = max(last, sequence)
		}
	}
	own, _ := gtid.Parse(fmt.Sprintf("0-%d-%d", n.serverID, last+1))
	n.data.History = history.Union(own).String()
}

// replicate brings a working replica up to date.
func (n *node) replicate() (receiver, applier replication.Thread) {
	receiver, applier = replication.Thread{State: replication.ThreadRunning}, replication.Thread{State: replication.ThreadRunning}
	if n.stopped {
		return replication.Thread{State: replication.ThreadStopped}, replication.Thread{State: replication.ThreadStopped}
	}
	from, ok := n.nodes[replication.NodeID(n.source.Host)]
	switch {
	case !ok || from.silent || from.mark != nil:
		return replication.Thread{State: replication.ThreadConnecting, Errno: 2003, Error: "no route"}, applier
	case !n.connected && from.data.Password != n.source.Password:
		return replication.Thread{State: replication.ThreadConnecting, Errno: 1045, Error: "denied"}, applier
	}
	n.connected = true
	mine, _ := gtid.Parse(n.data.History)
	theirs, _ := gtid.Parse(from.data.History)
	oldest, _ := gtid.Parse(from.data.Oldest)
	if !mine.CanFollow(oldest) {
		return replication.Thread{State: replication.ThreadStopped, Errno: 1236, Error: "gone"}, applier
	}
	if !mine.Missing(theirs).Empty() && !theirs.Missing(mine).Empty() {
		return receiver, replication.Thread{State: replication.ThreadStopped, Errno: 1950, Error: "out of order"}
	}
	n.data.History, n.data.Databases = mine.Union(theirs).String(), from.data.Databases
	return receiver, applier
}

// Engine of the node.

var _ replication.Engine = (*node)(nil)

func (n *node) Observe(context.Context) (replication.EngineView, error) {
	if n.dead || n.silent {
		return replication.EngineView{}, errKilled
	}
	view := replication.EngineView{
		Version: "11.8.6-MariaDB", ServerID: n.serverID, Writable: n.writable, Origin: n.data.Origin, Empty: len(n.data.Databases) == 0,
		Oldest: n.data.Oldest, Settings: maps.Clone(n.settings),
	}
	if n.source != nil {
		receiver, applier := n.replicate()
		view.Sources = []replication.SourceView{{Host: n.source.Host, Port: n.source.Port, Receiver: receiver, Applier: applier, AutoPosition: true, TLS: true}}
	}
	if n.lag != nil {
		lag := *n.lag
		view.Lag = &lag
	}
	history, _ := gtid.Parse(n.data.History)
	view.History, view.Applied = history.String(), history.Position().String()
	return view, nil
}

func (n *node) Differences(_ context.Context, wanted replication.Catalog, secrets replication.Secrets) ([]string, error) {
	var differs []string
	if n.data.Password != secrets.Replication {
		differs = append(differs, "the replication account has another password")
	}
	for name := range wanted.Databases {
		if !slices.Contains(n.data.Databases, name) {
			differs = append(differs, "database "+name+" does not exist")
		}
	}
	return differs, nil
}

func (n *node) Fence(context.Context) error { return n.effect(func() { n.writable = false }) }

func (n *node) Unfence(context.Context) error {
	if n.dead {
		return errKilled
	}
	if n.source != nil || n.mark != nil {
		return errors.New("it follows somebody")
	}
	return n.effect(func() { n.writable = true })
}

func (n *node) Position(context.Context) (string, error)  { return n.data.History, nil }
func (n *node) WaitFor(context.Context, string) error     { return nil }
func (n *node) SeedState() (*replication.SeedMark, error) { return n.mark, nil }
func (n *node) Retire(context.Context) error              { return n.effect(func() { n.data.Password = "" }) }
func (n *node) Detach(context.Context) error              { return n.effect(func() { n.source = nil }) }
func (n *node) Set(_ context.Context, s map[string]string) error {
	return n.effect(func() { maps.Copy(n.settings, s) })
}
func (n *node) Beat(context.Context, uint64, replication.NodeID) error { return nil }

func (n *node) Claim(_ context.Context, origin string, secrets replication.Secrets) error {
	return n.effect(func() {
		if n.data.Origin == "" {
			n.data.Origin = origin
		}
		n.data.Password = secrets.Replication
		n.write()
	})
}

func (n *node) Provision(_ context.Context, wanted replication.Catalog, drop replication.Drop, secrets replication.Secrets) error {
	return n.effect(func() {
		n.data.Password = secrets.Replication
		for name := range wanted.Databases {
			if !slices.Contains(n.data.Databases, name) {
				n.data.Databases = append(slices.Clone(n.data.Databases), name)
			}
		}
		n.data.Databases = slices.DeleteFunc(slices.Clone(n.data.Databases), func(name string) bool { return slices.Contains(drop.Databases, name) })
		n.write()
	})
}

func (n *node) Follow(_ context.Context, source replication.Source) error {
	if n.dead {
		return errKilled
	}
	return n.effect(func() { n.writable, n.stopped, n.connected, n.source = false, false, false, &source })
}

func (n *node) Donate(_ context.Context, to io.Writer) error {
	return json.NewEncoder(to).Encode(n.data)
}

// Receive goes through mark, copy beside the old data, new data in place, mark gone.
func (n *node) Receive(ctx context.Context, donor replication.NodeID, from io.Reader, _ func(int64)) error {
	if err := n.effect(func() { n.mark = &replication.SeedMark{Donor: donor, Started: n.clock} }); err != nil {
		return err
	}
	if err := n.effect(func() { n.staged = nil }); err != nil {
		return err
	}
	var copied data
	if err := json.NewDecoder(from).Decode(&copied); err != nil {
		return err
	}
	if err := n.effect(func() { n.staged = &copied }); err != nil {
		return err
	}
	_, err := n.ResumeSeed(ctx)
	return err
}

func (n *node) ResumeSeed(context.Context) (bool, error) {
	if n.mark == nil {
		return false, nil
	}
	if n.staged == nil {
		return true, nil
	}
	return false, n.effect(func() {
		n.data, n.staged, n.mark, n.source = *n.staged, nil, nil, nil
		history, _ := gtid.Parse(n.data.History)
		n.data.Oldest = history.String()
		n.boot()
	})
}

func (n *node) AbandonSeed(context.Context) error {
	if n.mark == nil {
		return nil
	}
	return n.effect(func() { n.mark, n.staged = nil, nil })
}

// records of the node's agent.
type records struct{ *node }

func (r records) Record(context.Context) (replication.Record, error) {
	if r.dead || r.silent {
		return replication.Record{}, errKilled
	}
	return r.record, nil
}
func (r records) SetRecord(_ context.Context, record replication.Record) error {
	return r.effect(func() { r.record = record })
}
func (r records) Seeded(context.Context) (string, error) { return r.seeded, nil }
func (r records) SetSeeded(_ context.Context, order string) error {
	return r.effect(func() { r.seeded = order })
}
func (r records) Followed(context.Context) (string, error) { return r.followed, nil }
func (r records) SetFollowed(_ context.Context, password string) error {
	return r.effect(func() { r.followed = password })
}

// Journal, locks and clock of the coordinator.

func (w *world) Load(context.Context) (*replication.Entry, error) {
	if w.entry == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	copied := *w.entry
	return &copied, nil
}
func (w *world) Save(_ context.Context, entry replication.Entry) error {
	return w.effect(func() { w.entry = &entry })
}
func (w *world) Lock(_ context.Context, id replication.NodeID, operation string) (func(), error) {
	if holder := w.locks[id]; holder != "" && holder != operation {
		return nil, fmt.Errorf("%s is locked by %s", id, holder)
	}
	w.locks[id] = operation
	return func() { delete(w.locks, id) }, nil
}
func (w *world) Now() time.Time { return w.clock }

// Sleep lets time pass. Nothing here changes by itself, so waiting is in vain.
func (w *world) Sleep(context.Context, time.Duration) error {
	w.clock = w.clock.Add(time.Second)
	return errors.New("waited in vain")
}

// agents returns the nodes as their agents play them.
func (w *world) agents() map[replication.NodeID]replication.Node {
	nodes := map[replication.NodeID]replication.Node{}
	for id, n := range w.nodes {
		local := &replication.Local{
			ID: id, Engine: n, Records: records{n}, Now: w.Now,
			Wants: func(context.Context) (replication.Wants, error) {
				return replication.Wants{Topology: w.desired, Secrets: replication.Secrets{Replication: w.password}}, nil
			},
			Copy: func(ctx context.Context, donor replication.NodeID) (io.ReadCloser, error) {
				in, out := io.Pipe()
				go func() { out.CloseWithError(w.nodes[donor].Donate(ctx, out)) }()
				return in, nil
			},
		}
		if n.witness {
			local.Engine = nil
		}
		nodes[id] = local
	}
	return nodes
}

func (w *world) executor() *replication.Executor {
	return &replication.Executor{Journal: w, Locks: w, Nodes: w.agents(), Clock: w}
}

func (w *world) look(t *testing.T) replication.Snapshot {
	t.Helper()
	observers := map[replication.NodeID]replication.Observer{}
	for id, agent := range w.agents() {
		observers[id] = agent
	}
	w.clock = w.clock.Add(time.Second)
	return replication.Gather(t.Context(), w.desired, observers, nil, w.Now)
}

// open returns who accepts writes.
func (w *world) open() []replication.NodeID {
	var open []replication.NodeID
	for id, n := range w.nodes {
		if n.writable {
			open = append(open, id)
		}
	}
	slices.Sort(open)
	return open
}

// revive ends a kill: agents and coordinator start again over their disks.
func (w *world) revive() {
	w.dead, w.killAt = false, -1
	clear(w.locks)
}
