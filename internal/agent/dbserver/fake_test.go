package dbserver

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// fake is a machine with one database server named "main" and a MariaDB that
// takes its variables from the configuration when it starts.
type fake struct {
	t *testing.T
	*Kind

	config, filter []byte // on the disk
	active         bool
	loaded         string // the packet filter's table
	variables      map[string]shown
	// defaults are the engine's own values; bent are those that it makes of others.
	defaults, bent map[string]string
	// running is the release that runs, if it matters.
	running      *release
	calls        []string
	journalLines []string
	startErr     error
}

// newFake returns a machine on which spec is applied and runs, open to writes.
func newFake(t *testing.T, spec api.DBServer) *fake {
	t.Helper()
	f := &fake{t: t, defaults: map[string]string{
		"max_connections": "151", "wait_timeout": "28800", "back_log": "80", "innodb_io_capacity_max": "2000", "long_query_time": "10.000000",
		"innodb_buffer_pool_size": "134217728", "slow_query_log": "OFF", "character_set_server": "utf8mb4", "sql_mode": "STRICT_TRANS_TABLES",
	}}
	root := t.TempDir()
	f.Kind = New(Deps{Units: f, Journal: f, LeafDir: func(leaf string) string { return filepath.Join(root, "leaves", leaf) }})
	f.machine = machine{
		root:      root,
		addresses: func() (host.Addresses, error) { return host.Addresses{netip.MustParseAddr("10.0.0.1")}, nil },
		memory:    func() (int64, error) { return 2 << 30, nil },
		check:     func(context.Context, []byte, ...string) (verdict, error) { return verdict{}, nil },
		initialise: func(_ context.Context, p Paths) error {
			f.calls = append(f.calls, "initialise")
			return os.MkdirAll(root+p.Data, 0o700)
		},
		clients: func(context.Context, string) (string, error) {
			if f.loaded == "" {
				return "", errors.New("No such file or directory")
			}
			return f.loaded, nil
		},
		connect: func(string) server { return f },
	}
	f.sign("first")
	if err := os.MkdirAll(root+PathsOf("main").Data, 0o700); err != nil {
		t.Fatal(err)
	}
	f.put(spec)
	if err := f.Start(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	f.variables["read_only"] = shown{"OFF", "OFF", "SQL"}
	f.calls = nil
	return f
}

// sign gives the server a leaf.
func (f *fake) sign(text string) {
	f.t.Helper()
	dir := f.LeafDir("db-server.main")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		f.t.Fatal(err)
	}
	for _, file := range []string{"key.pem", "cert.pem", "ca.pem"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
}

// put writes the state of a spec to the disk, as converge would.
func (f *fake) put(spec api.DBServer) {
	f.config = renderConfig("main", spec).Content()
	f.filter = renderClients(PathsOf("main"), spec).Content()
}

func (f *fake) Start(context.Context, string) error {
	f.calls = append(f.calls, "start")
	if f.startErr != nil {
		return f.startErr
	}
	f.active, f.variables = true, map[string]shown{}
	for name, value := range f.defaults {
		f.variables[name] = shown{value, value, "COMPILE-TIME"}
	}
	for name, value := range parseConfig(f.config) {
		if bent, ok := f.bent[name]; ok {
			value = bent
		}
		f.variables[name] = shown{value, f.defaults[name], "CONFIG"}
	}
	return f.load()
}

func (f *fake) Restart(ctx context.Context, unit string) error {
	f.calls = append(f.calls, "restart")
	f.active = false
	return f.Start(ctx, unit)
}

func (f *fake) Reload(context.Context, string) error {
	f.calls = append(f.calls, "reload")
	return f.load()
}

// load is what a start and a reload do with the filter and the leaf.
func (f *fake) load() error {
	f.loaded = strings.Join(tableOf(f.filter), "\n")
	for given, file := range map[string]string{PathsOf("main").Certificate: "/cert.pem", PathsOf("main").CA: "/ca.pem"} {
		text, err := os.ReadFile(f.LeafDir("db-server.main") + file)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(f.root+given), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(f.root+given, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Status(context.Context, string) (systemd.Status, error) {
	if f.active {
		return systemd.Status{ActiveState: "active", MainPID: 7}, nil
	}
	return systemd.Status{ActiveState: "failed"}, nil
}

func (f *fake) Journal(context.Context, string, int) ([]string, error) { return f.journalLines, nil }

func (f *fake) Show(context.Context) (map[string]shown, status, error) {
	if !f.active {
		return nil, status{}, errors.New("connection refused")
	}
	return maps.Clone(f.variables), status{version: "11.8.6-MariaDB", fenced: f.variables["read_only"].value == "ON", connections: 3, databases: []string{"shop"}, origin: "0123"}, nil
}

func (f *fake) Bounds(context.Context) (map[string]bounds, string, error) {
	if f.running == nil {
		return nil, "", errors.New("connection refused")
	}
	return f.running.known, f.running.version + "-MariaDB-deb13u1", nil
}

func (f *fake) Set(_ context.Context, name, literal string) error {
	f.calls = append(f.calls, "set "+name+" = "+literal)
	now := f.variables[name]
	now.value, now.origin = strings.Trim(literal, "'"), "SQL"
	if literal == "DEFAULT" {
		now.value = now.fallback
	}
	f.variables[name] = now
	return nil
}

// took returns what was called since the last time.
func (f *fake) took() string {
	calls := strings.Join(f.calls, "; ")
	f.calls = nil
	return calls
}

// apply takes the machine from one spec to another, as converge would.
func (f *fake) apply(change converge.Change) error {
	f.t.Helper()
	spec, err := specOf(change.To.Spec)
	if err != nil {
		return err
	}
	f.put(spec)
	return f.Apply(f.t.Context(), change, ignore)
}

func ignore(api.Phase, string, ...any) {}

func version(t *testing.T, spec api.DBServer) *converge.Version {
	t.Helper()
	return &converge.Version{Spec: spec, State: render(t, "main", spec)}
}

// changeOf returns the change from one spec to another where the disk was as
// recorded.
func changeOf(t *testing.T, from, to api.DBServer) converge.Change {
	t.Helper()
	c := converge.Change{Name: "main", From: version(t, from), To: version(t, to), Paths: map[string]api.ChangeAction{}, Edited: map[string]bool{}}
	for _, file := range c.To.State.Files {
		if string(c.From.State.File(file.Path).Content) != string(file.Content) {
			c.Paths[file.Path] = api.ChangeUpdate
		}
	}
	return c
}

// set returns plain with settings.
func set(pairs ...string) api.DBServer {
	s := plain()
	for i := 0; i+1 < len(pairs); i += 2 {
		s.Settings[pairs[i]] = pairs[i+1]
	}
	return s
}
