package agent

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// The room that a file system should have, in bytes, as a part of its size and
// at most as a number.
const (
	// nearlyFullPart and nearlyFull: a twentieth and 512 MiB, below which the
	// agent refuses uploads (see package blob), and ext4 keeps as much for root.
	nearlyFullPart, nearlyFull = 20, 512 << 20
	// fullPart and full: a hundredth and 64 MiB, which is the largest file that
	// one change of a component may replace.
	fullPart, full = 100, 64 << 20
)

// Disk is what a file system has, in bytes and in files. Those that it keeps
// back for root are not free.
type Disk struct {
	// ID is the same for directories of one file system.
	ID                      string
	Size, Free              int64
	FilesInAll, FilesUnused int64
}

// Watched is a directory whose file system must not become full.
type Watched struct {
	// Pattern matches the directory, as [filepath.Match] does; there may be none.
	Pattern string
	// Holds says what lies in it.
	Holds string
	// Do says what makes room there.
	Do string
}

// watched are the directories of a machine that are watched.
func watched(state string) []Watched {
	return []Watched{
		{state, "what the agent keeps", "remove app servers that are no longer needed, or give the machine a larger disk"},
		{"/var/lib/foobar-db/*", "a database's data", "delete data, or give the machine a larger disk: a full one stops the database's writes"},
		{"/var/log/journal", "the log", "run journalctl --vacuum-size=100M, or give the machine a larger disk: a full one loses log lines"},
	}
}

// diskOf looks at the file system of a directory.
func diskOf(dir string) (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Disk{}, err
	}
	return Disk{
		ID:   fmt.Sprint(s.Fsid),
		Size: int64(s.Blocks) * s.Bsize, Free: int64(s.Bavail) * s.Bsize, //nolint:gosec // no disk has so many
		FilesInAll: int64(s.Files), FilesUnused: int64(s.Ffree), //nolint:gosec // likewise
	}, nil
}

// diskConditions tells of each file system that is full or nearly so, once,
// with the directories that lie on it.
func diskConditions(root string, dirs []Watched, look func(dir string) (Disk, error)) []api.Condition {
	type found struct {
		disk  Disk
		dirs  []string
		first Watched
	}
	var all []*found
	byID := map[string]*found{}
	for _, w := range dirs {
		matches, err := filepath.Glob(filepath.Join(root, w.Pattern))
		if err != nil {
			continue // the pattern is one of ours
		}
		for _, dir := range matches {
			disk, err := look(dir)
			if err != nil {
				continue // it was just removed, or is no directory
			}
			f := byID[disk.ID]
			if f == nil {
				f = &found{disk: disk, first: w}
				byID[disk.ID], all = f, append(all, f)
			}
			f.dirs = append(f.dirs, fmt.Sprintf("%s (%s)", dir, w.Holds))
		}
	}
	var conditions []api.Condition
	for _, f := range all {
		if c, tight := f.disk.condition(strings.Join(f.dirs, ", "), f.first.Do); tight {
			conditions = append(conditions, c)
		}
	}
	return conditions
}

// condition returns what is to be told of a file system, if anything is.
func (d Disk) condition(dirs, do string) (api.Condition, bool) {
	c := api.Condition{Type: "DiskNearlyFull", Severity: api.SeverityWarning}
	switch {
	case d.Free < min(d.Size/fullPart, full) || d.FilesInAll > 0 && d.FilesUnused < d.FilesInAll/fullPart || d.Size > 0 && d.Free == 0:
		c.Type, c.Severity = "DiskFull", api.SeverityError
	case d.Free < min(d.Size/nearlyFullPart, nearlyFull) || d.FilesInAll > 0 && d.FilesUnused < d.FilesInAll/nearlyFullPart:
	default:
		return c, false
	}
	c.Message = fmt.Sprintf("The file system of %s has %s free of %s", dirs, inMiB(d.Free), inMiB(d.Size))
	if d.FilesInAll > 0 && d.FilesUnused < d.FilesInAll/nearlyFullPart {
		c.Message += fmt.Sprintf(", and room for %d more files of %d", d.FilesUnused, d.FilesInAll)
	}
	c.Message += fmt.Sprintf("; below %s uploads are refused. To make room, %s.", inMiB(min(d.Size/nearlyFullPart, nearlyFull)), do)
	return c, true
}

func inMiB(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
