//go:build lab

package mariadb_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// The password of the replication gets nobody in who has not the certificate of
// the member as well: others of the same CA are those of apps and load balancers.
func TestReplicaAccountTakesItsCertificate(t *testing.T) {
	servers, mine := startSigned(t, 3, 0)
	primary, replica, other := servers[0], servers[1], servers[2]
	ctx := t.Context()
	secrets := replication.Secrets{
		Replication: "repl", Replicas: map[replication.NodeID]replication.Certificate{"b": replica.Certificate, "c": other.Certificate},
	}
	must(t, primary.Engine.Unfence(ctx))
	must(t, primary.Engine.Claim(ctx, "origin", secrets))

	shown := func(by *authority, name string) tls.Certificate {
		t.Helper()
		made := t.TempDir()
		by.issue(t, made, name, os.Getuid(), os.Getgid())
		return pair(t, made)
	}
	// An attacker's own CA, with the names of the right one.
	foreign := newAuthority(t, t.TempDir())
	right := pair(t, filepath.Dir(replica.Source.Certificate))
	for name, test := range map[string]struct {
		user, password string
		tls            string
		certificate    []tls.Certificate
		in             bool
	}{
		"the member":                             {"foobar_repl_b", "repl", "yes", []tls.Certificate{right}, true},
		"the member with a renewed certificate":  {"foobar_repl_b", "repl", "yes", []tls.Certificate{shown(mine, "server2")}, true},
		"the password alone":                     {"foobar_repl_b", "repl", "yes", nil, false},
		"the password without TLS":               {"foobar_repl_b", "repl", "", nil, false},
		"an app's certificate":                   {"foobar_repl_b", "repl", "yes", []tls.Certificate{shown(mine, "app")}, false},
		"another member's":                       {"foobar_repl_b", "repl", "yes", []tls.Certificate{pair(t, filepath.Dir(other.Source.Certificate))}, false},
		"one of another CA with the same names":  {"foobar_repl_b", "repl", "yes", []tls.Certificate{shown(foreign, "server2")}, false},
		"the certificate without the password":   {"foobar_repl_b", "wrong", "yes", []tls.Certificate{right}, false},
		"the member, with another one's account": {"foobar_repl_c", "repl", "yes", []tls.Certificate{right}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := logIn(t, primary.Source.Port, test.user, test.password, test.tls != "", test.certificate); (err == nil) != test.in {
				t.Errorf("it got in: %t, want %t: %v", err == nil, test.in, err)
			}
		})
	}

	// What is loosened by hand is drift, and the account of a member that left goes.
	must(t, primary.Exec(ctx, "ALTER USER foobar_repl_b@'%' REQUIRE X509"))
	delete(secrets.Replicas, "c")
	found, err := primary.Engine.Differences(ctx, replication.Catalog{}, secrets)
	must(t, err)
	if all := strings.Join(found, "\n"); len(found) != 2 || !strings.Contains(all, "foobar_repl_b\" may connect with REQUIRE X509") || !strings.Contains(all, "foobar_repl_c") {
		t.Errorf("it tells %q", found)
	}
	must(t, primary.Engine.Provision(ctx, replication.Catalog{}, replication.Drop{}, secrets))
	for user, certificate := range map[string]tls.Certificate{"foobar_repl_b": shown(mine, "app"), "foobar_repl_c": pair(t, filepath.Dir(other.Source.Certificate))} {
		if err := logIn(t, primary.Source.Port, user, "repl", true, []tls.Certificate{certificate}); err == nil {
			t.Errorf("%s got in after the repair", user)
		}
	}
}

// logIn tries an account over the network.
func logIn(t *testing.T, port int, user, password string, encrypted bool, certificates []tls.Certificate) error {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd = "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), user, password
	cfg.Logger = &mysql.NopLogger{}
	if encrypted {
		cfg.TLS = &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(certificates) == 0 {
				return &tls.Certificate{}, nil
			}
			return &certificates[0], nil // whatever CAs the server asks for
		}}
	}
	db := openConfig(t, cfg)
	return db.PingContext(t.Context())
}

func pair(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	must(t, err)
	return certificate
}
