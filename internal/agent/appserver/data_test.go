package appserver

import (
	"os"
	"path/filepath"
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

// TestWhatIsLeftIsFoundByItsTraces: a site of files has left its log alone.
func TestWhatIsLeftIsFoundByItsTraces(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{
		"/var/lib/foobar-app/shop", "/var/lib/foobar-app/lost+found",
		"/var/log/journal/1.foobar-app-shop-nginx", "/var/log/journal/1.foobar-app-shop@",
		"/var/log/journal/1.foobar-app-site-nginx", "/var/log/journal/1.foobar-lb-www", "/var/log/journal/1",
	} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	k := &Kind{machine: machine{root: root}}
	if got, err := k.Left(); err != nil || !slices.Equal(got, []string{"shop", "site"}) {
		t.Errorf("left are %q, %v", got, err)
	}
	k.machine.root = filepath.Join(root, "none")
	if got, err := k.Left(); err != nil || len(got) > 0 {
		t.Errorf("of nothing, left are %q, %v", got, err)
	}
}
