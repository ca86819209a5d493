package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A bootEnd is why a machine stopped running.
type bootEnd string

const (
	rebooted   bootEnd = "rebooted"
	powerLost  bootEnd = "lost power"
	poweredOff bootEnd = "powered off"
)

// bootEndOf tells from how nspawn ended what happened to the machine. Any other
// status means that it never ran.
func bootEndOf(state *os.ProcessState) (bootEnd, error) {
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled():
		return powerLost, nil
	case state.ExitCode() == rebootStatus:
		return rebooted, nil
	case state.ExitCode() == 0:
		return poweredOff, nil
	default:
		return "", fmt.Errorf("systemd-nspawn: %s", state)
	}
}

// Supervise keeps a machine running until it powers off: a reboot and a power
// loss start it again from the same disk. It is started in the fabric's network.
func (l *Lab) Supervise(ctx context.Context, name string) error {
	r, err := l.loadRecord(name)
	if err != nil {
		return err
	}
	log := l.log.With("machine", name)
	for n := 1; ; n++ {
		end, err := l.superviseBoot(ctx, r, n)
		if err != nil {
			log.Error("the machine did not run", "boot", n, "error", err)
			return err
		}
		log.Info("the machine stopped", "boot", n, "end", end)
		if end == poweredOff {
			return nil
		}
	}
}

// superviseBoot is one life of a machine, from power to no power.
func (l *Lab) superviseBoot(ctx context.Context, r record, n int) (bootEnd, error) {
	group := l.machineGroup(r.Name).sub(bootPrefix + strconv.Itoa(n))
	if err := group.create(); err != nil {
		return "", err
	}
	defer l.removeBoot(ctx, r.Name, group)
	l.unplug(ctx, r.Machine)
	notify, err := l.listenNotify(r.Name)
	if err != nil {
		return "", err
	}
	defer closeRead(notify)
	cmd, err := l.startBoot(ctx, r, group)
	if err != nil {
		return "", err
	}
	plugged := make(chan error, 1)
	go func() {
		err := l.plugWhenReady(ctx, r.Machine, notify)
		if err != nil {
			// A machine without its cables is none.
			err = errors.Join(err, group.write("cgroup.kill", "1"))
		}
		plugged <- err
	}()
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		return "", fmt.Errorf("wait for systemd-nspawn: %w", err)
	}
	if err := errors.Join(notify.Close(), <-plugged); err != nil {
		return "", err
	}
	return bootEndOf(cmd.ProcessState)
}

// removeBoot takes away the cgroup of a boot, with what nspawn may have left in
// it when it was killed.
func (l *Lab) removeBoot(ctx context.Context, name string, group cgroup) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := errors.Join(group.kill(ctx), group.remove()); err != nil {
		l.log.Error("remove the cgroup of a boot", "error", err)
	}
	// nspawn leaves it behind when it is killed, and where /run is no tmpfs.
	_ = os.Remove(filepath.Join("/run/systemd/nspawn/propagate", nspawnName(l.Name, name)))
}

// unplug removes cables of the boot before. The kernel takes a while to do so
// itself after a power loss, and a name can be used only once.
func (l *Lab) unplug(ctx context.Context, m Machine) {
	for i := range m.Addresses {
		link := fabricLink(m.Name, i)
		if _, err := net.InterfaceByName(link); err != nil {
			continue
		}
		// It may go by itself just now, so the outcome tells nothing.
		_ = exec.CommandContext(ctx, "ip", "link", "delete", link).Run()
	}
}

func (l *Lab) listenNotify(name string) (*net.UnixConn, error) {
	path := l.notifyPath(name)
	if err := os.RemoveAll(path); err != nil {
		return nil, fmt.Errorf("remove the last boot's notify socket: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for nspawn's notifications: %w", err)
	}
	return conn, nil
}

// startBoot starts the process that becomes nspawn, in the cgroup and in a mount
// namespace that end with it.
func (l *Lab) startBoot(ctx context.Context, r record, group cgroup) (*exec.Cmd, error) {
	dir, err := os.Open(string(group))
	if err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	defer closeRead(dir)
	console, err := os.OpenFile(l.consoleLog(r.Name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the console's log: %w", err)
	}
	defer closeRead(console)
	cmd := exec.CommandContext(ctx, l.Self, "boot", r.Name)
	cmd.Env = append(l.environ(os.Environ()), "NOTIFY_SOCKET="+l.notifyPath(r.Name))
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start systemd-nspawn: %w", err)
	}
	return cmd, nil
}

// plugWhenReady plugs the machine's cables in once nspawn says that they are
// there, and reads on so that nspawn is never held up. It ends when notify is
// closed.
func (l *Lab) plugWhenReady(ctx context.Context, m Machine, notify *net.UnixConn) error {
	buffer := make([]byte, 4096)
	plugged := false
	for {
		n, err := notify.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read nspawn's notifications: %w", err)
		}
		if _, ok := leaderFromNotify(string(buffer[:n])); ok && !plugged {
			plugged = true
			if err := l.plug(ctx, m); err != nil {
				return err
			}
		}
	}
}

// plug attaches a machine's cables to the bridges of the network namespace that
// the supervisor is in.
func (l *Lab) plug(ctx context.Context, m Machine) error {
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(plugMachine(m))
	out, err := cmd.CombinedOutput()
	if err == nil || !present(m) {
		return nil // without its cables the machine has lost its power just now
	}
	return fmt.Errorf("plug in machine %s: %w: %s", m.Name, err, out)
}

// present reports whether all of a machine's cables end in this network namespace.
func present(m Machine) bool {
	for i := range m.Addresses {
		if _, err := net.InterfaceByName(fabricLink(m.Name, i)); err != nil {
			return false
		}
	}
	return true
}

// Boot mounts a machine's root and becomes the nspawn that runs it. It was
// started in a mount namespace of its own, so nothing is ever unmounted.
func (l *Lab) Boot(name string) error {
	r, err := l.loadRecord(name)
	if err != nil {
		return err
	}
	if err := detachMounts(); err != nil {
		return err
	}
	root := filepath.Join(l.machineDir(name), "root")
	if err := l.mountDisk(r, root); err != nil {
		return err
	}
	bootstrap := ""
	if _, err := os.Stat(l.bootstrapPath(name)); err == nil {
		bootstrap = l.bootstrapPath(name)
	}
	return become(nspawnArgs(l.Name, r.Machine, root, bootstrap), os.Environ())
}

// mountDisk mounts the machine's disk over the image's layers.
func (l *Lab) mountDisk(r record, root string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	layers := []string{l.layerDir(r.Layer), l.baseDir(r.Base)}
	return mountOverlay(root, layers, l.disk(r))
}

// mountOverlay mounts layers, topmost first, with what is written going to disk.
func mountOverlay(root string, layers []string, disk string) error {
	upper, work := filepath.Join(disk, "upper"), filepath.Join(disk, "work")
	if err := unix.Mount("overlay", root, "overlay", 0, overlayOptions(layers, upper, work)); err != nil {
		return fmt.Errorf("mount %s over %s: %w", upper, strings.Join(layers, " and "), err)
	}
	return nil
}

// become replaces the process by a program found on the path.
func become(args, env []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return fmt.Errorf("find %s: %w", args[0], err)
	}
	if err := unix.Exec(path, args, env); err != nil {
		return fmt.Errorf("run %s: %w", path, err)
	}
	return nil
}
