package converge

import (
	"context"
	"os"
	"slices"
)

// Standing compares the state that was applied with the sides that traffic can be
// switched between, as a kind lists them (paths, units, and every target that a link
// can have). Serving is the state that traffic really goes to, by the links on the
// disk: a change whose record was lost may have switched them. Beside is what stands
// of the other sides and nobody has recorded.
//
// The last link of a side completes the switch. If it leads to none of them, somebody
// has changed it, and what was applied counts.
func (e *Engine) Standing(ctx context.Context, applied State, sides []State) (serving, beside State, err error) {
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
			serving = serving.without(sides[recorded])
		}
		serving = serving.And(found[live])
		serving.Links = e.switched(serving.Links, sides[live])
	}
	for i := range sides {
		if i != live {
			beside = beside.And(found[i])
		}
	}
	return serving, beside.without(serving), nil
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
