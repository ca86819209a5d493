package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Room is what a file system has, in bytes and in files. What it keeps back for
// root is neither free nor used.
type Room struct {
	// ID is the same for directories of one file system.
	ID                      string
	Size, Used, Free        int64
	FilesInAll, FilesUnused int64
	// InMemory tells that it is a tmpfs, which no larger disk makes larger.
	InMemory bool
}

// FewFiles reports whether less than a part of the files is unused, or none is. A
// file system that has no bound of them has enough.
func (r Room) FewFiles(part int64) bool {
	return r.FilesInAll > 0 && r.FilesUnused <= (r.FilesInAll-1)/part
}

// RoomOf returns what the file system of a path has.
func RoomOf(path string) (Room, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Room{}, fmt.Errorf("look how much room is on the file system of %s: %w", path, err)
	}
	return Room{
		ID:   fmt.Sprint(s.Fsid),
		Size: int64(s.Blocks) * s.Bsize, Used: int64(s.Blocks-s.Bfree) * s.Bsize, Free: int64(s.Bavail) * s.Bsize, //nolint:gosec // no disk has so many
		FilesInAll: int64(s.Files), FilesUnused: int64(s.Ffree), //nolint:gosec // likewise
		InMemory: s.Type == unix.TMPFS_MAGIC,
	}, nil
}

// IsFull reports whether a write failed for want of room.
func IsFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// Full returns the problem of a write that failed for want of room: on which file
// system, how much it has left and what to do; nil if err is of another kind. The
// file system is that of the file that err names.
func Full(err error) *api.Problem {
	if !IsFull(err) {
		return nil
	}
	p := &api.Problem{Type: api.ProblemQuota, Title: "A disk of the machine is full"}
	where, left, do := "a file system of this machine", "", "destroy resources that are no longer needed, delete files, or give the machine a larger disk (\"foobar-agent status\" on the machine names the largest directory)"
	if dir := directory(err); dir != "" {
		where = "the file system of " + dir + " on this machine"
		if room, err := RoomOf(dir); err == nil {
			left = ": " + room.left()
			if room.InMemory {
				// What has no room is rarely what takes it: the agent's own files are here, too.
				p.Title, where = "A file system in the machine's memory is full", "the file system at "+mountOf(dir)+" of this machine"
				do = "stop and start the unit that fills it; \"foobar-agent status\" on the machine names the largest directory"
			}
		}
	}
	p.Detail = fmt.Sprintf("%s is full%s. To make room, %s; then apply again", where, left, do)
	return p
}

// left says what a file system has left, and first what it is full of.
func (r Room) left() string {
	bytes := fmt.Sprintf("%s of %s are free now", MiB(r.Free), MiB(r.Size))
	if r.FewFiles(100) {
		return fmt.Sprintf("%d more files of %d have room, and %s", r.FilesUnused, r.FilesInAll, bytes)
	}
	return bytes
}

// directory returns where the file lies that an error names, "" if it names none: a
// directory that is there.
func directory(err error) string {
	path := ""
	if at, ok := errors.AsType[*fs.PathError](err); ok && filepath.IsAbs(at.Path) {
		path = at.Path
	} else if at, ok := errors.AsType[*os.LinkError](err); ok && filepath.IsAbs(at.New) {
		path = at.New
	}
	if path == "" {
		return ""
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// mountOf returns where the file system of a directory begins.
func mountOf(dir string) string {
	for {
		parent := filepath.Dir(dir)
		if parent == dir || deviceOf(parent) != deviceOf(dir) {
			return dir
		}
		dir = parent
	}
}

// deviceOf tells file systems apart; 0 is none that is known.
func deviceOf(path string) uint64 {
	var s unix.Stat_t
	if unix.Stat(path, &s) != nil {
		return 0
	}
	return s.Dev
}

// MiB writes a number of bytes for a person.
func MiB(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
