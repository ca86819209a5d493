package identity_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

func TestRenewKeepsTheKey(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	first := newRun().enroll(m)
	later := newRun()
	later.now = at(now().AddDate(2, 0, 0))
	m.now = later.now
	second, err := later.call(m).Renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second.Key != first.Key || second.Serial == first.Serial || !second.Expires.After(first.Expires) {
		t.Errorf("%+v became %+v", first, second)
	}
	m.boot()
	if facts := m.id.Facts(); facts.Serial != second.Serial {
		t.Errorf("after a restart it is %+v", facts)
	}
}

func TestMachineThatIsNotEnrolledIsNotRenewed(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	if err := m.dial(admin(t)).post("/v1/identity:renew", api.Certification{}, nil); !api.IsProblem(err, api.ProblemNotEnrolled) {
		t.Errorf("got %v", err)
	}
}

func TestExpiredMachineIsRenewedIfItsKeyIsKnown(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	enrolled := newRun().enroll(m)
	late := newRun()
	late.now = at(now().AddDate(11, 0, 0))
	m.now = late.now
	if c := m.id.Conditions(); len(c) != 1 || c[0].Type != "CertificateExpired" {
		t.Errorf("got %v", c)
	}
	before := m.handled.Load()
	for _, call := range []func() error{
		func() error { _, err := late.call(m).Renew(t.Context()); return err },
		func() error { _, err := late.call(m).Health(t.Context()); return err },
		func() error {
			_, err := late.call(m).Apply(t.Context(), client.Change{ID: api.ID{Kind: api.KindAppServer, Name: "a"}, Write: api.Write{Spec: []byte("{}")}}, nil)
			return err
		},
	} {
		if err := as[*client.ClockMismatch](t, call()); !err.OfMachine {
			t.Errorf("without the pin: %v", err)
		}
	}
	late.key = api.KeyPin([]byte("another key"))
	_, err := late.call(m).Renew(t.Context())
	isA[*client.WrongMachine](t, err)
	if m.handled.Load() != before {
		t.Error("a call was handled")
	}
	late.key = enrolled.Key
	_, err = late.call(m).Health(t.Context()) // the renewal alone is let through
	isA[*client.ClockMismatch](t, err)
	renewed, err := late.call(m).Renew(t.Context())
	if err != nil || renewed.Key != enrolled.Key {
		t.Fatalf("got %+v, %v", renewed, err)
	}
	if _, err := late.call(m).Health(t.Context()); err != nil {
		t.Error(err)
	}
}

// A CA is exchanged in three steps: both are accepted, the new one signs, the
// old one goes. The new one gets in by the old one's signature, in the first
// step or, where that was left out, in the second.
func TestAnotherCATakesOver(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	asked, err := m.id.RequestLeaf("db-server.main")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.id.StoreLeaf("db-server.main", serviceLeaf(t, signer(t), asked)); err != nil {
		t.Fatal(err)
	}
	accepts := func(count int) { // what a service is given of it
		t.Helper()
		text, err := os.ReadFile(filepath.Join(m.id.LeafDir("db-server.main"), "ca.pem"))
		if got := strings.Count(string(text), "BEGIN CERTIFICATE"); err != nil || got != count {
			t.Errorf("the service leaf has %d CAs, want %d: %v", got, count, err)
		}
	}
	accepts(1)
	next := newRun()
	next.seed = otherSeedText
	_, err = next.call(m).Health(t.Context())
	isA[*client.WrongCA](t, err)

	both := newRun()
	both.others = []string{otherSeedText}
	if _, err := both.call(m).Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	accepts(2)
	next.others = []string{seedText}
	if _, err := next.call(m).Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	accepts(2)
	veteran := m.dial(admin(t)) // of the old CA, connected while that is accepted
	next.others = nil
	if _, err := next.call(m).Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	accepts(1)
	if err := veteran.post("/v1/identity:renew", api.Certification{}, nil); !api.IsProblem(err, api.ProblemForbidden) || !strings.Contains(err.Error(), "comes from no CA") {
		t.Errorf("a client of the removed CA: %v", err)
	}
	_, err = newRun().call(m).Health(t.Context())
	isA[*client.WrongCA](t, err)
}

func TestAnotherCATakesOverInOneStep(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	next := newRun()
	next.seed, next.others = otherSeedText, []string{seedText}
	if _, err := next.call(m).Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pins := pinsOf(m); len(pins) != 2 {
		t.Errorf("it trusts %v", pins)
	}
	next.others = nil
	if _, err := next.call(m).Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pins := pinsOf(m); len(pins) != 1 || pins[0] != pki.KeyPin(authority(t, otherSeedText).Certificate()) {
		t.Errorf("it trusts %v", pins)
	}
}

func TestMachineOfAnotherSeedSaysSo(t *testing.T) {
	b, err := pki.NewBootstrap(authority(t, otherSeedText), "web1", 1, ":9443")
	if err != nil {
		t.Fatal(err)
	}
	m := booted(t, b)
	_, err = newRun().call(m).Enroll(t.Context())
	isA[*client.WrongCA](t, err)
	if m.handled.Load() != 0 {
		t.Error("a call was handled")
	}
}

func TestCertificateCountsNoLongerThanItLives(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	c := m.dial(admin(t))
	if err := c.post("/v1/identity:renew", api.Certification{}, nil); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("within its life: %v", err)
	}
	m.now = at(now().Add(pki.ClientLifetime + time.Second))
	err := c.post("/v1/identity:renew", api.Certification{}, nil)
	if !api.IsProblem(err, api.ProblemForbidden) || !strings.Contains(err.Error(), "this machine's clock shows 2026-03-01T12:15:01Z") {
		t.Errorf("after it, on the same connection: %v", err)
	}
}

func TestServiceLeaf(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	if _, err := m.id.RequestLeaf("db"); !api.IsProblem(err, api.ProblemNotEnrolled) {
		t.Errorf("before the enrolment: %v", err)
	}
	newRun().enroll(m)
	if _, err := m.id.Leaf("db"); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("before it was asked for: %v", err)
	}
	if _, err := m.id.RequestLeaf("../identity"); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("a name that leads elsewhere: %v", err)
	}
	if _, err := m.id.StoreLeaf("db", api.ServiceLeaf{}); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("a certificate without a key: %v", err)
	}
	asked, err := m.id.RequestLeaf("db")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.id.RequestLeaf("db"); err != nil || again != asked {
		t.Errorf("a second request differs: %v", err)
	}
	leaf := serviceLeaf(t, signer(t), asked)
	stored, err := m.id.StoreLeaf("db", leaf)
	if err != nil || stored.Certificate != leaf.Certificate || stored.Expires.IsZero() {
		t.Errorf("got %+v, %v", stored, err)
	}
	if got, err := m.id.Leaf("db"); err != nil || got != stored {
		t.Errorf("got %+v, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(m.id.LeafDir("db"), "key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}

	foreign := pki.Signer{Authority: authority(t, otherSeedText), Now: now, Random: rand.Reader}
	other, err := m.id.RequestLeaf("other")
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]api.ServiceLeaf{
		"of another CA":   serviceLeaf(t, foreign, asked),
		"for another key": serviceLeaf(t, signer(t), other),
		"that is none":    {Certificate: "x"},
	} {
		if _, err := m.id.StoreLeaf("db", wrong); !api.IsProblem(err, api.ProblemInvalid) {
			t.Errorf("a certificate %s: %v", name, err)
		}
	}
	m.tell(bootstrap(t, 2)) // the machine's name begins a new life
	m.boot()
	if _, err := m.id.Leaf("db"); !api.IsProblem(err, api.ProblemNotEnrolled) {
		t.Errorf("after the machine was rebuilt: %v", err)
	}
}

func serviceLeaf(t *testing.T, s pki.Signer, asked api.ServiceLeaf) api.ServiceLeaf {
	t.Helper()
	public, err := pki.ReadRequest(decodePEM(t, asked.CSR))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := s.Service(public, pki.ServiceNames{DNS: []string{"db.shop.internal"}})
	if err != nil {
		t.Fatal(err)
	}
	return api.ServiceLeaf{Certificate: pki.EncodeCertificate(certificate)}
}

func TestKeysAreNotShown(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	secrets := [][]byte{enrollKey(t), []byte(encoded(enrollKey(t)))}
	shown := func() []byte {
		found, _ := identityFiles(m)
		return fmt.Appendf(nil, "%v %+v %#v %+v %+v %s", m.id, m.id, m.id, m.id.Facts(), m.id.Conditions(), found)
	}
	check := func() {
		text := shown()
		for _, secret := range secrets {
			if bytes.Contains(text, secret) || bytes.Contains(text, fmt.Append(nil, secret)) {
				t.Errorf("%s shows a key", text)
			}
		}
	}
	check()
	newRun().enroll(m)
	record, err := os.ReadFile(filepath.Join(m.dir, "identity.json"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(record, secrets[1]) {
		t.Error("the enrolment key is kept after its use")
	}
	_, rest, _ := bytes.Cut(record, []byte(`PRIVATE KEY-----\n`))
	key, _, _ := bytes.Cut(rest, []byte(`\n`))
	secrets = append(secrets, key)
	check()
}

// identityFiles lists the files of the identity that others than root can read.
func identityFiles(m *machine) ([]byte, error) {
	var shown []byte
	err := filepath.WalkDir(m.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			data, err := os.ReadFile(path)
			shown = append(shown, data...)
			return err
		}
		return err
	})
	return shown, err
}
