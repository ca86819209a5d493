package appserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// What Linux 6.12 shows.
const (
	tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:A0E2 0100007F:1F40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
`
	tcp6Table = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4714 1 0000000000000000 100 0 0 10 0
`
)

func TestParseListeners(t *testing.T) {
	at := func(text, inode string) listener { return listener{netip.MustParseAddrPort(text), inode} }
	for table, want := range map[string][]listener{
		"":        nil,
		tcpTable:  {at("127.0.0.1:8000", "4711")},
		tcp6Table: {at("[::]:80", "4713"), at("127.0.0.1:3000", "4714")},
		"a b c d 0A f g h i j k\n 0: XX:1F40 x 0A x x x x x 1": nil,
	} {
		if got := parseListeners(table); !slices.Equal(got, want) {
			t.Errorf("%s\nhas %v, want %v", table, got, want)
		}
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add(tcpTable)
	f.Add(tcp6Table)
	f.Fuzz(func(t *testing.T, table string) {
		for _, l := range parseListeners(table) {
			if !l.address.IsValid() || l.inode == "" {
				t.Errorf("%q has %v", table, l)
			}
		}
	})
}

// listens has a process of the fake machine hold the sockets, in the app's control group.
func (f *fake) listens(pid int, inodes ...string) {
	f.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	f.write("/proc/net/tcp", tcpTable, 0o444)
	f.write("/proc/net/tcp6", tcp6Table, 0o444)
	f.write(proc+"comm", "python3\n", 0o444)
	f.write(proc+"cgroup", "0::/app\n", 0o444)
	f.write("/sys/fs/cgroup/app/cgroup.procs", fmt.Sprintf("%d\n", pid), 0o444)
	f.write(proc+"fd/none", "", 0o600)
	for i, inode := range inodes {
		if err := os.Symlink("socket:["+inode+"]", filepath.Join(f.root, proc, "fd", fmt.Sprint(i))); err != nil {
			f.Fatal(err)
		}
	}
}

// TestAnAppThatListensElsewhere is told where it does, and how to listen where it should.
func TestAnAppThatListensElsewhere(t *testing.T) {
	noSocket := &net.OpError{Op: "dial", Net: "unix", Err: fs.ErrNotExist}
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		spec  string
		err   error
		holds []string
		want  []string
		never string
	}{
		{"socket", noSocket, []string{"4711", "4714"}, []string{
			"there is no socket at /run/foobar-app-notes-blue/app.sock",
			"The app has to make it at $SOCKET. If it listens on a port, set app_ports and have it listen on $PORT",
			"it listens on 127.0.0.1:3000 and 127.0.0.1:8000 now",
		}, ""},
		{"socket", noSocket, nil, []string{"there is no socket at /run/foobar-app-notes-blue/app.sock", "$PORT"}, "now"},
		{"socket", errors.New("connection reset"), []string{"4711"}, []string{"connection reset"}, "$SOCKET"},
		{"port", refused, []string{"4714"}, []string{"nothing listens on 127.0.0.1:", "has to listen on $PORT", "it listens on 127.0.0.1:3000 now"}, "$SOCKET"},
		{"port", refused, nil, []string{"nothing listens on 127.0.0.1:", "has to listen on $PORT"}, "now"},
	} {
		spec := specs()[c.spec]
		v := render(t, "notes", spec)
		before := render(t, "notes", edited(spec, func(s *api.AppServer) { s.Environment = map[string]string{"A": "before"} }))
		f := newFake(t, v)
		f.listens(fakePID, c.holds...)
		f.write(layout{"notes"}.release(spec.Release.SHA256)+"/bin/shop", "\x7fELF", 0o755)
		f.answer = func() (Answer, error) { return Answer{}, c.err }
		err := f.kind().Apply(t.Context(), change(before, v), silent)
		problem, ok := errors.AsType[*api.Problem](err)
		if !ok {
			t.Fatalf("error %v", err)
		}
		for _, part := range c.want {
			if !strings.Contains(problem.Error(), part) {
				t.Errorf("%s, %v: detail %q lacks %q", c.spec, c.err, problem.Error(), part)
			}
		}
		if c.never != "" && strings.Contains(problem.Error(), c.never) {
			t.Errorf("%s, %v: detail %q has %q", c.spec, c.err, problem.Error(), c.never)
		}
	}
}

// TestListeningOfThisProcess reads the tables of the machine that the test runs on.
func TestListeningOfThisProcess(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of a test
	at := netip.MustParseAddrPort(listener.Addr().String())
	if got := (machine{"/"}).holders(at); len(got) != 1 || got[0].PID != os.Getpid() {
		t.Errorf("port %d is held by %v", at.Port(), got)
	}
}
