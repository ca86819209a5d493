package converge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// disk does what the engine needs with paths of the machine, which all lie
// below a root: "/" on a machine, a directory of its own in a test.
type disk struct{ root string }

func (d disk) path(p string) string { return filepath.Join(d.root, p) }

// sort is what sort of thing stands on a path.
type sort string

const (
	nothing   sort = "nothing"
	aFile     sort = "a file"
	aLink     sort = "a link"
	aDir      sort = "a directory"
	otherSort sort = "a special file"
)

// standing is what stands on a path.
type standing struct {
	Sort sort        `json:"sort"`
	Mode fs.FileMode `json:"mode,omitempty"`
	UID  int         `json:"uid,omitempty"`
	GID  int         `json:"gid,omitempty"`
	// Target is where a link points.
	Target string `json:"target,omitempty"`
}

// rootOnly is how files of the agent itself stand.
func rootOnly() standing {
	return standing{Sort: aFile, Mode: 0o600, UID: os.Getuid(), GID: os.Getgid()}
}

// modeBits are the bits of a mode that a component decides on.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// look tells what stands on a path, without following a link.
func (d disk) look(p string) (standing, error) {
	info, err := os.Lstat(d.path(p))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return standing{Sort: nothing}, nil
	}
	if err != nil {
		return standing{}, fmt.Errorf("look at %s: %w", p, err)
	}
	s := standing{Sort: otherSort, Mode: info.Mode() & modeBits}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.UID, s.GID = int(stat.Uid), int(stat.Gid)
	}
	switch {
	case info.Mode().IsRegular():
		s.Sort = aFile
	case info.IsDir():
		s.Sort = aDir
	case info.Mode()&fs.ModeSymlink != 0:
		s.Sort, s.Mode = aLink, 0
		if s.Target, err = os.Readlink(d.path(p)); err != nil {
			return standing{}, fmt.Errorf("look at %s: %w", p, err)
		}
	}
	return s, nil
}

// sibling is where what shall stand on p waits until it is renamed. Programs
// that read whole directories pass over names that begin with a dot.
func sibling(p string) string {
	return filepath.Join(filepath.Dir(p), "."+filepath.Base(p)+".foobar-new")
}

// aside is where a directory waits that was replaced.
func aside(p string) string {
	return filepath.Join(filepath.Dir(p), "."+filepath.Base(p)+".foobar-old")
}

// write makes the sibling of p: a file that is whole and safe on the disk.
func (d disk) write(p string, content []byte, s standing) error {
	name := d.path(sibling(p))
	if err := os.RemoveAll(name); err != nil {
		return fmt.Errorf("write %s: %w", p, err)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", p, err)
	}
	_, err = f.Write(content)
	// The owner first: a change of owner takes the setuid bit away.
	if err = errors.Join(err, f.Chown(s.UID, s.GID), f.Chmod(s.Mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", p, err)
	}
	return nil
}

// setAttributes corrects the mode and the owner of a file where it stands.
func (d disk) setAttributes(p string, s standing) error {
	f, err := os.OpenFile(d.path(p), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("set the mode and owner of %s: %w", p, err)
	}
	if err := errors.Join(f.Chown(s.UID, s.GID), f.Chmod(s.Mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("set the mode and owner of %s: %w", p, err)
	}
	return nil
}

// ours lists a directory that nobody but the agent's own account can write to, nil for
// any other: in one of somebody else's nothing is to be removed.
func (d disk) ours(p string) ([]fs.DirEntry, error) {
	at, err := d.look(p)
	if err != nil || at.Sort != aDir || at.UID != os.Getuid() || at.Mode&0o022 != 0 {
		return nil, err
	}
	entries, err := os.ReadDir(d.path(p))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look into %s: %w", p, err)
	}
	return entries, nil
}

// empty reports whether a directory holds nothing.
func (d disk) empty(p string) (bool, error) {
	entries, err := os.ReadDir(d.path(p))
	if err != nil {
		return false, fmt.Errorf("look into %s: %w", p, err)
	}
	return len(entries) == 0, nil
}

// immutable reports whether the file system refuses any change of a path, as
// chattr +i has it. One that knows no such thing refuses nothing.
func (d disk) immutable(p string) bool {
	var found unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, d.path(p), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &found)
	return err == nil && found.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
}

// swap puts the sibling of p in its place.
func (d disk) swap(p string) error {
	if err := os.Rename(d.path(sibling(p)), d.path(p)); err != nil {
		return fmt.Errorf("put %s in place: %w", p, err)
	}
	return d.syncDir(filepath.Dir(p))
}

// replace writes and swaps a file in one go.
func (d disk) replace(p string, content []byte, s standing) error {
	if err := d.clearForFile(p); err != nil {
		return err
	}
	if err := d.write(p, content, s); err != nil {
		return err
	}
	return d.swap(p)
}

// clearForFile takes an empty directory out of the way of a file or link.
func (d disk) clearForFile(p string) error {
	s, err := d.look(p)
	if err != nil || s.Sort != aDir {
		return err
	}
	if err := os.Remove(d.path(p)); err != nil {
		return fmt.Errorf("a directory is in the way of %s: %w", p, err)
	}
	return nil
}

// link makes a symbolic link, replacing what is there by rename.
func (d disk) link(p, target string) error {
	if err := d.clearForFile(p); err != nil {
		return err
	}
	name := d.path(sibling(p))
	if err := os.RemoveAll(name); err != nil {
		return fmt.Errorf("link %s: %w", p, err)
	}
	if err := os.Symlink(target, name); err != nil {
		return fmt.Errorf("link %s: %w", p, err)
	}
	return d.swap(p)
}

// remove removes a file or link; one that is gone is fine.
func (d disk) remove(p string) error {
	err := os.Remove(d.path(p))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", p, err)
	}
	return d.syncDir(filepath.Dir(p))
}

// removeTree removes a directory and all in it, at once for whoever looks:
// it is moved aside first.
func (d disk) removeTree(p string) error {
	if err := d.moveAside(p); err != nil {
		return err
	}
	if err := os.RemoveAll(d.path(aside(p))); err != nil {
		return fmt.Errorf("remove %s: %w", p, err)
	}
	return nil
}

// moveAside takes whatever stands on p out of the way, but keeps it.
func (d disk) moveAside(p string) error {
	s, err := d.look(p)
	if err != nil || s.Sort == nothing {
		return err
	}
	if err := os.RemoveAll(d.path(aside(p))); err != nil {
		return fmt.Errorf("move %s aside: %w", p, err)
	}
	if err := os.Rename(d.path(p), d.path(aside(p))); err != nil {
		return fmt.Errorf("move %s aside: %w", p, err)
	}
	return d.syncDir(filepath.Dir(p))
}

// removeEmpty removes a directory unless something is in it.
func (d disk) removeEmpty(p string) error {
	err := os.Remove(d.path(p))
	switch {
	case err == nil:
		return d.syncDir(filepath.Dir(p))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EEXIST), errors.Is(err, syscall.ENOTDIR):
		return nil
	}
	return fmt.Errorf("remove the directory %s: %w", p, err)
}

// makeDir makes a directory, or corrects the mode and owner of one.
func (d disk) makeDir(p string, s standing) error {
	if err := os.Mkdir(d.path(p), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the directory %s: %w", p, err)
	}
	// Opened without following a link: chown must not reach another place.
	f, err := os.OpenFile(d.path(p), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("make the directory %s: %w", p, err)
	}
	if err := errors.Join(f.Chown(s.UID, s.GID), f.Chmod(s.Mode), f.Close()); err != nil {
		return fmt.Errorf("make the directory %s: %w", p, err)
	}
	return d.syncDir(filepath.Dir(p))
}

// syncDir makes the names in a directory safe; one that is gone has none.
func (d disk) syncDir(p string) error { return d.sync(p) }

// sync makes a file or a directory safe as it stands, if it is there.
func (d disk) sync(p string) error {
	f, err := os.Open(d.path(p))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sync %s: %w", p, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", p, err)
	}
	return nil
}

// maxFile bounds what is read of a file that should hold configuration.
const maxFile = 64 << 20

func (d disk) read(p string) ([]byte, error) {
	f, err := os.Open(d.path(p))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", p, maxFile)
	}
	return content, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// special returns the bits of a mode above the permissions, as chmod counts them.
func special(m fs.FileMode) uint32 {
	var bits uint32
	for bit, value := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			bits |= value
		}
	}
	return bits
}
