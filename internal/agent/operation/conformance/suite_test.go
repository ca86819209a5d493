package conformance_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/conformance"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// mine gives everything to the user that runs the test.
type mine struct{}

func (mine) Ensure(context.Context, []converge.User) error { return nil }

func (mine) Lookup(string, string) (int, int, error) { return os.Getuid(), os.Getgid(), nil }

func archive(t *testing.T, text string) (string, []byte) {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	w := tar.NewWriter(zipped)
	if err := w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(buffer.Bytes())
	return hex.EncodeToString(sum[:]), buffer.Bytes()
}

func TestTheFakeKindConforms(t *testing.T) {
	root := t.TempDir()
	units := systemdtest.New(root, filepath.Join(t.TempDir(), "systemd.json"))
	kind := &operationtest.Kind{Name: api.KindLoadBalancer, Root: root, Units: units}
	one, first := archive(t, "one")
	two, second := archive(t, "two")
	conformance.Run(t, conformance.Suite{
		Kind: kind, Name: "edge", Root: root, Units: units, Accounts: mine{},
		First:   api.Encode(operationtest.Spec{Port: 80, Text: "one", Weight: 1, SHA256: one, SecretsVersion: 1}),
		Second:  api.Encode(operationtest.Spec{Port: 81, Text: "two", Weight: 2, SHA256: two}),
		Broken:  api.Encode(operationtest.Spec{Port: 82, Text: systemdtest.Broken, Weight: 3, SHA256: one}),
		Secrets: map[string]api.Secret{"TOKEN": "hunter2"},
		Blobs:   map[string][]byte{one: first, two: second},
		Breaks: []conformance.Break{{
			Name: "another weight in the running engine",
			Do:   func(context.Context) error { return os.WriteFile(kind.Weight("edge"), []byte("99"), 0o600) },
		}},
		Serves: func(ctx context.Context, spec json.RawMessage) error {
			var s operationtest.Spec
			if err := json.Unmarshal(spec, &s); err != nil {
				return err
			}
			running, err := units.Running(ctx)
			if text := running[operationtest.Unit("edge")]; err != nil || !strings.Contains(text, "text "+s.Text) {
				return fmt.Errorf("the unit runs with %q, %w", text, err)
			}
			return nil
		},
	})
}
