package lab

import (
	"os"
	"slices"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

func TestNewConfigFindsItsPlaces(t *testing.T) {
	env := map[string]string{}
	c, err := NewConfig(func(key string) string { return env[key] }, "/src/bin/lab")
	if err != nil {
		t.Fatal(err)
	}
	if c.Agent != "/src/bin/foobar-agent" || c.ImagesDir != "/src/images" || c.StateDir != "/var/lib/foobar-lab/demo" {
		t.Errorf("got %+v", c)
	}
	env["FOOBAR_LAB_NAME"], env["FOOBAR_LAB_STATE"] = "other", "/state"
	if c, err = NewConfig(func(key string) string { return env[key] }, "/src/bin/lab"); err != nil {
		t.Fatal(err)
	}
	if c.SeedPath() != "/state/other/seed" || c.RunDir != "/run/foobar-lab/other" {
		t.Errorf("got %+v", c)
	}
	env["FOOBAR_LAB_NAME"] = "../etc"
	if _, err = NewConfig(func(key string) string { return env[key] }, "/src/bin/lab"); err == nil {
		t.Error("a name that leaves the directory was taken")
	}
}

func TestTheLabsOwnProcessesReadTheSameConfigurationAndNoSeed(t *testing.T) {
	env := map[string]string{"FOOBAR_LAB_NAME": "other", "FOOBAR_LAB_MIRROR": "http://mirror.example/debian"}
	c, err := NewConfig(func(key string) string { return env[key] }, "/src/bin/lab")
	if err != nil {
		t.Fatal(err)
	}
	child := c.environ([]string{"HOME=/root", "FOOBAR_CA_SEED=secret", "NOTIFY_SOCKET=/x", "FOOBAR_LAB_NAME=wrong"})
	for _, entry := range []string{"FOOBAR_CA_SEED=secret", "NOTIFY_SOCKET=/x", "FOOBAR_LAB_NAME=wrong"} {
		if slices.Contains(child, entry) {
			t.Errorf("the child has %s", entry)
		}
	}
	lookup := func(key string) string {
		for _, entry := range child {
			if value, ok := cutKey(entry, key); ok {
				return value
			}
		}
		return ""
	}
	if again, err := NewConfig(lookup, "/src/bin/lab"); err != nil || again != c {
		t.Errorf("the child reads %+v (%v), want %+v", again, err, c)
	}
}

func cutKey(entry, key string) (string, bool) {
	if len(entry) > len(key) && entry[:len(key)+1] == key+"=" {
		return entry[len(key)+1:], true
	}
	return "", false
}

func TestBootstrapDocument(t *testing.T) {
	const seed = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	document, err := bootstrapDocument(seed, "demo", "web1", 2)
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "bootstrap.golden", document)
	if _, err := api.ParseBootstrap(document); err != nil {
		t.Errorf("the agent would not take it: %v", err)
	}
	if _, err := bootstrapDocument("short", "demo", "web1", 1); err == nil {
		t.Error("a bad seed was taken")
	}
}

func TestTheSeedIsMadeOnceAndIsPrivate(t *testing.T) {
	c := Config{StateDir: t.TempDir()}
	first, err := c.seed()
	if err != nil {
		t.Fatal(err)
	}
	if second, err := c.seed(); err != nil || second != first {
		t.Errorf("the seed changed (%v)", err)
	}
	info, err := os.Stat(c.SeedPath())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the seed's mode is %o", info.Mode().Perm())
	}
}

func TestWithDefaultKeepsWhatTheCallerSet(t *testing.T) {
	if got := withDefault([]string{"A=1"}, "B", "2"); !slices.Equal(got, []string{"A=1", "B=2"}) {
		t.Errorf("got %q", got)
	}
	for _, set := range []string{"B=", "B=3"} {
		if got := withDefault([]string{set}, "B", "2"); !slices.Equal(got, []string{set}) {
			t.Errorf("got %q", got)
		}
	}
}
