//go:build lab

package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// patience bounds how long a test waits for a moment in the middle of an apply.
const patience = "60"

// application is an apply that runs, in a process group with the provider.
type application struct {
	*stack
	cmd   *exec.Cmd
	out   bytes.Buffer
	ended chan error
}

// begin starts an apply. What is left of it at the end of the test is killed.
func (s *stack) begin() *application {
	s.t.Helper()
	a := &application{stack: s, ended: make(chan error, 1)}
	a.cmd = s.command(context.WithoutCancel(s.t.Context()), "apply", "-no-color", "-input=false", "-auto-approve")
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	a.cmd.Stdout, a.cmd.Stderr = &a.out, &a.out
	a.cmd.WaitDelay = time.Second // an orphaned provider may hold on to the output
	if err := a.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { a.ended <- a.cmd.Wait() }()
	s.t.Cleanup(func() { a.signal(-a.cmd.Process.Pid) })
	return a
}

// kill ends Terraform at once, and its provider too unless it is orphaned. It
// reports whether there was still something to be ended.
func (a *application) kill(orphan bool) bool {
	a.t.Helper()
	select {
	case err := <-a.ended:
		a.t.Logf("it was over before: %v", err)
		return false
	default:
	}
	if orphan {
		a.signal(a.cmd.Process.Pid)
	} else {
		a.signal(-a.cmd.Process.Pid)
	}
	err := <-a.ended
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && !exit.Exited()
	return killed || errors.Is(err, exec.ErrWaitDelay)
}

func (a *application) signal(pid int) {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		a.t.Errorf("kill %d: %v", pid, err)
	}
}

// wait waits until the apply has ended, and returns what it said if it failed.
func (a *application) wait() error {
	a.t.Helper()
	if err := <-a.ended; err != nil {
		return fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(strings.NewReplacer("│", "", "╷", "", "╵", "").Replace(a.out.String())), " "))
	}
	return nil
}

// moment is a state of a machine in the middle of an apply.
type moment struct {
	name, machine string
	// condition is a shell command that succeeds as soon as the moment is there.
	condition string
}

// await returns as soon as the moment is there.
func (s *stack) await(m moment) {
	s.t.Helper()
	if _, err := s.lab.TryExec(m.machine, "timeout", patience, "sh", "-c", "until "+m.condition+"; do sleep 0.01; done"); err != nil {
		s.t.Fatalf("%s: that moment did not come: %v", m.name, err)
	}
}

// reached is the condition that the nth operation of a machine is in a phase.
func reached(nth int, phase string) string {
	return fmt.Sprintf(`{ set -- /var/lib/foobar/operations/*.events; [ $# -ge %d ] && grep -q '"phase":"%s"' "$(ls -t "$@" | head -n 1)"; } 2>/dev/null`, nth, phase)
}
