package blob

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
)

// zip makes an archive of entries; a header's Size is that of its text.
func zip(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	w := tar.NewWriter(zipped)
	for _, e := range entries {
		h := e.header
		h.Size = int64(len(e.text))
		if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader { // which may have none
			h.Mode = 0o644
		}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zipped.Close()); err != nil {
		tb.Fatal(err)
	}
	return buffer.Bytes()
}

type entry struct {
	header tar.Header
	text   string
}

func file(name, text string) entry { return entry{tar.Header{Name: name}, text} }

func link(name, target string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}, ""}
}

func hard(name, target string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}, ""}
}

func special(name string, kind byte) entry { return entry{tar.Header{Name: name, Typeflag: kind}, ""} }

func withMode(name string, mode int64) entry { return entry{tar.Header{Name: name, Mode: mode}, "x"} }

func TestUnpack(t *testing.T) {
	modified := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	program := withMode("./bin/app", 0o4755&^0o4000|0o700)
	program.header.ModTime = modified
	dir := filepath.Join(t.TempDir(), "tree")
	manifest, err := Unpack(t.Context(), bytes.NewReader(zip(t,
		special("./", tar.TypeDir), program, special("bin/", tar.TypeDir), withMode("secret", 0o600),
		link("current", "bin/app"), link("bin/up", "../secret"), link("dangling", "nowhere"), hard("copy", "bin/app"),
		entry{tar.Header{Name: "pax_global_header", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "abc"}}, ""},
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
		"current link 0 0 bin/app", "dangling link 0 0 nowhere", "secret file 644 1 ",
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

func TestUnpackRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		entries []entry
		reason  string
	}{
		"absolute name":             {[]entry{file("/etc/passwd", "x")}, "absolute"},
		"climbing name":             {[]entry{file("a/../../b", "x")}, `".."`},
		"climbing directory":        {[]entry{special("../a/", tar.TypeDir)}, `".."`},
		"control characters":        {[]entry{file("a\nb", "x")}, "control characters"},
		"absolute link":             {[]entry{link("a", "/etc/passwd")}, "leads out"},
		"climbing link":             {[]entry{link("a/b", "../../c")}, "leads out"},
		"link to what is above":     {[]entry{link("a", "..")}, "leads out"},
		"links that climb together": {[]entry{file("a/b/c", "x"), link("a/b/up", "../.."), link("out", "a/b/up/../x")}, "cannot be followed"},
		"loop":                      {[]entry{link("a", "b"), link("b", "a")}, "cannot be followed"},
		"file through a link":       {[]entry{special("d", tar.TypeDir), link("a", "d"), file("a/b", "x")}, "no directory"},
		"file below a file":         {[]entry{file("a", "x"), file("a/b", "x")}, "no directory"},
		"file twice":                {[]entry{file("a", "x"), file("./a", "y")}, "twice"},
		"link over a file":          {[]entry{file("a", "x"), link("a", "b")}, "twice"},
		"file over a link":          {[]entry{link("a", "b"), file("a", "x")}, "twice"},
		"file over a directory":     {[]entry{file("a/b", "x"), file("a", "x")}, "twice"},
		"directory twice":           {[]entry{special("a/", tar.TypeDir), special("a/", tar.TypeDir)}, "twice"},
		"hard link outwards":        {[]entry{hard("a", "/etc/passwd")}, "hard link"},
		"hard link upwards":         {[]entry{hard("a", "../b")}, "hard link"},
		"hard link to nothing":      {[]entry{hard("a", "b")}, "no file"},
		"hard link to a link":       {[]entry{link("b", "c"), hard("a", "b")}, "no file"},
		"device":                    {[]entry{special("a", tar.TypeChar)}, "device"},
		"block device":              {[]entry{special("a", tar.TypeBlock)}, "device"},
		"pipe":                      {[]entry{special("a", tar.TypeFifo)}, "pipe"},
		"setuid":                    {[]entry{withMode("a", 0o4755)}, "setuid"},
		"setgid directory":          {[]entry{{tar.Header{Name: "a", Typeflag: tar.TypeDir, Mode: 0o2755}, ""}}, "setgid"},
		"too large":                 {[]entry{file("a", strings.Repeat("x", 60)), file("b", strings.Repeat("x", 60))}, "more than the allowed 100 bytes"},
		"too many":                  {[]entry{file("a/b/c/d/e/f/g", "x")}, "more than 6 entries"},
		"empty":                     {nil, "is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			_, err := Unpack(t.Context(), bytes.NewReader(zip(t, test.entries...)), filepath.Join(parent, "tree"), Limits{Bytes: 100, Entries: 6})
			bad, ok := errors.AsType[*ArchiveError](err)
			if !ok || !strings.Contains(bad.Error(), test.reason) {
				t.Errorf("the error is %v, want one about %q", err, test.reason)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
				t.Errorf("left is %v, %v", left, err)
			}
		})
	}
}

func TestUnpackTellsABrokenArchiveFromAStop(t *testing.T) {
	whole := zip(t, file("a", strings.Repeat("x", 10000)))
	for name, archive := range map[string][]byte{"no archive": []byte("hello"), "nothing": nil, "cut short": whole[:len(whole)/2]} {
		_, err := Unpack(t.Context(), bytes.NewReader(archive), filepath.Join(t.TempDir(), "tree"), Limits{Bytes: 1 << 20})
		if _, ok := errors.AsType[*ArchiveError](err); !ok {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Unpack(ctx, bytes.NewReader(whole), filepath.Join(t.TempDir(), "tree"), Limits{Bytes: 1 << 20}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped, the error is %v", err)
	}
}

func TestAFullDiskIsNoFaultOfTheArchive(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = full.Close() })
	for name, test := range map[string]struct {
		to      io.Writer
		from    io.Reader
		archive bool // whether it is the archive's fault
	}{
		"a full disk":          {full, strings.NewReader("x"), false},
		"an archive cut short": {io.Discard, iotest.ErrReader(io.ErrUnexpectedEOF), true},
		"more than is allowed": {io.Discard, strings.NewReader("more than is allowed"), true},
	} {
		t.Run(name, func(t *testing.T) {
			u := unpacker{limits: Limits{Bytes: 10}}
			_, _, err := u.fill(t.Context(), test.to, test.from)
			if _, fault := errors.AsType[*ArchiveError](err); err == nil || fault != test.archive || errors.Is(err, unix.ENOSPC) == test.archive {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

func TestUnpackStartsAfreshAfterAKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	if err := os.MkdirAll(filepath.Join(Leftover(dir), "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	archive := zip(t, file("a", "x"))
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
	manifest, err := Unpack(t.Context(), bytes.NewReader(zip(t, file("d/a", "one"), link("l", "d/a"))), base, Limits{Bytes: 100})
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
			if _, err := Unpack(t.Context(), bytes.NewReader(zip(t, file("d/a", "one"), link("l", "d/a"))), dir, Limits{Bytes: 100}); err != nil {
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
			target, err := filepath.EvalSymlinks(path)
			if err == nil && target != root && !strings.HasPrefix(target, root+"/") {
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
