// Package agent puts the agent's parts together: what it keeps on disk, what
// it carries out, and what it answers, opened and stopped in the order in
// which they depend on each other. What differs between a machine and a test
// is given to it.
package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/audit"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/checker"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbreplication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/server"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

// stopTimeout bounds how long calls may take to end when the agent stops.
const stopTimeout = 10 * time.Second

// Units is what the agent needs of the service manager; see [systemd.Manager].
type Units interface {
	operation.Units
	converge.Units
}

// Journal is what the agent needs of the machine's log; see [logs.Journal].
type Journal interface {
	server.Journal
	operation.Journal
}

// Replications are the machine's parts of replications; see [dbreplication.Node].
type Replications interface {
	server.Replications
	// Run keeps every part as it is to be, until ctx ends.
	Run(ctx context.Context)
	// Coordinates has them ask whether the machine has a replication as a component.
	Coordinates(applied func(name string) bool)
	// Conditions tells what is wrong with the parts.
	Conditions(ctx context.Context) []api.Condition
}

// Config is what an agent works with. All fields are required, but for Root
// and Hook.
type Config struct {
	// Root is the directory that the paths of components lie below; empty is "/".
	Root string
	// State outlives the agent: /var/lib/foobar on a machine. It lies below Root.
	State string
	// Runtime lives as long as the boot: /run/foobar on a machine. The local
	// socket and what is being checked are in it.
	Runtime  string
	Identity *identity.Identity
	Kinds    []operation.Kind
	Units    Units
	Accounts converge.Accounts
	Journal  Journal
	// Replications are kept while the agent runs.
	Replications Replications
	Facts        server.Facts
	Log          hclog.Logger
	Now          func() time.Time
	// Hook is the seam for faults of [converge.Engine].
	Hook func(step string) error
}

// Agent is an agent with all its parts.
type Agent struct {
	config Config
	// audit has what was changed, refused the calls that were denied.
	audit, refused *audit.Log
	runner         *operation.Runner
	server         *server.Server
	// operate ends with the agent; operations run under it.
	operate context.Context
	stop    context.CancelFunc
	// look tells of the file system that a directory lies on.
	look func(dir string) (host.Room, error)
	// usages tells what fills one.
	usages host.Usages

	mu         sync.Mutex
	conditions []api.Condition
}

// Others returns the way to the agents of other machines, to which the agent
// shows the machine's own certificate. The pool has to be closed.
//
// Unlike the provider's, it repeats no call while another agent restarts. Who asks
// here decides by who is silent, within seconds: whether a majority knows of another
// primary, whether a switchover may go on in its write pause. A call that waits
// would spend that time. The reconcile loop asks again by itself, and an operation
// that meets an agent that restarts ends with an error that names the machine, so
// that the next apply continues it.
func Others(id *identity.Identity) *client.Pool {
	return client.NewPool(client.Node(id.Facts().Deployment, id.AsClient), client.Options{})
}

// Open opens what the agent keeps on disk. It neither changes a component nor
// listens; [Agent.Run] does, once.
func Open(c Config) (*Agent, error) {
	checks := filepath.Join(c.Runtime, "check")
	for _, dir := range []string{filepath.Join(c.Root, c.State), checks} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open the agent: %w", err)
		}
	}
	a := &Agent{config: c, look: host.RoomOf}
	statefile.Sweep(filepath.Join(c.Root, c.State), Files(), c.Log)
	a.operate, a.stop = context.WithCancel(context.Background())
	blobs, err := blob.Open(filepath.Join(c.Root, c.State, "blobs"), blob.DefaultQuota, c.Now)
	if err != nil {
		return nil, err
	}
	a.runner, err = operation.New(operation.Config{
		Dir: c.State, Runtime: checks, Kinds: c.Kinds,
		Engine: &converge.Engine{
			Root: c.Root, Dir: filepath.Join(c.State, "transactions"),
			Units: c.Units, Accounts: c.Accounts, Trees: blobs, Hook: c.Hook,
		},
		Units: c.Units, Journal: c.Journal, Blobs: blobs, Reserved: reserved(c.Identity.Facts().Listen),
		Clock: c.Now, Logger: c.Log, Ctx: a.operate,
	})
	if err != nil {
		return nil, fmt.Errorf("open the journal of operations: %w", err)
	}
	c.Replications.Coordinates(func(name string) bool {
		return a.runner.Has(api.ID{Kind: api.KindDBReplication, Name: name})
	})
	if a.audit, err = audit.Open(filepath.Join(c.Root, c.State)); err != nil {
		return nil, err
	}
	if a.refused, err = audit.OpenRefused(filepath.Join(c.Root, c.State)); err != nil {
		return nil, errors.Join(err, a.audit.Close())
	}
	a.server = server.New(server.Config{
		Identity: c.Identity, Runner: a.runner, Blobs: blobs, Journal: c.Journal, Audit: a.audit, Refused: a.refused,
		Replications: c.Replications, LeafStored: a.leafStored, Facts: c.Facts, Conditions: a.present, Log: c.Log, Now: c.Now,
	})
	return a, nil
}

// Run undoes what an earlier life of the agent left in the middle, then serves
// on both listeners until ctx ends, and stops. What that life committed and did not
// finish is finished meanwhile. Ready is called once it serves.
func (a *Agent) Run(ctx context.Context, remote, local net.Listener, ready func()) error {
	if err := checker.Clear(a.config.Runtime); err != nil { // which concerns no component
		a.config.Log.Warn("what killed checks of configurations left cannot be removed, and may hold secrets", "dir", a.config.Runtime, "error", err)
	}
	if err := a.runner.Recover(ctx); err != nil {
		a.tell("RecoveryIncomplete", "What an interrupted operation left could not be set right: %v. Apply the component again.", err)
	}
	var boot sync.WaitGroup
	boot.Go(a.startRecorded)
	boot.Go(func() { a.config.Replications.Run(a.operate) })
	ended := make(chan error, 1)
	go func() { ended <- a.server.Serve(remote, local) }()
	ready()
	var err error
	select {
	case err = <-ended:
		a.stop()
	case <-ctx.Done():
		err = a.shutdown(ctx, ended)
	}
	boot.Wait()
	a.runner.Wait()
	return errors.Join(err, a.audit.Close(), a.refused.Close())
}

// shutdown breaks off what runs, which is undone, and lets the calls end.
func (a *Agent) shutdown(over context.Context, ended <-chan error) error {
	a.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(over), stopTimeout)
	defer cancel()
	return errors.Join(a.server.Shutdown(ctx), <-ended)
}

// certified is what a kind implements whose components have a service leaf.
type certified interface {
	// TakeLeaf has a component that runs use the present certificate of its leaf.
	TakeLeaf(ctx context.Context, name string) error
}

// leafStored has the component whose leaf it is use the new certificate at once, so
// that a name which the former one had is gone. One that fails shows as drift.
func (a *Agent) leafStored(ctx context.Context, leaf string) {
	for _, kind := range a.config.Kinds {
		name, ok := strings.CutPrefix(leaf, string(kind.Kind())+".")
		if taker, takes := kind.(certified); ok && takes {
			if err := taker.TakeLeaf(ctx, name); err != nil {
				a.config.Log.Warn("a component does not use its new certificate yet", "kind", kind.Kind(), "name", name, "error", err)
			}
		}
	}
}

// startRecorded starts what was applied before the boot. It takes as long as
// the slowest component, which must not keep the agent from serving.
func (a *Agent) startRecorded() {
	if err := a.runner.StartRecorded(a.operate, a.config.Facts.BootID); err != nil && a.operate.Err() == nil {
		a.tell("StartIncomplete", "After the boot not everything that was applied could be started: %v. See the component's log.", err)
	}
}

// tell logs a failure that stops nothing and shows it in the machine's health.
func (a *Agent) tell(kind, format string, err error) {
	a.config.Log.Error("the agent goes on after a failure", "condition", kind, "error", err)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conditions = append(a.conditions, api.Condition{Type: kind, Severity: api.SeverityError, Message: fmt.Sprintf(format, err)})
}

// present returns what is wrong with the machine now, beside its identity.
func (a *Agent) present(ctx context.Context) []api.Condition {
	replications := a.config.Replications.Conditions(ctx)
	a.mu.Lock()
	shown := slices.Clone(a.conditions)
	a.mu.Unlock() // what follows asks disks, which may take long to answer
	return slices.Concat(
		statefile.Conditions(filepath.Join(a.config.Root, a.config.State), Files()),
		a.disks(ctx),
		a.config.Facts.Conditions(), a.audit.Conditions(), a.refused.Conditions(), shown, replications, a.runner.Conditions(),
	)
}

// disks tells which file systems are full. Those of a machine in a directory
// are its host's, which nothing is known of.
func (a *Agent) disks(ctx context.Context) []api.Condition {
	if a.config.Root != "" {
		return nil
	}
	return diskConditions(ctx, "/", watched(a.config.State), a.look, &a.usages)
}

// Files are all kinds of files that the agent keeps below its directory.
func Files() []statefile.Kind {
	return slices.Concat(identity.Files(), operation.Files(), converge.Files(), blob.Files(), audit.Files(), dbreplication.Files())
}

// reserved returns the port that the agent itself listens on, which no
// component can have.
func reserved(listen string) []api.Claim {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil
	}
	n, err := strconv.Atoi(port)
	if err != nil || n == 0 { // 0 is any free one
		return nil
	}
	return []api.Claim{{Network: "tcp", Address: host, Port: n}}
}
