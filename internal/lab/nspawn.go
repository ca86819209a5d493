package lab

import (
	"fmt"
	"strconv"
	"strings"
)

// rebootStatus is nspawn's exit status after the machine asked for a reboot
// (EXIT_FORCE_RESTART of systemd).
const rebootStatus = 133

// nspawnArgs is the command line that boots a machine. Registration and units of
// the host are left alone; --capability=all is not given, since modules would
// then be loaded and fail.
func nspawnArgs(labName string, m Machine, root, bootstrap string) []string {
	args := []string{
		"systemd-nspawn",
		"--quiet",
		"--settings=no",
		"--register=no",
		"--keep-unit",
		"--boot",
		"--console=pipe",
		"--link-journal=no",
		"--resolv-conf=off",
		"--timezone=off",
		// systemd bounds with it what its units may bind, as on a VM.
		"--system-call-filter=bpf",
		// What systemd gives a VM, whatever the shell that started the lab allows.
		"--rlimit=RLIMIT_NOFILE=1024:524288",
		"--machine=" + nspawnName(labName, m.Name),
		"--hostname=" + m.Name,
		"--directory=" + root,
	}
	for i := range m.Addresses {
		args = append(args, fmt.Sprintf("--network-veth-extra=%s:%s", fabricLink(m.Name, i), guestLink(i)))
	}
	if bootstrap != "" {
		args = append(args, "--load-credential=foobar.bootstrap:"+bootstrap)
	}
	return args
}

// nspawnName is the machine's name among those of all labs of the host.
func nspawnName(labName, machine string) string { return labName + "-" + machine }

// provisionArgs is the command line that runs one provisioning script in a root
// filesystem that is not booted. The host's network is there for apt, and
// nothing is flushed to disk for a tree that is thrown away if it breaks.
func provisionArgs(root, images, agent, script string) []string {
	args := []string{
		"systemd-nspawn",
		"--quiet",
		"--settings=no",
		"--register=no",
		"--keep-unit",
		"--as-pid2",
		"--console=pipe",
		"--link-journal=no",
		"--resolv-conf=copy-host",
		"--timezone=off",
		"--suppress-sync=yes",
		"--directory=" + root,
		"--bind-ro=" + images + ":/run/images",
		"--setenv=IMAGE_BUILD=1",
	}
	if agent != "" {
		args = append(args, "--bind-ro="+agent+":/run/foobar-agent", "--setenv=AGENT=/run/foobar-agent")
	}
	return append(args, "/run/images/provision/"+script)
}

// overlayOptions is the data of the mount of a root: layers from the topmost
// read-only one to the lowest, and the directories that take what is written.
func overlayOptions(layers []string, upper, work string) string {
	return "lowerdir=" + strings.Join(layers, ":") + ",upperdir=" + upper + ",workdir=" + work
}

// enterMachine is the command line that runs a command inside the machine whose
// process 1 is leader.
func enterMachine(leader int, command []string) []string {
	return append([]string{"nsenter", "--target", strconv.Itoa(leader), "--all", "--wdns=/root", "--"}, command...)
}

// enterSite is the command line that runs a command in a site, in the same
// directory and with the same files but for the names that the site resolves.
func enterSite(holder int, dir string, command []string) []string {
	return append([]string{"nsenter", "--target", strconv.Itoa(holder), "--mount", "--net", "--wdns=" + dir, "--"}, command...)
}

// leaderFromNotify returns the host's id of the machine's process 1 from a
// message of nspawn to its supervisor.
func leaderFromNotify(message string) (int, bool) {
	for line := range strings.SplitSeq(message, "\n") {
		if value, ok := strings.CutPrefix(line, "X_NSPAWN_LEADER_PID="); ok {
			pid, err := strconv.Atoi(value)
			return pid, err == nil && pid > 1
		}
	}
	return 0, false
}
