// Package labtest lets tests drive a lab: what happens to machines while
// Terraform runs. It calls the lab program, so it works in the management
// namespace, where acceptance tests run ("lab manage -- ./acceptance.test"), as
// well as on the host.
package labtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab"
)

// Lab is a running lab. Its methods fail the test unless they say otherwise.
type Lab struct {
	tb      testing.TB
	program string
	env     []string
}

// New returns the lab that the test was started in by "lab manage", which sets
// FOOBAR_LAB to the path of its program.
func New(tb testing.TB) *Lab {
	tb.Helper()
	program := os.Getenv("FOOBAR_LAB")
	if program == "" {
		tb.Fatal("FOOBAR_LAB is not set: run this test with  make testacc  or  bin/lab manage -- ")
	}
	return At(tb, program)
}

// At returns the lab of a program, with further environment variables.
func At(tb testing.TB, program string, env ...string) *Lab {
	return &Lab{tb: tb, program: program, env: append(os.Environ(), env...)}
}

// Try runs a lab command and returns what it printed. The error has what it
// printed on standard error.
func (l *Lab) Try(ctx context.Context, args ...string) (string, error) {
	var out, problem bytes.Buffer
	cmd := l.Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &problem
	cmd.WaitDelay = time.Second // what runs in a machine may outlive the command that is killed, and holds on to the output
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("lab %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(problem.String()))
	}
	return out.String(), nil
}

// Command returns the command line of a lab command, to be started by the caller.
func (l *Lab) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, l.program, args...)
	cmd.Env = l.env
	return cmd
}

// Do runs a lab command and returns what it printed.
func (l *Lab) Do(args ...string) string {
	l.tb.Helper()
	out, err := l.Try(l.tb.Context(), args...)
	if err != nil {
		l.tb.Fatal(err)
	}
	return out
}

// Exec runs a command in a machine and returns what it printed.
func (l *Lab) Exec(machine string, command ...string) string {
	l.tb.Helper()
	return l.Do(append([]string{"exec", machine, "--"}, command...)...)
}

// TryExec runs a command in a machine that may fail; the error has its exit
// status, see [ExitStatus].
func (l *Lab) TryExec(machine string, command ...string) (string, error) {
	return l.Try(l.tb.Context(), append([]string{"exec", machine, "--"}, command...)...)
}

// Client runs a command as the outside client and returns what it printed.
func (l *Lab) Client(command ...string) string {
	l.tb.Helper()
	return l.Do(append([]string{"run", "--"}, command...)...)
}

// Manage runs a command in the management namespace and returns what it printed.
func (l *Lab) Manage(command ...string) string {
	l.tb.Helper()
	return l.Do(append([]string{"manage", "--"}, command...)...)
}

// Reboot reboots machines and waits until they are ready.
func (l *Lab) Reboot(machines ...string) { l.tb.Helper(); l.power("reboot", machines) }

// Kill takes the power from machines, boots them from the same disks and waits
// until they are ready.
func (l *Lab) Kill(machines ...string) { l.tb.Helper(); l.power("kill", machines) }

// Reset gives machines fresh disks and raised incarnations and waits until they
// are ready.
func (l *Lab) Reset(machines ...string) { l.tb.Helper(); l.power("reset", machines) }

// PowerOff shuts machines down.
func (l *Lab) PowerOff(machines ...string) { l.tb.Helper(); l.power("poweroff", machines) }

// Start switches machines on and waits until they are ready.
func (l *Lab) Start(machines ...string) { l.tb.Helper(); l.power("start", machines) }

// Pause freezes machines until [Lab.Resume] or the end of the test.
func (l *Lab) Pause(machines ...string) {
	l.tb.Helper()
	l.power("pause", machines)
	l.atEnd(append([]string{"start"}, machines...)...)
}

// Resume continues paused machines.
func (l *Lab) Resume(machines ...string) { l.tb.Helper(); l.power("resume", machines) }

func (l *Lab) power(verb string, machines []string) {
	l.tb.Helper()
	l.Do(append([]string{verb}, machines...)...)
}

// Partition cuts the parties of a off from those of b, machines, "client" or
// "mgmt", until [Lab.Heal] or the end of the test.
func (l *Lab) Partition(a, b []string) {
	l.tb.Helper()
	l.Do("partition", strings.Join(a, ","), strings.Join(b, ","))
	l.atEnd("heal")
}

// Heal undoes all partitions.
func (l *Lab) Heal() { l.tb.Helper(); l.Do("heal") }

// Status looks at the lab.
func (l *Lab) Status() lab.Status {
	l.tb.Helper()
	var status lab.Status
	if err := json.Unmarshal([]byte(l.Do("status", "-json")), &status); err != nil {
		l.tb.Fatalf("read the lab's status: %v", err)
	}
	return status
}

// Incarnation returns which machine of that name is there now.
func (l *Lab) Incarnation(machine string) int {
	l.tb.Helper()
	m, ok := l.Status().Machines[machine]
	if !ok {
		l.tb.Fatalf("the lab has no machine %s", machine)
	}
	return m.Incarnation
}

// atEnd runs a lab command when the test has ended, however it ended.
func (l *Lab) atEnd(args ...string) {
	l.tb.Cleanup(func() {
		if _, err := l.Try(context.WithoutCancel(l.tb.Context()), args...); err != nil {
			l.tb.Error(err)
		}
	})
}

// ExitStatus returns the exit status that an error of [Lab.Try] stands for, and
// -1 for one that has none.
func ExitStatus(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}
