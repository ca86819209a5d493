package lab

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
)

func imageFiles() fstest.MapFS {
	return fstest.MapFS{
		"provision/00-apt.sh":              {Data: []byte("apt"), Mode: 0o755},
		"provision/80-agent.sh":            {Data: []byte("agent"), Mode: 0o755},
		"files/sysctl/60-foobar.conf":      {Data: []byte("a = 1"), Mode: 0o644},
		"files/agent/foobar-agent.service": {Data: []byte("[Unit]"), Mode: 0o644},
	}
}

func TestImageKeysChangeWithWhatGoesIn(t *testing.T) {
	base := func(files fstest.MapFS) string {
		key, err := imageKey(files, []string{"00-apt.sh"}, false, suite)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	layer := func(files fstest.MapFS, agent string) string {
		key, err := imageKey(files, []string{"80-agent.sh"}, true, base(files), agent)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	for name, tc := range map[string]struct {
		change          func(fstest.MapFS)
		agent           string
		newBase, newLay bool
	}{
		"nothing":            {func(fstest.MapFS) {}, "v1", false, false},
		"a script":           {func(f fstest.MapFS) { f["provision/00-apt.sh"].Data = []byte("apt2") }, "v1", true, true},
		"a file":             {func(f fstest.MapFS) { f["files/sysctl/60-foobar.conf"].Data = []byte("a = 2") }, "v1", true, true},
		"a new file":         {func(f fstest.MapFS) { f["files/new"] = &fstest.MapFile{} }, "v1", true, true},
		"a mode":             {func(f fstest.MapFS) { f["files/sysctl/60-foobar.conf"].Mode = 0o755 }, "v1", true, true},
		"the agent's unit":   {func(f fstest.MapFS) { f["files/agent/foobar-agent.service"].Data = nil }, "v1", false, true},
		"the agent's script": {func(f fstest.MapFS) { f["provision/80-agent.sh"].Data = nil }, "v1", false, true},
		"the agent":          {func(fstest.MapFS) {}, "v2", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := imageFiles(), imageFiles()
			tc.change(after)
			if got := base(before) != base(after); got != tc.newBase {
				t.Errorf("base made anew: %t, want %t", got, tc.newBase)
			}
			if got := layer(before, "v1") != layer(after, tc.agent); got != tc.newLay {
				t.Errorf("layer made anew: %t, want %t", got, tc.newLay)
			}
		})
	}
}

func TestReadRecipeDividesTheScripts(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, []byte("binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Config{ImagesDir: filepath.Join("..", "..", "images"), Agent: agent}
	with, err := c.readRecipe()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{agentScript, "90-clean.sh", "99-seal.sh"}; !slices.Equal(with.layer, want) {
		t.Errorf("layer has %q, want %q", with.layer, want)
	}
	if len(with.base) == 0 || with.base[0] != "00-apt.sh" {
		t.Errorf("base has %q", with.base)
	}
	c.Agent = ""
	without, err := c.readRecipe()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(without.layer, agentScript) || without.image.agent != "" {
		t.Errorf("without an agent the layer has %q", without.layer)
	}
	if with.image.base != without.image.base || with.image.layer == without.image.layer {
		t.Errorf("with agent %v, without %v: want the same base and another layer", with.image, without.image)
	}
}

func TestMissingPackages(t *testing.T) {
	has := map[string]bool{"ip": true, "nsenter": true, "curl": true}
	lookPath := func(program string) (string, error) {
		if has[program] {
			return "/usr/bin/" + program, nil
		}
		return "", errors.New("not found")
	}
	keys := []string{"debian-archive-trixie-stable.gpg"}
	glob := func(string) ([]string, error) { return keys, nil }
	if got, want := missingPackages(lookPath, glob), []string{"mmdebstrap", "nftables", "systemd-container"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	maps.Insert(has, maps.All(map[string]bool{"mmdebstrap": true, "nft": true, "systemd-nspawn": true}))
	if got := missingPackages(lookPath, glob); len(got) != 0 {
		t.Errorf("got %q for a host that has everything", got)
	}
	keys = nil
	if got, want := missingPackages(lookPath, glob), []string{"debian-archive-keyring"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
