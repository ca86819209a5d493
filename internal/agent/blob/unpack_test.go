package blob

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

func TestUnpack(t *testing.T) {
	modified := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	program := artifacttest.Program("./bin/app", "x")
	program.Header.ModTime = modified
	dir := filepath.Join(t.TempDir(), "tree")
	manifest, err := Unpack(t.Context(), bytes.NewReader(artifacttest.Pack(
		artifacttest.Special("./", tar.TypeDir), program, artifacttest.Special("bin/", tar.TypeDir), artifacttest.Mode("secret", tar.TypeReg, 0o600),
		artifacttest.Link("current", "bin/app"), artifacttest.Link("bin/up", "../secret"), artifacttest.Link("dangling", "nowhere"), artifacttest.Hard("copy", "bin/app"),
		artifacttest.Comment("abc"),
	)), dir, Limits{Bytes: 2})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range manifest {
		found = append(found, fmt.Sprintf("%s %s %o %d %s", e.Path, e.Type, e.Mode, e.Size, e.Target))
	}
	want := []string{
		"bin dir 755 0 ", "bin/app file 755 1 ", "bin/up link 0 0 ../secret", "copy file 755 1 ",
		"current link 0 0 bin/app", "dangling link 0 0 nowhere", "secret file 644 0 ",
	}
	if !slices.Equal(found, want) {
		t.Errorf("the manifest is %q, want %q", found, want)
	}
	info, err := os.Stat(filepath.Join(dir, "bin/app"))
	if err != nil || info.Mode() != 0o755 || !info.ModTime().Equal(modified) {
		t.Errorf("the program is %v of %v, %v", info.Mode(), info.ModTime(), err)
	}
	if info, err = os.Stat(filepath.Join(dir, "secret")); err != nil || info.Mode() != 0o644 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if differences, err := manifest.Compare(t.Context(), dir); err != nil || len(differences) > 0 {
		t.Errorf("a fresh tree differs: %v, %v", differences, err)
	}
}

func TestUnpackKeepsToTheLimitOfEntries(t *testing.T) {
	parent := t.TempDir()
	_, err := Unpack(t.Context(), bytes.NewReader(artifacttest.Pack(artifacttest.File("a/b/c/d/e/f/g", "x"))), filepath.Join(parent, "tree"), Limits{Bytes: 100, Entries: 6})
	if _, bad := errors.AsType[*artifact.Error](err); !bad {
		t.Errorf("the error is %v", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left is %v, %v", left, err)
	}
}

func TestUnpackStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Unpack(ctx, bytes.NewReader(artifacttest.Pack(artifacttest.File("a", "x"))), filepath.Join(t.TempDir(), "tree"), Limits{Bytes: 1 << 20}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped, the error is %v", err)
	}
}

func TestAFullDiskIsNoFaultOfTheArtifact(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = full.Close() })
	_, _, err = fill(full, strings.NewReader("x"))
	if _, bad := errors.AsType[*artifact.Error](err); bad || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("it ends with %v", err)
	}
}

func TestUnpackStartsAfreshAfterAKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	if err := os.MkdirAll(filepath.Join(Leftover(dir), "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	archive := artifacttest.Pack(artifacttest.File("a", "x"))
	if _, err := Unpack(t.Context(), bytes.NewReader(archive), dir, Limits{Bytes: 10}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "half")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the kill left is in the tree: %v", err)
	}
	if _, err := Unpack(t.Context(), bytes.NewReader(archive), dir, Limits{Bytes: 10}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a tree that stands the error is %v", err)
	}
}

func TestCompare(t *testing.T) {
	base := filepath.Join(t.TempDir(), "tree")
	manifest, err := Unpack(t.Context(), bytes.NewReader(artifacttest.Pack(artifacttest.File("d/a", "one"), artifacttest.Link("l", "d/a"))), base, Limits{Bytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(dir string) error
		want   []Difference
	}{
		"nothing":          {func(string) error { return nil }, nil},
		"touched":          {func(dir string) error { return os.Chtimes(dir+"/d/a", time.Now(), time.Now()) }, nil},
		"same size edited": {func(dir string) error { return os.WriteFile(dir+"/d/a", []byte("two"), 0o600) }, []Difference{{"d/a", "changed"}}},
		"mode":             {func(dir string) error { return os.Chmod(dir+"/d/a", 0o600) }, []Difference{{"d/a", "changed"}}},
		"removed":          {func(dir string) error { return os.Remove(dir + "/d/a") }, []Difference{{"d/a", "missing"}}},
		"added":            {func(dir string) error { return os.WriteFile(dir+"/new", nil, 0o600) }, []Difference{{"new", "not part of it"}}},
		"replaced": {func(dir string) error { return errors.Join(os.Remove(dir+"/d/a"), os.Mkdir(dir+"/d/a", 0o755)) },
			[]Difference{{"d/a", "changed"}}},
		"other link": {func(dir string) error { return errors.Join(os.Remove(dir+"/l"), os.Symlink("d", dir+"/l")) },
			[]Difference{{"l", "changed"}}},
		"no directory": {func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
			[]Difference{{".", "changed"}}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tree")
			if _, err := Unpack(t.Context(), bytes.NewReader(artifacttest.Pack(artifacttest.File("d/a", "one"), artifacttest.Link("l", "d/a"))), dir, Limits{Bytes: 100}); err != nil {
				t.Fatal(err)
			}
			if err := test.change(dir); err != nil {
				t.Fatal(err)
			}
			if found, err := manifest.Compare(t.Context(), dir); err != nil || !slices.Equal(found, test.want) {
				t.Errorf("found %v, %v; want %v", found, err, test.want)
			}
		})
	}
	if _, err := manifest.Compare(t.Context(), filepath.Join(t.TempDir(), "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing tree is %v", err)
	}
}

// FuzzUnpack gives the unpacker archives whose entries have any names, types,
// modes and links, and sees that nothing but the tree itself is there then.
func FuzzUnpack(f *testing.F) {
	f.Add("a", "", byte(tar.TypeReg), int64(0o644), "b", "../x", byte(tar.TypeSymlink), int64(0o777))
	f.Add("a", "..", byte(tar.TypeSymlink), int64(0o777), "a/b", "", byte(tar.TypeReg), int64(0o644))
	f.Add("d/e", "d", byte(tar.TypeSymlink), int64(0o777), "d/e/../../f", "", byte(tar.TypeLink), int64(0o4755))
	f.Add("/a", "/etc", byte(tar.TypeDir), int64(0o2755), "//a", "a", byte(tar.TypeFifo), int64(0))
	f.Fuzz(func(t *testing.T, name1, link1 string, type1 byte, mode1 int64, name2, link2 string, type2 byte, mode2 int64) {
		var buffer bytes.Buffer
		zipped := gzip.NewWriter(&buffer)
		w := tar.NewWriter(zipped)
		for _, h := range []tar.Header{
			{Name: "real/file", Mode: 0o644, Typeflag: tar.TypeReg},
			{Name: name1, Linkname: link1, Typeflag: type1, Mode: mode1},
			{Name: name2, Linkname: link2, Typeflag: type2, Mode: mode2},
		} {
			if w.WriteHeader(&h) != nil {
				return // no such archive can be made
			}
		}
		if err := errors.Join(w.Close(), zipped.Close()); err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "outer", "tree")
		if err := os.Mkdir(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		manifest, err := Unpack(t.Context(), &buffer, dir, Limits{Bytes: 1000, Entries: 50})
		var there []string
		for _, d := range []string{parent, filepath.Dir(dir)} {
			found, err := os.ReadDir(d)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range found {
				there = append(there, e.Name())
			}
		}
		if err != nil {
			if !slices.Equal(there, []string{"outer"}) {
				t.Errorf("refused with %v, it left %q", err, there)
			}
			return
		}
		if !slices.Equal(there, []string{"outer", "tree"}) {
			t.Errorf("it made %q", there)
		}
		if differences, err := manifest.Compare(t.Context(), dir); err != nil || len(differences) > 0 {
			t.Errorf("the tree is not its manifest: %v, %v", differences, err)
		}
		checkTree(t, dir)
	})
}

// checkTree sees that no mode is more than allowed and that no link leads out.
func checkTree(t *testing.T, dir string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir() && mode.Perm() == 0o755, mode == 0o644, mode == 0o755:
		case mode.Type() == fs.ModeSymlink:
			if target, err := os.Readlink(path); err == nil && artifact.IsInterpreter(target) {
				return nil
			}
			target, err := filepath.EvalSymlinks(path)
			if err == nil && !artifact.IsInterpreter(target) && target != root && !strings.HasPrefix(target, root+"/") {
				t.Errorf("%s leads to %s", path, target)
			}
		default:
			t.Errorf("%s is %v", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
