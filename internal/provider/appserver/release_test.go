package appserver

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenArchiveHashesWhatItReads(t *testing.T) {
	source := filepath.Join(t.TempDir(), "app.tar.gz")
	content := []byte("a release")
	if err := os.WriteFile(source, content, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := openArchive(source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	sum := sha256.Sum256(content)
	if want := hex.EncodeToString(sum[:]); a.sha256 != want || a.size != int64(len(content)) {
		t.Errorf("found %s of %d bytes, not %s of %d", a.sha256, a.size, want, len(content))
	}
}

func TestOpenArchiveSaysWhatToDo(t *testing.T) {
	directory := t.TempDir()
	for source, want := range map[string]string{
		filepath.Join(directory, "missing.tar.gz"): "build the release first",
		directory: "is not a regular file",
	} {
		if _, err := openArchive(source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want one that says %q", source, err, want)
		}
	}
}
