package artifact_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

// contents reads what an artifact holds.
func contents(t *testing.T, content []byte) *artifact.Contents {
	t.Helper()
	var holds artifact.Contents
	if _, err := artifact.Read(t.Context(), bytes.NewReader(content), artifact.Limits{Bytes: 1 << 20}, &holds); err != nil {
		t.Fatal(err)
	}
	return &holds
}

func TestContentsTellWhatIsLacking(t *testing.T) {
	holds := contents(t, artifacttest.Pack(
		artifacttest.Program("bin/server", ""), artifacttest.File("bin/note", ""), artifacttest.Hard("serve", "bin/server"),
		artifacttest.Link("current", "bin"), artifacttest.Link("up/to/server", "../../current/server"), artifacttest.Link("lost", "gone/server"),
		artifacttest.Link("venv/bin/python", "/usr/bin/python3"), artifacttest.Link("venv/bin/python3", "python"),
	))
	for name, want := range map[string]artifact.Lack{
		"./bin/server": artifact.LacksNothing, "bin/./server": artifact.LacksNothing, "./serve": artifact.LacksNothing,
		"./current/server": artifact.LacksNothing, "./up/to/server": artifact.LacksNothing,
		"./venv/bin/python": artifact.LacksNothing, "venv/bin/python3": artifact.LacksNothing, // what the machine has, its agent tells
		"./server": artifact.LacksEntry, "./lost": artifact.LacksEntry, "./bin/server/x": artifact.LacksEntry, "./Bin/server": artifact.LacksEntry,
		"./bin": artifact.LacksFile, "./current": artifact.LacksFile, "./bin/note": artifact.LacksMode, "./current/note": artifact.LacksMode,
	} {
		if got := holds.Program(name); got != want {
			t.Errorf("the program %s: %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]artifact.Lack{
		".": artifact.LacksNothing, "bin": artifact.LacksNothing, "./up/to": artifact.LacksNothing,
		"bim": artifact.LacksEntry, "up/from": artifact.LacksEntry, "serve": artifact.LacksDirectory, "current": artifact.LacksOwnDirectory,
	} {
		if got := holds.Directory(name); got != want {
			t.Errorf("the directory %s: %d, want %d", name, got, want)
		}
	}
	if got, want := holds.Programs(), []string{"bin/server", "serve"}; !slices.Equal(got, want) {
		t.Errorf("the programs are %q, want %q", got, want)
	}
	if got, want := holds.Directories(), []string{"bin", "up", "up/to", "venv", "venv/bin"}; !slices.Equal(got, want) {
		t.Errorf("the directories are %q, want %q", got, want)
	}
}

// Of more than is noted, nothing is claimed.
func TestContentsAreBounded(t *testing.T) {
	holds := contents(t, artifacttest.TooMany(70_000))
	if holds.Program("./gone") != artifact.LacksNothing || holds.Directory("gone") != artifact.LacksNothing || len(holds.Programs()) != 0 {
		t.Error("it is said what a release lacks that was not noted as a whole")
	}
}
