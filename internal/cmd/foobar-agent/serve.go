package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/checker"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbreplication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/loadbalancer"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/server"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	stateDir   = "/var/lib/foobar"
	runtimeDir = checker.RuntimeDir
	console    = "/dev/console"
	// memoryLimit makes the garbage collector work harder before the agent
	// becomes a burden to what it looks after. It is far above what an idle
	// agent takes (its budget is 30 MB resident).
	memoryLimit = 64 << 20
)

func serve(ctx context.Context, args []string) error {
	if _, err := parse(flag.NewFlagSet("serve", flag.ContinueOnError), args, 0); err != nil {
		return err
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "agent", JSONFormat: true, Level: hclog.LevelFromString(os.Getenv("FOOBAR_LOG")), Output: os.Stderr})
	id, err := awaitIdentity(ctx, log)
	if err != nil {
		return nil //nolint:nilerr // asked to stop before there was anything to serve
	}
	return runAgent(ctx, id, log)
}

// awaitIdentity waits for a valid bootstrap or an identity from before. Until
// then the unit counts as started, so that systemd does not start it over and
// over, and nothing listens.
func awaitIdentity(ctx context.Context, log hclog.Logger) (*identity.Identity, error) {
	ticker := time.NewTicker(openInterval)
	defer ticker.Stop()
	open := func() (*identity.Identity, error) {
		return openIdentity(os.Getenv("CREDENTIALS_DIRECTORY"), api.BootstrapPath, filepath.Join(stateDir, "identity"), log)
	}
	var answering idleAnswers
	defer answering.stop()
	return await(ctx, ticker.C, open, func(failure error) {
		reportIdle(log, console, failure.Error())
		notify(log, daemon.SdNotifyReady, "STATUS=serves nothing: "+failure.Error())
		answering.stop()
		answering.start(ctx, failure, log)
	})
}

// kinds are the sorts of components that this agent knows.
func kinds(units *systemd.Manager, journal logs.Journal, leafDir func(string) string, replications *dbreplication.Kind) []operation.Kind {
	return []operation.Kind{
		dbserver.New(dbserver.Deps{Units: units, Journal: journal, LeafDir: leafDir}),
		replications,
		appserver.New(appserver.Deps{Systemd: units, Journal: journal}),
		loadbalancer.New(units, journal),
	}
}

// openReplications opens the machine's parts of replications, and makes the
// kind that coordinates them.
func openReplications(id *identity.Identity, units *systemd.Manager, others dbreplication.Dial, log hclog.Logger) (*dbreplication.Node, *dbreplication.Kind, error) {
	facts := id.Facts()
	node, err := dbreplication.NewNode(dbreplication.Deps{
		State: filepath.Join(stateDir, "replications"), Runtime: filepath.Join(runtimeDir, "replications"), Hosts: "/etc/hosts",
		Self: facts.Node, Deployment: facts.Deployment,
		Units: units, Open: dbreplication.OpenMariaDB(units, time.Now), Servers: dbreplication.MariaDBs, Peers: dbreplication.PeersOver(others), Log: log,
	})
	return node, &dbreplication.Kind{Parts: node, Dial: others, Deployment: facts.Deployment}, err
}

// runAgent serves until ctx ends.
func runAgent(ctx context.Context, id *identity.Identity, log hclog.Logger) error {
	facts, err := server.ReadFacts(os.DirFS("/"), version)
	if err != nil {
		return err
	}
	units, journal := systemd.New(), logs.Journal{}
	defer units.Close()
	others := agent.Others(id)
	defer others.Close()
	node, replications, err := openReplications(id, units, dbreplication.Over(others), log) //nolint:contextcheck // it reads a few small files
	if err != nil {
		return err
	}
	a, err := agent.Open(agent.Config{
		State: stateDir, Runtime: runtimeDir, Identity: id, Kinds: kinds(units, journal, id.LeafDir, replications), Units: units,
		Accounts: converge.SystemAccounts{}, Journal: journal, Replications: node, Facts: facts, Log: log, Now: time.Now,
		Hook: fault(),
	})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	remote, err := config.Listen(ctx, "tcp", id.Facts().Listen)
	if err != nil {
		return fmt.Errorf("listen for Terraform: %w", err)
	}
	local, err := server.ListenLocal(socketPath)
	if err != nil {
		return errors.Join(err, remote.Close())
	}
	address := remote.Addr().String()
	defer context.AfterFunc(ctx, func() { notify(log, daemon.SdNotifyStopping) })()
	return a.Run(ctx, remote, local, func() {
		notify(log, daemon.SdNotifyReady, "STATUS=serves on "+address)
		log.Info("the agent serves", "address", address, "version", version)
	})
}

// notify tells systemd how the agent is, if systemd started it.
func notify(log hclog.Logger, states ...string) {
	for _, state := range states {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("systemd could not be notified of the agent's state", "state", state, "error", err)
		}
	}
}
