package converge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// dropInDirs returns the names of the directories with what amends a unit: its own, that
// of its template, and those of the beginnings of its name that are longer than its
// prefix. systemd also reads those of shorter beginnings and of all units; they are the
// image's business.
func (u Unit) dropInDirs() []string {
	names := named(u.Name)
	_, rest := cutUnit(u.Name)
	for _, beginning := range u.beginnings() {
		names = append(names, named(beginning+rest)...)
		if of := template(u.Name); of != "" {
			names = append(names, beginning+path.Ext(u.Name))
		}
	}
	for i := range names {
		names[i] += ".d"
	}
	return names
}

// named returns the name of a unit with that of its template, if it has one.
func named(unit string) []string {
	if of := template(unit); of != "" {
		return []string{unit, of}
	}
	return []string{unit}
}

// cutUnit cuts the name of a unit off its instance and type.
func cutUnit(unit string) (name, rest string) {
	rest = path.Ext(unit)
	if i := strings.IndexByte(unit, '@'); i >= 0 {
		rest = unit[i:]
	}
	return strings.TrimSuffix(unit, rest), rest
}

// beginnings are those of the unit's name, up to a dash, that are longer than its prefix.
func (u Unit) beginnings() []string {
	name, _ := cutUnit(u.Name)
	if u.Prefix == "" || !strings.HasPrefix(name, u.Prefix) {
		return nil
	}
	var all []string
	for i := len(u.Prefix); i < len(name); i++ {
		if name[i] == '-' {
			all = append(all, name[:i+1])
		}
	}
	return all
}

// describe names what amends the unit, and says of what amends others too that it goes
// for all of them.
func (u Unit) describe(dropIn string) string {
	amended := strings.TrimSuffix(path.Base(path.Dir(dropIn)), ".d")
	if slices.Contains(named(u.Name), amended) {
		return dropIn
	}
	beginning, _ := cutUnit(amended)
	return fmt.Sprintf("%s, which changes all units whose names begin with %s (an apply removes it for all of them)", dropIn, beginning)
}

// dropIns returns the files that amend a unit on this machine. systemd knows only
// those of a unit that it has loaded, not those that wait for one: what systemctl
// set-property has written stays when the unit goes.
func (d disk) dropIns(u Unit) ([]string, error) {
	var found []string
	for _, dir := range []string{"/etc/systemd/system", "/etc/systemd/system.control", "/run/systemd/system", "/run/systemd/system.control"} {
		for _, name := range u.dropInDirs() {
			at := path.Join(dir, name)
			entries, err := os.ReadDir(d.path(at))
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("look for what amends %s: %w", u.Name, err)
			}
			for _, entry := range entries {
				if strings.HasSuffix(entry.Name(), ".conf") && !entry.IsDir() { // systemd passes over directories
					found = append(found, path.Join(at, entry.Name()))
				}
			}
		}
	}
	return found, nil
}

// unowned returns the drop-ins in a unit's directories that are not ours, of those that
// systemd or the disk has.
func unowned(dropIns []string, u Unit, wanted State) []string {
	dirs := u.dropInDirs()
	return slices.DeleteFunc(slices.Clone(dropIns), func(p string) bool {
		local := strings.HasPrefix(p, "/etc/") || strings.HasPrefix(p, "/run/")
		return !local || !slices.Contains(dirs, path.Base(path.Dir(p))) || slices.Contains(wanted.paths(), p)
	})
}
