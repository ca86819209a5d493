package artifact

import (
	"io"
	"path"
	"slices"
	"strings"
)

// maxNoted bounds the entries that [Contents] keep, a few MiB: those of
// a big node_modules fit.
const maxNoted = 65_536

// Contents is a sink that notes what is in an artifact, to tell before a
// machine unpacks it what it lacks. Of one with more entries than are noted it
// says nothing. The zero value is ready.
type Contents struct {
	entries map[string]noted
	over    bool // more than are noted
}

// noted is one entry; runs tells a file that its owner may run.
type noted struct {
	node
	runs bool
}

// Dir implements [Sink].
func (c *Contents) Dir(path string) error { return c.note(path, noted{node: node{kind: aDir}}) }

// File implements [Sink].
func (c *Contents) File(f File, _ io.Reader) error {
	return c.note(f.Path, noted{node: node{kind: aFile}, runs: f.Mode&0o100 != 0})
}

// Symlink implements [Sink].
func (c *Contents) Symlink(path, target string) error {
	return c.note(path, noted{node: node{kind: aLink, target: target}})
}

// HardLink implements [Sink].
func (c *Contents) HardLink(path, target string) error { return c.note(path, c.entries[target]) }

func (c *Contents) note(path string, n noted) error {
	switch {
	case c.over:
	case len(c.entries) >= maxNoted:
		c.entries, c.over = nil, true
	case c.entries == nil:
		c.entries = map[string]noted{path: n}
	default:
		c.entries[path] = n
	}
	return nil
}

// Lack is why a release has not what it is asked for.
type Lack int

// What a release may lack.
const (
	LacksNothing Lack = iota // or it cannot be told here
	LacksEntry
	LacksMode // it may not be run
	LacksFile // it is a directory
	LacksDirectory
	LacksOwnDirectory // a link is on the way, which nginx does not follow
)

// Program tells whether a path of the release, which links may be on, leads to
// a program. What a link finds on the machine is not told.
func (c *Contents) Program(name string) Lack {
	if c.over {
		return LacksNothing
	}
	at, rest := ".", strings.Split(name, "/")
	found := noted{node: node{kind: aDir}}
	for followed := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		next := path.Join(at, part)
		entry, ok := c.entries[next]
		switch {
		case part == "" || part == ".":
			continue
		case part == "..": // of a link, which does not lead out
			at, found = next, noted{node: node{kind: aDir}}
			continue
		case !ok || found.kind != aDir:
			return LacksEntry
		case entry.kind != aLink:
			at, found = next, entry
			continue
		}
		if followed++; IsInterpreter(entry.target) || followed > maxFollowed {
			return LacksNothing
		}
		rest = append(strings.Split(entry.target, "/"), rest...)
	}
	switch {
	case found.kind == aDir:
		return LacksFile
	case !found.runs:
		return LacksMode
	}
	return LacksNothing
}

// Directory tells whether a path of the release is a directory, without links.
func (c *Contents) Directory(name string) Lack {
	name = path.Clean(name)
	if c.over || name == "." {
		return LacksNothing
	}
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' {
			continue
		}
		switch entry, ok := c.entries[name[:i]]; {
		case !ok:
			return LacksEntry
		case entry.kind == aLink:
			return LacksOwnDirectory
		case entry.kind == aFile:
			return LacksDirectory
		}
	}
	return LacksNothing
}

// Programs returns the paths of the files that can be run, in order.
func (c *Contents) Programs() []string {
	return c.paths(func(n noted) bool { return n.kind == aFile && n.runs })
}

// Directories returns the paths of the directories, in order.
func (c *Contents) Directories() []string {
	return c.paths(func(n noted) bool { return n.kind == aDir })
}

func (c *Contents) paths(wanted func(noted) bool) []string {
	var found []string
	for name, n := range c.entries {
		if wanted(n) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
