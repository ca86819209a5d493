package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/server"
)

// idleAnswers tells who calls why the agent serves nothing: root on the local
// socket, and every caller if the identity is lost. It is started and stopped
// by one goroutine.
type idleAnswers struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

func (a *idleAnswers) start(ctx context.Context, failure error, log hclog.Logger) {
	ctx, a.cancel = context.WithCancel(ctx)
	answer := func(serve func() error) {
		a.ended.Go(func() {
			if err := serve(); err != nil {
				log.Error("nobody can be seen why the agent serves nothing", "error", err)
			}
		})
	}
	answer(func() error { return idleLocal(ctx, socketPath, failure) })
	if lost, ok := errors.AsType[*identity.Lost](failure); ok {
		answer(func() error { return idleRemote(ctx, lost.Names, log) })
	}
}

func idleLocal(ctx context.Context, socket string, failure error) error {
	local, err := server.ListenLocal(socket)
	if err != nil {
		return err
	}
	return server.ServeIdle(ctx, local, failure)
}

func idleRemote(ctx context.Context, names identity.Names, log hclog.Logger) error {
	config, err := names.TLSConfig(rand.Reader)
	if err != nil {
		return err
	}
	remote, err := new(net.ListenConfig).Listen(ctx, "tcp", names.Listen)
	if err != nil {
		return err
	}
	return server.ServeLost(ctx, remote, config, log)
}

func (a *idleAnswers) stop() {
	if a.cancel != nil {
		a.cancel()
		a.ended.Wait()
		a.cancel = nil
	}
}
