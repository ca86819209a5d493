package converge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

// Drift compares the machine with what was recorded when a state was applied.
// The result has an entry for each absolute path and each unit that differs; a
// transaction to the recorded state would repair all of them.
func (e *Engine) Drift(ctx context.Context, applied Applied) (map[string]api.Drift, error) {
	found := map[string]api.Drift{}
	note := func(key, detail string, pointers ...api.Pointer) {
		if detail != "" {
			found[key] = api.Drift{Detail: detail, Pointers: pointers}
		}
	}
	state := applied.State
	missing := e.missingUsers(state.Users)
	for name := range missing {
		note(UserKey(name), fmt.Sprintf("the user %q, or its group, does not exist on this machine", name))
	}
	for _, d := range state.Dirs {
		_, detail, err := e.compare(d.Path, standing{Sort: aDir, Mode: d.Mode}, d.Owner, d.Group, missing)
		if err != nil {
			return nil, err
		}
		note(d.Path, detail)
	}
	for _, f := range state.Files {
		detail, pointers, err := e.compareFile(f, applied.Sums[f.Path], missing)
		if err != nil {
			return nil, err
		}
		note(f.Path, detail, pointers...)
	}
	for _, l := range state.Links {
		detail, err := e.compareLink(l)
		if err != nil {
			return nil, err
		}
		note(l.Path, detail, given(l.Source)...)
	}
	for _, t := range state.Trees {
		detail, err := e.compareTree(ctx, t)
		if err != nil {
			return nil, err
		}
		note(t.Path, detail, given(t.Source)...)
	}
	for _, u := range state.Units {
		status, err := e.Units.Status(ctx, u.Name)
		if err != nil {
			return nil, err
		}
		var dropIns []string
		for _, dropIn := range unowned(status.DropIns, u, state) {
			dropIns = append(dropIns, u.describe(dropIn))
		}
		note(u.Name, describeUnit(status, dropIns))
	}
	return found, nil
}

func given(p api.Pointer) []api.Pointer {
	if p == "" {
		return nil
	}
	return []api.Pointer{p}
}

// compare says how what stands on a path differs in sort, mode or owner from
// what should. An owner whose account is one of the missing is reported once, as
// the account.
func (e *Engine) compare(path string, want standing, owner, group string, missing map[string]bool) (standing, string, error) {
	found, err := e.disk().look(path)
	if err != nil {
		return found, "", err
	}
	if found.Sort == nothing {
		return found, "is missing", nil
	}
	if found.Sort != want.Sort {
		reason, err := e.inTheWay(path, found, want.Sort)
		return found, joinDetails(isNot(found, want.Sort), reason), err
	}
	var parts []string
	if found.Mode != want.Mode {
		parts = append(parts, fmt.Sprintf("its mode is %s, not %s", octal(found), octal(want)))
	}
	want, known := e.owned(want, owner, group)
	switch {
	case !known && (missing[owner] || missing[group]):
	case !known:
		parts = append(parts, fmt.Sprintf("it should belong to %s:%s, which this machine does not have and an apply does not make: install the package that does, or replace the machine", owner, group))
	case found.UID != want.UID || found.GID != want.GID:
		parts = append(parts, fmt.Sprintf("its owner is %s, not %s:%s", foreign.OwnerNames(found.UID, found.GID), owner, group))
	}
	if len(parts) > 0 {
		reason, err := e.inTheWay(path, found, want.Sort)
		return found, joinDetails(strings.Join(parts, ", "), reason), err
	}
	return found, "", nil
}

// joinDetails joins what is wrong with who has to act, if an apply cannot.
func joinDetails(detail, reason string) string {
	if reason == "" {
		return detail
	}
	return detail + "; " + reason
}

// octal writes a mode as chmod takes it.
func octal(s standing) string {
	return fmt.Sprintf("%04o", uint32(s.Mode.Perm())|special(s.Mode))
}

func (e *Engine) compareFile(f File, applied string, missing map[string]bool) (string, []api.Pointer, error) {
	found, detail, err := e.compare(f.Path, standing{Sort: aFile, Mode: f.Mode}, f.Owner, f.Group, missing)
	if err != nil || found.Sort != aFile {
		return detail, nil, err
	}
	content, err := e.disk().read(f.Path)
	if err != nil || sum(content) == applied {
		return detail, nil, err
	}
	edited, pointers := "its content was changed by hand", []api.Pointer(nil)
	if !f.Secret {
		lines := diffLines(f.Content, content)
		edited, pointers = "edited by hand: "+lines.String(), f.sourcesOf(lines)
	}
	if detail != "" {
		return edited + ", " + detail, pointers, nil
	}
	reason, err := e.inTheWay(f.Path, found, aFile)
	return joinDetails(edited, reason), pointers, err
}

// Edited returns the files whose content is not as it was applied: somebody
// edited or removed them, and the engine may have read them since.
func (e *Engine) Edited(applied Applied) (map[string]bool, error) {
	edited := map[string]bool{}
	for _, f := range applied.State.Files {
		found, err := e.disk().look(f.Path)
		if err != nil {
			return nil, err
		}
		if found.Sort != aFile {
			edited[f.Path] = true
			continue
		}
		content, err := e.disk().read(f.Path)
		if err != nil {
			return nil, err
		}
		if sum(content) != applied.Sums[f.Path] {
			edited[f.Path] = true
		}
	}
	return edited, nil
}

// Touched returns what of a state somebody changed beyond modes and owners, by
// path: files, links, trees, units that are amended, and by [UserKey] accounts that
// are missing.
func (e *Engine) Touched(ctx context.Context, applied Applied) (map[string]bool, error) {
	touched, err := e.Edited(applied)
	if err != nil {
		return nil, err
	}
	for name := range e.missingUsers(applied.State.Users) {
		touched[UserKey(name)] = true
	}
	for _, l := range applied.State.Links {
		detail, err := e.compareLink(l)
		if err != nil {
			return nil, err
		}
		if detail != "" {
			touched[l.Path] = true
		}
	}
	for _, t := range applied.State.Trees {
		detail, err := e.compareTree(ctx, t)
		if err != nil {
			return nil, err
		}
		if detail != "" {
			touched[t.Path] = true
		}
	}
	for _, u := range applied.State.Units {
		status, err := e.Units.Status(ctx, u.Name)
		if err != nil {
			return nil, err
		}
		if len(unowned(status.DropIns, u, applied.State)) > 0 {
			touched[u.Name] = true
		}
	}
	return touched, nil
}

// sourcesOf returns the places in the spec whose lines an edit took away or
// changed, in order and each once.
func (f File) sourcesOf(e edit) []api.Pointer {
	var pointers []api.Pointer
	for _, line := range e.removed {
		if p, ok := f.Sources[line]; ok && !slices.Contains(pointers, p) {
			pointers = append(pointers, p)
		}
	}
	return pointers
}

func (e *Engine) compareLink(l Link) (string, error) {
	found, err := e.disk().look(l.Path)
	switch {
	case err != nil:
		return "", err
	case found.Sort == nothing:
		return "is missing", nil
	case found.Sort != aLink:
		reason, err := e.inTheWay(l.Path, found, aLink)
		return joinDetails(isNot(found, aLink), reason), err
	case found.Target != l.Target:
		return fmt.Sprintf("points to %s, not to %s", found.Target, l.Target), nil
	}
	return "", nil
}

// Activating is the drift of a unit that starts, or waits for its next start, and has
// nothing else wrong with it.
const Activating = "is activating"

// describeUnit says what is wrong with a unit, or nothing.
func describeUnit(s systemd.Status, dropIns []string) string {
	var parts []string
	switch s.LoadState {
	case "loaded", "":
	case "masked":
		parts = append(parts, "is masked, so that systemd does not start it")
	case "not-found":
		parts = append(parts, "is not known to systemd")
	default:
		parts = append(parts, "cannot be loaded: "+s.LoadState)
	}
	switch {
	case s.Active():
	case s.ActiveState == "failed":
		parts = append(parts, "has failed: "+s.Result)
	case s.ActiveState == "inactive":
		parts = append(parts, "is stopped")
	case s.ActiveState == "activating":
		parts = append(parts, Activating)
	default:
		parts = append(parts, "is "+s.ActiveState)
	}
	if s.LoadState == "loaded" && !startsAtBoot(s.UnitFileState) {
		parts = append(parts, "does not start at boot")
	}
	if s.NeedDaemonReload {
		parts = append(parts, "was changed on disk and systemd has not read it since (systemctl daemon-reload)")
	}
	if len(dropIns) > 0 {
		parts = append(parts, "is changed by "+strings.Join(dropIns, ", "))
	}
	return strings.Join(parts, ", ")
}
