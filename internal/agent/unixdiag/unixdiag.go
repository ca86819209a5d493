// Package unixdiag asks the kernel who is connected to a Unix socket: sock_diag(7).
//
// The kernel knows a socket by the file that it was bound to, whatever text named
// that file: a relative path, one through a link. It also knows whether there still
// is somebody at the other end. The table in /proc/net/unix has neither.
package unixdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

// ErrNoSocket tells that there is no file at the path of a socket, and so no way to
// connect. Any other error tells that the connections could not be counted.
var ErrNoSocket = errors.New("there is no such socket")

// Connections counts the connections to the listener on the Unix socket at path, also
// those that wait to be accepted. A connection that the client has closed does not
// count, and neither does one that this process has made itself. The socket may be in
// another account's directory: a link in its place is an error.
//
// The error is an [ErrNoSocket] if there is no such file. The kernel shows the
// sockets of this process's network namespace alone.
func Connections(path string) (int, error) { return connections(path, list, ownSockets) }

// Backlog returns how many connections may wait at the listener on the Unix socket at
// path, as it asked listen(2) for and the kernel allowed: one more is refused at once.
// The errors are those of [Connections]; a socket that nobody listens on is an
// [ErrNoSocket], too.
func Backlog(path string) (int, error) { return backlog(path, list) }

func backlog(path string, list func() ([]socket, error)) (int, error) {
	bound, err := fileAt(path)
	if err != nil {
		return 0, fmt.Errorf("read the backlog of %s: %w", path, err)
	}
	sockets, err := list()
	if err != nil {
		return 0, fmt.Errorf("read the backlog of %s: %w", path, err)
	}
	for _, s := range sockets {
		if s.bound == bound && s.listens {
			return int(s.backlog), nil
		}
	}
	return 0, fmt.Errorf("read the backlog of %s: %w", path, ErrNoSocket)
}

func connections(path string, list func() ([]socket, error), own func() (map[inode]bool, error)) (int, error) {
	count, err := func() (int, error) {
		bound, err := fileAt(path)
		if err != nil {
			return 0, err
		}
		sockets, err := list()
		if err != nil {
			return 0, err
		}
		// A probe that ends here counts once; whoever wants to know looks again.
		mine, err := own()
		if err != nil {
			return 0, err
		}
		return count(sockets, bound, mine), nil
	}()
	if err != nil {
		return 0, fmt.Errorf("count the connections to %s: %w", path, err)
	}
	return count, nil
}

// inode is the number of a socket among all sockets, 0 for one that was closed.
type inode uint32

// file is what a socket was bound to, as the kernel numbers it.
type file struct{ inode, device uint32 }

// socket is a listener, or the end of a connection that a listener has accepted.
type socket struct {
	// bound is the file of the listener.
	bound file
	// clients are at the other end: one of a connection, of a listener all that
	// wait to be accepted.
	clients []inode
	// backlog is that of a listener.
	listens bool
	backlog uint32
}

// count returns how many clients are connected to a file that are not closed and
// not among the own ones.
func count(sockets []socket, bound file, own map[inode]bool) int {
	n := 0
	for _, s := range sockets {
		for _, client := range s.clients {
			if s.bound == bound && client != 0 && !own[client] {
				n++
			}
		}
	}
	return n
}

// fileAt returns the file that a client reaches under a path.
func fileAt(path string) (file, error) {
	ino, device, err := foreign.Socket(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, ErrNoSocket
	}
	// The kernel cuts the inode's number to 32 bits (net/unix/diag.c), and packs
	// the device's as MKDEV of linux/kdev_t.h does.
	return file{uint32(ino), unix.Major(device)<<20 | unix.Minor(device)}, err //nolint:gosec // cut on purpose
}

// ownSockets returns the inodes of the sockets that this process has open.
func ownSockets() (map[inode]bool, error) {
	const dir = "/proc/self/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	own := map[inode]bool{}
	for _, entry := range entries {
		target, err := os.Readlink(dir + entry.Name())
		if err != nil {
			continue // closed since
		}
		if text, ok := strings.CutPrefix(target, "socket:["); ok {
			if number, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32); err == nil {
				own[inode(number)] = true
			}
		}
	}
	return own, nil
}

// From linux/unix_diag.h and net/tcp_states.h.
const (
	requestSize = 24 // struct unix_diag_req
	headerSize  = 16 // struct unix_diag_msg

	showVFS, showPeer, showIcons, showQueue = 1 << 1, 1 << 2, 1 << 3, 1 << 4 // UDIAG_SHOW_…
	attrVFS, attrPeer, attrIcons, attrQueue = 1, 2, 3, 4                     // UNIX_DIAG_…

	stateEstablished, stateListen = 1, 10 // TCP_…
)

// list returns all sockets that are bound to a file and listen or are connected.
//
// The connections come first, as what waits at a listener may be long: the kernel
// ends a list without a word where one socket does not fit into a message, which
// is small until it has seen how large the reader's buffer is (netlink_dump).
// From then on there is room for some 8,000 that wait; Linux lets 4,096 by default.
func list() ([]socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for its sockets: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is lost with it
	connected, err := dump(fd, 1<<stateEstablished, showVFS|showPeer)
	if err != nil {
		return nil, err
	}
	listening, err := dump(fd, 1<<stateListen, showVFS|showIcons|showQueue)
	return append(connected, listening...), err
}

// dump asks for the sockets in some states.
func dump(fd int, states, show uint32) ([]socket, error) {
	if err := unix.Sendto(fd, request(states, show), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("ask the kernel for its sockets: %w", err)
	}
	var all []socket
	buffer := make([]byte, 64<<10) // the kernel sends 32 KiB at most
	for {
		n, _, flags, _, err := unix.Recvmsg(fd, buffer, nil, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && flags&unix.MSG_TRUNC != 0:
			err = unix.EMSGSIZE
		}
		if err != nil {
			return nil, fmt.Errorf("read the list of the kernel's sockets: %w", err)
		}
		sockets, done, err := parse(buffer[:n])
		if all = append(all, sockets...); err != nil || done {
			return all, err
		}
	}
}

// request returns the message that asks for the sockets in some states.
func request(states, show uint32) []byte {
	order := binary.NativeEndian
	const size = unix.NLMSG_HDRLEN + requestSize
	m := make([]byte, size)
	order.PutUint32(m, size)
	order.PutUint16(m[4:], unix.SOCK_DIAG_BY_FAMILY)
	order.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := m[unix.NLMSG_HDRLEN:]
	body[0] = unix.AF_UNIX
	order.PutUint32(body[4:], states)
	order.PutUint32(body[12:], show)
	return m
}

// parse reads a part of the kernel's answer; done tells that it was the last one.
func parse(part []byte) (sockets []socket, done bool, err error) {
	messages, err := syscall.ParseNetlinkMessage(part)
	if err != nil {
		return nil, false, fmt.Errorf("read the list of the kernel's sockets: %w", err)
	}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR: // both begin with an error's number, below 0, or 0
			if len(m.Data) >= 4 {
				if number := int32(binary.NativeEndian.Uint32(m.Data)); number < 0 { //nolint:gosec // it is signed
					return nil, false, fmt.Errorf("list the kernel's sockets: %w", syscall.Errno(-number))
				}
			}
			return sockets, true, nil
		case unix.SOCK_DIAG_BY_FAMILY:
			s, err := parseSocket(m.Data)
			if err != nil {
				return nil, false, err
			}
			sockets = append(sockets, s)
		}
	}
	return sockets, false, nil
}

var errShort = errors.New("read the list of the kernel's sockets: a message was cut short")

// parseSocket reads what the kernel says of one socket.
func parseSocket(message []byte) (socket, error) {
	if len(message) < headerSize {
		return socket{}, errShort
	}
	order := binary.NativeEndian
	s := socket{listens: message[2] == stateListen} // udiag_state
	for rest := message[headerSize:]; len(rest) > 0; {
		if len(rest) < unix.SizeofNlAttr {
			return socket{}, errShort
		}
		size, kind := int(order.Uint16(rest)), order.Uint16(rest[2:])
		if size < unix.SizeofNlAttr || size > len(rest) {
			return socket{}, errShort
		}
		value := rest[unix.SizeofNlAttr:size]
		switch {
		case kind == attrVFS && len(value) >= 8:
			s.bound = file{order.Uint32(value), order.Uint32(value[4:])}
		case kind == attrQueue && len(value) >= 8 && s.listens:
			s.backlog = order.Uint32(value[4:]) // udiag_wqueue
		case kind == attrPeer || kind == attrIcons:
			for ; len(value) >= 4; value = value[4:] {
				s.clients = append(s.clients, inode(order.Uint32(value)))
			}
		}
		rest = rest[min((size+3)&^3, len(rest)):] // each begins at a multiple of four
	}
	return s, nil
}
