package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ensureNetwork makes the sites and connects them, unless they are there. What
// a killed run left half done is ended first, machines and all.
func (l *Lab) ensureNetwork(ctx context.Context) error {
	up, err := l.wired()
	if err != nil || up {
		return err
	}
	if err := l.endEverything(ctx); err != nil {
		return err
	}
	l.log.Info("making the networks", "public", Public.Prefix(), "private", Private.Prefix())
	for _, s := range sites() {
		if err := l.startSite(ctx, s); err != nil {
			return err
		}
	}
	if err := l.wire(ctx); err != nil {
		return err
	}
	return l.writeFile(l.wiredPath(), "")
}

// wired reports whether all sites are there and connected.
func (l *Lab) wired() (bool, error) {
	if _, err := os.Stat(l.wiredPath()); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	for _, s := range sites() {
		if up, err := l.holderGroup(s).populated(); err != nil || !up {
			return false, err
		}
	}
	return true, nil
}

// startSite starts the process that holds a site and waits until it has made the
// site's own view of the file system.
func (l *Lab) startSite(ctx context.Context, s site) error {
	if err := l.writeFile(filepath.Join(l.siteDir(s), "hosts"), siteHosts(s, netip.Addr{}, nil)); err != nil {
		return err
	}
	if err := l.writeFile(filepath.Join(l.siteDir(s), "resolv.conf"), "# The lab resolves names from /etc/hosts.\n"); err != nil {
		return err
	}
	ready, err := l.startChild(ctx, l.holderGroup(s), unix.CLONE_NEWNS|unix.CLONE_NEWNET, "hold", string(s))
	if err != nil {
		return fmt.Errorf("start site %s: %w", s, err)
	}
	defer closeRead(ready)
	if line, err := bufio.NewReader(ready).ReadString('\n'); err != nil || line != "ready\n" {
		return fmt.Errorf("start site %s: it ended; %s says why", s, l.logPath())
	}
	return nil
}

// wire lays the cables between the sites.
func (l *Lab) wire(ctx context.Context) error {
	holder, err := l.holder(fabric)
	if err != nil {
		return err
	}
	if err := l.ip(ctx, fabric, fabricCommands()); err != nil {
		return err
	}
	for _, s := range []site{client, mgmt} {
		if err := l.ip(ctx, s, siteCommands(s, holder)); err != nil {
			return err
		}
		addr, _ := s.address()
		network, _ := networkOf(addr)
		if err := l.ip(ctx, fabric, plugCommand(fabricLink(string(s), 0), network)); err != nil {
			return err
		}
	}
	return nil
}

// holder returns the process that holds a site.
func (l *Lab) holder(s site) (int, error) {
	pids, err := l.holderGroup(s).procs()
	if err != nil {
		return 0, err
	}
	if len(pids) == 0 {
		return 0, fmt.Errorf("the lab %q is down: start it with  lab up NAME=ADDRESS …", l.Name)
	}
	return pids[0], nil
}

// ip runs an "ip -batch" script in a site's network.
func (l *Lab) ip(ctx context.Context, s site, script string) error {
	return l.feed(ctx, s, script, "ip", "-batch", "-")
}

// feed runs a host's tool in a site's network with a script on its input.
func (l *Lab) feed(ctx context.Context, s site, script string, tool ...string) error {
	pid, err := l.holder(s)
	if err != nil {
		return err
	}
	args := append([]string{"--target", strconv.Itoa(pid), "--net", "--"}, tool...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("configure the %s network: %s: %w: %s", s, tool[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

// publishNames writes what the sites resolve.
func (l *Lab) publishNames() error {
	records, err := l.records()
	if err != nil {
		return err
	}
	machines := machinesOf(records)
	www, err := l.www(machines)
	if err != nil {
		return err
	}
	for _, s := range []site{client, mgmt} {
		// In place: the file is mounted over /etc/hosts, and a new one would
		// not be seen.
		if err := l.writeFile(filepath.Join(l.siteDir(s), "hosts"), siteHosts(s, www, machines)); err != nil {
			return err
		}
	}
	return nil
}

// Hold is the life of a site's process: it was started in new network and mount
// namespaces, puts the site's names in place, says so, and waits to be ended.
func (l *Lab) Hold(ctx context.Context, name string) error {
	s := site(name)
	if err := detachMounts(); err != nil {
		return err
	}
	if s == fabric {
		if err := mountCgroup2(); err != nil {
			return err
		}
	} else if err := l.mountNames(s); err != nil {
		return err
	}
	fmt.Println("ready")
	if err := os.Stdout.Close(); err != nil {
		return fmt.Errorf("report ready: %w", err)
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}

// mountNames puts the site's files over the host's, for this site alone.
func (l *Lab) mountNames(s site) error {
	for _, name := range []string{"hosts", "resolv.conf"} {
		target := filepath.Join("/etc", name)
		if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := unix.Mount(filepath.Join(l.siteDir(s), name), target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s for site %s: %w", target, s, err)
		}
	}
	return nil
}

// detachMounts makes mounts of the host arrive in this namespace, and none of
// this namespace arrive at the host.
func detachMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("detach mounts from the host: %w", err)
	}
	return nil
}

// mountCgroup2 gives the mount namespace a /sys of its network namespace and a
// unified cgroup hierarchy, whatever the host has. What is there already is busy.
func mountCgroup2() error {
	for _, m := range []struct{ kind, target string }{{"sysfs", "/sys"}, {"cgroup2", "/sys/fs/cgroup"}} {
		if err := unix.Mount(m.kind, m.target, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}
