//go:build lab && full

package acceptance

import (
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// With databases, the configuration of a replication holds the machines' keys,
// and the app's environment the CA: both change with a reset, of components
// that stand. The databases run on, their certificates are of the new CA, what
// was written before is there, and the replica follows, also over a new
// connection.
func TestLostSeedOfDatabases(t *testing.T) {
	s := newWholeStack(t)
	s.apply()
	if kept, read := s.writes("before"), s.reads("before"); kept != "web1" || read != "web2" {
		t.Errorf("the note was kept on %q and read from %q, not web1 and web2", kept, read)
	}
	signer := s.getsOut("foobar-db-notes.service", "foobar-app-notes-nginx.service")
	pin := pki.KeyPin(signer.Certificate())

	s.reads("before")
	const leaf = "/var/lib/foobar/identity/leaves/db-server.notes/"
	for machine, other := range map[string]string{"web1": "web2", "web2": "web1"} { // their firewalls let the other one in
		host, _, _ := strings.Cut(agentOf[machine], ":")
		trusted, err := pki.ParseBundlePEM(s.lab.Exec(machine, "cat", leaf+"ca.pem"))
		if err != nil || len(trusted) != 1 || pki.KeyPin(trusted[0]) != pin {
			t.Errorf("the database of %s trusts %d CAs, which are not the new one: %v", machine, len(trusted), err)
		}
		shown := s.lab.Exec(other, "sh", "-c", "openssl s_client -starttls mysql -connect "+host+":3306 </dev/null 2>/dev/null | openssl x509")
		certificate, err := pki.ParseCertificate(shown)
		if err != nil || !pki.SignedLeaf(signer.Certificate(), certificate) {
			t.Errorf("the database of %s does not show a certificate of the new CA: %v", machine, err)
		}
	}
	s.lab.Exec("web2", "mariadb", "--no-defaults", "-S", "/run/foobar-db-notes/mariadb.sock", "-e", "STOP SLAVE; START SLAVE")
	if kept, read := s.writes("after"), s.reads("after"); kept != "web1" || read != "web2" {
		t.Errorf("the note was kept on %q and read from %q, not web1 and web2", kept, read)
	}
	s.plan().empty()
	if status := s.lab.Exec("web2", "foobar-agent", "status"); strings.Contains(status, "does not follow") {
		t.Errorf("web2 says:\n%s", status)
	}
}
