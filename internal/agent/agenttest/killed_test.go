package agenttest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
)

// What was being checked when an agent was killed may hold secrets: both what a
// component's files are checked in, and what a checker's sandbox shows.
func TestAStartRemovesWhatWasBeingChecked(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Kill()
	var left []string
	for _, dir := range []string{"check/check-123", "check-sandbox-0", "check-sandbox-3", "check-sandbox-3141592653"} {
		dir = filepath.Join(filepath.Dir(m.Socket()), dir)
		must(t, os.MkdirAll(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "config"), []byte("a secret"), 0o600))
		left = append(left, dir)
	}
	m.Boot()
	for _, dir := range left {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s stays: %v", dir, err)
		}
	}
}

// TestWhatCannotBeClearedConcernsNoComponent: nothing is to be applied again.
func TestWhatCannotBeClearedConcernsNoComponent(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	m.Kill()
	place := filepath.Join(filepath.Dir(m.Socket()), "check-place-0")
	must(t, os.Remove(place))
	must(t, os.Mkdir(place, 0o700))
	m.Boot()
	health, err := admin.Health(t.Context())
	if err != nil || len(health.Conditions) != 0 {
		t.Errorf("health %+v, %v", health, err)
	}
}
