package host

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxWalked bounds how many files [Usages.Largest] looks at in one directory,
	// maxDepth how deep, as each level takes a file descriptor, and readAtOnce how
	// many names it has in memory for each level. maxInAll bounds how many files one
	// call looks at in all directories together.
	maxWalked, maxDepth, readAtOnce, maxInAll = 10_000, 32, 256, 100_000
	// usageLife is how long what was found is shown again.
	usageLife = 10 * time.Second
)

// Usage is what a directory takes of its file system.
type Usage struct {
	Bytes, Files int64
	// AtLeast tells that it takes more, as not all of it was looked at.
	AtLeast bool
}

// String writes it for a person.
func (u Usage) String() string {
	text := fmt.Sprintf("%s in %d files", MiB(u.Bytes), u.Files)
	if u.AtLeast {
		return "at least " + text
	}
	return text
}

// Usages finds out what directories take. Who asks may be many, and the answer
// costs a walk: one walks at a time, and the others are shown what it found. The
// zero value is ready.
type Usages struct {
	// Now is the clock; nil is the real one.
	Now func() time.Time

	mu    sync.Mutex
	found map[string]found // by patterns
}

type found struct {
	dir   string
	usage Usage
	at    time.Time
}

// Largest returns the directory that takes most of those that match one of the
// patterns, as [filepath.Match] does; "" if none can be read. It may have been so
// some seconds ago. Owners of directories may change them meanwhile, or want to keep
// the agent busy: no link is followed, nothing that blocks is opened, and what is
// looked at is bounded. Once ctx is over it returns what it found until then.
func (u *Usages) Largest(ctx context.Context, patterns ...string) (dir string, usage Usage) {
	return u.largest(ctx, false, patterns)
}

// MostFiles is [Usages.Largest] by the number of files.
func (u *Usages) MostFiles(ctx context.Context, patterns ...string) (dir string, usage Usage) {
	return u.largest(ctx, true, patterns)
}

func (u *Usages) largest(ctx context.Context, byFiles bool, patterns []string) (dir string, usage Usage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now
	if u.Now != nil {
		now = u.Now
	}
	key := fmt.Sprint(byFiles, "\n", strings.Join(patterns, "\n"))
	if f, ok := u.found[key]; ok && now().Sub(f.at) < usageLife {
		return f.dir, f.usage
	}
	left := int64(maxInAll)
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern) // the pattern is one of ours
		for _, match := range matches {
			if ctx.Err() != nil { // which is shown to nobody else
				return dir, usage
			}
			if left <= 0 {
				break
			}
			used, err := usageOf(match, min(left, maxWalked))
			left -= used.Files + 1
			if err == nil && (dir == "" || used.more(usage, byFiles)) {
				dir, usage = match, used
			}
		}
	}
	if u.found == nil {
		u.found = map[string]found{}
	}
	u.found[key] = found{dir, usage, now()}
	return dir, usage
}

// more compares by bytes, or by files where these are what the file system lacks.
func (u Usage) more(than Usage, byFiles bool) bool {
	if byFiles && u.AtLeast != than.AtLeast {
		return u.AtLeast
	}
	if byFiles && u.Files != than.Files {
		return u.Files > than.Files
	}
	return u.Bytes > than.Bytes || u.Bytes == than.Bytes && u.Files > than.Files
}

// usageOf looks at a directory, and at so many files at most.
func usageOf(path string, most int64) (Usage, error) {
	dir, err := openDir(unix.AT_FDCWD, path)
	if err != nil {
		return Usage{}, err
	}
	defer dir.Close() //nolint:errcheck // it was only read
	seen := walk{most: most}
	seen.add(dir, maxDepth)
	return seen.Usage, nil
}

// walk adds up what is in a directory.
type walk struct {
	Usage
	most int64
}

// openDir opens a directory at a path below another. Anything else that has
// taken its place meanwhile is refused, and not waited for.
func openDir(at int, path string) (*os.File, error) {
	fd, err := unix.Openat(at, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil //nolint:gosec // a descriptor
}

// add counts what is in a directory, as deep as that.
func (w *walk) add(dir *os.File, depth int) {
	for !w.AtLeast {
		names, err := dir.Readdirnames(readAtOnce)
		if err != nil { // its end, or it was just removed
			return
		}
		for _, name := range names {
			if w.count(dir, name, depth); w.AtLeast {
				return
			}
		}
	}
}

// count counts one file of a directory, and what is in it.
func (w *walk) count(dir *os.File, name string, depth int) {
	var s unix.Stat_t
	at := int(dir.Fd()) //nolint:gosec // a descriptor
	if unix.Fstatat(at, name, &s, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return // it was just removed
	}
	w.Files++
	w.Bytes += s.Blocks * blockUnit // the size of one with holes says nothing
	if w.Files >= w.most {
		w.AtLeast = true
		return
	}
	if s.Mode&unix.S_IFMT != unix.S_IFDIR {
		return
	}
	if depth == 0 {
		return // what is deeper is not counted
	}
	if below, err := openDir(at, name); err == nil {
		w.add(below, depth-1)
		_ = below.Close() // it was only read
	}
}
