package operation_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestSecrets(t *testing.T) {
	m := start(t, t.TempDir())
	secret := func(base, version int64, values map[string]api.Secret) operation.Request {
		s := spec(80, "one")
		s.SecretsVersion = version
		r := request("edge", base, s)
		r.Write.Secrets = values
		return r
	}
	held := func() string {
		text, err := os.ReadFile(filepath.Join(m.root, filepath.Dir(operationtest.Config("edge")), "secrets"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(text)
	}
	value := func(text string) map[string]api.Secret { return map[string]api.Secret{"TOKEN": api.Secret(text)} }

	wantProblem(t, m.do(t, secret(0, 1, nil)), api.ProblemSecretsMissing, "/secrets_version")
	if _, err := m.Plan(t.Context(), id("edge"), 0, secret(0, 1, nil).Write); err != nil {
		t.Errorf("a plan needs no secrets, but: %v", err)
	}
	m.must(t, secret(0, 1, value("hunter2")))
	if held() != "TOKEN=hunter2\n" {
		t.Errorf("held is %q", held())
	}
	if op := m.must(t, secret(1, 1, value("ignored"))); op.Generation != 1 {
		t.Errorf("other values of the same version made generation %d", op.Generation)
	}
	var from, to map[string]api.Secret
	m.kind.Gate = func(_ context.Context, change converge.Change) error {
		from, to = change.From.Secrets, change.To.Secrets
		return nil
	}
	m.must(t, secret(1, 2, value("swordfish")))
	if m.kind.Gate = nil; !maps.Equal(from, value("hunter2")) || !maps.Equal(to, value("swordfish")) {
		t.Error("the kind does not know what must not be shown: the secrets before and after")
	}
	if held() != "TOKEN=swordfish\n" {
		t.Errorf("held is %q", held())
	}
	checkNowhere(t, m.root, "hunter2", "swordfish")

	if err := os.Remove(filepath.Join(m.root, stateDir, "secrets/load-balancer/edge.json")); err != nil {
		t.Fatal(err)
	}
	if op := m.must(t, secret(2, 2, value("swordfish"))); op.Generation != 3 {
		t.Errorf("a lost secret that was sent again made generation %d", op.Generation)
	}
	m.must(t, secret(3, 0, nil))
	if held() != "" {
		t.Errorf("held is %q", held())
	}
	if left, err := os.ReadDir(filepath.Join(m.root, stateDir, "secrets/load-balancer")); err != nil || len(left) > 0 {
		t.Errorf("left is %v, %v", left, err)
	}
}

// checkNowhere looks for texts in all files but those that are for root alone
// and meant to hold them.
func checkNowhere(t *testing.T, root string, texts ...string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		meant := info.Mode().Perm() == 0o600 && (strings.Contains(path, "/secrets/") || filepath.Base(path) == "secrets")
		for _, text := range texts {
			if strings.Contains(string(content), text) && !meant {
				t.Errorf("%s (%v) holds %s", path, info.Mode(), text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
