//go:build lab

package mariadb_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/enginetest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/mariadb"
)

// These tests start real servers, as root, on the loopback interface of a
// machine of the lab.

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Suite{
		Kind: api.EngineMariaDB, Fresh: fresh,
		PurgeLogs: func(ctx context.Context, s enginetest.Server) error {
			if err := s.Exec(ctx, "FLUSH BINARY LOGS"); err != nil {
				return err
			}
			last, err := s.Query(ctx, "SELECT SUBSTRING_INDEX(variable_value, '-', -1) FROM information_schema.global_variables WHERE variable_name = 'GTID_BINLOG_POS'")
			if err != nil || last == "" {
				return fmt.Errorf("nothing to purge: %w", err)
			}
			return s.Exec(ctx, "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
		},
		StopReplica: func(ctx context.Context, s enginetest.Server) error { return s.Exec(ctx, "STOP ALL SLAVES") },
		OpenReplica: func(ctx context.Context, s enginetest.Server) error { return s.Exec(ctx, "SET GLOBAL read_only = 0") },
		Setting:     "gtid_strict_mode", Loose: "OFF", Right: "ON",
		Privileges: []string{"SELECT", "INSERT", "UPDATE", "DELETE"},
	})
}

// process is a server under this test's control.
type process struct {
	dir  string
	port int
	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

func fresh(t *testing.T, n int) []enginetest.Server {
	t.Helper()
	return start(t, n, 1)
}

// start starts n servers. The file of the first one, which becomes the primary,
// sets slave_connections_needed_for_purge to needed.
func start(t *testing.T, n, needed int) []enginetest.Server {
	t.Helper()
	servers, _ := startSigned(t, n, needed)
	return servers
}

// startSigned also returns the CA of the servers' certificates.
func startSigned(t *testing.T, n, needed int) ([]enginetest.Server, *authority) {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "foobar-enginetest-") //nolint:usetesting // not below a directory that the server's user cannot enter
	must(t, err)
	must(t, os.Chmod(dir, 0o755)) //nolint:gosec // the server's user has to enter it
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	authority := newAuthority(t, dir)
	var servers []enginetest.Server
	for i := range n {
		servers = append(servers, startOne(t, filepath.Join(dir, strconv.Itoa(i)), i+1, needed, authority))
		needed = 0
	}
	return servers, authority
}

func startOne(t *testing.T, dir string, id, needed int, authority *authority) enginetest.Server {
	t.Helper()
	p := &process{dir: dir, port: freePort(t)}
	must(t, os.Mkdir(dir, 0o755)) //nolint:gosec // as above
	owner, err := foreign.Lookup("mysql")
	must(t, err)
	uid, gid := owner.UID, owner.GID
	for _, own := range []string{"data", "run"} { // and no more: who owns dir could swap them
		must(t, os.Mkdir(filepath.Join(dir, own), 0o700))
		must(t, os.Chown(filepath.Join(dir, own), uid, gid))
	}
	certificate := authority.issue(t, dir, "server"+strconv.Itoa(id), uid, gid)
	must(t, os.WriteFile(filepath.Join(dir, "my.cnf"), fmt.Appendf(nil, `[mariadbd]
datadir=%[1]s/data
socket=%[1]s/run/s.sock
pid_file=%[1]s/run/pid
log_error=%[1]s/run/server.log
port=%[2]d
bind_address=127.0.0.1
user=mysql
server_id=%[3]d
gtid_domain_id=0
log_bin=binlog
log_slave_updates=ON
gtid_strict_mode=ON
binlog_format=ROW
sync_binlog=1
innodb_flush_log_at_trx_commit=1
read_only=ON
slave_parallel_threads=8
slave_parallel_mode=optimistic
slave_net_timeout=4
slave_connections_needed_for_purge=%[5]d
skip_name_resolve=ON
binlog_expire_logs_seconds=604800
innodb_buffer_pool_size=32M
ssl_ca=%[4]s
ssl_cert=%[1]s/cert.pem
ssl_key=%[1]s/key.pem
`, dir, p.port, id, authority.ca, needed), 0o644)) //nolint:gosec // the server reads it
	output, err := exec.CommandContext(t.Context(), "mariadb-install-db", "--no-defaults", "--user=mysql", "--datadir="+dir+"/data", "--auth-root-authentication-method=socket", "--skip-test-db").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	must(t, p.Start(t.Context()))
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := exec.Command("tail", "-n", "12", dir+"/run/server.log").CombinedOutput()
			t.Logf("server %d:\n%s", id, log)
		}
		_ = p.Kill(context.Background())
	})
	engine, err := mariadb.New(mariadb.Config{Socket: dir + "/run/s.sock", DataDir: dir + "/data", Owner: "mysql", Server: p})
	must(t, err)
	t.Cleanup(engine.Close)
	admin := open(t, "unix", dir+"/run/s.sock", "root", "")
	ready(t.Context(), t, admin)
	return enginetest.Server{
		Engine:      engine,
		Source:      replication.Source{Host: "127.0.0.1", Port: p.port, CA: authority.ca, Certificate: dir + "/cert.pem", Key: dir + "/key.pem"},
		Certificate: certificate,
		Exec: func(ctx context.Context, text string) error {
			_, err := admin.ExecContext(ctx, text)
			return err
		},
		Query: func(ctx context.Context, text string) (string, error) {
			var value sql.NullString
			err := admin.QueryRowContext(ctx, text).Scan(&value)
			return value.String, err
		},
		App: func(ctx context.Context, name, password, text string) error {
			db := open(t, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), name, password)
			defer db.Close() //nolint:errcheck // a test's
			_, err := db.ExecContext(ctx, text)
			return err
		},
		Kill:  p.Kill,
		Start: func(ctx context.Context) error { defer ready(ctx, t, admin); return p.Start(ctx) },
	}
}

// Start starts the process.
func (p *process) Start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command("mariadbd", "--defaults-file="+p.dir+"/my.cnf") //nolint:noctx // it outlives the call
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	p.cmd, p.done = cmd, done
	return nil
}

// Stop ends the process in good order, Kill at once.
func (p *process) Stop(context.Context) error { return p.end(syscall.SIGTERM) }
func (p *process) Kill(context.Context) error { return p.end(syscall.SIGKILL) }

func (p *process) end(signal os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(signal)
	<-p.done
	p.cmd = nil
	return nil
}

func open(t *testing.T, network, address, name, password string) *sql.DB {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd = network, address, name, password
	cfg.Logger = &mysql.NopLogger{}
	return openConfig(t, cfg)
}

func openConfig(t *testing.T, cfg *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(cfg)
	must(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func ready(ctx context.Context, t *testing.T, db *sql.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for db.PingContext(ctx) != nil {
		select {
		case <-ctx.Done():
			t.Fatal("the server does not answer")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()                     //nolint:errcheck // a test's
	return listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it is one
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// authority signs the servers' certificates.
type authority struct {
	ca          string
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	a := &authority{ca: filepath.Join(dir, "ca.pem"), key: key, certificate: certificate}
	must(t, os.WriteFile(a.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)) //nolint:gosec // public
	return a
}

// issue makes a key and a certificate in dir, and returns what is in it.
func (a *authority) issue(t *testing.T, dir, name string, uid, gid int) replication.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{OrganizationalUnit: []string{"db-server.main"}, CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
		must(t, os.Chown(path, uid, gid))
	}
	return replication.Certificate{Subject: template.Subject, Issuer: a.certificate.Subject}
}
