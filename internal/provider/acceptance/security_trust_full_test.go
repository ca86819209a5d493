//go:build lab && full

package acceptance

import (
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// With databases: their processes run on, and the apply signs their
// certificates by the new CA.
func TestLostSeedOfDatabases(t *testing.T) {
	s := newWholeStack(t)
	s.loseTheSeed("foobar-db-notes.service", "foobar-app-notes@blue.service")
	pins := s.lab.Exec("web1", "sh", "-c", "cat /var/lib/foobar/identity/leaves/db-server.notes/ca.pem")
	bundle, err := pki.ParseBundlePEM(pins)
	if err != nil || len(bundle) != 1 {
		t.Fatalf("the database trusts %d CAs: %v", len(bundle), err)
	}
	certificate, err := pki.ParseCertificate(s.lab.Exec("web1", "cat", "/var/lib/foobar/identity/leaves/db-server.notes/cert.pem"))
	if err != nil || !pki.SignedLeaf(bundle[0], certificate) || pki.KeyPin(bundle[0]) != pki.KeyPin(s.signerOf(strings.Repeat("5a", pki.SeedSize)).Certificate()) {
		t.Errorf("the database's certificate is not of the new CA: %v", err)
	}
}
