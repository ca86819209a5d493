package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// Limits bound what an artifact may hold; see [artifact.Limits].
type Limits = artifact.Limits

// Unpack unpacks an artifact into the new directory dir. It works in
// a sibling that is renamed at the end, so dir is there whole or not at all;
// what a killed run left is removed first. All of it belongs to the caller's
// user and is read-only to all others: files are 0644, or 0755 if their owner
// may run them, directories 0755.
//
// What breaks a rule of package artifact is an [artifact.Error], and nothing of
// it stays.
func Unpack(ctx context.Context, r io.Reader, dir string, limits Limits) (Manifest, error) {
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("unpack into %s: %w", dir, fs.ErrExist)
	}
	sibling := Leftover(dir)
	manifest, err := unpackNew(ctx, r, sibling, limits)
	if err == nil {
		err = os.Rename(sibling, dir)
	}
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: "unpack into", Path: dir, Err: err}, os.RemoveAll(sibling))
	}
	return manifest, syncDir(filepath.Dir(dir))
}

// Leftover is what a killed [Unpack] into dir may leave.
func Leftover(dir string) string {
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".unpacking")
}

func unpackNew(ctx context.Context, r io.Reader, dir string, limits Limits) (Manifest, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for all to read, whatever the umask
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	u := unpacker{root: root, entries: map[string]*Entry{}}
	_, err = artifact.Read(ctx, r, limits, &u)
	if err == nil {
		err = syncAll(dir)
	}
	if err = errors.Join(err, root.Close()); err != nil {
		return nil, err
	}
	return u.manifest(), nil
}

// syncAll brings the whole file system of dir to the disk: one call instead of
// one for each of thousands of files.
func syncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}

// unpacker writes the entries of an artifact. It is an [artifact.Sink], so that
// every path that it is given was checked, and is below real directories.
type unpacker struct {
	root    *os.Root
	entries map[string]*Entry
}

// Dir implements [artifact.Sink].
func (u *unpacker) Dir(path string) error {
	u.entries[path] = &Entry{Path: path, Type: Directory, Mode: 0o755}
	if err := u.root.Mkdir(path, 0o755); err != nil {
		return err
	}
	return u.root.Chmod(path, 0o755)
}

// File implements [artifact.Sink].
func (u *unpacker) File(file artifact.File, content io.Reader) error {
	f, err := u.root.OpenFile(file.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, file.Mode)
	if err != nil {
		return err
	}
	size, sum, err := fill(f, content)
	if err = errors.Join(err, f.Chmod(file.Mode), f.Close()); err != nil {
		return err
	}
	u.entries[file.Path] = &Entry{
		Path: file.Path, Type: Regular, Mode: file.Mode, Size: size, Modified: file.Modified, SHA256: sum,
	}
	return u.root.Chtimes(file.Path, file.Modified, file.Modified)
}

// fill writes the content of a file. What f fails with, such as a full disk,
// is no fault of the artifact and stays as it is.
func fill(f io.Writer, content io.Reader) (size int64, sum string, err error) {
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, h), content)
	return size, hex.EncodeToString(h.Sum(nil)), err
}

// Symlink implements [artifact.Sink].
func (u *unpacker) Symlink(path, target string) error {
	u.entries[path] = &Entry{Path: path, Type: Symlink, Target: target}
	return u.root.Symlink(target, path)
}

// HardLink implements [artifact.Sink].
func (u *unpacker) HardLink(path, target string) error {
	e := *u.entries[target]
	e.Path = path
	u.entries[path] = &e
	return u.root.Link(target, path)
}

func (u *unpacker) manifest() Manifest {
	m := make(Manifest, 0, len(u.entries))
	for _, e := range u.entries {
		m = append(m, *e)
	}
	slices.SortFunc(m, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return m
}
