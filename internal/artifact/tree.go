package artifact

import (
	"archive/tar"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// node is one entry that was read.
type node struct {
	kind kind
	// explicit tells a directory that has an entry from one that only has
	// entries below it.
	explicit bool
	// target is where a symbolic link leads.
	target string
}

type kind byte

const (
	aDir kind = iota
	aFile
	aLink
)

// tree is what was read so far, by path.
type tree struct {
	nodes  map[string]node
	limits Limits
	names  int // bytes of all paths and targets
}

func refuse(entry, format string, args ...any) error {
	return &Error{Entry: entry, Reason: fmt.Sprintf(format, args...)}
}

// quote shortens a name that nobody would read to its end.
func quote(name string) string {
	const shown = 120
	if len(name) > shown {
		name = name[:shown/2] + "…" + name[len(name)-shown/2:]
	}
	return strconv.Quote(name)
}

// cleanName returns the path of an entry below the top directory, "." for that
// directory itself.
func cleanName(name string) (string, error) {
	if name == "" {
		return "", refuse("", "has an entry without a name")
	}
	if problem := textProblem(name); problem != "" {
		return "", refuse(name, "has a name that %s", problem)
	}
	switch {
	case strings.HasPrefix(name, "/"):
		return "", refuse(name, `has an absolute name; names are relative to the top directory of the release. Pack with "tar -C DIRECTORY -czf FILE ."`)
	case slices.Contains(strings.Split(name, "/"), ".."):
		return "", refuse(name, `has ".." in its name; every entry must be inside the top directory of the release`)
	}
	clean := path.Clean(name)
	if depth := strings.Count(clean, "/") + 1; depth > MaxDepth {
		return "", refuse(name, "is %d directories deep; at most %d parts are allowed in a path; move it up", depth-1, MaxDepth)
	}
	return clean, nil
}

// textProblem says why a text cannot be the path of an entry or the target of
// a link, "" if it can.
func textProblem(text string) string {
	if !utf8.ValidString(text) {
		return "is not UTF-8; rename the file"
	}
	if strings.ContainsFunc(text, controls) {
		return "holds a control character, such as a line break or one that changes the direction of text; rename the file"
	}
	if len(text) > MaxPath {
		return fmt.Sprintf("is %d bytes long; at most %d are allowed", len(text), MaxPath)
	}
	for part := range strings.SplitSeq(text, "/") {
		if len(part) > MaxPart {
			return fmt.Sprintf("has a part of %d bytes; Linux allows at most %d between two slashes", len(part), MaxPart)
		}
	}
	return ""
}

// controls reports whether a character breaks lines or changes the direction of text, so that
// a name is not what it looks like. Those that join emoji or letters are allowed.
func controls(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// place makes sure that name is free and that every directory above it is a
// real one, so that nothing is ever written through a link. It returns the
// directories that have to be made first, the topmost first.
func (t *tree) place(name string, header *tar.Header) (missing []string, err error) {
	if there, ok := t.nodes[name]; ok && (there.kind != aDir || header.Typeflag != tar.TypeDir || there.explicit) {
		return nil, refuse(header.Name, "is in the artifact twice")
	}
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		there, ok := t.nodes[parent]
		if !ok {
			missing = append(missing, parent)
			continue
		}
		if there.kind != aDir {
			return nil, refuse(header.Name, "is below %s, which is not a directory of the artifact", quote(parent))
		}
		break
	}
	slices.Reverse(missing)
	return missing, nil
}

// add notes an entry, within the limits.
func (t *tree) add(name string, n node) error {
	if len(t.nodes) >= t.limits.Entries {
		return refuse("", "has more than %d entries (files, directories and links), which is the limit; pack fewer files", t.limits.Entries)
	}
	if t.names += len(name) + len(n.target); t.names > MaxNames {
		return refuse("", "has names of more than %d bytes in all, which is the limit; use shorter paths", MaxNames)
	}
	t.nodes[name] = n
	return nil
}

// checkTarget checks the target of a symbolic link by itself.
func checkTarget(name string, header *tar.Header) error {
	target := header.Linkname
	if IsInterpreter(target) {
		return nil
	}
	if target == "" {
		return refuse(header.Name, "is a link to nothing")
	}
	if problem := textProblem(target); problem != "" {
		return refuse(header.Name, "is a link whose target %s", problem)
	}
	if strings.HasPrefix(target, "/") || leaves(path.Join(path.Dir(name), target)) { //nolint:gosec // G305: looked at, not followed
		return leadsOut(header.Name, target)
	}
	return nil
}

func leadsOut(name, target string) error {
	return refuse(name, "is a link to %s, which is outside of the artifact; a link may lead to what is in it, by a relative path, or to /usr/bin/python3", quote(target))
}

func leaves(clean string) bool { return clean == ".." || strings.HasPrefix(clean, "../") }

// checkLinks follows every symbolic link once all entries are known: one that
// passes over other links can lead out although its own text does not.
func (t *tree) checkLinks(ctx context.Context) error {
	for name, n := range t.nodes {
		if n.kind != aLink {
			continue
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := t.follow(name, n.target); err != nil {
			return err
		}
	}
	return nil
}

// follow walks to the end of a link as Linux does. What is not in the artifact
// is taken for a directory: a link may lead to nothing, but not out.
func (t *tree) follow(name, target string) error {
	if IsInterpreter(target) {
		return nil
	}
	dir, rest := path.Dir(name), strings.Split(target, "/")
	for followed := 1; len(rest) > 0; { // a walk in circles follows links
		part := rest[0]
		rest = rest[1:]
		switch {
		case part == "" || part == ".":
			continue
		case part == ".." && dir == ".":
			return leadsOut(name, target)
		case part == "..":
			dir = path.Dir(dir)
			continue
		}
		next, ok := t.nodes[path.Join(dir, part)]
		if !ok || next.kind != aLink {
			dir = path.Join(dir, part)
			continue
		}
		followed++
		switch {
		case IsInterpreter(next.target) && len(rest) == 0:
			return nil
		case IsInterpreter(next.target):
			return leadsOut(name, target)
		case followed > maxFollowed:
			return refuse(name, "is a link to %s, which leads in a circle or over more than %d links", quote(target), maxFollowed)
		}
		rest = append(strings.Split(next.target, "/"), rest...)
	}
	return nil
}
