// Package converge brings a machine's files and units to a wanted state as one
// transaction: what it begins ends either applied or undone, also when the
// agent is killed between any two of its steps.
//
// It knows nothing of load balancers or apps. A kind (see package operation)
// says what the state should be, checks it with the engine's own checker, and
// makes the running engine follow.
package converge

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// State is everything of a component that stands on the machine's disk or
// under systemd. A kind renders it from a spec, purely; the zero State is that
// of a component that does not exist.
//
// What a new state no longer has, a unit or a file, is stopped and removed once
// the transaction is committed and nothing needs it any more, so that the old
// serves until the new does, and how long the old takes to end decides nothing.
// A kind whose new unit needs what the old one holds stops the old one itself; and
// an engine must be given its files by name, not by a pattern that still matches
// old ones.
type State struct {
	// Users are the system accounts that own files or run units. They are
	// made when missing and outlive the component, so that a user id is never
	// given twice.
	Users []User `json:"users,omitempty"`
	Dirs  []Dir  `json:"dirs,omitempty"`
	Trees []Tree `json:"trees,omitempty"`
	Files []File `json:"files,omitempty"`
	Links []Link `json:"links,omitempty"`
	Units []Unit `json:"units,omitempty"`
}

// User is a system account without a shell or a home.
type User struct {
	Name string `json:"name"`
	// Groups are further groups, which must exist.
	Groups []string `json:"groups,omitempty"`
}

// Dir is a directory that the component needs. It is removed with the
// component only if it is empty then.
type Dir struct {
	Path  string      `json:"path"`
	Mode  fs.FileMode `json:"mode"`
	Owner string      `json:"owner"` // a user name
	Group string      `json:"group"` // a group name
}

// Tree is a read-only directory, owned by root, with the content of an
// artifact from the blob store. It is named for its content and never changed
// in place.
type Tree struct {
	Path string `json:"path"`
	// SHA256 is the blob's checksum, MaxBytes bounds the unpacked size.
	SHA256   string `json:"sha256"`
	MaxBytes int64  `json:"max_bytes"`
	// Source is the place in the spec that names the artifact.
	Source api.Pointer `json:"source"`
	// Signature is what has to hold for the artifact, nil for nothing.
	Signature *Signature `json:"signature,omitempty"`
}

// Signature is a minisign signature with the keys that may have made it; see
// [artifact.ParseSignature].
type Signature struct {
	Text string   `json:"text"`
	Keys []string `json:"keys"`
	// Source is the place in the spec that has the text.
	Source api.Pointer `json:"source"`
}

// File is a regular file.
type File struct {
	// Path is absolute; its directory is made (root, 0755) if it is missing
	// and no Dir says otherwise.
	Path  string      `json:"path"`
	Mode  fs.FileMode `json:"mode"`
	Owner string      `json:"owner"`
	Group string      `json:"group"`
	// Content is the file's text. That of a secret file is recorded as a
	// checksum only and its backup during a transaction is root-only.
	Content []byte `json:"content,omitempty"`
	Secret  bool   `json:"secret,omitempty"`
	// Sources is the source map: the place in the spec that each line came
	// from, by line number from 1. Lines without one are of our own making.
	Sources map[int]api.Pointer `json:"sources,omitempty"`
}

// Link is a symbolic link, set by rename.
type Link struct {
	Path   string      `json:"path"`
	Target string      `json:"target"`
	Source api.Pointer `json:"source,omitempty"`
	// Switch tells that traffic follows the link: it is set once what it leads
	// to is active, and before the commit.
	Switch bool `json:"switch,omitempty"`
	// InPlace tells of such a link that the units which the traffic goes to stay the same,
	// so that what is switched by it does not stand beside what it replaces.
	InPlace bool `json:"in_place,omitempty"`
}

// Unit is a systemd unit that is wanted running now and after each boot. Its
// unit file is one of Files, or an instance of a template that is, and has an
// [Install] section. What others amend it with (systemctl edit, systemctl
// set-property) is a drift.
type Unit struct {
	Name string `json:"name"`
	// Prefix begins, up to a dash, the names of all units of the component's kind, ""
	// for none. What amends units of a longer beginning of the name (systemd.unit(5))
	// is then a drift too, of each component that it amends: that of "shop" also amends
	// the units of "shop-api".
	Prefix string `json:"prefix,omitempty"`
}

// File returns the file that the state has at path, the zero File if it has none.
func (s State) File(path string) File {
	for _, f := range s.Files {
		if f.Path == path {
			return f
		}
	}
	return File{}
}

// Change is what a transaction does to a component, seen from what really
// stands on the machine: a file that was edited by hand is in it even when
// the spec is the same.
type Change struct {
	// Name is the component's.
	Name string
	// From and To are the versions before and after; nil means that the
	// component did not or will not exist.
	From, To *Version
	// Paths holds each file, link or tree that is made, replaced or removed, each
	// file whose mode or owner is set, and by [UserKey] each account that somebody
	// removed and that is made again.
	Paths map[string]api.ChangeAction
	// Edited holds the files whose content is not on the machine as From recorded
	// it: somebody changed or removed them. The running engine may have read
	// them since, so it cannot be taken to run what From says.
	Edited map[string]bool
	// Undo tells that the transaction failed and the machine is brought back
	// to To, which is what stood before.
	Undo bool
	// Restart tells that all processes are to be new ones, whatever else changes.
	Restart bool
	// Forget names other machines that need not answer to a deletion.
	Forget []string
	// Warned takes what [Change.Warn] is called with; nil drops it.
	Warned func(api.Condition)
}

// Warn adds a warning to the operation that makes the change, which replaces one of the
// same type: what is done again after a crash warns again.
func (c Change) Warn(kind string, at api.Pointer, format string, args ...any) {
	if c.Warned != nil {
		c.Warned(api.Condition{Type: kind, Severity: api.SeverityWarning, Pointer: at, Message: fmt.Sprintf(format, args...)})
	}
}

// InPlace is what stands of a component when a new state of it is rendered, so
// that the new can stand beside it.
type InPlace struct {
	// State is the one that was applied last, the zero State if there is none.
	State State
	// Spec is the one that it was rendered from, nil if there is none that this
	// version of the agent understands.
	Spec any
	// Touched holds what of it is not as it was applied, see [Engine.Touched].
	Touched map[string]bool
}

// Everything returns the paths, units and accounts of a state, as [Engine.Touched]
// does those that are not as they were applied.
func (s State) Everything() map[string]bool {
	all := map[string]bool{}
	for _, key := range slices.Concat(s.paths(), s.units()) {
		all[key] = true
	}
	for _, t := range s.Trees {
		all[t.Path] = true
	}
	for _, u := range s.Users {
		all[UserKey(u.Name)] = true
	}
	return all
}

// And returns a state with what another one has beyond it.
func (s State) And(other State) State {
	s.Users = union(s.Users, other.Users, func(u User) string { return u.Name })
	s.Dirs = union(s.Dirs, other.Dirs, func(d Dir) string { return d.Path })
	s.Trees = union(s.Trees, other.Trees, func(t Tree) string { return t.Path })
	s.Files = union(s.Files, other.Files, func(f File) string { return f.Path })
	s.Links = union(s.Links, other.Links, func(l Link) string { return l.Path })
	s.Units = union(s.Units, other.Units, func(u Unit) string { return u.Name })
	return s
}

func union[T any](all, more []T, key func(T) string) []T {
	all = slices.Clone(all)
	for _, m := range more {
		if !slices.ContainsFunc(all, func(t T) bool { return key(t) == key(m) }) {
			all = append(all, m)
		}
	}
	return all
}

// Link returns where the state has a link lead, "" if it has none at path.
func (s State) Link(path string) string {
	for _, l := range s.Links {
		if l.Path == path {
			return l.Target
		}
	}
	return ""
}

// Version is a spec with the state that was rendered from it.
type Version struct {
	// Spec is the kind's own typed spec.
	Spec  any
	State State
	// Secrets are the values that it was rendered with, as far as they are known:
	// nobody may see them in what the version's processes say.
	Secrets map[string]api.Secret `json:"-"`
}

// Changed reports whether the change makes, replaces or removes what stands on
// path. A file whose mode or owner alone is set is not changed: whoever has
// read it would read the same again.
func (c Change) Changed(path string) bool {
	action, ok := c.Paths[path]
	return ok && action != api.ChangeAttributes
}

// Before returns the state that was recorded, without any the zero State: of what
// runs without a record nobody knows what it has read.
func (c Change) Before() State {
	if c.From == nil {
		return State{}
	}
	return c.From.State
}

// ChangesUnit reports whether the file of a unit, or one that amends it, is another
// after the change, on the disk or by the record.
func (c Change) ChangesUnit(unit, file string) bool {
	return c.Changed(file) || c.Amends(Unit{Name: unit}) || !bytes.Equal(c.Before().File(file).Content, c.To.State.File(file).Content)
}

// Amends reports whether the change makes or removes a file that amends a unit.
func (c Change) Amends(u Unit) bool {
	dirs := u.dropInDirs()
	for p := range c.Paths {
		if c.Changed(p) && slices.Contains(dirs, path.Base(path.Dir(p))) {
			return true
		}
	}
	return false
}

// UserKey names an account that a state has made, among the paths of a change
// and of the drift.
func UserKey(name string) string { return "user " + name }

// Staged is a rendered state that is written out but not yet in place, for the
// engine's own checker to read.
type Staged struct {
	// Name is the component's.
	Name string
	// Version is what is staged.
	Version Version
	// paths maps the path of each file to where it is staged.
	paths map[string]string
}

// Path returns where the file that will stand at path is staged.
func (s Staged) Path(path string) string { return s.paths[path] }

// NewStaged returns the staged form of a version, given where each of its
// files is written. Tests of kinds use it too.
func NewStaged(name string, v Version, paths map[string]string) Staged {
	return Staged{Name: name, Version: v, paths: paths}
}

// Progress tells what is being done; it becomes an event of the operation. It
// must not be given secrets.
type Progress func(phase api.Phase, format string, args ...any)
