// Package agenttest runs whole agents in a test's process, over real TLS on
// the loopback interface. All is real but what takes root or an engine: the
// machine's files lie in a directory of the test, systemd is imitated, and
// [Kind] starts units where HAProxy, nginx or an app would run.
package agenttest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbreplication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/server"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

const (
	// identityDir is where an agent keeps its identity.
	identityDir = "/var/lib/foobar/identity"
	// systemdFile is where the imitation of systemd keeps its state, in the
	// runtime directory.
	systemdFile = "systemd.json"
)

// Config says which machine a test wants. The zero Config is machine web1 of
// deployment test, incarnation 1, with a seed of its own.
type Config struct {
	Deployment  string
	Node        string
	Incarnation int64
	// Seed is the text of the CA seed. Machines of one deployment share it.
	Seed string
	// Step is called before each step of a transaction, see [converge.Engine].
	Step func(step string) error
}

// NewSeed returns the text of a new CA seed.
func NewSeed() string {
	seed := make([]byte, pki.SeedSize)
	_, _ = rand.Read(seed) // never fails
	return base64.StdEncoding.EncodeToString(seed)
}

// Machine is a machine with its agent.
type Machine struct {
	t      testing.TB
	config Config
	signer pki.Signer
	root   string
	// runtime has a short path: there is a socket in it.
	runtime string
	address string

	// Units is the machine's service manager, DBServers, DBReplications,
	// LoadBalancers and AppServers are the agent's kinds. They outlive the agent.
	Units                                                *systemdtest.Systemd
	DBServers, DBReplications, LoadBalancers, AppServers *Kind
	apps                                                 *operable
	// Replications are the machine's parts of replications in the agent's
	// present life: the real ones, on a machine without a database.
	Replications *dbreplication.Node

	id   *identity.Identity
	life *life
	// boots counts the boots of the machine, and booted is when the last one was.
	boots  int
	booted time.Time
}

// life is one run of the agent.
type life struct {
	cancel context.CancelFunc
	remote *trackedListener
	ended  chan error
	killed atomic.Bool
}

// Start starts a machine that is not enrolled. It is stopped with the test.
func Start(t testing.TB, c Config) *Machine {
	t.Helper()
	c = c.withDefaults()
	seed, err := pki.ParseSeed(c.Seed)
	must(t, err)
	authority, err := pki.NewAuthority(seed, c.Deployment, pki.DefaultAuthorityEnd())
	must(t, err)
	m := &Machine{
		t: t, config: c, signer: pki.Signer{Authority: authority, Now: time.Now, Random: rand.Reader},
		root: t.TempDir(), runtime: shortDir(t), address: "127.0.0.1:0",
		boots: 1, booted: time.Now(),
	}
	m.Units = systemdtest.New(m.root, filepath.Join(m.runtime, systemdFile))
	m.DBServers, m.DBReplications, m.LoadBalancers, m.AppServers = newKinds(m.Units)
	m.apps = &operable{anyKind: m.AppServers}
	m.Boot()
	t.Cleanup(m.Stop)
	return m
}

func (c Config) withDefaults() Config {
	if c.Deployment == "" {
		c.Deployment = "test"
	}
	if c.Node == "" {
		c.Node = "web1"
	}
	if c.Incarnation == 0 {
		c.Incarnation = 1
	}
	if c.Seed == "" {
		c.Seed = NewSeed()
	}
	return c
}

// shortDir returns a directory whose path leaves room for a socket's name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fb") //nolint:usetesting // a test's own can be too long for a socket
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Boot starts the agent, which must not run. Its address stays the same.
func (m *Machine) Boot() {
	m.t.Helper()
	id, err := m.OpenIdentity()
	must(m.t, err)
	m.id = id
	m.openReplications()
	l := &life{ended: make(chan error, 1)}
	a, err := agent.Open(agent.Config{
		Root: m.root, State: "/var/lib/foobar", Runtime: m.runtime, Identity: id,
		Kinds: []operation.Kind{m.DBServers, m.DBReplications, m.apps, m.LoadBalancers},
		Units: m.Units, Accounts: ownAccounts{}, Journal: noJournal{}, Replications: m.Replications,
		Facts: server.Facts{Version: "0.0.0-test", ImageID: "test", BootID: fmt.Sprintf("boot-%d", m.boots), BootedAt: m.booted.UTC()},
		Log:   hclog.NewNullLogger(), Now: time.Now, Hook: func(step string) error { return m.step(l, step) },
	})
	must(m.t, err)
	remote, err := new(net.ListenConfig).Listen(m.t.Context(), "tcp", m.address)
	must(m.t, err)
	l.remote = &trackedListener{Listener: remote}
	local, err := server.ListenLocal(m.Socket())
	must(m.t, err)
	m.address = remote.Addr().String()
	ctx, cancel := context.WithCancel(context.Background()) // ended by Stop, also after the test's own context
	l.cancel = cancel
	ready := make(chan struct{})
	go func() { l.ended <- a.Run(ctx, l.remote, local, func() { close(ready) }) }()
	<-ready
	m.life = l
}

// OpenIdentity opens the machine's identity as a start of the agent does, which
// must not run.
func (m *Machine) OpenIdentity() (*identity.Identity, error) {
	m.t.Helper()
	bootstrap, err := pki.NewBootstrap(m.signer.Authority, m.config.Node, m.config.Incarnation, m.address)
	must(m.t, err)
	return identity.Open(identity.Config{
		Dir: m.Path(identityDir), Bootstrap: &identity.Bootstrap{Bootstrap: bootstrap},
		Now: time.Now, Random: rand.Reader,
	})
}

// openReplications opens the machine's parts of replications anew.
func (m *Machine) openReplications() {
	m.t.Helper()
	others := agent.Others(m.id)
	m.t.Cleanup(others.Close)
	for _, dir := range []string{m.Path("/var/lib/foobar"), m.Path("/etc")} {
		must(m.t, os.MkdirAll(dir, 0o755))
	}
	var err error
	m.Replications, err = dbreplication.NewNode(dbreplication.Deps{
		State: m.Path("/var/lib/foobar/replications"), Runtime: filepath.Join(m.runtime, "replications"), Hosts: m.Path("/etc/hosts"),
		Self: m.config.Node, Deployment: m.config.Deployment, Units: m.Units, Servers: func() []string { return nil },
		Open: func(server string) (dbreplication.Database, error) {
			return dbreplication.Database{}, fmt.Errorf("there is no database server %q in a test", server)
		},
		Peers: dbreplication.PeersOver(dbreplication.Over(others)), Log: hclog.NewNullLogger(),
	})
	must(m.t, err)
}

// step is called before each step of a transaction. In an agent that was
// killed it ends the goroutine that wanted to take it.
func (m *Machine) step(l *life, step string) error {
	if l.killed.Load() {
		runtime.Goexit()
	}
	if m.config.Step != nil {
		if err := m.config.Step(step); err != nil {
			return err
		}
	}
	if l.killed.Load() {
		runtime.Goexit()
	}
	return nil
}

// Stop stops the agent as systemd does, and waits for it. What runs is undone.
func (m *Machine) Stop() {
	if m.life == nil {
		return
	}
	m.life.cancel()
	if err := <-m.life.ended; err != nil {
		m.t.Errorf("stop the agent of %s: %v", m.config.Node, err)
	}
	m.life = nil
}

// Kill ends the agent as SIGKILL does: connections break off, and transactions
// stay where they are.
func (m *Machine) Kill() {
	m.life.killed.Store(true)
	m.life.remote.sever()
	if err := <-m.life.ended; err == nil {
		m.t.Errorf("the agent of %s ended well, though its listener was taken away", m.config.Node)
	}
	m.life.cancel()
	m.life = nil
}

// Reboot boots the machine: its runtime directory is empty afterwards. Units
// run on, as if the agent had started them again.
func (m *Machine) Reboot() {
	m.t.Helper()
	m.Stop()
	m.boots++
	m.booted = time.Now()
	entries, err := os.ReadDir(m.runtime)
	must(m.t, err)
	for _, e := range entries {
		if e.Name() != systemdFile {
			must(m.t, os.RemoveAll(filepath.Join(m.runtime, e.Name())))
		}
	}
	m.Boot()
}

// Reset gives the machine the identity of its next incarnation, as root does
// whose seed is lost: it is not enrolled, and everything else stays.
func (m *Machine) Reset() {
	m.t.Helper()
	m.Stop()
	m.config.Incarnation++
	must(m.t, os.RemoveAll(m.Path(identityDir)))
	m.Boot()
}

// Rebuild replaces the machine by a new one of the next incarnation, which has
// an empty disk and is not enrolled.
func (m *Machine) Rebuild() {
	m.t.Helper()
	m.Stop()
	m.config.Incarnation++
	for _, path := range []string{m.root, filepath.Join(m.runtime, systemdFile)} {
		must(m.t, os.RemoveAll(path))
	}
	must(m.t, os.Mkdir(m.root, 0o755))
	m.Boot()
}

// Path returns where a file of the machine lies.
func (m *Machine) Path(path string) string { return filepath.Join(m.root, path) }

// Socket returns the path of the agent's local socket.
func (m *Machine) Socket() string { return filepath.Join(m.runtime, "agent.sock") }

// Address returns where the agent listens, "host:port".
func (m *Machine) Address() string { return m.address }

// Seed returns the text of the CA seed.
func (m *Machine) Seed() string { return m.config.Seed }

// Signer returns what signs for the machine's deployment.
func (m *Machine) Signer() pki.Signer { return m.signer }

// Target returns the machine as the client names it, without a pin.
func (m *Machine) Target() client.Target {
	return client.Target{Name: m.config.Node, Address: m.address, Incarnation: m.config.Incarnation}
}

// Admin returns a new client that holds the seed.
func (m *Machine) Admin() *client.Machine {
	m.t.Helper()
	credentials, err := client.Admin(m.signer, "terraform@test")
	must(m.t, err)
	return m.client(credentials)
}

// Reader returns a new client with a certificate of role reader.
func (m *Machine) Reader() *client.Machine {
	m.t.Helper()
	issued, err := m.signer.Client(api.RoleReader, "planner@test", 0)
	must(m.t, err)
	credentials, err := client.Given(issued.CertificatePEM(), issued.KeyPEM(), pki.EncodeCertificate(m.signer.Certificate()))
	must(m.t, err)
	return m.client(credentials)
}

// From returns a new client that is another machine's agent.
func (m *Machine) From(other *Machine) *client.Machine {
	m.t.Helper()
	return m.client(client.Node(other.config.Deployment, other.id.AsClient))
}

// Peer returns the machine as others of a replication know it.
func (m *Machine) Peer() api.DBPeer {
	return api.DBPeer{Address: m.address, Key: m.id.Facts().Key, Incarnation: m.config.Incarnation}
}

func (m *Machine) client(c client.Credentials) *client.Machine {
	m.t.Helper()
	pool := client.NewPool(c, client.Options{PollInterval: 50 * time.Millisecond})
	m.t.Cleanup(pool.Close)
	machine, err := pool.Machine(m.Target())
	must(m.t, err)
	return machine
}

// Enroll enrols the machine and returns its identity.
func (m *Machine) Enroll() api.Enrolled {
	m.t.Helper()
	enrolled, err := m.Admin().Enroll(m.t.Context())
	must(m.t, err)
	return enrolled
}

// ownAccounts has every name stand for who runs the test.
type ownAccounts struct{}

func (ownAccounts) Ensure(context.Context, []converge.User) error { return nil }
func (ownAccounts) Lookup(string, string) (uid, gid int, err error) {
	return os.Geteuid(), os.Getegid(), nil
}

// noJournal is the journal of a machine on which nothing has run.
type noJournal struct{}

func (noJournal) Lines(context.Context, string, int) ([]api.LogLine, error) {
	return []api.LogLine{}, nil
}

func (noJournal) Dropped(context.Context, string, time.Time) (logs.Loss, error) {
	return logs.Loss{}, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
