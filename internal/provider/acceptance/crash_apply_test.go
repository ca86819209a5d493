//go:build lab

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab/labtest"
)

// patience bounds how long a test waits for a moment in the middle of an apply.
const patience = time.Minute

// application is an apply that runs, in a process group with its provider.
type application struct {
	*workspace
	lab  *labtest.Lab
	cmd  *exec.Cmd
	said transcript
	// ended is closed when Terraform has ended, with err.
	ended chan struct{}
	err   error
}

// begin starts an apply. What is left of it at the end of the test is killed.
func (w *workspace) begin(lab *labtest.Lab, args ...string) *application {
	w.t.Helper()
	a := &application{workspace: w, lab: lab, ended: make(chan struct{})}
	a.cmd = w.command(context.WithoutCancel(w.t.Context()), append([]string{"apply", "-no-color", "-input=false", "-auto-approve"}, args...)...)
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	a.cmd.Stdout, a.cmd.Stderr = &a.said, &a.said
	a.cmd.WaitDelay = time.Second // an orphaned provider may hold on to the output
	if err := a.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		a.err = a.cmd.Wait()
		close(a.ended)
	}()
	w.t.Cleanup(func() {
		a.signal(-a.cmd.Process.Pid, syscall.SIGKILL)
		<-a.ended
	})
	return a
}

// kill ends Terraform at once, and its provider too unless that is to be
// orphaned. It reports whether there was still something to be ended.
func (a *application) kill(orphan bool) bool {
	a.t.Helper()
	select {
	case <-a.ended:
		return false
	default:
	}
	pid := a.cmd.Process.Pid
	if !orphan {
		pid = -pid
	}
	a.signal(pid, syscall.SIGKILL)
	<-a.ended
	return !a.cmd.ProcessState.Exited()
}

// stop asks Terraform to end, as Ctrl-C does, and returns what it failed with.
func (a *application) stop() error {
	a.t.Helper()
	a.signal(-a.cmd.Process.Pid, syscall.SIGINT)
	return a.wait()
}

func (a *application) signal(pid int, signal syscall.Signal) {
	a.t.Helper()
	if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		a.t.Errorf("send %d the signal %s: %v", pid, signal, err)
	}
}

// wait waits until the apply has ended, and returns what it said if it failed.
func (a *application) wait() error {
	<-a.ended
	if a.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", a.err, plain(a.said.String()))
}

// moment is one in the middle of an apply; it returns when it has come, or why
// it does not come.
type moment func(context.Context, *application) error

// await returns as soon as the moment has come.
func (a *application) await(m moment) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	if err := m(ctx, a); err != nil {
		a.t.Fatalf("the moment did not come: %v\n%s", err, a.said.String())
	}
}

// says is the moment at which Terraform says something.
func says(text string) moment {
	return func(ctx context.Context, a *application) error { return a.said.await(ctx, text) }
}

// holds is the moment from which on a shell command succeeds on a machine.
func holds(machine, command string) moment {
	return func(ctx context.Context, a *application) error {
		_, err := a.lab.Try(ctx, "exec", machine, "--", "sh", "-c", "until "+command+"; do sleep 0.01; done")
		return err
	}
}

// reaches is the moment at which the nth operation of a machine is in a phase.
func reaches(machine string, nth int, phase string) moment {
	return holds(machine, fmt.Sprintf(
		`{ set -- /var/lib/foobar/operations/*.events; [ $# -ge %d ] && grep -q '"phase":"%s"' "$(ls -t "$@" | head -n 1)"; } 2>/dev/null`, nth, phase))
}

// after is the moment when some time has passed.
func after(d time.Duration) moment {
	return func(ctx context.Context, a *application) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.ended: // too late, which the caller finds out
		case <-time.After(d):
		}
		return nil
	}
}

// transcript is what a program has printed so far.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
	news chan struct{} // closed with the next text
}

// Write implements [io.Writer].
func (t *transcript) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.news != nil {
		close(t.news)
		t.news = nil
	}
	return t.text.Write(text)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// await returns as soon as the text has been printed.
func (t *transcript) await(ctx context.Context, text string) error {
	for {
		t.mu.Lock()
		printed := strings.Contains(t.text.String(), text)
		if t.news == nil {
			t.news = make(chan struct{})
		}
		news := t.news
		t.mu.Unlock()
		if printed {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it did not say %q: %w", text, ctx.Err())
		case <-news:
		}
	}
}
