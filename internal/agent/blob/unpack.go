package blob

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Limits bound what an archive may hold.
type Limits struct {
	// Bytes bounds the size of all files together.
	Bytes int64
	// Entries bounds the number of files, links and directories; zero means
	// [DefaultEntries].
	Entries int
}

// DefaultEntries is far beyond the largest web apps (a node_modules of a big
// one has some 50,000 files) and far below what would fill a file system's
// inodes.
const DefaultEntries = 200_000

// ArchiveError tells why an archive is not unpacked. The text is for the
// person who made the archive.
type ArchiveError struct {
	// Entry is the name in the archive, empty if the archive itself is meant.
	Entry string
	// Reason says what is wrong with it and what is allowed.
	Reason string
}

func (e *ArchiveError) Error() string {
	if e.Entry == "" {
		return "the archive " + e.Reason
	}
	return fmt.Sprintf("the archive's entry %q %s", e.Entry, e.Reason)
}

func refuse(entry, format string, args ...any) error {
	return &ArchiveError{Entry: entry, Reason: fmt.Sprintf(format, args...)}
}

// Unpack unpacks a gzipped tar archive into the new directory dir. It works in
// a sibling that is renamed at the end, so dir is there whole or not at all;
// what a killed run left is removed first. All of it belongs to the caller's
// user and is read-only to all others: files are 0644, or 0755 if their owner
// may run them, directories 0755.
//
// Nothing can land outside: names that are absolute or climb, links that lead
// out, devices, setuid and setgid modes, and names that come twice are refused
// with an [ArchiveError], as is more than the limits.
func Unpack(ctx context.Context, r io.Reader, dir string, limits Limits) (Manifest, error) {
	if limits.Entries == 0 {
		limits.Entries = DefaultEntries
	}
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("unpack into %s: %w", dir, fs.ErrExist)
	}
	sibling := Leftover(dir)
	manifest, err := unpackNew(ctx, r, sibling, limits)
	if err == nil {
		err = os.Rename(sibling, dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("unpack into %s: %w", dir, err), os.RemoveAll(sibling))
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
	u := unpacker{root: root, limits: limits, entries: map[string]*Entry{}}
	err = u.archive(ctx, r)
	if err == nil {
		err = u.checkLinks()
	}
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

// unpacker is one unpacking under way.
type unpacker struct {
	root    *os.Root
	limits  Limits
	bytes   int64
	entries map[string]*Entry
	// explicit holds the directories that the archive named itself.
	explicit map[string]bool
}

func (u *unpacker) archive(ctx context.Context, r io.Reader) error {
	unzipped, err := gzip.NewReader(reader{ctx, r})
	if err != nil {
		return u.unreadable(ctx, err)
	}
	archive := tar.NewReader(unzipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return u.unreadable(ctx, err)
		}
		if err := u.entry(ctx, header, archive); err != nil {
			return err
		}
	}
	if len(u.entries) == 0 {
		return refuse("", "is empty")
	}
	return nil
}

// unreadable tells an archive that is broken from a reader that was stopped.
func (u *unpacker) unreadable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return refuse("", "is not a readable .tar.gz: %v", err)
}

func (u *unpacker) entry(ctx context.Context, header *tar.Header, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader { // a comment, such as git archive writes
		return nil
	}
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return nil
	}
	if header.Mode&0o6000 != 0 {
		return refuse(header.Name, "is setuid or setgid, which is not allowed")
	}
	if err := u.place(name, header); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return u.dir(name)
	case tar.TypeReg:
		return u.file(ctx, name, header, content)
	case tar.TypeSymlink:
		return u.symlink(name, header)
	case tar.TypeLink:
		return u.hardLink(name, header)
	default:
		return refuse(header.Name, "is a device, a pipe or something else that is no file, directory or link")
	}
}

// cleanName returns the slash-separated path of an entry below the tree.
func cleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", refuse("", "has an entry without a name")
	case len(name) > 4095 || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", refuse(name, "has a name that is too long or holds control characters")
	case strings.HasPrefix(name, "/"):
		return "", refuse(name, "has an absolute name; names must be relative")
	case slices.Contains(strings.Split(name, "/"), ".."):
		return "", refuse(name, `has a name with ".." in it, which is not allowed`)
	}
	return path.Clean(name), nil
}

// place makes sure that name is free and that all directories above it are
// real ones, so that nothing is ever written through a link.
func (u *unpacker) place(name string, header *tar.Header) error {
	if there := u.entries[name]; there != nil {
		if there.Type != Directory || header.Typeflag != tar.TypeDir || u.explicit[name] {
			return refuse(header.Name, "comes twice")
		}
	}
	if parent := path.Dir(name); parent != "." {
		there := u.entries[parent]
		if there == nil {
			if err := u.place(parent, header); err != nil {
				return err
			}
			return u.mkdir(parent)
		}
		if there.Type != Directory {
			return refuse(header.Name, "lies below %q, which is no directory", parent)
		}
	}
	return nil
}

// add notes an entry, within the limit.
func (u *unpacker) add(e Entry) error {
	if len(u.entries) >= u.limits.Entries {
		return refuse("", "has more than %d entries", u.limits.Entries)
	}
	u.entries[e.Path] = &e
	return nil
}

func (u *unpacker) dir(name string) error {
	if u.explicit == nil {
		u.explicit = map[string]bool{}
	}
	u.explicit[name] = true
	if u.entries[name] != nil {
		return nil // a file below it came first
	}
	return u.mkdir(name)
}

func (u *unpacker) mkdir(name string) error {
	if err := u.add(Entry{Path: name, Type: Directory, Mode: 0o755}); err != nil {
		return err
	}
	if err := u.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	return u.root.Chmod(name, 0o755)
}

func (u *unpacker) file(ctx context.Context, name string, header *tar.Header, content io.Reader) error {
	e := Entry{Path: name, Type: Regular, Mode: 0o644, Modified: modified(header.ModTime)}
	if header.Mode&0o100 != 0 {
		e.Mode = 0o755
	}
	if err := u.add(e); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, e.Mode)
	if err != nil {
		return err
	}
	size, sum, err := u.fill(ctx, f, content)
	if err = errors.Join(err, f.Chmod(e.Mode), f.Close()); err != nil {
		return err
	}
	u.entries[name].Size, u.entries[name].SHA256 = size, sum
	return u.root.Chtimes(name, e.Modified, e.Modified)
}

// fill writes the content of a file, within the limit. What f fails with, such
// as a full disk, is no fault of the archive and stays as it is.
func (u *unpacker) fill(ctx context.Context, f io.Writer, content io.Reader) (size int64, sum string, err error) {
	h := sha256.New()
	free := u.limits.Bytes - u.bytes
	size, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(packed{u, reader{ctx, content}}, free+1))
	u.bytes += size
	if err == nil && size > free {
		err = refuse("", "unpacks to more than the allowed %d bytes", u.limits.Bytes)
	}
	return size, hex.EncodeToString(h.Sum(nil)), err
}

// packed is content of the archive; its errors tell what is wrong with that.
type packed struct {
	u *unpacker
	reader
}

func (p packed) Read(b []byte) (int, error) {
	n, err := p.reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = p.u.unreadable(p.ctx, err)
	}
	return n, err
}

// modified keeps an archive's time within what every file system holds. Whole
// seconds are what tar itself keeps.
func modified(t time.Time) time.Time {
	const year2100 = 4102444800
	return time.Unix(min(max(t.Unix(), 0), year2100), 0).UTC()
}

func (u *unpacker) symlink(name string, header *tar.Header) error {
	target := header.Linkname
	resolved := path.Join(path.Dir(name), target) //nolint:gosec // looked at, not followed
	if target == "" || strings.HasPrefix(target, "/") || leaves(resolved) {
		return refuse(header.Name, "is a link to %q, which leads out of the archive; use relative links within it", target)
	}
	if err := u.add(Entry{Path: name, Type: Symlink, Target: target}); err != nil {
		return err
	}
	return u.root.Symlink(target, name)
}

func leaves(clean string) bool { return clean == ".." || strings.HasPrefix(clean, "../") }

func (u *unpacker) hardLink(name string, header *tar.Header) error {
	target, err := cleanName(header.Linkname)
	if err != nil {
		return refuse(header.Name, "is a hard link to %q, which is no name of the archive", header.Linkname)
	}
	there := u.entries[target]
	if there == nil || there.Type != Regular {
		return refuse(header.Name, "is a hard link to %q, which is no file of the archive before it", header.Linkname)
	}
	e := *there
	e.Path = name
	if err := u.add(e); err != nil {
		return err
	}
	return u.root.Link(target, name)
}

// checkLinks follows every link once all is there: one that passes over other
// links can lead out although its text does not show it.
func (u *unpacker) checkLinks() error {
	for name, e := range u.entries {
		if e.Type != Symlink {
			continue
		}
		if _, err := u.root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return refuse(name, "is a link to %q, which cannot be followed within the archive", e.Target)
		}
	}
	return nil
}

func (u *unpacker) manifest() Manifest {
	m := make(Manifest, 0, len(u.entries))
	for _, e := range u.entries {
		m = append(m, *e)
	}
	slices.SortFunc(m, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return m
}
