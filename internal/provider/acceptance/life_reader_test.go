//go:build lab

package acceptance

import (
	"crypto/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

const deployment = "demo" // that of every lab

// authority returns the CA of the lab's deployment.
func (s *stack) authority() *pki.Authority {
	s.t.Helper()
	seed, err := pki.ParseSeed(os.Getenv("FOOBAR_CA_SEED"))
	if err != nil {
		s.t.Fatal(err)
	}
	authority, err := pki.NewAuthority(seed, deployment, time.Time{})
	if err != nil {
		s.t.Fatal(err)
	}
	return authority
}

// reader mints a certificate that allows to look.
func (s *stack) reader() pki.Issued {
	s.t.Helper()
	signer := pki.Signer{Authority: s.authority(), Now: time.Now, Random: rand.Reader}
	issued, err := signer.Client(api.RoleReader, "ci", time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return issued
}

// withReader runs a function without the seed, with a certificate in its place.
func (s *stack) withReader(issued pki.Issued, do func()) {
	s.t.Helper()
	before := s.env
	s.env = append(slices.Clone(before),
		"FOOBAR_CA_SEED=",
		"FOOBAR_CLIENT_CERTIFICATE="+issued.CertificatePEM()+pki.EncodeCertificate(s.authority().Certificate()),
		"FOOBAR_CLIENT_KEY="+issued.KeyPEM().Reveal())
	defer func() { s.env = before }()
	do()
}

func TestReaderWithoutTheSeedPlansAndCannotApply(t *testing.T) {
	s := newStack(t)
	s.apply()
	s.mintedReaderLooks()
	issued := s.reader()
	s.withReader(issued, func() { s.plan().empty() })

	const haproxy = "/etc/foobar/load-balancer/notes/haproxy.cfg"
	s.lab.Exec("lb1", "sed", "-i", "s/timeout connect 400/timeout connect 401/", haproxy)
	s.withReader(issued, func() {
		p := s.plan()
		p.updates(lb1)
		p.differs(lb1, tfjsonpath.New("drift").AtMapKey(haproxy))
		if why := s.refused("apply", "-auto-approve"); !strings.Contains(why, `"reader" may not call`) {
			t.Errorf("the error does not tell that a reader may not do it: %s", why)
		}
		p = s.plan()
		p.differs(lb1, tfjsonpath.New("drift").AtMapKey(haproxy))
	})
	s.apply()
	s.settled()
}

// mintedReaderLooks fails the test unless the certificate that the provider
// mints opens a machine to another provider.
func (s *stack) mintedReaderLooks() {
	s.t.Helper()
	s.write("reader.tf", `
ephemeral "foobar_client_certificate" "ci" {}

provider "foobar" {
  alias              = "reader"
  deployment         = var.deployment
  client_certificate = ephemeral.foobar_client_certificate.ci.certificate_pem
  client_key         = ephemeral.foobar_client_certificate.ci.private_key_pem
}

data "foobar_machine" "web1" {
  provider = foobar.reader
  machine  = foobar_machine.vm["web1"]
}
`)
	s.apply()
	if got := s.state()["data.foobar_machine.web1"]["healthy"]; got != true {
		s.t.Errorf("what the reader sees of the machine's health is %v", got)
	}
	s.write("reader.tf", "")
	s.apply()
}
