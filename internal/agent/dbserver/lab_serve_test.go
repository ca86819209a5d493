//go:build lab

package dbserver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const tcp = "127.0.0.1:13306"

// Only its agent opens a server; each start finds it fenced, however it ended.
func TestLabStartsFenced(t *testing.T) {
	s := newStand(t)
	spec := small()
	s.apply(spec)
	s.app()
	s.fenced()

	s.sql("SET GLOBAL read_only = OFF")
	if err := s.write(tcp, "open"); err != nil {
		t.Fatal(err)
	}
	pid := s.pid()
	spec.Settings["max_connections"], spec.Settings["long_query_time"] = "60", "1.5"
	spec.AllowedClients = []string{"10.0.0.0/24"}
	s.apply(spec)
	if err := s.write(tcp, "open still"); err != nil || s.pid() != pid {
		t.Errorf("after a change at run time: %v, process %d was %d", err, s.pid(), pid)
	}

	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until("the killed server is back", func() bool {
		now := s.pid()
		return now != 0 && now != pid && s.get().Conditions == nil && s.status().Fenced
	})
	s.fenced()
	if rows := s.query("SELECT COUNT(*) FROM notes.note"); rows != "2" {
		t.Errorf("%s rows are left of 2", rows)
	}

	s.sql("SET GLOBAL read_only = OFF")
	spec.Settings["innodb_log_buffer_size"] = "4M"
	s.apply(spec)
	s.fenced()
}

func (s *stand) status() api.DBServerStatus {
	s.Helper()
	var status api.DBServerStatus
	if err := api.Decode(s.get().Status, &status); err != nil {
		s.Fatal(err)
	}
	return status
}

func TestLabDeleteKeepsTheData(t *testing.T) {
	s := newStand(t)
	s.apply(small())
	s.app()
	s.sql("INSERT INTO notes.note VALUES ('kept')")
	position := s.query("SELECT @@gtid_binlog_pos")
	s.delete()
	if _, err := os.Stat(at.Data); err != nil {
		t.Fatal(err)
	}
	s.apply(small())
	s.fenced()
	if text := s.query("SELECT text FROM notes.note"); text != "kept" {
		t.Errorf("the row is %q", text)
	}
	if now := s.query("SELECT @@gtid_binlog_pos"); now != position {
		t.Errorf("the position was %s and is %s", position, now)
	}
}

func TestLabNeverServesHalfADirectory(t *testing.T) {
	s := newStand(t)
	half := filepath.Join(at.State, "init", "mysql")
	if err := os.MkdirAll(half, 0o700); err != nil { // what an initialisation leaves that is killed
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "db.frm"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.apply(small())
	if _, err := os.Stat(filepath.Dir(half)); err == nil {
		t.Error("the half directory is still there")
	}
	away := at.State + ".away"
	if err := os.Rename(at.Data, away); err != nil {
		t.Fatal(err)
	}
	if err := s.units.Restart(t.Context(), at.Unit); err == nil {
		t.Error("it starts without its data")
	}
	if conditions := s.get().Conditions; !slices.ContainsFunc(conditions, func(c api.Condition) bool { return c.Type == "DataMissing" }) {
		t.Errorf("the conditions are %v", conditions)
	}
	op := s.try(small())
	if op.State != api.OperationFailed || !strings.Contains(op.Problem.Error(), "data directory is gone") {
		t.Errorf("an apply without the data: %s, %v", op.State, op.Problem)
	}
	if err := os.Rename(away, at.Data); err != nil {
		t.Fatal(err)
	}
	s.apply(small())
}

func TestLabRefuses(t *testing.T) {
	s := newStand(t)
	for name, test := range map[string]struct {
		edit func(*api.DBServer)
		want api.Pointer
	}{
		"a collation that the engine does not know":     {func(d *api.DBServer) { d.Settings["collation_server"] = "zork" }, "/settings/collation_server"},
		"a character set that the engine does not know": {func(d *api.DBServer) { d.Settings["character_set_server"] = "utf9" }, "/settings/character_set_server"},
		"a collation of another character set": {func(d *api.DBServer) {
			d.Settings["character_set_server"], d.Settings["collation_server"] = "latin1", "utf8mb4_bin"
		}, "/settings/collation_server"},
		"an address of another machine":       {func(d *api.DBServer) { d.ListenAddresses = []string{"192.0.2.1"} }, "/listen_addresses/0"},
		"a name that the server spells other": {func(d *api.DBServer) { d.Settings["character_set_server"] = "utf8" }, "/settings/character_set_server"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := small()
			test.edit(&spec)
			op := s.try(spec)
			if op.State != api.OperationFailed {
				t.Fatalf("it ended as %s", op.State)
			}
			if v := op.Problem.Violations; len(v) != 1 || v[0].Pointer != test.want {
				t.Errorf("got %v, want a violation at %s\n%s", op.Problem, test.want, strings.Join(op.Problem.Log, "\n"))
			}
		})
	}
	s.apply(small()) // one that runs is asked for the names that it knows
	for setting, value := range map[string]string{"character_set_server": "utf9", "collation_server": "utf8mb4_binn"} {
		spec := small()
		spec.Settings[setting] = value
		if op := s.try(spec); op.Problem == nil || len(op.Problem.Violations) != 1 || !strings.Contains(op.Problem.Violations[0].Detail, "the nearest that it knows are \"utf8mb4") {
			t.Errorf("%s = %q: %v", setting, value, op.Problem)
		}
	}
}

func TestLabNoLeaf(t *testing.T) {
	s := newStand(t)
	if err := os.RemoveAll(s.leaves(id.LeafName())); err != nil {
		t.Fatal(err)
	}
	op := s.try(small())
	if op.State != api.OperationFailed || !strings.Contains(op.Problem.Error(), `service "db-server.test"`) {
		t.Errorf("it ended as %s: %v", op.State, op.Problem)
	}
}

func TestLabTakesANewCertificate(t *testing.T) {
	s := newStand(t)
	s.apply(small())
	s.app()
	s.sql("SET GLOBAL read_only = OFF")
	pid, position := s.pid(), s.query("SELECT @@gtid_binlog_pos")
	if err := os.Remove(s.leaves(id.LeafName()) + "/cert.pem"); err != nil {
		t.Fatal(err)
	}
	if len(s.get().Drift) == 0 {
		t.Error("a certificate that is gone is no drift")
	}
	signLeaf(t, s.leaves(id.LeafName()), "test.test.internal")
	if len(s.get().Drift) == 0 {
		t.Error("the former certificate is no drift")
	}
	kind := dbserver.New(dbserver.Deps{Units: s.units, LeafDir: s.leaves})
	if err := kind.TakeLeaf(t.Context(), id.Name); err != nil || len(s.get().Drift) != 0 {
		t.Errorf("the server did not take its certificate: %v, %v", err, s.get().Drift)
	}
	s.apply(small())
	if now := s.query("SELECT @@gtid_binlog_pos"); now != position || s.pid() != pid {
		t.Errorf("the position %s became %s, the process %d became %d", position, now, pid, s.pid())
	}
	if err := s.write(tcp, "checked by the new CA"); err != nil {
		t.Error(err)
	}
}

// Nobody has a password that opens the superuser, and no other account of the
// machine is let in by the socket.
func TestLabNoSuperuserPassword(t *testing.T) {
	s := newStand(t)
	s.apply(small())
	if n := s.query("SELECT COUNT(*) FROM mysql.global_priv WHERE JSON_VALUE(Priv, '$.access') > 0"); n != "1" {
		t.Errorf("%s accounts have privileges", n)
	}
	if err := command("setpriv", "--reuid=nobody", "--clear-groups", "mariadb", "--no-defaults", "-u", "root", "-S", at.Socket, "-e", "SELECT 1")(t.Context()); err == nil {
		t.Error("nobody is the superuser")
	}
	for dir, want := range map[string]string{at.State: "0 755", at.Data: "mysql 700", at.TLS: "0 750"} {
		var stat syscall.Stat_t
		if err := syscall.Stat(dir, &stat); err != nil {
			t.Fatal(err)
		}
		owner := "mysql"
		if stat.Uid == 0 {
			owner = "0"
		}
		if got := fmt.Sprintf("%s %o", owner, stat.Mode&0o777); got != want {
			t.Errorf("%s is %s, want %s", dir, got, want)
		}
	}
}

// Clients that are not allowed never reach the server. The client is a network
// namespace of this machine: nothing leaves it.
func TestLabKeepsOthersOut(t *testing.T) {
	s := newStand(t)
	run := func(line string) {
		t.Helper()
		words := strings.Fields(line)
		if err := command(words[0], words[1:]...)(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run("ip netns add dbclient")
	t.Cleanup(func() {
		if err := command("ip", "netns", "del", "dbclient")(context.Background()); err != nil {
			t.Error(err)
		}
	})
	run("ip link add dbtest0 type veth peer name dbtest1 netns dbclient")
	run("ip address add 10.99.0.1/24 dev dbtest0")
	run("ip link set dbtest0 up")
	run("ip -n dbclient address add 10.99.0.2/24 dev dbtest1")
	run("ip -n dbclient link set dbtest1 up")
	connects := func() error {
		return command("ip", "netns", "exec", "dbclient", "timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/10.99.0.1/13306 && read -r -N 1 -u 3")(t.Context())
	}
	spec := small()
	s.apply(spec)
	if connects() == nil {
		t.Error("without any allowed client one connects")
	}
	for allowed, want := range map[string]bool{"10.99.0.2/32": true, "10.99.0.3/32": false, "10.99.0.0/24": true, "0.0.0.0/0": true} {
		spec.AllowedClients = []string{allowed}
		s.apply(spec)
		if err := connects(); err == nil != want {
			t.Errorf("with %s: %v", allowed, err)
		}
	}
	spec.ListenAddresses = []string{"10.99.0.1", "127.0.0.1"}
	spec.AllowedClients = []string{"10.99.0.3/32", "fd00::/8"}
	s.apply(spec)
	if connects() == nil {
		t.Error("a client connects that is not allowed")
	}
	if _, answered := errors.AsType[*mysql.MySQLError](s.write(tcp, "")); !answered {
		t.Error("the machine itself does not reach the server")
	}
}

// served is what the server says of a variable.
type served struct {
	readOnly, kind, low, high, step string
}

func (s *stand) served(name string) served {
	s.Helper()
	var v served
	err := superuser(at.Socket, func(db *sql.DB) error {
		return db.QueryRowContext(s.Context(), `SELECT READ_ONLY, VARIABLE_TYPE, COALESCE(NUMERIC_MIN_VALUE, ''), COALESCE(NUMERIC_MAX_VALUE, ''), COALESCE(NUMERIC_BLOCK_SIZE, '')
			FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = ?`, name).Scan(&v.readOnly, &v.kind, &v.low, &v.high, &v.step)
	})
	if err != nil {
		s.Fatalf("%s: %v", name, err)
	}
	return v
}

// The table of settings is what the server says of itself, but for its bounds:
// those are nowhere but in the server, and checked against it by plans.
func TestLabSettings(t *testing.T) {
	s := newStand(t)
	s.apply(small())
	above, below := small(), small()
	above.Settings, below.Settings = map[string]string{}, map[string]string{}
	for _, setting := range api.DBSettings(api.EngineMariaDB) {
		now := s.served(setting.Name)
		if setting.Runtime && now.readOnly == "YES" {
			t.Errorf("%s cannot change at run time", setting.Name)
		}
		numeric := setting.Type == api.DBSettingInt || setting.Type == api.DBSettingSize
		if kinds := kindsOf(setting.Type); !slices.Contains(kinds, now.kind) {
			t.Errorf("%s is a %s, not one of %v", setting.Name, now.kind, kinds)
		}
		if high, err := strconv.ParseInt(now.high, 10, 64); numeric && err == nil && high < 1<<62 {
			above.Settings[setting.Name] = strconv.FormatInt(high+1, 10)
		}
		if low, err := strconv.ParseInt(now.low, 10, 64); numeric && err == nil && low > max(setting.Min, 1) {
			below.Settings[setting.Name] = strconv.FormatInt(low-1, 10)
		}
	}
	above.Settings["transaction_isolation"], above.Settings["sql_mode"] = "NEVER", "NONSENSE"
	above.Settings["max_allowed_packet"] = "1073741825" // which the server rounds in silence
	if len(above.Settings) < 10 || len(below.Settings) < 10 {
		t.Fatalf("the server has too few bounds: %v and %v", above.Settings, below.Settings)
	}
	refused := func() {
		t.Helper()
		for _, spec := range []api.DBServer{above, below} {
			_, err := s.runner.Plan(t.Context(), id, s.base(), api.Write{Spec: api.Encode(spec)})
			var shown []string
			for _, v := range api.AsProblem(err).Violations {
				shown = append(shown, v.Pointer.Steps()[1])
				if !strings.Contains(v.Detail, "MariaDB "+strings.SplitN(s.version, "-", 2)[0]) || !strings.Contains(v.Detail, "allows ") {
					t.Errorf("%s: %s", v.Pointer, v.Detail)
				}
			}
			slices.Sort(shown)
			want := slices.Sorted(maps.Keys(spec.Settings))
			if !slices.Equal(shown, want) {
				t.Errorf("refused were\n%v, want\n%v\n%v", shown, want, err)
			}
		}
	}
	s.version = s.query("SELECT VERSION()")
	refused()

	// A server that is stopped is asked by what is installed.
	if err := s.units.Stop(t.Context(), at.Unit); err != nil {
		t.Fatal(err)
	}
	refused()
	if err := s.units.Start(t.Context(), at.Unit); err != nil {
		t.Fatal(err)
	}

	// The apply refuses as the plan does, and leaves all as it was.
	before, pid := s.base(), s.pid()
	op := s.try(above)
	if op.State != api.OperationFailed || len(op.Problem.Violations) < 10 || s.base() != before || s.pid() != pid {
		t.Errorf("the apply ended as %s: %v", op.State, op.Problem)
	}
	if c := s.get(); string(c.Observed) != string(c.Spec) || len(c.Drift) > 0 {
		t.Errorf("the refused apply left %v", c.Drift)
	}
}

// kindsOf returns what the server calls the variables of a type.
func kindsOf(t api.DBSettingType) []string {
	switch t {
	case api.DBSettingBool:
		return []string{"BOOLEAN"}
	case api.DBSettingInt, api.DBSettingSize:
		return []string{"INT", "INT UNSIGNED", "BIGINT", "BIGINT UNSIGNED"}
	case api.DBSettingSeconds:
		return []string{"DOUBLE"}
	case api.DBSettingEnum:
		return []string{"ENUM"}
	case api.DBSettingSet:
		return []string{"SET"}
	case api.DBSettingName:
		return []string{"VARCHAR", "ENUM"}
	}
	return nil
}

// What takes a setting back at run time is what a start without it makes. The
// engine works some defaults out at its start, which DEFAULT knows nothing of.
func TestLabSettingsTakenBack(t *testing.T) {
	s := newStand(t)
	spec := small()
	s.apply(spec)
	for _, setting := range api.DBSettings(api.EngineMariaDB) {
		if _, given := spec.Settings[setting.Name]; given || setting.Default != "" || !setting.Runtime {
			continue
		}
		value := "SELECT @@GLOBAL." + setting.Name
		started := s.query(value)
		err := execute(t.Context(), at.Socket, "SET GLOBAL "+setting.Name+" = DEFAULT")
		if now := s.query(value); err != nil || now != started {
			t.Errorf("%s is %q after a start and %q by DEFAULT: %v", setting.Name, started, now, err)
		}
	}
	s.apply(spec)

	const capacity = "innodb_io_capacity_max"
	spec.Settings["innodb_io_capacity"] = "5000" // the server doubles the other one with it
	s.apply(spec)
	delete(spec.Settings, "innodb_io_capacity")
	s.apply(spec)
	spec.Settings[capacity] = "4000"
	s.apply(spec)
	delete(spec.Settings, capacity)
	s.apply(spec)
	if now := s.query("SELECT @@GLOBAL." + capacity); now != "2000" {
		t.Errorf("%s was taken back and is %s", capacity, now)
	}
	s.sql("SET GLOBAL " + capacity + " = DEFAULT")
	if c := s.get(); string(c.Observed) == string(c.Spec) {
		t.Errorf("no drift is reported of %s = %s", capacity, s.query("SELECT @@GLOBAL."+capacity))
	}
	s.apply(spec)
	if now := s.query("SELECT @@GLOBAL." + capacity); now != "2000" {
		t.Errorf("%s was repaired and is %s", capacity, now)
	}
}

// A server without replicas keeps its binary logs within their bound, but at its
// start, when nobody knows yet if there are any.
func TestLabBoundsBinaryLogs(t *testing.T) {
	s := newStand(t)
	spec := small()
	spec.Settings["max_binlog_total_size"], spec.Settings["max_binlog_size"] = "64M", "4M"
	s.apply(spec)
	s.app()
	s.sql("CREATE TABLE notes.big (data LONGBLOB)")
	change := func() {
		for range 30 {
			s.sql("INSERT INTO notes.big VALUES (REPEAT('x', 4000000))", "TRUNCATE notes.big")
		}
	}
	change()
	if n := s.status().BinlogBytes; n < 32<<20 || n > 72<<20 {
		t.Errorf("120 MB of changes left %d bytes of binary logs", n)
	}

	s.sql("CREATE DATABASE foobar") // it takes part in a replication, and a replica is away
	s.sql("SET GLOBAL slave_connections_needed_for_purge = 1")
	change()
	restart := func() {
		if err := s.units.Restart(t.Context(), at.Unit); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.status().BinlogBytes; n < 110<<20 {
		t.Fatalf("only %d bytes of binary logs are left for the replica", n)
	}
	restart()
	if n := s.status().BinlogBytes; n < 110<<20 {
		t.Errorf("the start has purged what a replica may need: %d bytes of binary logs are left", n)
	}
	s.sql("DROP DATABASE foobar")
	restart()
	s.sql("FLUSH BINARY LOGS") // which purges, where it may
	if n := s.status().BinlogBytes; n > 72<<20 {
		t.Errorf("a server without a replication keeps %d bytes of binary logs", n)
	}
}
