package converge

import (
	"context"
	"os"
	"path"
	"slices"
	"strings"
)

// Sides is what the versions of a component can consist of.
type Sides struct {
	// Each is what one of the sides has that traffic can be switched between: the paths
	// and units that are the side's alone, and each target that a link which moves
	// traffic can have. All links and directories in its directories are the side's.
	// Contents do not matter.
	Each []State
	// Trees is the directory in which all trees of all versions are, and nothing else;
	// "" for a component without trees.
	Trees string
}

// Standing compares the state that was applied with the sides of a component, as its
// kind lists them. Serving is the state that traffic really goes to, by the links on
// the disk: a change whose record was lost may have switched them. Beside is what else
// stands of the sides and nobody has recorded, with all trees.
//
// The last link of a side completes the switch. If it leads to none of them, somebody
// has changed it, and what was applied counts.
func (e *Engine) Standing(ctx context.Context, applied State, all Sides) (serving, beside State, err error) {
	sides := all.Each
	found := make([]State, len(sides))
	recorded, live := -1, -1
	for i, side := range sides {
		if found[i], err = e.found(ctx, side); err != nil {
			return State{}, State{}, err
		}
		last := side.lastSwitch()
		if side.leads(last, applied.Link(last)) {
			recorded = i
		}
		at, err := e.disk().look(last)
		if err != nil {
			return State{}, State{}, err
		}
		if at.Sort == aLink && side.leads(last, at.Target) {
			live = i
		}
	}
	serving = applied
	if live < 0 {
		live = recorded
	}
	if live != recorded {
		if recorded >= 0 {
			serving = serving.without(sides[recorded]).outside(sides[recorded].Dirs)
		}
		serving = serving.And(found[live])
		serving.Links = e.switched(serving.Links, sides[live])
	}
	for i := range sides {
		beside = beside.And(found[i])
	}
	beside.Trees, err = e.foundTrees(all.Trees)
	return serving, beside.without(serving), err
}

// lastSwitch returns the path of the last link that moves traffic.
func (s State) lastSwitch() string {
	for _, l := range slices.Backward(s.Links) {
		if l.Switch {
			return l.Path
		}
	}
	return ""
}

// leads reports whether a side has a link that moves traffic to a target.
func (s State) leads(path, target string) bool {
	return slices.ContainsFunc(s.Links, func(l Link) bool { return l.Switch && l.Path == path && l.Target == target })
}

// without returns the state without the files, units and links that another one has,
// by their names. Links that move traffic stay.
func (s State) without(other State) State {
	s.Files = slices.DeleteFunc(slices.Clone(s.Files), func(f File) bool { return slices.Contains(other.paths(), f.Path) })
	s.Links = slices.DeleteFunc(slices.Clone(s.Links), func(l Link) bool { return !l.Switch && slices.Contains(other.paths(), l.Path) })
	s.Units = slices.DeleteFunc(slices.Clone(s.Units), func(u Unit) bool { return slices.Contains(other.units(), u.Name) })
	return s
}

// outside returns the state without the links and directories in some directories.
// Links that move traffic stay.
func (s State) outside(dirs []Dir) State {
	inside := func(path string) bool {
		return slices.ContainsFunc(dirs, func(d Dir) bool { return path == d.Path || strings.HasPrefix(path, d.Path+"/") })
	}
	s.Links = slices.DeleteFunc(slices.Clone(s.Links), func(l Link) bool { return !l.Switch && inside(l.Path) })
	s.Dirs = slices.DeleteFunc(slices.Clone(s.Dirs), func(d Dir) bool { return inside(d.Path) })
	return s
}

// found returns what of a side stands, without the links that move traffic.
func (e *Engine) found(ctx context.Context, side State) (State, error) {
	var all State
	for _, f := range side.Files {
		at, err := e.disk().look(f.Path)
		if err != nil {
			return all, err
		}
		if at.Sort != aFile {
			continue
		}
		if f.Mode = at.Mode; !f.Secret {
			if f.Content, err = e.disk().read(f.Path); err != nil {
				return all, err
			}
		}
		all.Files = append(all.Files, f)
	}
	for _, l := range side.Links {
		at, err := e.disk().look(l.Path)
		if err != nil {
			return all, err
		}
		if !l.Switch && at.Sort == aLink {
			l.Target = at.Target
			all.Links = append(all.Links, l)
		}
	}
	for _, d := range side.Dirs {
		if err := e.foundIn(d.Path, &all); err != nil {
			return all, err
		}
	}
	for _, u := range side.Units {
		status, err := e.Units.Status(ctx, u.Name)
		if err != nil {
			return all, err
		}
		if !status.Missing() {
			all.Units = append(all.Units, u)
		}
	}
	return all, nil
}

// foundIn adds a directory to what was found, with the links and directories in it.
func (e *Engine) foundIn(dir string, all *State) error {
	entries, err := e.disk().ours(dir)
	if err != nil || entries == nil {
		return err
	}
	all.Dirs = append(all.Dirs, Dir{Path: dir})
	for _, entry := range entries {
		at := path.Join(dir, entry.Name())
		found, err := e.disk().look(at)
		switch {
		case err != nil:
		case found.Sort == aLink:
			all.Links = append(all.Links, Link{Path: at, Target: found.Target})
		case found.Sort == aDir:
			err = e.foundIn(at, all)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// foundTrees returns the trees in their directory, and what a change that was broken
// off has left of some.
func (e *Engine) foundTrees(dir string) ([]Tree, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := e.disk().ours(dir)
	if err != nil {
		return nil, err
	}
	var all []Tree
	for _, entry := range entries {
		if entry.IsDir() {
			all = append(all, Tree{Path: path.Join(dir, entry.Name())})
		}
	}
	return all, nil
}

// switched returns links of which those that move traffic lead to a side: as on the
// disk, or, where that is none of the side's targets, to the first that it has.
func (e *Engine) switched(links []Link, side State) []Link {
	links = slices.DeleteFunc(slices.Clone(links), func(l Link) bool { return l.Switch })
	for _, l := range side.Links {
		if !l.Switch || slices.ContainsFunc(links, func(o Link) bool { return o.Path == l.Path }) {
			continue
		}
		if target, err := os.Readlink(e.disk().path(l.Path)); err == nil && side.leads(l.Path, target) {
			l.Target = target
		}
		links = append(links, l)
	}
	return links
}
