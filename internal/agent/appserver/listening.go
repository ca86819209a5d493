package appserver

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// listener is one TCP socket that a process listens on.
type listener struct {
	address netip.AddrPort
	inode   string
}

// parseListeners reads those of a table of Linux, /proc/net/tcp or tcp6.
func parseListeners(table string) []listener {
	const address, state, inode, listen = 1, 3, 9, "0A" // columns, and TCP_LISTEN of Linux
	var found []listener
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) <= inode || fields[state] != listen {
			continue
		}
		if at, ok := parseTCPAddress(fields[address]); ok {
			found = append(found, listener{at, fields[inode]})
		}
	}
	return found
}

// parseTCPAddress reads an address as Linux writes it: words of 32 bit of a machine
// whose lowest byte is first, which all are that foobar runs on.
func parseTCPAddress(text string) (netip.AddrPort, bool) {
	address, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		binary.BigEndian.PutUint32(word, binary.LittleEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), ok //nolint:gosec // G115: of 16 bit, says its parsing
}

// listeners returns all of the machine, none of what cannot be read.
func (m machine) listeners() []listener {
	var all []listener
	for _, table := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile(m.path(filepath.Join("/proc/net", table)))
		all = append(all, parseListeners(string(text))...)
	}
	return all
}

// sockets returns the inodes of the sockets that a process has open.
func (m machine) sockets(pid string) map[string]bool {
	dir := m.path(filepath.Join("/proc", pid, "fd"))
	open, _ := os.ReadDir(dir)
	inodes := map[string]bool{}
	for _, fd := range open {
		target, _ := os.Readlink(filepath.Join(dir, fd.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes
}

// listensOn returns the TCP addresses that a unit's processes listen on; main is one
// of them.
func (m machine) listensOn(main int) []netip.AddrPort {
	inodes := map[string]bool{}
	for _, pid := range m.companions(main) {
		for inode := range m.sockets(pid) {
			inodes[inode] = true
		}
	}
	var found []netip.AddrPort
	for _, l := range m.listeners() {
		if inodes[l.inode] {
			found = append(found, l.address)
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	return slices.Compact(found)
}

// companions returns the processes of the control group that a process is in.
func (m machine) companions(pid int) []string {
	groups, _ := os.ReadFile(m.path(filepath.Join("/proc", strconv.Itoa(pid), "cgroup")))
	for line := range strings.Lines(string(groups)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			pids, _ := os.ReadFile(m.path(filepath.Join("/sys/fs/cgroup", group, "cgroup.procs")))
			return strings.Fields(string(pids))
		}
	}
	return nil
}

// holding returns the processes that have one of some sockets open.
func (m machine) holding(inodes []string) []Holder {
	if len(inodes) == 0 {
		return nil
	}
	var found []Holder
	processes, _ := os.ReadDir(m.path("/proc"))
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		open := m.sockets(process.Name())
		if !slices.ContainsFunc(inodes, func(inode string) bool { return open[inode] }) {
			continue
		}
		of := func(name string) string { // nothing of one that has ended since
			content, _ := os.ReadFile(m.path(filepath.Join("/proc", process.Name(), name)))
			return string(content)
		}
		program := cmp.Or(api.Visible(strings.TrimSpace(of("comm"))), "a process")
		found = append(found, Holder{PID: pid, Program: program, Unit: unitOf(of("cgroup"))})
	}
	return found
}

// elsewhere says how an app comes to listen where it should, if said is that nothing
// does, and where it listens instead.
func (r rollout) elsewhere(ctx context.Context, said string) string {
	advice := ""
	switch {
	case strings.HasPrefix(said, noSocket):
		advice = ". The app has to make it at $SOCKET. If it listens on a port, set app_ports and have it listen on $PORT"
	case strings.HasPrefix(said, noListener):
		advice = ". The app has to listen on $PORT of 127.0.0.1"
	default:
		return ""
	}
	status, err := r.kind.systemd.Status(ctx, r.appUnit())
	if err != nil || status.MainPID == 0 {
		return advice
	}
	var found []string
	for _, address := range r.kind.machine.listensOn(status.MainPID) {
		found = append(found, address.String())
	}
	if len(found) > 0 {
		advice += "; it listens on " + strings.Join(found, " and ") + " now"
	}
	return advice
}
