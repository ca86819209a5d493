package tfutil_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

func TestArtifactIsHashedAndChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.tar.gz")
	for _, c := range artifacttest.Cases() {
		if err := os.WriteFile(path, c.Content, 0o600); err != nil {
			t.Fatal(err)
		}
		var artifacts tfutil.Artifacts
		a, err := artifacts.Open(t.Context(), path, artifacttest.MaxBytes)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		sum := sha256.Sum256(c.Content)
		if a.SHA256 != hex.EncodeToString(sum[:]) || a.Size != int64(len(c.Content)) {
			t.Errorf("%s: found %s of %d bytes", c.Name, a.SHA256, a.Size)
		}
		if (a.Bad != nil) != (c.Want != "") || a.Bad != nil && !strings.Contains(a.Bad.Error(), c.Want) {
			t.Errorf("%s: it is bad: %v", c.Name, a.Bad)
		}
		uploaded, err := io.ReadAll(io.NewSectionReader(a, 0, a.Size))
		if err = errors.Join(err, a.Close()); err != nil || string(uploaded) != string(c.Content) {
			t.Errorf("%s: what can be uploaded is not the file: %v", c.Name, err)
		}
	}
}

// A file of the same size and time is not read again: that is how the test can
// tell, as it is another one.
func TestArtifactIsReadOnceOnAWalk(t *testing.T) {
	path, at := filepath.Join(t.TempDir(), "app.tar.gz"), time.Unix(1700000000, 0)
	put := func(text string, at time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, artifacttest.Pack(artifacttest.File(text, text)), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	var artifacts tfutil.Artifacts
	open := func() string {
		t.Helper()
		a, err := artifacts.Open(t.Context(), path, 1<<20)
		if err != nil {
			t.Error(err)
			return ""
		}
		return a.SHA256 + errorText(a.Close())
	}
	put("one", at)
	first := open()
	put("two", at)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if again := open(); again != first {
				t.Errorf("a file of the same size and time was read again: %s", again)
			}
		})
	}
	all.Wait()
	put("two", at.Add(time.Second))
	if open() == first {
		t.Error("a file of another time was not read")
	}
}

func errorText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestArtifactThatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var artifacts tfutil.Artifacts
	if _, err := artifacts.Open(t.Context(), filepath.Join(dir, "missing"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for path, want := range map[string]string{dir: "is a directory, not a file", pipe: "is a named pipe, not a file"} {
		if _, err := artifacts.Open(t.Context(), path, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
