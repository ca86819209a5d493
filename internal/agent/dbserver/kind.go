// Package dbserver is the kind db-server: a spec becomes one MariaDB of its
// own, with a unit, a configuration, a data directory and a packet filter.
//
// It always starts fenced, which is read-only, and this kind never opens it.
// What it makes is durable and ready for replication whatever the spec says;
// see README.md beside this file for the invariants.
package dbserver

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Where Debian's packages put their programs, and the account they make; agent is
// where the image has the agent's.
const (
	program    = "/usr/sbin/mariadbd"
	installer  = "/usr/bin/mariadb-install-db"
	filter     = "/usr/sbin/nft"
	agent      = "/usr/lib/foobar/foobar-agent"
	account    = "mysql"
	dataParent = "/var/lib/foobar-db"
	logParent  = "/var/log"
)

// Units starts and watches systemd units. All but Status wait for the job.
type Units interface {
	Start(ctx context.Context, unit string) error
	Restart(ctx context.Context, unit string) error
	Reload(ctx context.Context, unit string) error
	Status(ctx context.Context, unit string) (systemd.Status, error)
}

// Journal reads the last lines that a unit wrote, oldest first.
type Journal interface {
	Journal(ctx context.Context, unit string, lines int) ([]string, error)
}

// Deps are what the kind needs of its machine. All are required.
type Deps struct {
	Units   Units
	Journal Journal
	// LeafDir returns the directory of a service leaf: key.pem, cert.pem and
	// ca.pem, readable by root alone.
	LeafDir func(leaf string) string
}

// Kind is the kind db-server.
type Kind struct {
	Deps
	machine
}

// machine is what the kind does beyond its units; tests replace it.
type machine struct {
	// root is the directory below which files are looked at, "" but in tests.
	root string
	// check runs the engine's own checker on a configuration, with options that override it.
	check func(ctx context.Context, config []byte, options ...string) (verdict, error)
	// initialise makes an empty database in a data directory that does not
	// exist yet; whenever it fails or is killed there is none afterwards.
	initialise func(ctx context.Context, p Paths) error
	// clients returns the table of the packet filter as the kernel has it.
	clients func(ctx context.Context, table string) (string, error)
	// addresses returns the machine's addresses, memory its memory in bytes.
	addresses func() (host.Addresses, error)
	memory    func() (int64, error)
	// connect returns a connection to the server behind a socket.
	connect func(socket string) server
}

// The compiler says it first if the kind and its contract part.
var _ operation.Kind = (*Kind)(nil)

// New returns the kind on top of the machine that the agent runs on.
func New(deps Deps) *Kind {
	return &Kind{Deps: deps, machine: machine{
		check: runChecker, initialise: initialise, clients: listTable,
		addresses: host.ReadAddresses, memory: func() (int64, error) { return host.Memory("/") }, connect: connect,
	}}
}

// Kind returns [api.KindDBServer].
func (*Kind) Kind() api.Kind { return api.KindDBServer }

// Validate decodes a spec strictly and checks it.
func (*Kind) Validate(raw json.RawMessage) (operation.Spec, error) {
	var spec api.DBServer
	if err := api.Decode(raw, &spec); err != nil {
		return nil, err
	}
	if err := spec.Validate().Problem(); err != nil {
		return nil, err
	}
	return spec, nil
}

// Paths are where a database server's parts stand on its machine.
type Paths struct {
	// Unit is the unit's name, UnitFile its file.
	Unit, UnitFile string
	// Directory holds the configuration files Config and Clients.
	Directory, Config, Clients string
	// Socket is the Unix socket on which root needs no password.
	Socket string
	// State belongs to root, as the names in it decide which data serve: nobody
	// else can swap them. In it are Data, which is the engine's account's and
	// exists only when it is whole, and what becomes of it: whoever makes a data
	// directory makes it beside, and renames it.
	State, Data string
	// Table is the name of the packet filter's table.
	Table string
	// TLS is a directory of root's with Key, Certificate and CA, which are what
	// the server shows and accepts now, and which its account can read.
	TLS, Key, Certificate, CA string

	runtime, logs string
}

// PathsOf returns the paths of the database server of a name.
func PathsOf(name string) Paths {
	unit := "foobar-db-" + name
	directory := path.Join("/etc/foobar", string(api.KindDBServer), name)
	state := path.Join(dataParent, name)
	runtime := "/run/" + unit
	tls := runtime + ".tls"
	return Paths{
		Unit: unit + ".service", UnitFile: "/etc/systemd/system/" + unit + ".service",
		Directory: directory, Config: directory + "/my.cnf", Clients: directory + "/clients.nft",
		Socket: runtime + "/mariadb.sock",
		State:  state, Data: state + "/data",
		Table:   "foobar_db_" + name,
		runtime: unit, logs: path.Join(logParent, unit),
		TLS: tls, Key: tls + "/key.pem", Certificate: tls + "/cert.pem", CA: tls + "/ca.pem",
	}
}

// specOf returns the typed spec of what Validate returned.
func specOf(spec any) (api.DBServer, error) {
	typed, ok := spec.(api.DBServer)
	if !ok {
		return api.DBServer{}, fmt.Errorf("the spec of a database server is a %T, not a %T", spec, typed)
	}
	return typed, nil
}
