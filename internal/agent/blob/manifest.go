package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Type is what an entry of a tree is.
type Type string

// The types of entries.
const (
	Regular   Type = "file"
	Directory Type = "dir"
	Symlink   Type = "link"
)

// Entry is one file, directory or link of a tree.
type Entry struct {
	// Path is relative to the tree, with slashes.
	Path string `json:"path"`
	Type Type   `json:"type"`
	// Mode holds the permission bits of a file or directory.
	Mode fs.FileMode `json:"mode,omitempty"`
	// Size, Modified and SHA256 are those of a file.
	Size     int64     `json:"size,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
	SHA256   string    `json:"sha256,omitempty"`
	// Target is where a link points.
	Target string `json:"target,omitempty"`
}

// Manifest lists what a tree holds, sorted by path.
type Manifest []Entry

// Bytes returns the size of all files together.
func (m Manifest) Bytes() int64 {
	var total int64
	for _, e := range m {
		total += e.Size
	}
	return total
}

// Difference is one path of a tree that is not as the manifest says.
type Difference struct {
	// Path is relative to the tree.
	Path string
	// Detail is "missing", "changed", or "not part of it".
	Detail string
}

// Compare looks for differences between the manifest and the tree that stands
// at dir, in the order of their paths. A file is only read when its size is
// right and its time is not: an edit changes the time, so an untouched tree of
// any size is compared by its metadata alone. A tree that is missing is
// [fs.ErrNotExist].
func (m Manifest) Compare(ctx context.Context, dir string) ([]Difference, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("look at the tree: %w", err)
	}
	if !info.IsDir() {
		return []Difference{{Path: ".", Detail: "changed"}}, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("look at the tree: %w", err)
	}
	found, err := m.compare(ctx, root)
	return found, errors.Join(err, root.Close())
}

func (m Manifest) compare(ctx context.Context, root *os.Root) ([]Difference, error) {
	var found []Difference
	expected := make(map[string]bool, len(m))
	for _, e := range m {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		expected[e.Path] = true
		if detail := e.compare(ctx, root); detail != "" {
			found = append(found, Difference{e.Path, detail})
		}
	}
	err := fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != "." && !expected[name] {
			found = append(found, Difference{name, "not part of it"})
		}
		return ctx.Err()
	})
	slices.SortFunc(found, func(a, b Difference) int { return strings.Compare(a.Path, b.Path) })
	return found, err
}

// compare returns what differs, in a word or two, or nothing.
func (e Entry) compare(ctx context.Context, root *os.Root) string {
	name := filepath.FromSlash(e.Path)
	info, err := root.Lstat(name)
	if err != nil {
		return "missing"
	}
	same := false
	switch e.Type {
	case Directory:
		same = info.IsDir() && info.Mode().Perm() == e.Mode
	case Symlink:
		target, err := root.Readlink(name)
		same = err == nil && target == e.Target
	case Regular:
		same = info.Mode() == e.Mode && info.Size() == e.Size &&
			(info.ModTime().Equal(e.Modified) || e.sameContent(ctx, root))
	}
	if same {
		return ""
	}
	return "changed"
}

func (e Entry) sameContent(ctx context.Context, root *os.Root) bool {
	f, err := root.Open(filepath.FromSlash(e.Path))
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	sum, err := checksum(ctx, f)
	return err == nil && sum == e.SHA256
}
