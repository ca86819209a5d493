package appserver

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAPathIsShownWithWhereItLeads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deploy")
	up := filepath.Dir(dir)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for source, want := range map[string]string{
		"../countr.tar.gz": "../countr.tar.gz (" + up + "/countr.tar.gz)",
		"shop.tar.gz":      "shop.tar.gz (" + dir + "/shop.tar.gz)",
		"/shop.tar.gz":     "/shop.tar.gz",
		"/a/../b.tar.gz":   "/a/../b.tar.gz",
	} {
		if got := located(source); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}
