package foreign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// Account is an account of the machine.
type Account struct {
	// Name is that in the machine's list, UID its number and GID that of its
	// first group.
	Name     string
	UID, GID int
}

// Root is the account that owns what no other one may change; in tests, which
// need not be root, it is their own.
func Root() Account { return Account{Name: "root", UID: os.Geteuid(), GID: os.Getegid()} }

// Lookup returns the account of a name.
func Lookup(name string) (Account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return Account{}, fmt.Errorf("look up the account %s: %w", name, err)
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	if err := errors.Join(errUID, errGID); err != nil {
		return Account{}, fmt.Errorf("look up the account %s: %w", name, err)
	}
	return Account{Name: name, UID: uid, GID: gid}, nil
}

// Group returns the number of the group of a name.
func Group(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("look up the group %s: %w", name, err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return 0, fmt.Errorf("look up the group %s: %w", name, err)
	}
	return gid, nil
}

// OwnerNames writes the owner and the group of a file for a person: by name, or by
// number where no account has it.
func OwnerNames(uid, gid int) string {
	owner, group := strconv.Itoa(uid), strconv.Itoa(gid)
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return owner + ":" + group
}

// grace is how long the output of a program is waited for that was killed.
const grace = 5 * time.Second

// environment is what a program is given that runs as another account. The agent's
// own names its credentials and its socket to systemd, and sets how it logs.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LANG=C.UTF-8"}
}

// Command returns a program to run as the account, without any further groups and
// with an environment of its own. When ctx ends, its process group is killed:
// the program and all that it started, but for what has begun a group or session
// of its own. That runs on, as the account, until the agent's unit stops.
func (a Account) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.UID != os.Geteuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)} //nolint:gosec // ids of Linux have 32 bits
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = grace
	return cmd
}
