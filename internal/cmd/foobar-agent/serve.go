package main

import (
	"context"
	"crypto/rand"
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

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/audit"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/server"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	stateDir = "/var/lib/foobar"
	console  = "/dev/console"
	// memoryLimit makes the garbage collector work harder before the agent
	// becomes a burden to what it looks after. It is far above what an idle
	// agent takes (DESIGN: 30 MB resident).
	memoryLimit = 64 << 20
	// stopTimeout bounds how long calls may take to end when the agent is
	// stopped.
	stopTimeout = 10 * time.Second
)

func serve(ctx context.Context, args []string) error {
	if _, err := parse(flag.NewFlagSet("serve", flag.ContinueOnError), args, 0); err != nil {
		return err
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "agent", JSONFormat: true, Level: hclog.LevelFromString(os.Getenv("FOOBAR_LOG")), Output: os.Stderr})
	id, err := openIdentity(ctx, log)
	if err != nil {
		return nil //nolint:nilerr // told to stop before there was anything to serve
	}
	s, err := newServer(id, log)
	if err != nil {
		return err
	}
	defer s.close()
	return s.run(ctx)
}

// openIdentity waits for a valid bootstrap or an identity from before. Until
// then the unit counts as started, so that systemd does not start it over and
// over, and nothing listens.
func openIdentity(ctx context.Context, log hclog.Logger) (*identity.Identity, error) {
	ticker := time.NewTicker(openInterval)
	defer ticker.Stop()
	open := func() (*identity.Identity, error) {
		bootstrap, err := identity.ReadBootstrap(os.Getenv("CREDENTIALS_DIRECTORY"), api.BootstrapPath)
		if err != nil {
			return nil, err
		}
		return identity.Open(identity.Config{
			Dir: filepath.Join(stateDir, "identity"), Bootstrap: bootstrap,
			BuildTime: buildTime(), Now: time.Now, Random: rand.Reader,
		})
	}
	return await(ctx, ticker.C, open, func(reason string) {
		reportIdle(log, console, reason)
		notify(log, daemon.SdNotifyReady, "STATUS=serves nothing: "+reason)
	})
}

// agent is the server with what it owns.
type agent struct {
	*server.Server
	listen string
	audit  *audit.Log
	log    hclog.Logger
}

func newServer(id *identity.Identity, log hclog.Logger) (*agent, error) {
	facts, err := server.ReadFacts(os.DirFS("/"), version)
	if err != nil {
		return nil, err
	}
	record, err := audit.Open(stateDir)
	if err != nil {
		return nil, err
	}
	blobs, err := blob.Open(filepath.Join(stateDir, "blobs"), blob.DefaultQuota, time.Now)
	if err != nil {
		return nil, errors.Join(err, record.Close())
	}
	s := server.New(server.Config{
		Identity: id, Blobs: blobs, Journal: logs.Journal{}, Audit: record, Facts: facts,
		Conditions: func(context.Context) []api.Condition { return record.Conditions() },
		Log:        log, Now: time.Now,
	})
	return &agent{Server: s, listen: id.Facts().Listen, audit: record, log: log}, nil
}

func (a *agent) close() {
	if err := a.audit.Close(); err != nil {
		a.log.Error("the audit log could not be closed", "error", err)
	}
}

// run serves until ctx ends.
func (a *agent) run(ctx context.Context) error {
	var config net.ListenConfig
	remote, err := config.Listen(ctx, "tcp", a.listen)
	if err != nil {
		return fmt.Errorf("listen for Terraform: %w", err)
	}
	local, err := server.ListenLocal(socketPath)
	if err != nil {
		return errors.Join(err, remote.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(remote, local) }()
	notify(a.log, daemon.SdNotifyReady, "STATUS=serves on "+remote.Addr().String())
	a.log.Info("the agent serves", "address", remote.Addr().String(), "version", version)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	notify(a.log, daemon.SdNotifyStopping)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(a.Shutdown(stop), <-ended)
}

// notify tells systemd how the agent is, if systemd started it.
func notify(log hclog.Logger, states ...string) {
	for _, state := range states {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("systemd could not be told of the agent's state", "state", state, "error", err)
		}
	}
}
