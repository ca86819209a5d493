package unixdiag

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// server listens on a path, as an app does.
type server struct {
	*testing.T
	net.Listener
	path string
}

// listen binds what is to be another name of path.
func listen(t *testing.T, path, bind string) server {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", bind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return server{t, l, path}
}

func (s server) dial() net.Conn {
	s.Helper()
	c, err := (&net.Dialer{}).DialContext(s.Context(), "unix", s.path)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	return c
}

func (s server) accept() net.Conn {
	s.Helper()
	c, err := s.Accept()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	return c
}

func (s server) close(c net.Conn) {
	s.Helper()
	if err := c.Close(); err != nil {
		s.Fatal(err)
	}
}

// want compares the count of all connections, though this process has made them.
func (s server) want(want int, what string) {
	s.Helper()
	got, err := connections(s.path, list, func() (map[inode]bool, error) { return nil, nil })
	if err != nil || got != want {
		s.Errorf("%s: %d connections, %v; want %d", what, got, err, want)
	}
}

// However an app names its socket, what is connected to it counts.
func TestConnectionsOfASocketWhateverItIsCalled(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string) (path, bind string){
		"by its path": func(_ *testing.T, dir string) (string, string) {
			return filepath.Join(dir, "app.sock"), filepath.Join(dir, "app.sock")
		},
		"by a relative path": func(t *testing.T, dir string) (string, string) {
			t.Chdir(dir)
			return filepath.Join(dir, "app.sock"), "./app.sock"
		},
		"through a link to its directory": func(t *testing.T, dir string) (string, string) {
			link := filepath.Join(t.TempDir(), "run")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "app.sock"), filepath.Join(link, "app.sock")
		},
		"renamed since": func(t *testing.T, dir string) (string, string) {
			t.Chdir(dir)
			return filepath.Join(dir, "app.sock"), "new.sock"
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, bind := prepare(t, dir)
			s := listen(t, path, bind)
			if bind == "new.sock" {
				if err := os.Rename(bind, path); err != nil {
					t.Fatal(err)
				}
			}
			s.want(0, "nobody")
			s.dial()
			s.want(1, "one that waits to be accepted")
			s.accept()
			s.want(1, "one that was accepted")
			s.dial()
			s.want(2, "one more that waits")
		})
	}
}

func TestConnectionsThatEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	s := listen(t, path, path)
	accepted := s.dial()
	end := s.accept()
	waits := s.dial()
	s.want(2, "both are there")
	s.close(accepted)
	s.want(1, "a client has left, and the app holds its end open")
	s.close(waits)
	s.want(0, "a client has left that was not accepted")
	s.close(s.accept())
	s.close(end)
	s.dial()
	s.close(s.accept())
	s.want(0, "the app has closed its end, and the client has not")
}

func TestConnectionsOfOthersDoNotCount(t *testing.T) {
	dir := t.TempDir()
	path, beside := filepath.Join(dir, "app.sock"), filepath.Join(dir, "beside.sock")
	s, other := listen(t, path, path), listen(t, beside, beside)
	other.dial()
	other.accept()
	other.dial()
	s.want(0, "those of another socket")
	s.dial()
	s.accept()
	s.dial()
	if got, err := Connections(path); err != nil || got != 0 {
		t.Errorf("of this process's own, %d count, %v", got, err)
	}
}

// The queue of a listener is longer than the kernel's first message.
func TestConnectionsOfALongQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	s := listen(t, path, path)
	const many = 3000
	for range many {
		s.dial()
	}
	s.want(many, "a long queue")
}

// Only a socket that is not there is one that nobody is connected to. What cannot be
// counted may have connections, whatever the reason: the kernel that has no such module
// answers as for a missing file.
func TestNoSocketIsNoneAndWhatCannotBeCountedIsUnknown(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.sock")
	listen(t, path, path)
	for link, target := range map[string]string{"circle.sock": "circle.sock", "link.sock": "app.sock", "dangling.sock": "missing"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	noModule := func() ([]socket, error) {
		_, _, err := parse(bytesOf(t, framed(ofError, "feffffff")))
		return nil, err
	}
	noProcess := func() (map[inode]bool, error) { return nil, fs.ErrNotExist }
	for name, c := range map[string]struct {
		path string
		list func() ([]socket, error)
		own  func() (map[inode]bool, error)
		none bool
	}{
		"no file":                      {filepath.Join(dir, "missing"), list, ownSockets, true},
		"no directory":                 {filepath.Join(dir, "missing", "app.sock"), list, ownSockets, true},
		"a kernel without the module":  {path, noModule, ownSockets, false},
		"no list of the own sockets":   {path, list, noProcess, false},
		"a link to itself":             {filepath.Join(dir, "circle.sock"), list, ownSockets, false},
		"a link to another's socket":   {filepath.Join(dir, "link.sock"), list, ownSockets, false},
		"a link to nothing":            {filepath.Join(dir, "dangling.sock"), list, ownSockets, false},
		"a file in the socket's place": {filepath.Join(dir, "file"), list, ownSockets, false},
	} {
		if n, err := connections(c.path, c.list, c.own); err == nil || errors.Is(err, ErrNoSocket) != c.none {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

// Messages of Linux 6.18 on a little-endian machine.
const (
	// one of a connection whose client is 30179546, one of a listener at which
	// 30179548, somebody who left and 30179550 wait.
	connection = "0101010000000000 0000000000000000 0c000100 9a981298 0000e00f 08000200 da80cc01"
	listener   = "01010a0000000000 0000000000000000 0b000000 6170702e736f6b 00 0c000100 9a981298 0000e00f 10000300 dc80cc01 00000000 de80cc01"
)

func bytesOf(tb testing.TB, text string) []byte {
	tb.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestParseSocket(t *testing.T) {
	bound := file{0x9812989a, 0x0fe00000}
	for name, c := range map[string]struct {
		message string
		want    socket
		err     error
	}{
		"connection":                {connection, socket{bound: bound, clients: []inode{30179546}}, nil},
		"listener":                  {listener, socket{bound: bound, clients: []inode{30179548, 0, 30179550}, listens: true}, nil},
		"its backlog":               {"01010a0000000000 0000000000000000 0c000400 00000000 05000000", socket{listens: true, backlog: 5}, nil},
		"a connection's queue":      {"0101010000000000 0000000000000000 0c000400 00000000 05000000", socket{}, nil},
		"bound to no file":          {"0101010000000000 0000000000000000 08000200 da80cc01", socket{clients: []inode{30179546}}, nil},
		"nothing but a header":      {"0101010000000000 0000000000000000", socket{}, nil},
		"half a header":             {"0101010000000000", socket{}, errShort},
		"half an attribute":         {connection[:len(connection)-8], socket{}, errShort},
		"half a size":               {connection + "0c00", socket{}, errShort},
		"an attribute of no size":   {"0101010000000000 0000000000000000 00000100", socket{}, errShort},
		"a file without a device":   {"0101010000000000 0000000000000000 08000100 9a981298", socket{}, nil},
		"an unpadded end is an end": {"0101010000000000 0000000000000000 05000600 00", socket{}, nil},
	} {
		got, err := parseSocket(bytesOf(t, c.message))
		if !reflect.DeepEqual(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, err, c.want, c.err)
		}
	}
}

// framed puts a netlink header in front of a message, given in hex.
func framed(kind, message string) string {
	size := 16 + len(strings.ReplaceAll(message, " ", ""))/2
	return hex.EncodeToString([]byte{byte(size), byte(size >> 8), 0, 0}) + kind + "02000000000000000000" + strings.ReplaceAll(message, " ", "")
}

const ofSocket, ofDone, ofError = "1400", "0300", "0200"

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		part    string
		sockets int
		done    bool
		err     error
	}{
		"a part":                 {framed(ofSocket, connection) + framed(ofSocket, listener), 2, false, nil},
		"the last part":          {framed(ofSocket, connection) + framed(ofDone, "00000000"), 1, true, nil},
		"no module for it":       {framed(ofError, "feffffff"), 0, false, syscall.ENOENT},
		"the kernel broke off":   {framed(ofDone, "a6ffffff"), 0, false, syscall.EMSGSIZE},
		"a socket in half":       {framed(ofSocket, connection[:8]), 0, false, errShort},
		"half a message":         {framed(ofSocket, connection)[:60], 0, false, syscall.EINVAL},
		"nothing":                {"", 0, false, nil},
		"a kind that is unknown": {framed("6300", connection), 0, false, nil},
	} {
		sockets, done, err := parse(bytesOf(t, c.part))
		if len(sockets) != c.sockets || done != c.done || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %t, %v; want %d, %t, %v", name, sockets, done, err, c.sockets, c.done, c.err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{framed(ofSocket, connection) + framed(ofSocket, listener), framed(ofDone, "00000000"), framed(ofError, "feffffff"), ""} {
		f.Add(bytesOf(f, seed))
	}
	f.Fuzz(func(t *testing.T, part []byte) {
		sockets, done, err := parse(part)
		if err != nil && (len(sockets) > 0 || done) {
			t.Errorf("an error with a result: %v, %t, %v", sockets, done, err)
		}
	})
}

// The kernel tells what a listener asked for.
func TestBacklogOfAListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	if _, err := Backlog(path); !errors.Is(err, ErrNoSocket) {
		t.Errorf("without a socket: %v", err)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if _, err := Backlog(path); !errors.Is(err, ErrNoSocket) {
		t.Errorf("without a listener: %v", err)
	}
	for _, want := range []int{5, 100} {
		if err := syscall.Listen(fd, want); err != nil {
			t.Fatal(err)
		}
		if got, err := Backlog(path); err != nil || got != want {
			t.Errorf("the backlog is %d, %v; want %d", got, err, want)
		}
	}
	(&net.Dialer{}).DialContext(t.Context(), "unix", path) //nolint:errcheck // what waits is no part of it
	if got, err := Backlog(path); err != nil || got != 100 {
		t.Errorf("with one that waits the backlog is %d, %v", got, err)
	}
}
