package integration_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

// packed writes an artifact and returns its path and checksum.
func packed(t *testing.T, name string, content []byte) (path, sum string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	of := sha256.Sum256(content)
	return path, hex.EncodeToString(of[:])
}

// stands sees that a machine has unpacked a release with a program.
func stands(t *testing.T, m *agenttest.Machine, sum, program string) func(*terraform.State) error {
	t.Helper()
	return func(*terraform.State) error {
		found, err := os.ReadFile(m.Path("/srv/shop/releases/" + sum[:12] + "/app"))
		if err == nil && string(found) != program {
			err = errors.New("it has another program")
		}
		return err
	}
}

// Each format becomes a release, and so does one after another.
func TestReleasesOfEveryFormat(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	before := block(m) + machine(m.Address(), 1)
	program := artifacttest.ELF{Text: "four"}.Bytes()
	for name, c := range map[string]struct {
		content []byte
		program string
	}{
		"shop.tar.gz":  {artifacttest.Pack(artifacttest.Program("app", "one")), "one"},
		"shop.tar.zst": {artifacttest.PackZstd(artifacttest.Program("app", "two")), "two"},
		"shop.zip":     {artifacttest.PackZstd(artifacttest.Program("app", "three")), "three"}, // no name decides
		"shop":         {program, string(program)},
	} {
		path, sum := packed(t, name, c.content)
		run(t, testresource.TestStep{Config: before + appServer(path, ``), Check: stands(t, m, sum, c.program)})
	}
}

// An earlier release is set back by its checksum alone: no file is there, and
// the machine has no upload of it any more, only what it was unpacked to.
func TestAnEarlierReleaseNeedsNoFile(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	before := block(m) + machine(m.Address(), 1)
	one, first := packed(t, "one.tar.gz", artifacttest.Pack(artifacttest.Program("app", "one")))
	two, _ := packed(t, "two.tar.gz", artifacttest.Pack(artifacttest.Program("app", "two")))
	back := strings.Replace(before+appServer(one, ``), "source = "+strconv.Quote(one), "sha256 = "+strconv.Quote(first), 1)
	update := planned(plancheck.ExpectResourceAction(shop, plancheck.ResourceActionUpdate))
	remove := func(path string) func() {
		return func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(t,
		testresource.TestStep{Config: before + appServer(one, ``)},
		testresource.TestStep{Config: before + appServer(two, ``)},
		testresource.TestStep{PreConfig: remove(one), Config: back, ConfigPlanChecks: update, Check: stands(t, m, first, "one")},
		testresource.TestStep{Config: before + appServer(two, ``)},
		testresource.TestStep{
			PreConfig: remove(m.Path("/var/lib/foobar/blobs/" + first)),
			Config:    back, ConfigPlanChecks: update, Check: stands(t, m, first, "one"),
		},
	)
}

// The machine decides by the signature: where no file is there, the plan has
// it from there.
func TestTheMachineChecksTheSignature(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	before := block(m) + machine(m.Address(), 1)
	content := artifacttest.Pack(artifacttest.Program("app", "one"))
	path, sum := packed(t, "one.tar.gz", content)
	key, sign := artifacttest.NewKey()
	signed := func(what, signature, key string) string {
		return strings.Replace(before+appServer(path, ``), "source = "+strconv.Quote(path),
			what+", signature = "+strconv.Quote(signature)+", public_keys = ["+strconv.Quote(key)+"]", 1)
	}
	source, checksum := "source = "+strconv.Quote(path), "sha256 = "+strconv.Quote(sum)
	other, _ := artifacttest.NewKey()
	good := sign(content, "shop 1.4.0")
	run(t,
		testresource.TestStep{Config: signed(source, good, key), Check: stands(t, m, sum, "one")},
		testresource.TestStep{Config: signed(checksum, good, key), ConfigPlanChecks: planned(plancheck.ExpectResourceAction(shop, plancheck.ResourceActionNoop))},
		testresource.TestStep{
			Config: signed(checksum, good, other), PlanOnly: true,
			ExpectError: loosely("release.signature: the signature was made with the key"),
		},
		testresource.TestStep{
			Config: signed(checksum, sign([]byte("other"), ""), key), PlanOnly: true,
			ExpectError: loosely("release.signature: the signature belongs to another file"),
		},
		testresource.TestStep{ // nothing but the signature changes, and nothing is restarted
			Config:           signed(checksum, sign(content, "shop 1.4.0, signed again"), key),
			ConfigPlanChecks: planned(plancheck.ExpectResourceAction(shop, plancheck.ResourceActionUpdate)),
			Check:            testresource.TestCheckResourceAttr(shop, "impact", "none"),
		},
	)
	if _, err := os.Stat(m.Path("/srv/shop")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the destroy: %v", err)
	}
}
