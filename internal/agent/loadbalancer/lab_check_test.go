//go:build lab

package loadbalancer_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestLabADryRunTellsNothingOfRoots has HAProxy's checker open what only root
// may read. The load balancer runs, so that its runtime directory is such too.
func TestLabADryRunTellsNothingOfRoots(t *testing.T) {
	const canary = "canary-in-a-secret"
	s := newStand(t)
	spec := over(newBackend(t, "web1"))
	s.apply(spec)
	dir, err := os.MkdirTemp("/var/lib", "foobar-canary-") //nolint:usetesting // others cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	secret, public := filepath.Join(dir, "secret.json"), filepath.Join(dir, "public.map")
	for path, file := range map[string]struct {
		content string
		mode    os.FileMode
	}{
		secret: {canary + "\n", 0o600},
		public: {"10.0.0.1 office\n", 0o644},
	} {
		if err := os.WriteFile(path, []byte(file.content), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FOOBAR_CANARY", canary)

	for format, refused := range map[string]string{
		"":                                  "",
		`%ci "it's" %HM`:                    "",
		"%[src,map_ip(" + public + ")]":     "",
		"%[src,map_ip(/proc/self/environ)]": "",
		"%[src,map_ip(" + secret + ")]":     "failed to open pattern file",
		"%[src,map_reg(" + secret + ")]":    "failed to open pattern file",
		"%[src,map_ip(/proc/1/environ)]":    "failed to open pattern file",
	} {
		frontend := spec.Frontends["www"]
		frontend.LogFormat = format
		spec.Frontends["www"] = frontend
		_, err := s.runner.Plan(context.Background(), id, s.base(), api.Write{Spec: api.Encode(spec)})
		told := ""
		if problem := api.AsProblem(err); problem != nil {
			told = string(api.Encode(problem))
		}
		switch {
		case strings.Contains(told, canary):
			t.Errorf("%s tells the secret: %s", format, told)
		case refused == "" && err != nil:
			t.Errorf("%s is refused: %s", format, told)
		case !strings.Contains(told, refused), refused != "" && !strings.Contains(told, "/frontends/www/log_format"):
			t.Errorf("%s gave %q, expected %q at its log format", format, told, refused)
		}
	}
	for _, endless := range []string{"/dev/zero", "/dev/urandom"} {
		frontend := spec.Frontends["www"]
		frontend.LogFormat = "%[src,map_str(" + endless + ")]"
		spec.Frontends["www"] = frontend
		if _, err := s.runner.Plan(context.Background(), id, s.base(), api.Write{Spec: api.Encode(spec)}); err == nil {
			t.Errorf("%s was read to its end", endless)
		}
	}
}
