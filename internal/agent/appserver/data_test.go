package appserver

import (
	"slices"
	"strings"
	"testing"
)

func TestAnAppHasADirectoryThatOutlivesIt(t *testing.T) {
	got := unitLines(t, someSpec(), "StateDirectory", "StateDirectoryMode")
	if want := []string{"StateDirectory=foobar-app/notes", "StateDirectoryMode=0700"}; !slices.Equal(got, want) {
		t.Errorf("the unit has %q, not %q", got, want)
	}
	// What the state lists is removed with the component.
	for _, dir := range render(t, "notes", someSpec()).State.Dirs {
		if strings.HasPrefix(dir.Path, "/var/lib/") {
			t.Errorf("%s would go with the component", dir.Path)
		}
	}
}
