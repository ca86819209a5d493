//go:build lab

// These tests run as root on a machine of the lab, with real systemd, nftables
// and MariaDB. All traffic stays on the machine.
package dbserver_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// patience bounds each wait for a condition.
const patience = 2 * time.Minute

var (
	id = api.ID{Kind: api.KindDBServer, Name: "test"}
	at = dbserver.PathsOf("test")
)

// onLabMachine keeps the tests from making units anywhere else.
func onLabMachine(t *testing.T) {
	t.Helper()
	container, err := os.ReadFile("/run/systemd/container")
	if err != nil || strings.TrimSpace(string(container)) != "systemd-nspawn" {
		t.Fatal("this test changes the machine that it runs on: copy it to a machine of the lab, see internal/lab")
	}
}

// clearData removes what a component leaves on purpose, before and after.
func clearData(t *testing.T, name string) {
	t.Helper()
	remove := func() {
		if err := os.RemoveAll(dbserver.PathsOf(name).State); err != nil {
			t.Error(err)
		}
	}
	remove()
	t.Cleanup(remove)
}

// makeLeaf makes the service leaf of a server, signed by a CA of its own, and
// returns where the kind finds it.
func makeLeaf(t *testing.T, name string) func(string) string {
	t.Helper()
	dir := t.TempDir()
	leaves := func(leaf string) string { return filepath.Join(dir, leaf) }
	signLeaf(t, leaves(api.ID{Kind: api.KindDBServer, Name: name}.LeafName()), name+".test.internal")
	return leaves
}

// signLeaf writes a key, a certificate for a host name and its CA.
func signLeaf(t *testing.T, dir, host string) {
	t.Helper()
	caPublic, caKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	certificate := func(of *x509.Certificate, public ed25519.PublicKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, of, ca, public, caKey)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"cert.pem": certificate(leaf, public), "ca.pem": certificate(ca, caPublic),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// superuser calls f with a connection as root over the socket.
func superuser(socket string, f func(*sql.DB) error) (err error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.Timeout = "root", "unix", socket, patience
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	return f(db)
}

func execute(ctx context.Context, socket string, statements ...string) error {
	return superuser(socket, func(db *sql.DB) error {
		for _, statement := range statements {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

// stand is an agent without its API, with one database server.
type stand struct {
	*testing.T
	runner *operation.Runner
	units  *systemd.Manager
	leaves func(string) string
	serial int
	// version is the server's, once somebody has asked.
	version string
}

func newStand(t *testing.T) *stand {
	t.Helper()
	onLabMachine(t)
	clearData(t, id.Name)
	dir, runtime := "/var/lib/foobar-dbserver-test", "/run/foobar-dbserver-test"
	for _, d := range []string{dir, runtime} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"), blob.DefaultQuota, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{T: t, units: systemd.New(), leaves: makeLeaf(t, id.Name)}
	ctx, cancel := context.WithCancel(context.Background())
	s.runner, err = operation.New(operation.Config{
		Dir: dir, Runtime: runtime, Units: s.units, Journal: logs.Journal{}, Blobs: blobs,
		Engine: &converge.Engine{Dir: filepath.Join(dir, "transactions"), Units: s.units, Accounts: converge.SystemAccounts{}, Trees: blobs},
		Kinds:  []operation.Kind{dbserver.New(dbserver.Deps{Units: s.units, Journal: logs.Journal{}, LeafDir: s.leaves})},
		Clock:  time.Now, Logger: hclog.NewNullLogger(), Ctx: ctx,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.delete()
		cancel()
		s.runner.Wait()
		s.units.Close()
		for _, d := range []string{dir, runtime} {
			if err := os.RemoveAll(d); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// base is the generation that a change starts from.
func (s *stand) base() int64 {
	c, err := s.runner.Get(context.Background(), id)
	if err != nil {
		return 0
	}
	return c.Generation
}

func (s *stand) delete() {
	s.Helper()
	base := s.base()
	if base == 0 {
		return
	}
	s.serial++
	op, err := s.runner.Delete(context.Background(), operation.Request{
		ID: id, Operation: api.OperationID(api.VerbDelete, id, base, api.Encode(s.serial), ""), Base: base, Actor: "test",
	})
	if err != nil {
		s.Fatal(err)
	}
	if op = s.wait(op); op.State != api.OperationApplied {
		s.Errorf("delete: %v", op.Problem)
	}
}

func (s *stand) wait(op api.Operation) api.Operation {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for after := int64(0); !op.State.Done(); {
		events, err := s.runner.Events(ctx, op.ID, after, patience)
		if err == nil {
			op, err = s.runner.Operation(ctx, op.ID)
		}
		if err != nil || ctx.Err() != nil {
			s.Fatalf("wait for the operation: %v", errors.Join(err, ctx.Err()))
		}
		for _, e := range events {
			after = e.Seq
		}
	}
	return op
}

func (s *stand) try(spec api.DBServer) api.Operation {
	s.Helper()
	base, raw := s.base(), api.Encode(spec)
	s.serial++
	op, err := s.runner.Apply(context.Background(), operation.Request{
		ID: id, Operation: fmt.Sprintf("test-%d", s.serial), Base: base, Actor: "test", Write: api.Write{Spec: raw},
	})
	if err != nil {
		s.Fatalf("apply: %v", err)
	}
	return s.wait(op)
}

func (s *stand) apply(spec api.DBServer) {
	s.Helper()
	if op := s.try(spec); op.State != api.OperationApplied {
		s.Fatalf("apply: %v\n%s", op.Problem, strings.Join(op.Problem.Log, "\n"))
	}
	c := s.get()
	if string(c.Observed) != string(c.Spec) || len(c.Drift) > 0 {
		s.Fatalf("drift right after an apply: %v\nspec     %s\nobserved %s", c.Drift, c.Spec, c.Observed)
	}
}

func (s *stand) get() api.Component {
	s.Helper()
	c, err := s.runner.Get(context.Background(), id)
	if err != nil {
		s.Fatal(err)
	}
	return c
}

func (s *stand) pid() int {
	s.Helper()
	status, err := s.units.Status(s.Context(), at.Unit)
	if err != nil {
		s.Fatal(err)
	}
	return status.MainPID
}

// sql executes statements as the superuser.
func (s *stand) sql(statements ...string) {
	s.Helper()
	if err := execute(s.Context(), at.Socket, statements...); err != nil {
		s.Fatal(err)
	}
}

// query returns the one value that a query has.
func (s *stand) query(text string) string {
	s.Helper()
	var value string
	err := superuser(at.Socket, func(db *sql.DB) error { return db.QueryRowContext(s.Context(), text).Scan(&value) })
	if err != nil {
		s.Fatalf("%s: %v", text, err)
	}
	return value
}

// app makes what an application has: a database, a table and an account.
func (s *stand) app() {
	s.Helper()
	s.sql("CREATE DATABASE notes", "CREATE TABLE notes.note (text VARCHAR(99))",
		"CREATE USER app@'%' IDENTIFIED BY 'secret'", "GRANT SELECT, INSERT ON notes.* TO app@'%'")
}

// write writes a row as the application does, over TCP and TLS.
func (s *stand) write(address, text string) error {
	ca, err := os.ReadFile(s.leaves(id.LeafName()) + "/ca.pem")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr, config.Timeout = "app", "secret", "tcp", address, 5*time.Second
	config.TLS = &tls.Config{RootCAs: pool, ServerName: "test.test.internal", MinVersion: tls.VersionTLS12}
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	_, err = db.ExecContext(s.Context(), "INSERT INTO notes.note VALUES (?)", text)
	return errors.Join(err, db.Close())
}

// fenced fails unless the application cannot write.
func (s *stand) fenced() {
	s.Helper()
	refused, ok := errors.AsType[*mysql.MySQLError](s.write(tcp, "refused"))
	if !ok || refused.Number != 1290 { // ER_OPTION_PREVENTS_STATEMENT
		s.Fatalf("the application's write was answered with %v", refused)
	}
}

// until waits for a condition.
func (s *stand) until(what string, holds func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			s.Fatalf("it never came that %s", what)
		case <-ticker.C:
		}
	}
}
