package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A cgroup is the path of a directory of the version 2 hierarchy. No controller
// is used: only what every such directory can do, which is to list, freeze and
// kill what is in it.
type cgroup string

// pollInterval is how often a condition is looked at that the kernel does not
// announce.
const pollInterval = 20 * time.Millisecond

// findCgroup2 returns where /proc/self/mountinfo shows the version 2 hierarchy.
func findCgroup2(mountinfo io.Reader) (cgroup, error) {
	found := cgroup("")
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if ok && len(fields) > 4 && strings.HasPrefix(after, "cgroup2 ") && fields[3] == "/" {
			found = cgroup(fields[4])
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("read the mount table: %w", err)
	}
	if found == "" {
		return "", errors.New("no cgroup2 hierarchy is mounted: run  mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
	}
	return found, nil
}

func (c cgroup) sub(names ...string) cgroup {
	return cgroup(filepath.Join(append([]string{string(c)}, names...)...))
}

func (c cgroup) file(name string) string { return filepath.Join(string(c), name) }

func (c cgroup) create() error {
	if err := os.MkdirAll(string(c), 0o755); err != nil {
		return fmt.Errorf("create cgroup: %w", err)
	}
	return nil
}

// enter moves the calling process into the cgroup.
func (c cgroup) enter() error {
	if err := c.create(); err != nil {
		return err
	}
	return c.write("cgroup.procs", "0")
}

func (c cgroup) write(name, value string) error {
	f, err := os.OpenFile(c.file(name), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write to cgroup: %w", err)
	}
	_, err = f.WriteString(value)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write to cgroup: %w", err)
	}
	return nil
}

// event returns a flag of cgroup.events; a cgroup that is gone has none set.
func (c cgroup) event(name string) (bool, error) {
	text, err := os.ReadFile(c.file("cgroup.events"))
	if isGone(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read cgroup: %w", err)
	}
	return slices.Contains(strings.Split(string(text), "\n"), name+" 1"), nil
}

// populated reports whether a process is in the cgroup or below it.
func (c cgroup) populated() (bool, error) { return c.event("populated") }

func (c cgroup) frozen() (bool, error) { return c.event("frozen") }

// setFrozen stops or continues everything in the cgroup and waits until the
// kernel has done so.
func (c cgroup) setFrozen(ctx context.Context, want bool) error {
	value := "0"
	if want {
		value = "1"
	}
	if err := c.write("cgroup.freeze", value); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		is, err := c.frozen()
		return is == want, err
	})
}

// kill sends SIGKILL to everything in the cgroup and below at once, and returns
// when nothing of it is left. A cgroup that is gone has nothing to kill.
func (c cgroup) kill(ctx context.Context) error {
	if err := c.write("cgroup.kill", "1"); isGone(err) {
		return nil
	} else if err != nil {
		return err
	}
	return c.waitEmpty(ctx)
}

func (c cgroup) waitEmpty(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		is, err := c.populated()
		return !is, err
	})
}

// remove takes away an empty cgroup and those below it.
func (c cgroup) remove() error {
	children, err := c.children()
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := c.sub(child).remove(); err != nil {
			return err
		}
	}
	if err := os.Remove(string(c)); err != nil && !isGone(err) {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	return nil
}

// children returns the names of the cgroups directly below, none if it is gone.
func (c cgroup) children() ([]string, error) {
	entries, err := os.ReadDir(string(c))
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list cgroup: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// procs returns the processes in the cgroup itself, none if it is gone.
func (c cgroup) procs() ([]int, error) {
	text, err := os.ReadFile(c.file("cgroup.procs"))
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list processes of cgroup: %w", err)
	}
	var pids []int
	for field := range bytes.FieldsSeq(text) {
		pid, err := strconv.Atoi(string(field))
		if err != nil {
			return nil, fmt.Errorf("list processes of cgroup %s: %w", c, err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// allProcs returns the processes in the cgroup and below.
func (c cgroup) allProcs() ([]int, error) {
	var all []int
	_, err := c.walk(func(c cgroup) (bool, error) {
		pids, err := c.procs()
		all = append(all, pids...)
		return false, err
	})
	return all, err
}

// reapTimeout bounds the wait for process 1 to take away what was killed. One
// that does so looks some times a second; one that does not never will.
const reapTimeout = 10 * time.Second

// awaitReaped returns when none of the processes, which were killed, is in the
// process table any more.
func awaitReaped(ctx context.Context, pids []int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reapTimeout, fmt.Errorf("not all of %d processes are gone after %s", len(pids), reapTimeout))
	defer cancel()
	return poll(ctx, func() (bool, error) {
		return !slices.ContainsFunc(pids, isZombie), nil
	})
}

// isZombie reports whether a process has ended and is still in the table.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	return bytes.HasPrefix(state, []byte("Z"))
}

// walk calls visit for the cgroup and all below it until visit is done.
func (c cgroup) walk(visit func(cgroup) (done bool, err error)) (bool, error) {
	if done, err := visit(c); done || err != nil {
		return done, err
	}
	children, err := c.children()
	if err != nil {
		return false, err
	}
	for _, child := range children {
		if done, err := c.sub(child).walk(visit); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// containsSelf reports whether the calling process is in the cgroup or below.
func (c cgroup) containsSelf(root cgroup) (bool, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return false, fmt.Errorf("read own cgroup: %w", err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			rel, err := filepath.Rel(string(c), string(root.sub(path)))
			return err == nil && rel != ".." && !strings.HasPrefix(rel, "../"), nil
		}
	}
	return false, nil
}

// isGone recognises a cgroup that was removed, whether before or after it was
// opened.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)
}

// poll calls done until it says so, fails, or the context ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
