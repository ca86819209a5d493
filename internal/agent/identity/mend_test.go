package identity_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

const leafName = "db-server.main"

// withLeaf gives an enrolled machine a service leaf.
func (m *machine) withLeaf() {
	m.t.Helper()
	asked, err := m.id.RequestLeaf(leafName)
	if err != nil {
		m.t.Fatal(err)
	}
	public, err := pki.ReadRequest(decodePEM(m.t, asked.CSR))
	if err != nil {
		m.t.Fatal(err)
	}
	certificate, err := signer(m.t).Service(public, pki.ServiceNames{DNS: []string{"db.shop.internal"}})
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.id.StoreLeaf(leafName, api.ServiceLeaf{Certificate: pki.EncodeCertificate(certificate)}); err != nil {
		m.t.Fatal(err)
	}
}

// leafPins returns the pins of the CAs that the service of the leaf accepts.
func (m *machine) leafPins() []string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.id.LeafDir(leafName), "ca.pem"))
	if err != nil {
		m.t.Fatal(err)
	}
	bundle, err := pki.ParseBundlePEM(string(text))
	if err != nil {
		m.t.Fatal(err)
	}
	return bundle.Pins()
}

// A renewal that is killed anywhere, or meets a full disk, leaves services that
// accept the CAs which the machine trusts, and no other, once the agent is back.
func TestKillAtAnyWriteOfARenewalLeavesOneTrust(t *testing.T) {
	killed := errors.New("killed")
	for at := 1; ; at++ {
		m := booted(t, bootstrap(t, 1))
		newRun().enroll(m)
		m.withLeaf()
		both := newRun()
		both.others = []string{otherSeedText}
		count := 0
		var where string
		m.step = func(step string) error {
			if count++; count >= at {
				where = step
				return killed
			}
			return nil
		}
		_, _ = both.call(m).Renew(t.Context()) // whatever it answers is lost
		m.step = nil
		if count < at {
			if at < 10 {
				t.Errorf("there are %d writes only", at-1)
			}
			return
		}
		t.Run(fmt.Sprintf("before write %d, %s", at, where), func(t *testing.T) {
			m.t = t
			m.boot()
			if accepts, trusts := m.leafPins(), pinsOf(m); !slices.Equal(accepts, trusts) {
				t.Errorf("the service accepts %v, and the machine trusts %v", accepts, trusts)
			}
			if found := leftovers(t, filepath.Dir(m.dir)); len(found) != 0 {
				t.Errorf("left half written: %v", found)
			}
			if _, err := both.call(m).Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
			if accepts, trusts := m.leafPins(), pinsOf(m); len(trusts) != 2 || !slices.Equal(accepts, trusts) {
				t.Errorf("after another try the service accepts %v, and the machine trusts %v", accepts, trusts)
			}
		})
	}
}

// leftovers lists the files below dir that a write has not finished.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".tmp") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// An agent that goes on after the write failed tells of it, and mends it as
// soon as it can.
func TestFailedWriteOfTheLeavesIsReportedAndMended(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	m.withLeaf()
	both := newRun()
	both.others = []string{otherSeedText}
	renames := 0
	m.step = func(step string) error {
		if step == "rename" {
			renames++
		}
		if renames > 1 { // the names are as they were, the identity is stored
			return errors.New("no space left on device")
		}
		return nil
	}
	if _, err := both.call(m).Renew(t.Context()); err == nil {
		t.Error("it did not fail")
	}
	shown := m.id.Conditions()
	if !slices.ContainsFunc(shown, func(c api.Condition) bool {
		return c.Type == "ServiceCAsNotStored" && c.Severity == api.SeverityError && strings.Contains(c.Message, "no space left")
	}) {
		t.Errorf("conditions %+v", shown)
	}
	m.step = nil
	if shown := m.id.Conditions(); slices.ContainsFunc(shown, func(c api.Condition) bool { return c.Type == "ServiceCAsNotStored" }) {
		t.Errorf("conditions %+v", shown)
	}
	if accepts, trusts := m.leafPins(), pinsOf(m); !slices.Equal(accepts, trusts) {
		t.Errorf("the service accepts %v, and the machine trusts %v", accepts, trusts)
	}
}

// A start writes nothing that is as it should be.
func TestStartWritesNothingThatIsWhole(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	m.withLeaf()
	m.step = func(step string) error {
		if step != "remove" { // the bootstrap, which has gone
			t.Errorf("a write: %s", step)
		}
		return nil
	}
	m.boot()
}

// What a kill left half written goes at the next start.
func TestHalfWrittenFilesGo(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	m.withLeaf()
	for _, path := range []string{
		filepath.Join(filepath.Dir(m.dir), "machine.json.tmp"), filepath.Join(m.dir, "identity.json.tmp"),
		filepath.Join(m.id.LeafDir(leafName), "key.pem.tmp"), filepath.Join(m.id.LeafDir(leafName), "cert.pem.tmp"),
	} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.boot()
	if found := leftovers(t, filepath.Dir(m.dir)); len(found) != 0 {
		t.Errorf("left half written: %v", found)
	}
}
