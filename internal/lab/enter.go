package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// machinePath is the search path inside a machine.
const machinePath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// machineEnviron is the environment of a command in a machine: nothing of the
// host's but the kind of terminal.
func machineEnviron(host []string) []string {
	env := []string{machinePath, "HOME=/root", "LANG=C.UTF-8", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"}
	for _, entry := range host {
		if strings.HasPrefix(entry, "TERM=") {
			env = append(env, entry)
		}
	}
	return env
}

// Exec becomes a command inside a machine. It returns only if it fails.
func (l *Lab) Exec(name string, command []string) error {
	run, err := l.mustAnswer(name)
	if err != nil {
		return err
	}
	if err := run.group.sub("exec").enter(); err != nil {
		return err
	}
	return become(enterMachine(run.leader, command), machineEnviron(os.Environ()))
}

// Logs becomes journalctl inside a machine, or prints the console of one that is
// off. args are further arguments for journalctl.
func (l *Lab) Logs(name string, args []string) error {
	if _, err := l.loadRecord(name); err != nil {
		return err
	}
	if _, on, err := l.running(name); err != nil {
		return err
	} else if on {
		return l.Exec(name, append([]string{"journalctl", "--namespace=*", "--no-pager", "--boot"}, args...))
	}
	text, err := os.ReadFile(l.consoleLog(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the console of machine %s: %w", name, err)
	}
	l.log.Info("machine is off; this is what its console said", "machine", name)
	_, err = os.Stdout.Write(text)
	return err
}

// Run becomes a command of the outside client, on the public network.
func (l *Lab) Run(command []string) error { return l.enter(client, command, os.Environ()) }

// Manage becomes a command in the management namespace, on the private network.
// It finds the lab's CA seed in FOOBAR_CA_SEED and the lab itself in FOOBAR_LAB,
// unless the caller has set them already, even to nothing.
func (l *Lab) Manage(command []string) error {
	seed, err := l.seed()
	if err != nil {
		return err
	}
	env := withDefault(os.Environ(), "FOOBAR_CA_SEED", seed)
	env = withDefault(env, "FOOBAR_LAB", l.Self)
	return l.enter(mgmt, command, env)
}

// enter becomes a command in a site.
func (l *Lab) enter(s site, command, env []string) error {
	holder, err := l.holder(s)
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	if err := l.siteGroup(s).sub("commands").enter(); err != nil {
		return err
	}
	return become(enterSite(holder, dir, command), env)
}

// withDefault sets a variable that env lacks.
func withDefault(env []string, key, value string) []string {
	if slices.ContainsFunc(env, func(entry string) bool { return strings.HasPrefix(entry, key+"=") }) {
		return env
	}
	return append(slices.Clip(env), key+"="+value)
}

// copyIn replaces a program in a running machine: written beside it and renamed,
// since one that runs cannot be written to.
func (l *Lab) copyIn(ctx context.Context, run running, source, target string) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer closeRead(f)
	script := `cat > "$1.new" && chmod 0755 "$1.new" && sync "$1.new" && mv "$1.new" "$1"`
	args := enterMachine(run.leader, []string{"sh", "-c", script, "copy", path.Clean(target)})
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = machineEnviron(nil)
	cmd.Stdin = f
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
