package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

// A Lab is the handle on one lab of this host, whether it is up or down.
type Lab struct {
	Config

	log   hclog.Logger
	group cgroup // everything that belongs to the lab
	root  cgroup // of the hierarchy
}

// endTimeout bounds how long killed processes may take to go. They only wait for
// what the disk is doing at that moment.
const endTimeout = 30 * time.Second

// Open returns the handle on the lab that c describes.
func Open(c Config, log hclog.Logger) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab needs root: it makes network and mount namespaces; run it with sudo")
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	root, err := findCgroup2(mounts)
	if err = errors.Join(err, mounts.Close()); err != nil {
		return nil, err
	}
	return &Lab{Config: c, log: log, root: root, group: root.sub("foobar-lab", c.Name)}, nil
}

func (l *Lab) siteGroup(s site) cgroup            { return l.group.sub("sites", string(s)) }
func (l *Lab) holderGroup(s site) cgroup          { return l.siteGroup(s).sub("holder") }
func (l *Lab) machineGroup(name string) cgroup    { return l.group.sub("machines", name) }
func (l *Lab) supervisorGroup(name string) cgroup { return l.machineGroup(name).sub("supervisor") }

// Lock makes this command the only one that changes the lab until unlock.
func (l *Lab) Lock(ctx context.Context) (unlock func(), err error) {
	return lockFile(ctx, l.lockPath(), func() { l.log.Info("waiting for another lab command to end") })
}

// Down ends the lab: processes, and with them networks and mounts, then the
// machines' disks. The seed and the cached images stay.
func (l *Lab) Down(ctx context.Context) error {
	inside, err := l.group.containsSelf(l.root)
	if err != nil {
		return err
	}
	if inside {
		return errors.New("this command runs inside the lab that it would end: run  lab down  outside of  lab run  and  lab manage")
	}
	if err := l.endEverything(ctx); err != nil {
		return err
	}
	if err := errors.Join(
		os.RemoveAll(l.machinesDir()),
		os.RemoveAll(l.zonePath()),
		l.removePartialImages(),
	); err != nil {
		return fmt.Errorf("remove the lab's disks: %w", err)
	}
	l.log.Info("the lab is down")
	return nil
}

// endEverything kills whatever belongs to the lab, as a killed run may have left
// it, and forgets what was true of it. Disks stay.
func (l *Lab) endEverything(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, endTimeout,
		fmt.Errorf("processes of the lab did not end within %s: see  cat %s", endTimeout, l.group.file("cgroup.procs")))
	defer cancel()
	processes, err := l.group.allProcs()
	if err != nil {
		return err
	}
	if err := l.group.kill(ctx); err != nil {
		return fmt.Errorf("end the lab's processes: %w", err)
	}
	if err := awaitReaped(ctx, processes); err != nil {
		l.log.Warn("ended processes stay in the process table, since process 1 of this host does not take them away", "error", err)
	}
	if err := l.group.remove(); err != nil {
		return err
	}
	// Goes only with the last lab of the host; so do the directories.
	_ = os.Remove(string(l.root.sub("foobar-lab")))
	if err := os.RemoveAll(l.RunDir); err != nil {
		return fmt.Errorf("forget the running lab: %w", err)
	}
	_ = os.Remove(filepath.Dir(l.RunDir))
	return nil
}

// startChild starts this program again as a process of the lab, which outlives
// the command. It returns the child's standard output; its errors go to the lab's log.
func (l *Lab) startChild(ctx context.Context, group cgroup, namespaces uintptr, args ...string) (io.ReadCloser, error) {
	return l.startDetached(ctx, group, namespaces, append([]string{l.Self}, args...))
}

// startDetached starts a command in a cgroup, and in new namespaces where asked.
func (l *Lab) startDetached(ctx context.Context, group cgroup, namespaces uintptr, command []string) (io.ReadCloser, error) {
	if err := group.create(); err != nil {
		return nil, err
	}
	dir, err := os.Open(string(group))
	if err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	defer closeRead(dir)
	log, err := os.OpenFile(l.logPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lab's log: %w", err)
	}
	defer closeRead(log)
	// Its life is the lab's and not the command's.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), command[0], command[1:]...)
	cmd.Env = l.environ(os.Environ())
	cmd.Dir = "/"
	cmd.Stderr = log
	cmd.SysProcAttr = &unix.SysProcAttr{
		Setsid:      true,
		Cloneflags:  namespaces,
		UseCgroupFD: true,
		CgroupFD:    int(dir.Fd()),
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	return out, cmd.Process.Release()
}

// closeRead closes what was only read from, or handed to a child: the outcome
// tells nothing.
func closeRead(c io.Closer) { _ = c.Close() }

// writeFile writes in place, so that a file that is mounted elsewhere changes
// there too.
func (l *Lab) writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
