package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxWalked bounds how many files [Largest] looks at in one directory.
const maxWalked = 10_000

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

// Largest returns the directory that takes most of those that match one of the
// patterns, as [filepath.Match] does; "" if none can be read. Their owners may change them
// meanwhile: no link is followed.
func Largest(patterns ...string) (dir string, usage Usage) {
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern) // the pattern is one of ours
		for _, match := range matches {
			used, err := usageOf(match)
			if err == nil && (dir == "" || used.more(usage)) {
				dir, usage = match, used
			}
		}
	}
	return dir, usage
}

// more compares by bytes, unless one has so many files that they are what counts.
func (u Usage) more(than Usage) bool {
	if u.AtLeast != than.AtLeast {
		return u.AtLeast
	}
	return u.Bytes > than.Bytes || u.Bytes == than.Bytes && u.Files > than.Files
}

var errEnough = errors.New("enough was looked at")

func usageOf(dir string) (Usage, error) {
	var u Usage
	root, err := os.OpenRoot(dir)
	if err != nil {
		return u, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	err = fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it was just removed
		}
		if u.Files++; u.Files >= maxWalked {
			u.AtLeast = true
			return errEnough
		}
		if info, err := root.Lstat(path); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok { // the size of one with holes says nothing
				u.Bytes += s.Blocks * blockUnit
			}
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return u, err
}
