package dbreplication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// rack is a deployment in memory: machines with agents' nodes, and databases
// that play MariaDB. No keeper runs.
type rack struct {
	t    *testing.T
	root string

	mu       sync.Mutex
	machines map[string]*rackMachine
	// calls are what was asked over the wire: "PUT web2 orders".
	calls []string
}

// rackMachine is one machine.
type rackMachine struct {
	*rackDB
	name  string
	node  *Node
	cutMu sync.Mutex
	cut   bool
	// refuses is what it answers to a configuration, nil for nothing.
	refuses error
	// before is called ahead of every order, which it may fail.
	before func(replication.Order) error
}

func newRack(t *testing.T, names ...string) *rack {
	t.Helper()
	r := &rack{t: t, root: t.TempDir(), machines: map[string]*rackMachine{}}
	for i, name := range names {
		m := &rackMachine{name: name, rackDB: &rackDB{rack: r, id: uint32(i + 1)}}
		m.settings = map[string]string{"gtid_strict_mode": "ON", "binlog_format": "ROW"}
		r.machines[name] = m
		r.boot(name)
	}
	return r
}

// boot starts a machine's agent anew over its disk.
func (r *rack) boot(name string) {
	r.t.Helper()
	m := r.machines[name]
	if m.node != nil {
		m.node.Close()
	}
	dir := filepath.Join(r.root, name)
	node, err := NewNode(Deps{
		State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run"), Hosts: filepath.Join(dir, "hosts"),
		Self: name, Deployment: "shop", Units: m.rackDB, Peers: PeersOver(r.dial(name)), Log: hclog.NewNullLogger(),
		Servers: func() []string { return []string{"main"} },
		Open: func(string) (Database, error) {
			return Database{Engine: m.rackDB, Unit: "foobar-db-main.service", Close: func() {}}, nil
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	m.node = node
	r.t.Cleanup(node.Close)
}

// kind returns the kind on the machine of that name.
func (r *rack) kind(name string) *Kind {
	return &Kind{Parts: r.machines[name].node, Dial: r.dial(name), Deployment: "shop"}
}

func (r *rack) dial(from string) Dial {
	return func(machine replication.NodeID, _ api.DBPeer) (Caller, error) {
		return &rackLine{rack: r, from: from, to: r.machines[string(machine)]}, nil
	}
}

// cut takes a machine's line, or mends it.
func (r *rack) cut(name string, cut bool) {
	m := r.machines[name]
	m.cutMu.Lock()
	defer m.cutMu.Unlock()
	m.cut = cut
}

// asked returns the calls since it was asked last that are of that method.
func (r *rack) asked(methods ...string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, call := range r.calls {
		if method, _, _ := strings.Cut(call, " "); slices.Contains(methods, method) {
			found = append(found, call)
		}
	}
	r.calls = nil
	return found
}

// spec is a replication of web1, the primary, with other members and a witness.
func (r *rack) spec(members ...string) api.DBReplication {
	spec := api.DefaultDBReplication()
	spec.Primary = "web1"
	for i, name := range append([]string{"web1"}, members...) {
		spec.Members[name] = api.DBMember{
			DBPeer: api.DBPeer{Address: "10.0.0.1:9443"}, Server: "main", ServerID: r.machines[name].id,
			Host: fmt.Sprintf("10.0.0.%d", i+1), Port: 3306,
		}
	}
	if r.machines["lb1"] != nil {
		spec.Witnesses["lb1"] = api.DBPeer{Address: "10.0.0.9:9443"}
	}
	spec.Databases["notes"] = api.DBDatabase{}
	spec.Users["app"] = api.DBUser{PasswordVersion: 1, Grants: map[string][]string{"notes": {"ALL"}}}
	spec.SecretsVersion = spec.PasswordsVersion()
	return spec
}

// enlist tells all machines of a spec of one another, as the provider does.
func (r *rack) enlist(spec api.DBReplication) {
	r.t.Helper()
	for name := range spec.Peers() {
		if err := r.machines[name].node.Enlist(r.t.Context(), "notes", "terraform@ci", spec.Membership()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// has reports whether all machines of a spec are there.
func (r *rack) has(spec api.DBReplication) bool {
	for name := range spec.Peers() {
		if r.machines[name] == nil {
			return false
		}
	}
	return true
}

func version(t *testing.T, spec api.DBReplication) *converge.Version {
	t.Helper()
	state, err := (&Kind{}).Render("notes", spec, map[string]api.Secret{"app": "hunter2"}, converge.InPlace{})
	if err != nil {
		t.Fatal(err)
	}
	return &converge.Version{Spec: spec, State: state}
}

// rackLine is the way from one machine to another.
type rackLine struct {
	rack *rack
	from string
	to   *rackMachine
}

func (l *rackLine) open(method, part string) error {
	if l.to == nil {
		return errors.New("no such host")
	}
	l.rack.mu.Lock()
	l.rack.calls = append(l.rack.calls, strings.TrimSpace(method+" "+l.to.name+" "+part))
	l.rack.mu.Unlock()
	l.to.cutMu.Lock()
	defer l.to.cutMu.Unlock()
	if l.to.cut {
		return errors.New("no route to host")
	}
	return nil
}

func (l *rackLine) ReplicationCall(ctx context.Context, method, name, part string, in, out any) (int, error) {
	if err := l.open(method, part); err != nil {
		return 0, err
	}
	by, node := api.DBCaller{Node: l.from}, l.to.node
	var answer any
	var err error
	status := http.StatusOK
	switch method + " " + part {
	case "GET view":
		answer, err = node.View(ctx, name, by)
	case "GET record":
		answer, err = node.Record(ctx, name, by)
	case "GET component":
		var applied bool
		applied, err = node.Applied(ctx, name, by)
		answer = api.DBApplied{Applied: applied}
	case "PUT ":
		if err = l.to.refuses; err == nil {
			err = node.UpdateConfig(ctx, name, by, sent[api.DBConfig](l.rack.t, in))
		}
	case "PUT lock":
		err = node.Lock(ctx, name, by, sent[api.DBLock](l.rack.t, in).Operation)
	case "DELETE lock":
		err = node.Unlock(ctx, name, by, sent[api.DBLock](l.rack.t, in).Operation)
	case "POST orders":
		order := sent[replication.Order](l.rack.t, in)
		if l.to.before != nil {
			err = l.to.before(order)
		}
		if err != nil {
			return 0, err
		}
		var done bool
		if done, err = node.Order(ctx, name, by, order, time.Second); !done {
			status = http.StatusAccepted
		}
	default:
		l.rack.t.Errorf("no such route: %s %q", method, part)
	}
	if err != nil {
		return 0, api.AsProblem(err)
	}
	if out != nil {
		return status, json.Unmarshal(api.Encode(answer), out)
	}
	return status, nil
}

func (l *rackLine) ReplicationCopy(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := l.open("GET", "copy"); err != nil {
		return nil, err
	}
	in, out := io.Pipe()
	go func() { out.CloseWithError(l.to.node.Copy(ctx, name, api.DBCaller{Node: l.from}, out)) }()
	return in, nil
}

// sent is what arrives of a body.
func sent[T any](t *testing.T, in any) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(api.Encode(in), &out); err != nil {
		t.Error(err)
	}
	return out
}

// Status is that of the server's unit.
func (d *rackDB) Status(context.Context, string) (systemd.Status, error) {
	d.dbMu.Lock()
	defer d.dbMu.Unlock()
	if d.removed {
		return systemd.Status{LoadState: "not-found", ActiveState: "inactive"}, nil
	}
	return systemd.Status{LoadState: "loaded", ActiveState: "active", MainPID: 7, InvocationID: "one"}, nil
}
func (*rackDB) Start(context.Context, string) error { return nil }
func (*rackDB) Stop(context.Context, string) error  { return nil }

// rackDB plays a database server.
type rackDB struct {
	rack *rack
	id   uint32

	dbMu      sync.Mutex
	data      rackData
	writable  bool
	stopped   bool
	silent    bool // to who asks for names
	removed   bool // its component was destroyed
	refused   bool // by its primary, until it follows again
	dead      bool // to everybody
	source    *replication.Source
	settings  map[string]string
	passwords map[string]api.Secret
}

// rackData is what a copy takes along.
type rackData struct {
	Origin    string
	Writes    int
	Databases []string
	// Errant is a write of the server's own.
	Errant bool
}

var (
	_ replication.Engine  = (*rackDB)(nil)
	_ replication.Lexicon = (*rackDB)(nil)
)

// Unknown knows one character set and one collation, and fails for a server that is not there.
func (d *rackDB) Unknown(_ context.Context, databases map[string]replication.Database) (map[string]replication.UnknownNames, error) {
	found := map[string]replication.UnknownNames{}
	for name, database := range databases {
		unknown := func(given, known string) *replication.UnknownName {
			if given == "" || given == known {
				return nil
			}
			return &replication.UnknownName{Version: "MariaDB 11.8.9", Nearest: []string{known}}
		}
		of := replication.UnknownNames{Charset: unknown(database.Charset, "utf8mb4"), Collation: unknown(database.Collation, "utf8mb4_bin")}
		if of.Charset != nil || of.Collation != nil {
			found[name] = of
		}
	}
	if d.silent {
		return nil, errDead
	}
	return found, nil
}

// with runs f on the database alone.
func (d *rackDB) with(f func()) error {
	d.dbMu.Lock()
	defer d.dbMu.Unlock()
	f()
	return nil
}

func (d *rackDB) Observe(context.Context) (replication.EngineView, error) {
	d.replicate()
	d.dbMu.Lock()
	defer d.dbMu.Unlock()
	if d.dead || d.removed {
		return replication.EngineView{}, errDead
	}
	view := replication.EngineView{
		Version: "11.8.6-MariaDB", ServerID: d.id, Writable: d.writable, Origin: d.data.Origin,
		Empty: len(d.data.Databases) == 0, Settings: maps.Clone(d.settings), Oldest: "0-1-1",
	}
	if d.data.Writes > 0 {
		view.History = fmt.Sprintf("0-1-%d", d.data.Writes)
		view.Applied = view.History
	}
	if d.data.Errant {
		view.History += fmt.Sprintf(",0-%d-900", d.id)
	}
	if d.source != nil {
		running := replication.Thread{State: replication.ThreadRunning}
		if d.stopped {
			running.State = replication.ThreadStopped
		}
		receiver := running
		if d.refused {
			receiver = replication.Thread{State: replication.ThreadConnecting, Errno: 2003, Error: "Connection refused"}
		}
		view.Sources = []replication.SourceView{{
			Host: d.source.Host, Port: d.source.Port, Receiver: receiver, Applier: running, AutoPosition: true, TLS: true, Delay: d.source.Delay,
		}}
	}
	return view, nil
}

// replicate brings a replica up to date.
func (d *rackDB) replicate() {
	d.dbMu.Lock()
	source, stopped := d.source, d.stopped
	d.dbMu.Unlock()
	if source == nil || stopped {
		return
	}
	from := d.rack.machines[strings.TrimSuffix(source.Host, ".shop.internal")]
	from.dbMu.Lock()
	copied := from.data
	from.dbMu.Unlock()
	_ = d.with(func() { copied.Errant = d.data.Errant; d.data = copied })
}

func (d *rackDB) Differences(_ context.Context, wanted replication.Catalog, secrets replication.Secrets) ([]string, error) {
	d.dbMu.Lock()
	defer d.dbMu.Unlock()
	var differs []string
	for _, name := range slices.Sorted(maps.Keys(wanted.Databases)) {
		if !slices.Contains(d.data.Databases, name) {
			differs = append(differs, "database "+name+" does not exist")
		}
	}
	for user := range wanted.Users {
		if d.passwords[user] != secrets.Users[user] && d.source == nil {
			differs = append(differs, "user "+user+" has another password")
		}
	}
	return differs, nil
}

func (d *rackDB) Fence(context.Context) error   { return d.with(func() { d.writable = false }) }
func (d *rackDB) Unfence(context.Context) error { return d.with(func() { d.writable = true }) }
func (d *rackDB) Position(context.Context) (string, error) {
	return "", nil
}
func (d *rackDB) WaitFor(context.Context, string) error { return nil }
func (d *rackDB) Claim(_ context.Context, origin string, _ replication.Secrets) error {
	return d.with(func() { d.data.Origin = origin; d.data.Writes++ })
}

func (d *rackDB) Provision(_ context.Context, wanted replication.Catalog, drop replication.Drop, secrets replication.Secrets) error {
	return d.with(func() {
		for name := range wanted.Databases {
			if !slices.Contains(d.data.Databases, name) {
				d.data.Databases = append(slices.Clone(d.data.Databases), name)
			}
		}
		d.data.Databases = slices.DeleteFunc(slices.Clone(d.data.Databases), func(name string) bool { return slices.Contains(drop.Databases, name) })
		d.data.Writes++
		d.passwords = maps.Clone(secrets.Users)
	})
}
func (d *rackDB) Retire(context.Context) error { return nil }

func (d *rackDB) Beat(context.Context, uint64, replication.NodeID) error { return nil }

func (d *rackDB) Follow(_ context.Context, source replication.Source) error {
	return d.with(func() { d.writable, d.stopped, d.refused, d.source = false, false, false, &source })
}

func (d *rackDB) Detach(context.Context) error {
	d.dbMu.Lock()
	defer d.dbMu.Unlock()
	if d.dead || d.removed {
		return errDead
	}
	d.source = nil
	return nil
}

func (d *rackDB) Set(_ context.Context, settings map[string]string) error {
	return d.with(func() { maps.Copy(d.settings, settings) })
}

func (d *rackDB) Donate(_ context.Context, to io.Writer) error {
	d.dbMu.Lock()
	defer d.dbMu.Unlock()
	return json.NewEncoder(to).Encode(d.data)
}

func (d *rackDB) Receive(_ context.Context, _ replication.NodeID, from io.Reader, _ func(int64)) error {
	var copied rackData
	if err := json.NewDecoder(from).Decode(&copied); err != nil {
		return err
	}
	return d.with(func() { d.data, d.writable, d.source = copied, false, nil })
}

func (d *rackDB) SeedState() (*replication.SeedMark, error) { return nil, nil } //nolint:nilnil // there is none
func (d *rackDB) ResumeSeed(context.Context) (bool, error)  { return false, nil }
func (d *rackDB) AbandonSeed(context.Context) error         { return nil }
