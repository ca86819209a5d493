package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/journal"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/audit"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/server"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// reset is what a reset of the identity needs of the machine.
type reset struct {
	state   string // the agent's state directory
	console string
	stop    func(ctx context.Context) error // of the agent, which has the audit log open
	start   func(ctx context.Context) error
	// journal writes a line to the machine's journal.
	journal func(notice string) error
	now     func() time.Time
}

func changeIdentity(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("identity", flag.ContinueOnError)
	file := flags.String("bootstrap", "", "")
	words, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	if words[0] != "reset" || *file == "" {
		return usageError("it is: identity reset -bootstrap FILE")
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can reset the machine's identity")
	}
	units := systemd.New()
	defer units.Close()
	return reset{
		state: stateDir, console: console, journal: toJournal, now: time.Now,
		stop:  func(ctx context.Context) error { return units.Stop(ctx, agentUnit) },
		start: func(ctx context.Context) error { return units.Start(ctx, agentUnit) },
	}.run(ctx, *file, out)
}

// run resets the identity while the agent is stopped, so that nothing else
// writes to the audit log. The agent is started again in any case.
func (r reset) run(ctx context.Context, file string, out io.Writer) (err error) {
	b, err := identity.ReadBootstrapFile(file)
	if err != nil {
		return err
	}
	if err := r.stop(ctx); err != nil {
		return fmt.Errorf("stop the agent: %w", err)
	}
	defer func() { err = errors.Join(err, r.start(context.WithoutCancel(ctx))) }()
	before := identity.TrustedBefore(r.identity())
	if err := identity.Reset(r.identity(), b); err != nil {
		return errors.Join(err, r.audit(b, before, api.ProblemInvalid))
	}
	if err := r.audit(b, before, ""); err != nil {
		_, _ = fmt.Fprintf(out, "warning: the audit log could not be written: %v\n", err)
	}
	notice := fmt.Sprintf("foobar-agent: root has reset the identity of this machine: it is %s of deployment %s, incarnation %d, and trusts %s. "+
		"An apply of its foobar_machine enrols it.", b.Node, b.Deployment, b.Incarnation, strings.Join(identity.PinsOf(b), ", "))
	if err := r.announce(notice); err != nil {
		_, _ = fmt.Fprintf(out, "warning: the reset could not be announced in the journal: %v\n", err)
	}
	_, err = fmt.Fprintln(out, notice)
	return err
}

func (r reset) identity() string { return filepath.Join(r.state, "identity") }

// audit records the reset, or that it was refused.
func (r reset) audit(b api.Bootstrap, before []string, problem api.ProblemType) error {
	log, err := audit.Open(r.state)
	if err != nil {
		return err
	}
	status := 200
	if problem != "" {
		status = problem.Status()
	}
	known := "none that can be read"
	if before != nil {
		known = strings.Join(before, ", ")
	}
	return errors.Join(log.Append(api.AuditEntry{
		Time: r.now().UTC(), Actor: server.LocalActor(os.Geteuid()), Role: "local",
		Method: "RUN", Path: "foobar-agent identity reset", Status: status, Problem: problem,
		Detail: fmt.Sprintf("to be incarnation %d and to trust %s; trusted before %s", b.Incarnation, strings.Join(identity.PinsOf(b), ", "), known),
	}), log.Close())
}

// announce tells who watches the journal, and the console if the machine has one: a
// container has none.
func (r reset) announce(notice string) error {
	if file, err := os.OpenFile(r.console, os.O_WRONLY|os.O_APPEND|syscall.O_NOCTTY, 0); err == nil {
		_, _ = fmt.Fprintln(file, notice)
		_ = file.Close()
	}
	return r.journal(notice)
}

// toJournal writes a line to the journal, where journalctl -t foobar-agent shows it.
func toJournal(notice string) error {
	return journal.Send(notice, journal.PriWarning, map[string]string{"SYSLOG_IDENTIFIER": "foobar-agent"})
}
