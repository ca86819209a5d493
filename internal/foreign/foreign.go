// Package foreign is how root deals with what other accounts own: a database's
// data, an app's socket. Such an account can put a link in the place of whatever
// lies in its own directories, at any moment, and root would follow it: a chown
// of what a path leads to turns /etc into the account's own.
//
// Two rules keep root out of that. A path is followed only as far as root alone
// decides where it leads: [Trusted] refuses a path of which anything else could
// be swapped. In the directory at its end, which may be another account's, files
// are opened by their name in it, without following a link, and only if they are
// what they should be. And what works on such files at length runs as their
// owner, see [Account.Command].
package foreign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Trusted refuses a directory of which somebody else than root could decide where
// its path leads: it and all directories above have to be root's own, writable by
// nobody else, and no links. A sticky directory such as /tmp will do, as nobody
// can swap there what is another one's. For whoever is not root, as tests
// may be, the own account counts like root.
//
// What it has found stays true: only root can change it.
func Trusted(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%s is no absolute path", dir)
	}
	at := "/"
	for _, name := range append([]string{""}, strings.Split(strings.Trim(filepath.Clean(dir), "/"), "/")...) {
		at = filepath.Join(at, name)
		var s unix.Stat_t
		if err := unix.Lstat(at, &s); err != nil {
			return &fs.PathError{Op: "look at", Path: at, Err: err}
		}
		switch own := s.Uid == 0 || int(s.Uid) == os.Geteuid(); {
		case s.Mode&unix.S_IFMT == unix.S_IFLNK:
			return fmt.Errorf("%s is a link, and has to be a directory", at)
		case s.Mode&unix.S_IFMT != unix.S_IFDIR:
			return fmt.Errorf("%s is no directory", at)
		case !own:
			return fmt.Errorf("%s belongs to user %d, who could put something else in the place of what is in it; give it back with: chown root:root %s", at, s.Uid, at)
		case s.Mode&0o022 != 0 && s.Mode&unix.S_ISVTX == 0:
			return fmt.Errorf("%s is writable by others than root, who could put something else in the place of what is in it; take that away with: chmod go-w %s", at, at)
		}
	}
	return nil
}

// Make makes the directory at path, in a trusted one, and gives it to an account.
// One that exists is corrected; it is not changed beyond that.
func Make(path string, owner Account, mode fs.FileMode) error {
	if err := Trusted(filepath.Dir(path)); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make %s: %w", path, err)
	}
	f, err := open(path)
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := errors.Join(f.Chown(owner.UID, owner.GID), f.Chmod(mode), f.Close()); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}

// open opens a directory, whoever's it is, in a trusted one.
func open(dir string) (*os.File, error) {
	if err := Trusted(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	return os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// ReadFile reads a file in another account's directory, of at most limit bytes.
func ReadFile(dir, name string, limit int64) ([]byte, error) {
	failed := func(err error) error { return &fs.PathError{Op: "read", Path: filepath.Join(dir, name), Err: err} }
	d, err := open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // it was only read
	// Without waiting: there may be a pipe in the file's place.
	fd, err := unix.Openat(int(d.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) //nolint:gosec // a descriptor is small
	if err != nil {
		return nil, failed(err)
	}
	f := os.NewFile(uintptr(fd), filepath.Join(dir, name)) //nolint:gosec // as above
	defer f.Close()                                        //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, failed(err)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	if err != nil {
		return nil, failed(err)
	}
	return content, nil
}

// Exists reports whether there is a regular file in another account's directory.
func Exists(dir, name string) (bool, error) {
	d, err := open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer d.Close() //nolint:errcheck // it was only read
	var s unix.Stat_t
	err = unix.Fstatat(int(d.Fd()), name, &s, unix.AT_SYMLINK_NOFOLLOW) //nolint:gosec // a descriptor is small
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "look for", Path: filepath.Join(dir, name), Err: err}
	}
	return s.Mode&unix.S_IFMT == unix.S_IFREG, nil
}

// WriteFile writes a file, readable by root alone, into another account's
// directory, so that after a power loss there is all of it or none.
func WriteFile(dir, name string, content []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
		}
	}()
	d, err := open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	at, temporary := int(d.Fd()), name+".tmp" //nolint:gosec // a descriptor is small
	if err := unix.Unlinkat(at, temporary, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fd, err := unix.Openat(at, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), temporary) //nolint:gosec // as above
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = unix.Renameat(at, temporary, at, name)
	}
	if err != nil {
		return err
	}
	return d.Sync()
}

// Remove removes a file of another account's directory, durably, if it is there.
func Remove(dir, name string) error {
	d, err := open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()                                   //nolint:errcheck // Sync tells
	err = unix.Unlinkat(int(d.Fd()), name, 0)         //nolint:gosec // a descriptor is small
	if err == nil || errors.Is(err, fs.ErrNotExist) { // it may be gone and that not be on the disk yet
		err = d.Sync()
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Join(dir, name), err)
	}
	return nil
}

// Dial connects to the Unix socket at path, in another account's directory in a
// trusted one. A link in its place, for instance to a socket that is open to root
// alone, is refused.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	failed := func(err error) error {
		return &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: err}
	}
	socket, _, err := openSocket(path)
	if err != nil {
		return nil, failed(err)
	}
	defer socket.Close() //nolint:errcheck // it was only a name
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", socket.Fd()))
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = failed(op.Err)
	}
	return conn, err
}

// Socket returns the inode and the device of the Unix socket that [Dial] connects to.
// The error is an [fs.ErrNotExist] if there is no file at path.
func Socket(path string) (inode, device uint64, err error) {
	socket, s, err := openSocket(path)
	if err != nil {
		return 0, 0, &fs.PathError{Op: "look at", Path: path, Err: err}
	}
	return s.Ino, s.Dev, socket.Close()
}

// openSocket opens the name of a socket, without a link in its place.
func openSocket(path string) (*os.File, unix.Stat_t, error) {
	var s unix.Stat_t
	d, err := open(filepath.Dir(path))
	if err != nil {
		return nil, s, err
	}
	defer d.Close()                                                                                         //nolint:errcheck // it was only read
	fd, err := unix.Openat(int(d.Fd()), filepath.Base(path), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0) //nolint:gosec // a descriptor is small
	if err != nil {
		return nil, s, err
	}
	socket := os.NewFile(uintptr(fd), path) //nolint:gosec // as above
	if err = unix.Fstat(fd, &s); err == nil && s.Mode&unix.S_IFMT != unix.S_IFSOCK {
		err = errors.New("it is no socket")
	}
	if err != nil {
		return nil, s, errors.Join(err, socket.Close())
	}
	return socket, s, nil
}
