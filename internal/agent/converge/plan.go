package converge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// plan is what has to be done to bring the machine from what stands on it to
// a wanted state. It holds only what differs.
type plan struct {
	users []User
	dirs  []placed[Dir]
	trees []Tree
	files []placed[File]
	// fixed are files of which only the mode or the owner differs. They are
	// corrected in place.
	fixed []File
	links []Link
	// dropIns are unit files that others laid over ours; unrecorded are links that no
	// version is known to have, which go before traffic can get to where they are; gone
	// are paths that are wanted no more. All are removed.
	dropIns, unrecorded, gone []string
	// units are all that are wanted, retired those wanted no more.
	units, retired []string
	// enable holds the units that do not start at boot as they should. Reload
	// tells that systemd has not read a unit file as it stands.
	enable []string
	reload bool
	// finish is what is done once nothing can be undone any more.
	finish finish
	// paths tells what happens to each file, link and tree.
	paths map[string]api.ChangeAction
}

// placed is something with its owner looked up.
type placed[T any] struct {
	what T
	at   standing
}

// finish is what a committed transaction leaves to be done: what it replaced is
// drained, units are retired, paths removed, trees as a whole, directories only if
// they are empty.
type finish struct {
	Drain bool     `json:"drain,omitempty"`
	Units []string `json:"units,omitempty"`
	Paths []string `json:"paths,omitempty"`
	Trees []string `json:"trees,omitempty"`
	Dirs  []string `json:"dirs,omitempty"`
}

// makePlan compares the machine with a wanted state; to is nil for none, beside as
// in [Transaction]. It changes nothing.
func (e *Engine) makePlan(ctx context.Context, from *Applied, to *State, beside State) (*plan, error) {
	p := &plan{paths: map[string]api.ChangeAction{}}
	wanted, before := State{}, State{}
	if to != nil {
		wanted = *to
	}
	if from != nil {
		before = from.State
	}
	p.users, p.units = wanted.Users, wanted.units()
	for name := range e.missingUsers(before.Users) {
		if slices.ContainsFunc(wanted.Users, func(u User) bool { return u.Name == name }) {
			p.paths[UserKey(name)] = api.ChangeCreate
		}
	}
	for _, plan := range []func() error{
		func() error { return e.planTrees(ctx, p, wanted.Trees) },
		func() error { return e.planFiles(p, wanted.Files) },
		func() error { return e.planLinks(p, wanted.Links) },
		func() error { return e.planDirs(p, wanted) },
		func() error { return e.planUnrecorded(p, without(State{Links: beside.Links}.paths(), wanted.paths())) },
		func() error {
			return e.planGone(p, before.And(beside).paths(), append(wanted.paths(), p.unrecorded...))
		},
		func() error { return e.planUnits(ctx, p, wanted) },
	} {
		if err := plan(); err != nil {
			return nil, err
		}
	}
	p.retired = without(before.And(beside).units(), p.units)
	if to != nil { // else all of it goes before the commit
		p.finish.Drain, p.finish.Units, p.finish.Paths = from != nil, p.retired, p.gone
	}
	kept, gone := retire(from, to)
	for _, t := range union(gone, beside.Trees, func(t Tree) string { return t.Path }) {
		same := func(o Tree) bool { return o.Path == t.Path }
		if !slices.ContainsFunc(kept, same) && !slices.ContainsFunc(wanted.Trees, same) {
			p.finish.Trees = append(p.finish.Trees, t.Path)
			p.paths[t.Path] = api.ChangeDelete
		}
	}
	for _, d := range before.And(beside).Dirs {
		if !slices.ContainsFunc(wanted.Dirs, func(w Dir) bool { return w.Path == d.Path }) {
			p.finish.Dirs = append(p.finish.Dirs, d.Path)
		}
	}
	deepestFirst(p.finish.Dirs)
	return p, nil
}

func deepestFirst(paths []string) {
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(b, a) })
}

func without(all, not []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(not, s) })
}

func action(s standing) api.ChangeAction {
	if s.Sort == nothing {
		return api.ChangeCreate
	}
	return api.ChangeUpdate
}

func (e *Engine) planFiles(p *plan, files []File) error {
	for _, f := range files {
		found, err := e.disk().look(f.Path)
		if err != nil {
			return err
		}
		want, known := e.owned(standing{Sort: aFile, Mode: f.Mode}, f.Owner, f.Group)
		same := false
		if found.Sort == aFile {
			content, err := e.disk().read(f.Path)
			if err != nil {
				return err
			}
			same = string(content) == string(f.Content)
		}
		if same && known && found == want {
			continue
		}
		if err := e.obstacle(f.Path, found, aFile); err != nil {
			return err
		}
		if same {
			p.fixed = append(p.fixed, f)
			p.paths[f.Path] = api.ChangeAttributes
			continue
		}
		p.files = append(p.files, placed[File]{f, want})
		p.paths[f.Path] = action(found)
	}
	return nil
}

// owned adds the ids of an owner and a group to what shall stand somewhere.
// An account that is not known yet is made with the users; until then nothing
// can belong to it.
func (e *Engine) owned(s standing, owner, group string) (standing, bool) {
	uid, gid, err := e.Accounts.Lookup(owner, group)
	s.UID, s.GID = uid, gid
	return s, err == nil
}

func (e *Engine) planLinks(p *plan, links []Link) error {
	for _, l := range links {
		found, err := e.disk().look(l.Path)
		if err != nil {
			return err
		}
		if found.Sort != aLink || found.Target != l.Target {
			if err := e.obstacle(l.Path, found, aLink); err != nil {
				return err
			}
			p.links = append(p.links, l)
			p.paths[l.Path] = action(found)
		}
	}
	return nil
}

func (e *Engine) planTrees(ctx context.Context, p *plan, trees []Tree) error {
	for _, t := range trees {
		detail, err := e.compareTree(ctx, t)
		if err != nil {
			return err
		}
		if detail == "" {
			continue
		}
		found, err := e.disk().look(t.Path)
		if err != nil {
			return err
		}
		p.trees = append(p.trees, t)
		p.paths[t.Path] = action(found)
	}
	return nil
}

// compareTree says how the tree on the disk differs from the artifact that it
// came from, or nothing. One whose artifact was never unpacked here cannot be
// vouched for.
func (e *Engine) compareTree(ctx context.Context, t Tree) (string, error) {
	manifest, err := e.Trees.Manifest(t.SHA256)
	if errors.Is(err, fs.ErrNotExist) {
		return "it cannot be compared: the list of what its artifact holds is missing", nil
	}
	if damage := statefile.As(err); damage != nil {
		return "it cannot be compared: " + damage.Error(), nil
	}
	if err != nil {
		return "", err
	}
	differences, err := manifest.Compare(ctx, e.disk().path(t.Path))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "is missing", nil
	}
	if err != nil {
		return "", err
	}
	return describeTree(differences), nil
}

// Stands reports whether a tree is in place as it was unpacked, so that its
// artifact is not needed.
func (e *Engine) Stands(ctx context.Context, t Tree) (bool, error) {
	difference, err := e.compareTree(ctx, t)
	return difference == "", err
}

// describeTree names the first few differences.
func describeTree(differences []blob.Difference) string {
	const shown = 3
	var parts []string
	for _, d := range differences[:min(shown, len(differences))] {
		parts = append(parts, fmt.Sprintf("%s is %s", api.Visible(d.Path), d.Detail))
	}
	if more := len(differences) - shown; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// planDirs finds the directories that are to be made or corrected: those that
// are wanted, and those that the rest needs to stand in.
func (e *Engine) planDirs(p *plan, wanted State) error {
	named := map[string]bool{}
	for _, d := range wanted.Dirs {
		named[d.Path] = true
		found, err := e.disk().look(d.Path)
		if err != nil {
			return err
		}
		want, known := e.owned(standing{Sort: aDir, Mode: d.Mode}, d.Owner, d.Group)
		if !known || found != want {
			if err := e.obstacle(d.Path, found, aDir); err != nil {
				return err
			}
			p.dirs = append(p.dirs, placed[Dir]{d, want})
		}
	}
	needed := wanted.paths()
	for _, d := range wanted.Dirs {
		needed = append(needed, d.Path)
	}
	for _, t := range wanted.Trees {
		needed = append(needed, t.Path)
	}
	for _, leaf := range needed {
		for parent := filepath.Dir(leaf); parent != "/" && !named[parent]; parent = filepath.Dir(parent) {
			named[parent] = true
			if _, err := os.Stat(e.disk().path(parent)); errors.Is(err, fs.ErrNotExist) {
				p.dirs = append(p.dirs, placed[Dir]{Dir{Path: parent, Mode: 0o755, Owner: "root", Group: "root"}, standing{}})
			}
		}
	}
	// Outer ones first: a path sorts after the directory that it is in.
	slices.SortFunc(p.dirs, func(a, b placed[Dir]) int { return strings.Compare(a.what.Path, b.what.Path) })
	return nil
}

func (e *Engine) planUnrecorded(p *plan, links []string) error {
	for _, path := range links {
		found, err := e.disk().look(path)
		if err != nil {
			return err
		}
		if found.Sort == aLink {
			p.unrecorded = append(p.unrecorded, path)
			p.paths[path] = api.ChangeDelete
		}
	}
	return nil
}

func (e *Engine) planGone(p *plan, before, wanted []string) error {
	for _, path := range without(before, wanted) {
		found, err := e.disk().look(path)
		if err != nil {
			return err
		}
		if found.Sort == aFile || found.Sort == aLink {
			p.gone = append(p.gone, path)
			p.paths[path] = api.ChangeDelete
		}
	}
	return nil
}

// planUnits finds units that are not enabled, and drop-ins that change a unit
// behind the back of its file. Removing one counts as a change of that file.
func (e *Engine) planUnits(ctx context.Context, p *plan, wanted State) error {
	for _, u := range wanted.Units {
		unit := u.Name
		status, err := e.Units.Status(ctx, unit)
		if err != nil {
			return err
		}
		p.reload = p.reload || status.NeedDaemonReload
		if !startsAtBoot(status.UnitFileState) || p.touchesUnits() {
			p.enable = append(p.enable, unit)
		}
		dropIns, err := e.disk().dropIns(u)
		if err != nil {
			return err
		}
		for _, dropIn := range unowned(union(status.DropIns, dropIns, path.Clean), u, wanted) {
			if _, known := p.paths[dropIn]; known { // of another unit, too
				continue
			}
			p.dropIns = append(p.dropIns, dropIn)
			p.paths[dropIn] = api.ChangeDelete
			for _, f := range wanted.Files {
				if definesUnit(f.Path, unit) {
					p.paths[f.Path] = api.ChangeUpdate
				}
			}
		}
	}
	return nil
}

// startsAtBoot checks systemd's word for a unit file.
func startsAtBoot(state string) bool {
	switch state {
	case "enabled", "static", "indirect", "alias", "generated":
		return true
	}
	return false
}

// template returns the file name that an instance of a unit comes from:
// "app@.service" for "app@blue.service"; "" for a unit that is no instance.
func template(unit string) string {
	prefix, rest, ok := strings.Cut(unit, "@")
	if !ok {
		return ""
	}
	return prefix + "@" + path.Ext(rest)
}

// definesUnit reports whether the file at p is that of a unit or of its template;
// concernsUnit, whether it is that or one that amends it.
func definesUnit(p, unit string) bool {
	name := path.Base(p)
	return isUnitFile(p) && (name == unit || name == template(unit))
}

func concernsUnit(p, unit string) bool {
	return definesUnit(p, unit) || definesUnit(strings.TrimSuffix(path.Dir(p), ".d"), unit)
}

// touchesUnits reports whether systemd has to read its files again.
func (p *plan) touchesUnits() bool {
	return len(p.dropIns) > 0 || slices.ContainsFunc(p.files, func(f placed[File]) bool { return isUnitFile(f.what.Path) })
}

// tellsSystemd reports whether anything of the plan concerns systemd.
func (p *plan) tellsSystemd() bool {
	return p.touchesUnits() || p.reload || len(p.enable)+len(p.retired) > 0 || slices.ContainsFunc(p.gone, isUnitFile)
}

// isUnitFile reports whether systemd reads the file at p.
func isUnitFile(p string) bool { return strings.Contains(p, "/systemd/system") }

// describe counts what is touched, for a person.
func (p *plan) describe() string {
	var parts []string
	for _, c := range []struct {
		n         int
		one, many string
	}{
		{len(p.trees), "1 release", "releases"}, {len(p.files) + len(p.fixed), "1 file", "files"}, {len(p.links), "1 link", "links"},
		{len(p.dirs), "1 directory", "directories"}, {len(p.enable), "1 unit", "units"},
	} {
		switch c.n {
		case 0:
		case 1:
			parts = append(parts, c.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.many))
		}
	}
	return strings.Join(parts, ", ")
}

// Preview tells what a transaction would do, without doing it: what happens to
// each file, link and tree, and the same with the units as a sorted list.
func (e *Engine) Preview(ctx context.Context, from *Applied, to *State, beside State) (map[string]api.ChangeAction, []api.Change, error) {
	p, err := e.makePlan(ctx, from, to, beside)
	if err != nil {
		return nil, nil, err
	}
	actions := maps.Clone(p.paths)
	for _, unit := range p.retired {
		actions[unit] = api.ChangeDelete
	}
	var before []string
	if from != nil {
		before = from.State.units()
	}
	for _, unit := range p.units {
		status, err := e.Units.Status(ctx, unit)
		switch {
		case err != nil:
			return nil, nil, err
		case !slices.Contains(before, unit):
			actions[unit] = api.ChangeCreate
		case !status.Active() || !startsAtBoot(status.UnitFileState):
			actions[unit] = api.ChangeUpdate
		}
	}
	changes := make([]api.Change, 0, len(actions))
	for _, path := range slices.Sorted(maps.Keys(actions)) {
		changes = append(changes, api.Change{Path: path, Action: actions[path]})
	}
	return p.paths, changes, nil
}
