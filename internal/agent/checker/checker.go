// Package checker runs the engines' own checkers, such as "haproxy -c", over
// a configuration that holds text of a user. A checker may be made to read
// files, to compute without an end or to print without one. So each of them
// runs in a sandbox of systemd that has the same bounds for every engine: a
// file system that holds the program, the shared libraries and the
// configuration only, an account without rights, and limits of processor time,
// run time, memory and output.
package checker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

// Bounds of a checker. The slowest of them, MariaDB's, needs 0.1 s of
// processor time, and 1.3 GiB of address space, of which it touches 60 MiB.
const (
	// maxCPU bounds its processor time, maxTime how long it may run.
	maxCPU  = 5 * time.Second
	maxTime = 10 * time.Second
	// maxAddressSpace and maxMemory are in bytes. A machine without the memory
	// controller keeps to the former only.
	maxAddressSpace = 2 << 30
	maxMemory       = 512 << 20
	// maxOutput bounds what is read of its output, in bytes; beyond it the
	// checker is stopped.
	maxOutput = 256 << 10
	// maxResults is maxOutput for results that are kept apart. MariaDB prints
	// 200 KiB of them.
	maxResults = 1 << 20
	// maxWork bounds what it may write, in bytes.
	maxWork = 16 << 20
)

// RuntimeDir is the agent's runtime directory, where the sandboxes of a machine
// get their files from. [Clear] removes what a killed agent left of them.
const RuntimeDir = "/run/foobar"

// Paths inside the sandbox.
const (
	// ConfigPath is where the checker finds the configuration.
	ConfigPath = "/check/config"
	// WorkDir is an empty directory that it may write to. It goes with the checker.
	WorkDir = "/work"
)

// Check is a run of a checker.
type Check struct {
	// Program is the checker's absolute path.
	Program string
	Args    []string
	// Account is the user, and the group, that it runs as.
	Account string
	// Config is the content of the file at [ConfigPath].
	Config []byte
	// Reads are the directories of the machine that it reads apart from the
	// shared libraries.
	Reads []string
	// Listens lets it bind the machine's addresses and low ports. Without it
	// it has no network.
	Listens bool
	// Results, if it is not nil, gets its standard output, which is then no part
	// of the output.
	Results *strings.Builder
}

// Refusal is the error of a checker that ended by itself and did not accept
// the configuration. Its output says why.
type Refusal struct{ Status int }

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("the checker ended with status %d", r.Status) }

// Run runs a checker on this machine and returns what it printed. The error is a [Refusal] if
// it refuses the configuration, an [api.Problem] if it exceeded its bounds.
func Run(ctx context.Context, c Check) (output string, err error) {
	dir, leave, err := place(ctx, RuntimeDir, places(totalMemory()))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, leave()) }()
	files, err := c.stage(dir)
	if err != nil {
		return "", fmt.Errorf("copy the configuration for the checker: %w", err)
	}
	unit := "foobar-check-" + strings.ToLower(rand.Text()) + ".service"
	limited, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	printed := &bounded{left: maxOutput, full: cancel}
	cmd := exec.CommandContext(limited, "systemd-run", c.arguments(unit, files)...)
	cmd.Cancel = func() error { // the service holds the pipes: it has to end first
		stop(ctx, unit)
		return cmd.Process.Kill()
	}
	cmd.WaitDelay = maxTime
	cmd.Stdout, cmd.Stderr = printed, printed
	results := &bounded{left: maxResults, full: cancel}
	if c.Results != nil {
		cmd.Stdout = results
		defer func() { c.Results.WriteString(results.String()) }()
	}
	err = cmd.Run()
	return printed.String(), c.outcome(ctx, limited, err, printed.String())
}

// stop ends the checker's unit. It may be gone by then.
func stop(ctx context.Context, unit string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxTime)
	defer cancel()
	_ = exec.CommandContext(ctx, "systemctl", "kill", "--signal=SIGKILL", unit).Run()
}

// outcome tells a refusal from a checker that was stopped and from one that
// could not be started.
func (c Check) outcome(ctx, limited context.Context, err error, output string) error {
	const (
		signalled = 255 // systemd-run's status for a service that a signal ended
		notRun    = 200 // from here on systemd says why the program was not run, systemd.exec(5)
	)
	failure, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		return nil
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		return stopped("%s did not check the configuration within %s: the machine is too busy, or the configuration too large; try again, or simplify it",
			filepath.Base(c.Program), maxTime)
	case limited.Err() != nil, ended && failure.ExitCode() == signalled:
		return stopped("%s took more than it may to check the configuration: %s of processor time, %d MiB of memory and %d KiB of messages; simplify the configuration",
			filepath.Base(c.Program), maxCPU, maxMemory>>20, maxOutput>>10)
	case ended && failure.ExitCode() < notRun && !strings.HasPrefix(output, "Failed to "): // the latter is systemd-run's own
		return &Refusal{Status: failure.ExitCode()}
	}
	return fmt.Errorf("run %s in its sandbox: %w: %s", c.Program, err, strings.TrimSpace(output))
}

// stopped is the problem of a checker that exceeded its bounds.
func stopped(format string, args ...any) error {
	return &api.Problem{Type: api.ProblemEngineRefused, Title: "The check of the configuration was stopped", Detail: fmt.Sprintf(format, args...)}
}

// staged are the files of a checker on the machine.
type staged struct{ dir, passwd, group string }

// stage writes the files that the sandbox shows. The directory is root's
// alone; what lies in it may be read by whoever the sandbox lets in.
func (c Check) stage(dir string) (staged, error) {
	files := staged{filepath.Join(dir, "check"), filepath.Join(dir, "passwd"), filepath.Join(dir, "group")}
	account, err := foreign.Lookup(c.Account)
	gid, errGroup := foreign.Group(c.Account)
	if err = errors.Join(err, errGroup); err != nil {
		return files, fmt.Errorf("%w: is the engine's package installed on this machine?", err)
	}
	passwd := fmt.Sprintf("%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", account.Name, account.UID, account.GID)
	group := fmt.Sprintf("%s:x:%d:\n", account.Name, gid)
	if err := os.Mkdir(files.dir, 0o755); err != nil {
		return files, err
	}
	for path, content := range map[string]string{
		filepath.Join(files.dir, filepath.Base(ConfigPath)): string(c.Config),
		files.passwd: passwd, files.group: group,
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return files, err
		}
	}
	return files, nil
}

// arguments returns those of systemd-run.
func (c Check) arguments(unit string, files staged) []string {
	args := []string{"--quiet", "--collect", "--pipe", "--wait", "--service-type=exec", "--unit=" + unit}
	for _, property := range c.properties(files) {
		args = append(args, "--property="+property)
	}
	return append(append(args, "--", c.Program), c.Args...)
}

func (c Check) properties(files staged) []string {
	properties := append(bounds(),
		"User="+c.Account, "Group="+c.Account,
		// The root is empty but for what follows: no /etc, no /proc, no /dev.
		"TemporaryFileSystem=/:ro",
		"TemporaryFileSystem=/dev:ro", "BindPaths=/dev/null",
		"BindReadOnlyPaths=/usr/lib", "BindReadOnlyPaths=/lib", "BindReadOnlyPaths=/lib64",
		"BindReadOnlyPaths=/etc/ld.so.cache",
		"BindReadOnlyPaths="+c.Program,
		"BindReadOnlyPaths="+files.dir+":"+filepath.Dir(ConfigPath),
		"BindReadOnlyPaths="+files.passwd+":/etc/passwd",
		"BindReadOnlyPaths="+files.group+":/etc/group",
		fmt.Sprintf("TemporaryFileSystem=%s:rw,mode=1777,size=%d", WorkDir, maxWork),
		"WorkingDirectory="+WorkDir,
	)
	for _, path := range c.Reads {
		properties = append(properties, "BindReadOnlyPaths="+path)
	}
	if c.Listens {
		return append(properties, "AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE")
	}
	return append(properties, "PrivateNetwork=yes", "InaccessiblePaths=-/sys", "CapabilityBoundingSet=")
}

// bounds returns what no checker goes beyond.
func bounds() []string {
	return []string{
		"Description=check of a configuration by foobar-agent",
		"LogLevelMax=notice", // its coming and going is no news
		fmt.Sprintf("LimitCPU=%d", int(maxCPU.Seconds())),
		fmt.Sprintf("RuntimeMaxSec=%d", 2*int(maxTime.Seconds())), // should the agent be killed
		fmt.Sprintf("LimitAS=%d", maxAddressSpace),
		fmt.Sprintf("MemoryMax=%d", maxMemory), "MemorySwapMax=0",
		fmt.Sprintf("LimitFSIZE=%d", maxWork),
		"LimitCORE=0",
		"TasksMax=32",
		"CPUQuota=100%", "CPUWeight=20", "IOWeight=20", "Nice=10",
		"OOMPolicy=kill", "KillSignal=SIGKILL",
		"NoNewPrivileges=yes",
		"PrivateIPC=yes",
		// Protect…= of the kernel's interfaces would mount /proc, /sys and /dev first.
		"MountAPIVFS=no",
		"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
		"RestrictNamespaces=yes", "RestrictRealtime=yes", "RestrictSUIDSGID=yes",
		"LockPersonality=yes",
		"SystemCallArchitectures=native",
		"SystemCallFilter=@system-service",
		"SystemCallErrorNumber=EPERM",
		"UMask=0077",
	}
}

// bounded keeps the first bytes that are written to it, and calls full when
// there are more.
type bounded struct {
	strings.Builder
	left int
	full context.CancelFunc
}

// Write implements [io.Writer].
func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	if _, err := b.Builder.Write(p[:n]); err != nil {
		return 0, err
	}
	if n < len(p) {
		b.full()
	}
	return len(p), nil
}
