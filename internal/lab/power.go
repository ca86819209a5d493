package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// bootPrefix begins the names of the cgroups of a machine's boots.
const bootPrefix = "boot-"

// A running machine.
type running struct {
	boot   int
	group  cgroup
	leader int // the host's id of the machine's process 1
}

// running returns the machine's present boot; ok is false while there is none,
// or it has not got as far as its process 1.
func (l *Lab) running(name string) (running, bool, error) {
	children, err := l.machineGroup(name).children()
	if err != nil {
		return running{}, false, err
	}
	best := running{}
	for _, child := range children {
		text, isBoot := strings.CutPrefix(child, bootPrefix)
		n, err := strconv.Atoi(text)
		if isBoot && err == nil && n > best.boot {
			best = running{boot: n, group: l.machineGroup(name).sub(child)}
		}
	}
	if best.boot == 0 {
		return running{}, false, nil
	}
	found, err := best.group.walk(func(c cgroup) (bool, error) {
		pids, err := c.procs()
		for _, pid := range pids {
			if isLeader(pid) {
				best.leader = pid
			}
		}
		return best.leader != 0, err
	})
	return best, found, err
}

// isLeader reports whether a process is the first of a process namespace
// directly below ours. One that is gone is not.
func isLeader(pid int) bool {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(status) {
		if ids, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			fields := bytes.Fields(ids)
			return len(fields) == 2 && string(fields[1]) == "1"
		}
	}
	return false
}

// mustRun returns the present boot of a machine that is expected to be on.
func (l *Lab) mustRun(name string) (running, error) {
	if _, err := l.loadRecord(name); err != nil {
		return running{}, err
	}
	run, ok, err := l.running(name)
	if err != nil {
		return running{}, err
	}
	if !ok {
		return running{}, fmt.Errorf("machine %s is off: start it with  lab start %s", name, name)
	}
	return run, nil
}

// mustAnswer returns the present boot of a machine that is on and not paused.
func (l *Lab) mustAnswer(name string) (running, error) {
	run, err := l.mustRun(name)
	if err != nil {
		return running{}, err
	}
	frozen, err := run.group.frozen()
	if err != nil {
		return running{}, err
	}
	if frozen {
		return running{}, fmt.Errorf("machine %s is paused: continue it with  lab resume %s", name, name)
	}
	return run, nil
}

// Start switches machines on that are off and waits until they are ready.
func (l *Lab) Start(ctx context.Context, names ...string) error {
	return l.each(ctx, names, func(ctx context.Context, name string) error {
		r, err := l.loadRecord(name)
		if err != nil {
			return err
		}
		if err := l.switchOn(ctx, r); err != nil {
			return err
		}
		return l.waitReady(ctx, r, 0)
	})
}

// switchOn starts a machine's supervisor unless it is there. A machine that is
// paused goes on.
func (l *Lab) switchOn(ctx context.Context, r record) error {
	if run, on, err := l.running(r.Name); err != nil {
		return err
	} else if on {
		if err := run.group.setFrozen(ctx, false); err != nil {
			return err
		}
	}
	if up, err := l.supervisorGroup(r.Name).populated(); err != nil || up {
		return err
	}
	// A machine whose supervisor was killed cannot be kept.
	if err := l.cutPower(ctx, r.Name); err != nil {
		return err
	}
	holder, err := l.holder(fabric)
	if err != nil {
		return err
	}
	l.log.Info("starting machine", "machine", r.Name, "addresses", r.Addresses)
	command := []string{"nsenter", "--target", strconv.Itoa(holder), "--mount", "--net", "--", l.Self, "supervise", r.Name}
	out, err := l.startDetached(ctx, l.supervisorGroup(r.Name), 0, command)
	if err != nil {
		return fmt.Errorf("start machine %s: %w", r.Name, err)
	}
	return out.Close()
}

// cutPower ends a machine for good: first the supervisor, so that it is not
// started again, then everything in it at once.
func (l *Lab) cutPower(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, endTimeout,
		fmt.Errorf("processes of machine %s did not end within %s", name, endTimeout))
	defer cancel()
	group := l.machineGroup(name)
	return errors.Join(l.supervisorGroup(name).kill(ctx), group.kill(ctx), group.remove())
}

// PowerOff shuts machines down in order and waits until they are off.
func (l *Lab) PowerOff(ctx context.Context, names ...string) error {
	return l.each(ctx, names, func(ctx context.Context, name string) error {
		if err := l.inMachine(ctx, name, "systemctl", "--no-block", "poweroff"); err != nil {
			return err
		}
		if err := l.machineGroup(name).waitEmpty(ctx); err != nil {
			return fmt.Errorf("wait for machine %s to power off: %w", name, err)
		}
		l.log.Info("machine is off", "machine", name)
		return nil
	})
}

// Reboot lets machines restart in order and waits until they are ready again.
func (l *Lab) Reboot(ctx context.Context, names ...string) error {
	return l.restart(ctx, names, func(ctx context.Context, name string, _ running) error {
		return l.inMachine(ctx, name, "systemctl", "--no-block", "reboot")
	})
}

// Kill takes the power from machines and gives it back: every process ends with
// SIGKILL at the same moment, then the machine boots from the same disk.
func (l *Lab) Kill(ctx context.Context, names ...string) error {
	return l.restart(ctx, names, func(_ context.Context, _ string, run running) error {
		return run.group.write("cgroup.kill", "1")
	})
}

// restart ends the present boot of machines and waits for the next.
func (l *Lab) restart(ctx context.Context, names []string, end func(context.Context, string, running) error) error {
	return l.each(ctx, names, func(ctx context.Context, name string) error {
		r, err := l.loadRecord(name)
		if err != nil {
			return err
		}
		run, err := l.mustRun(name)
		if err != nil {
			return err
		}
		if err := end(ctx, name, run); err != nil {
			return fmt.Errorf("restart machine %s: %w", name, err)
		}
		return l.waitReady(ctx, r, run.boot)
	})
}

// Pause freezes machines: no process of theirs runs, while peers see no more
// than silence.
func (l *Lab) Pause(ctx context.Context, names ...string) error {
	return l.setPaused(ctx, names, true)
}

// Resume continues paused machines.
func (l *Lab) Resume(ctx context.Context, names ...string) error {
	return l.setPaused(ctx, names, false)
}

func (l *Lab) setPaused(ctx context.Context, names []string, paused bool) error {
	return l.each(ctx, names, func(ctx context.Context, name string) error {
		run, err := l.mustRun(name)
		if err != nil {
			return err
		}
		return run.group.setFrozen(ctx, paused)
	})
}

// each does the same to several machines at once, after checking that all of
// them exist.
func (l *Lab) each(ctx context.Context, names []string, do func(context.Context, string) error) error {
	for _, name := range names {
		if _, err := l.loadRecord(name); err != nil {
			return err
		}
	}
	problems := make([]error, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		wait.Go(func() { problems[i] = do(ctx, name) })
	}
	wait.Wait()
	return errors.Join(problems...)
}

// inMachine runs a command inside a machine that answers, without its output.
func (l *Lab) inMachine(ctx context.Context, name string, command ...string) error {
	out, err := l.output(ctx, name, command...)
	if err != nil {
		return fmt.Errorf("%s on machine %s: %w: %s", strings.Join(command, " "), name, err, strings.TrimSpace(out))
	}
	return nil
}

// output runs a command inside a machine that answers and returns what it
// printed.
func (l *Lab) output(ctx context.Context, name string, command ...string) (string, error) {
	run, err := l.mustAnswer(name)
	if err != nil {
		return "", err
	}
	args := enterMachine(run.leader, command)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = machineEnviron(nil)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
