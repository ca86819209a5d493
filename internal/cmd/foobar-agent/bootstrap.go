package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
)

// openIdentity opens the identity in dir, made of the machine's bootstrap or
// there from before. A machine that is enrolled does without a bootstrap, so a
// bad one stops it no more.
func openIdentity(credentials, file, dir string, log hclog.Logger) (*identity.Identity, error) {
	bootstrap, invalid := identity.ReadBootstrap(credentials, file)
	id, err := identity.Open(identity.Config{
		Dir: dir, Bootstrap: bootstrap, BuildTime: buildTime(), Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		if _, lost := errors.AsType[*identity.Lost](err); lost {
			return nil, err
		}
		return nil, cmp.Or(invalid, err)
	}
	if invalid != nil {
		log.Warn("the bootstrap is not valid; the machine is enrolled and goes on without it", "reason", invalid)
	}
	for _, c := range id.Conditions() {
		log.Warn("something is wrong with the machine's identity", "condition", c.Type, "detail", c.Message)
	}
	return id, nil
}

// openInterval is the pause between two tries to open the identity: cloud-init
// may write the bootstrap after the agent has started, and a person may mend it.
const openInterval = 2 * time.Second

// await calls open until it succeeds, and reports each reason why it does not
// once. It returns with an error only when ctx ends.
func await[T any](ctx context.Context, again <-chan time.Time, open func() (T, error), report func(failure error)) (T, error) {
	reported := ""
	for {
		opened, err := open()
		if err == nil {
			return opened, nil
		}
		if reason := err.Error(); reason != reported {
			report(err)
			reported = reason
		}
		select {
		case <-ctx.Done():
			return opened, context.Cause(ctx)
		case <-again:
		}
	}
}

// reportIdle tells why the agent serves nothing: in the journal, and on the
// console, which is all that can be seen of a machine that nobody can reach.
func reportIdle(log hclog.Logger, console, reason string) {
	log.Error("the agent serves nothing until this is mended", "reason", reason)
	file, err := os.OpenFile(console, os.O_WRONLY|os.O_APPEND|syscall.O_NOCTTY, 0)
	if err != nil {
		return // a machine without a console still has its journal
	}
	_, err = fmt.Fprintf(file, "foobar-agent serves nothing until this is mended: %s\n", reason)
	if err = errors.Join(err, file.Close()); err != nil {
		log.Debug("the console could not be written to", "error", err)
	}
}

// buildTime returns when the source of this program was committed; zero if the
// build does not tell. A clock that shows an earlier time is wrong.
func buildTime() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.time" {
			t, _ := time.Parse(time.RFC3339, setting.Value) // zero if it is none
			return t
		}
	}
	return time.Time{}
}
