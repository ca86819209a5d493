// Package statefile reads the files that an agent keeps. A damaged one stops
// nobody: it is set aside, or stays where it is until a write replaces it, a
// condition names it with the way out, and everything else goes on.
//
// Each package that keeps files lists them as [Kind]s, in one table.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// AsideDir is where damaged files are kept, below the agent's directory.
	AsideDir = "damaged"
	// KeepAside is how many of them are kept. More than that are no accident of
	// single files, and the first ones show what happened.
	KeepAside = 256
	// NewSuffix ends the name of a file that is being written.
	NewSuffix = ".new"
	// maxSize bounds what is read of a file, in bytes: twice what an agent ever
	// writes into one, which is a spec with all its rendered files.
	maxSize = 64 << 20
)

// Kind is one kind of file that the agent keeps below its directory.
type Kind struct {
	// Pattern matches the paths below the agent's directory, as
	// [filepath.Match] does.
	Pattern string
	// Holds says what is in it, as in "the record of a past operation".
	Holds string
	// Stays tells that a damaged file is not moved at the start: that it is
	// there and cannot be read has a meaning for those who read it.
	Stays bool
	// Dir tells that it is a directory, whose files are kinds of their own.
	Dir bool
	// Leftovers match what a kill leaves beside it, besides the names that end in
	// [NewSuffix].
	Leftovers []string
	// Check reports what is wrong with a file's content.
	Check func(path string, content []byte) error
	// Then says what follows from a damaged one and what to do, in whole
	// sentences.
	Then string
	// Here says the same of one that stays, while it is damaged; without it those
	// who read the file tell of it.
	Here string
	// Severity is how bad that is.
	Severity api.Severity
	// Renewed tells that the condition of a file that was set aside ends once a
	// good one is in its place or, of one that stays, once that is gone again.
	// Without it the condition ends when the file is removed.
	Renewed bool
	// Settled, if there is one, says instead when the condition ends; path is
	// where the file was.
	Settled func(path string) bool
}

// Damaged is a file that is there and cannot be used.
type Damaged struct {
	Path string
	Err  error
}

// Error names the file and what is wrong with it.
func (d *Damaged) Error() string { return fmt.Sprintf("the file %s is damaged: %v", d.Path, d.Err) }

// Unwrap returns what is wrong.
func (d *Damaged) Unwrap() error { return d.Err }

// As returns the damage in err's chain, nil if there is none.
func As(err error) *Damaged {
	d, _ := errors.AsType[*Damaged](err)
	return d
}

// Read returns the content of a file, nil if there is none. Its error is a
// [Damaged].
func Read(path string) ([]byte, error) {
	content, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Damaged{Path: path, Err: plain(err)}
	}
	return content, nil
}

// plain leaves out the path, which the error's reader has already.
func plain(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("it cannot be read: %w", at.Err)
	}
	return err
}

func read(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := regular(info.Mode()); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch err = errors.Join(err, f.Close()); {
	case err != nil:
		return nil, err
	case len(content) > maxSize:
		return nil, fmt.Errorf("it is larger than %d bytes", maxSize)
	}
	return content, nil
}

// regular reports what stands in a file's place. Nothing is opened for that: a
// pipe would wait for a writer.
func regular(mode fs.FileMode) error {
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return errors.New("a directory is in its place")
	case mode&fs.ModeSymlink != 0:
		return errors.New("a symbolic link is in its place")
	}
	return errors.New("a special file is in its place")
}

// ReadJSON reads a file into v and reports whether there is one. Its error is a
// [Damaged], also where check, which may be nil, finds what the agent never
// wrote.
func ReadJSON(path string, v any, check func() error) (bool, error) {
	content, err := Read(path)
	if err != nil || content == nil {
		return false, err
	}
	err = decode(content, v)
	if err == nil && check != nil {
		err = check()
	}
	if err != nil {
		return true, &Damaged{Path: path, Err: err}
	}
	return true, nil
}

// decode says what is wrong without quoting the content: it may be a secret.
func decode(content []byte, v any) error {
	if len(content) == 0 {
		return errors.New("it is empty")
	}
	err := json.Unmarshal(content, v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%q holds a %s, which this version of the agent does not expect", wrong.Field, wrong.Value)
	}
	if err != nil {
		return errors.New("it is not a whole JSON document")
	}
	return nil
}

// JSON returns a check of a file that has to hold a T, and one that valid
// accepts.
func JSON[T any](valid func(path string, value T) error) func(string, []byte) error {
	return func(path string, content []byte) error {
		var value T
		if err := decode(content, &value); err != nil {
			return err
		}
		return valid(path, value)
	}
}

// SetAside moves what stands on a path below dir to dir's [AsideDir], under a
// number that no other has, and returns where it is now.
func SetAside(dir, path string) (string, error) { return setAside(dir, path, os.Rename) }

// Keep is SetAside for what is about to be replaced: it stays in its place until
// then, so that at no moment there is none, also where the write fails. A directory
// cannot stay: an empty file, which is as damaged, takes its place.
func Keep(dir, path string) (string, error) {
	return setAside(dir, path, func(from, to string) error {
		if info, err := os.Lstat(from); err != nil || !info.IsDir() {
			return os.Link(from, to)
		}
		if err := os.Rename(from, to); err != nil {
			return err
		}
		empty, err := os.OpenFile(from, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return errors.Join(err, os.Rename(to, from))
		}
		return empty.Close()
	})
}

func setAside(dir, path string, move func(from, to string) error) (string, error) {
	below, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(below) {
		return "", fmt.Errorf("set %s aside: it does not lie below %s", path, dir)
	}
	kept := asideIn(dir)
	number := 1
	if len(kept) > 0 {
		number = kept[len(kept)-1].number + 1
	}
	to := filepath.Join(dir, AsideDir, below) + "." + strconv.Itoa(number)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", fmt.Errorf("set %s aside: %w", path, err)
	}
	if err := move(path, to); err != nil {
		return "", fmt.Errorf("set %s aside: %w", path, err)
	}
	for i := KeepAside - 1; i < len(kept); i++ { // the newest of those before make room
		if err := os.RemoveAll(kept[i].at); err != nil {
			return to, fmt.Errorf("bound the files that were set aside: %w", err)
		}
	}
	return to, errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(path)))
}

// aside is a file that was set aside.
type aside struct {
	at     string // where it is
	path   string // where it was, below the agent's directory
	number int
}

// asideIn lists what was set aside, oldest first. What cannot be listed is not.
func asideIn(dir string) []aside {
	var all []aside
	root := filepath.Join(dir, AsideDir)
	_ = filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // the rest can be listed all the same
		}
		below, _ := filepath.Rel(root, at)
		dot := strings.LastIndexByte(below, '.')
		number, err := strconv.Atoi(below[dot+1:])
		if dot < 0 || err != nil {
			return nil //nolint:nilerr // a directory on the way, or not ours
		}
		all = append(all, aside{at: at, path: below[:dot], number: number})
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	slices.SortFunc(all, func(a, b aside) int { return a.number - b.number })
	return all
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
