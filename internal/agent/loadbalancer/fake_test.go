package loadbalancer

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// fake is a machine with one load balancer named "lb": its unit, and a HAProxy
// that answers on the master socket as the real one does.
type fake struct {
	t *testing.T
	*Kind

	mu sync.Mutex
	// disk is the spec that the configuration on the disk was rendered from.
	disk   api.LoadBalancer
	active bool
	pid    int
	// revision, servers and closed are the worker's state.
	revision string
	servers  map[member]*fakeServer
	closed   map[string]bool
	// calls are the unit's jobs and the socket's changing commands.
	calls []string
	// refuse answers commands that begin so; reloadAnswer answers reloads
	// that fail; journalLines are what a failed start left.
	refuse       map[string]string
	reloadAnswer string
	journalLines []string
	listener     net.Listener
	// slept is how long the kind has waited; onSleep is called each time, if set.
	slept   time.Duration
	onSleep func()
	// learned is the state file that the last reload found.
	learned []byte
}

type fakeServer struct {
	address       string
	port          int
	weight, admin int
	limit         int
	status        string
	check         string // "L7OK" if empty
}

// newFake returns a machine on which spec is applied and runs.
func newFake(t *testing.T, spec api.LoadBalancer) *fake {
	t.Helper()
	f := &fake{t: t, disk: spec, pid: 100}
	f.Kind = New(f, f)
	f.sleep = func(_ context.Context, d time.Duration) error {
		if f.slept += d; f.onSleep != nil {
			f.onSleep()
		}
		return nil
	}
	f.run = t.TempDir()
	if err := os.Mkdir(filepath.Join(f.run, pathsOf("lb").runtime), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	f.calls = nil
	t.Cleanup(f.stop)
	return f
}

func (f *fake) Start(ctx context.Context, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "start")
	if f.journalLines != nil {
		return &systemd.JobError{Verb: "start", Unit: "foobar-lb-lb.service", Job: "failed", Result: "exit-code"}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", f.engine("lb").Socket)
	if err != nil {
		return err
	}
	f.listener, f.active = listener, true
	f.load()
	go f.serve(listener)
	return nil
}

func (f *fake) Restart(ctx context.Context, unit string) error {
	f.stop()
	f.calls = append(f.calls, "restart")
	return f.Start(ctx, unit)
}

func (f *fake) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active {
		f.active = false
		_ = f.listener.Close()
	}
}

func (f *fake) Status(context.Context, string) (systemd.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active {
		return systemd.Status{ActiveState: "active"}, nil
	}
	return systemd.Status{ActiveState: "failed"}, nil
}

func (f *fake) Journal(context.Context, string, int) ([]string, error) { return f.journalLines, nil }

// load is what a new worker does: it begins as the configuration says.
func (f *fake) load() {
	f.pid++
	f.revision = revisionOf(renderConfig("lb", f.disk).Content())
	f.closed = map[string]bool{}
	f.servers = map[member]*fakeServer{}
	for _, m := range members(f.disk) {
		s := f.disk.Backends[m.backend].Servers[m.server]
		for _, p := range pools(f.disk.Backends[m.backend]) {
			f.servers[member{p.of(m.backend), m.server}] = &fakeServer{address: s.Address, port: s.Port, weight: weightInForce(s), limit: p.limit(s), status: "UP"}
		}
	}
}

// everywhere changes a server of the backend web in all its pools.
func (f *fake) everywhere(server string, change func(*fakeServer)) {
	for m, s := range f.servers {
		if m.server == server {
			change(s)
		}
	}
}

func (f *fake) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_, _ = conn.Write([]byte(f.answer(strings.TrimSuffix(line, "\n"))))
		_ = conn.Close()
	}
}

func (f *fake) answer(command string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for start, answer := range f.refuse {
		if strings.HasPrefix(command, start) {
			return answer
		}
	}
	switch command {
	case "show proc":
		return fmt.Sprintf("#<PID> <type>\n7 master 0\n# workers\n%d worker 0\n# programs\n", f.pid)
	case "reload":
		f.calls = append(f.calls, command)
		if f.reloadAnswer != "" {
			return f.reloadAnswer
		}
		f.learned, _ = os.ReadFile(f.inRuntime("lb", stateFile))
		f.load()
		return "Success=1\n--\n[NOTICE]   (7) : Loading success.\n"
	case "@1 show info":
		return fmt.Sprintf("Version: 3.0.11\nPid: %d\nUlimit-n: 65536\nMaxsock: 40054\ndescription: %s\n", f.pid, f.revision)
	case "@1 show servers state":
		return f.serversState()
	case "@1 show stat":
		return f.statistics()
	}
	f.calls = append(f.calls, strings.TrimPrefix(command, "@1 "))
	return f.set(strings.Fields(command))
}

// set carries out "@1 set server BACKEND/SERVER weight|state VALUE".
func (f *fake) set(words []string) string {
	backend, server, _ := strings.Cut(words[3], "/")
	s := f.servers[member{backend, server}]
	switch {
	case s == nil:
		return "No such server.\n"
	case words[4] == "weight":
		_, err := fmt.Sscan(words[5], &s.weight)
		if err != nil {
			return err.Error()
		}
	case words[4] == "state" && words[5] == "ready":
		s.admin = 0
	}
	return "\n"
}

func (f *fake) sorted() []member {
	return slices.SortedFunc(maps.Keys(f.servers), func(a, b member) int { return strings.Compare(a.String(), b.String()) })
}

func (f *fake) serversState() string {
	var b strings.Builder
	b.WriteString("1\n# be_name srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port\n")
	for _, m := range f.sorted() {
		s := f.servers[m]
		up := 2
		if strings.HasPrefix(s.status, "DOWN") {
			up = 0
		}
		fmt.Fprintf(&b, "%s %s %s %d %d %d %d\n", m.backend, m.server, s.address, up, s.admin, s.weight, s.port)
	}
	return b.String()
}

func (f *fake) statistics() string {
	var b strings.Builder
	b.WriteString("# pxname,svname,type,status,check_status,last_chk,weight,scur,slim,req_tot\n")
	for _, name := range slices.Sorted(maps.Keys(f.disk.Frontends)) {
		status := "OPEN"
		if f.closed[name] {
			status = "STOP"
		}
		fmt.Fprintf(&b, "%s,FRONTEND,0,%s,,,,3,20000,30\n", name, status)
	}
	up := map[string]string{}
	for _, m := range f.sorted() {
		s := f.servers[m]
		fmt.Fprintf(&b, "%s,%s,2,%s,%s,,%d,1,%d,10\n", m.backend, m.server, s.status, cmp.Or(s.check, "L7OK"), s.weight, s.limit)
		if _, ok := up[m.backend]; !ok {
			up[m.backend] = "DOWN"
		}
		if s.status == "UP" && s.weight > 0 && s.admin == 0 {
			up[m.backend] = "UP"
		}
	}
	for _, backend := range slices.Sorted(maps.Keys(up)) {
		fmt.Fprintf(&b, "%s,BACKEND,1,%s,,,100,0,2000,20\n", backend, up[backend])
	}
	return b.String()
}

// put writes the state of a spec to the disk, as converge would.
func (f *fake) put(spec api.LoadBalancer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disk = spec
}

// took returns what was called since the last time.
func (f *fake) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// apply takes the machine from one spec to another, as converge would.
func (f *fake) apply(from, to api.LoadBalancer) error {
	f.put(to)
	return f.Apply(f.t.Context(), changeOf(f.t, from, to), ignore)
}

func ignore(api.Phase, string, ...any) {}

// changeOf returns the change from one spec to another where the disk was as
// recorded.
func changeOf(t *testing.T, from, to api.LoadBalancer) converge.Change {
	t.Helper()
	before, after := version(t, from), version(t, to)
	c := converge.Change{Name: "lb", From: &before, To: &after, Paths: map[string]api.ChangeAction{}}
	for _, file := range after.State.Files {
		if string(before.State.File(file.Path).Content) != string(file.Content) {
			c.Paths[file.Path] = api.ChangeUpdate
		}
	}
	return c
}

func version(t *testing.T, spec api.LoadBalancer) converge.Version {
	t.Helper()
	return converge.Version{Spec: spec, State: render(t, "lb", spec)}
}

// listening returns pair on a port of loopback that somebody listens on.
func listening(t *testing.T) api.LoadBalancer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %v, not on TCP", listener.Addr())
	}
	spec := pair()
	spec.Frontends["www"] = api.Frontend{Address: "127.0.0.1", Port: address.Port, Backend: "web"}
	return spec
}

// with returns a copy of a spec in which a server of the backend web is changed.
func with(spec api.LoadBalancer, server string, edit func(*api.Server)) api.LoadBalancer {
	spec = cloneSpec(spec)
	s := spec.Backends["web"].Servers[server]
	edit(&s)
	spec.Backends["web"].Servers[server] = s
	return spec
}
