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

// dropInDirs returns the names of the directories with what amends this one unit: its
// own, that of its template, and that of the names which begin as its own does.
// systemd also reads those of shorter beginnings and of all units; they are the
// image's business.
func (u Unit) dropInDirs() []string {
	names := []string{u.Name}
	if of := template(u.Name); of != "" {
		names = append(names, of)
	}
	if u.Prefix != "" && strings.HasPrefix(u.Name, u.Prefix) {
		names = append(names, u.Prefix+path.Ext(u.Name))
	}
	for i := range names {
		names[i] += ".d"
	}
	return names
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
				if strings.HasSuffix(entry.Name(), ".conf") {
					found = append(found, path.Join(at, entry.Name()))
				}
			}
		}
	}
	return found, nil
}

// unowned returns the drop-ins made for this one unit that are not ours, of those that
// systemd or the disk has.
func unowned(dropIns []string, u Unit, wanted State) []string {
	dirs := u.dropInDirs()
	return slices.DeleteFunc(slices.Clone(dropIns), func(p string) bool {
		local := strings.HasPrefix(p, "/etc/") || strings.HasPrefix(p, "/run/")
		return !local || !slices.Contains(dirs, path.Base(path.Dir(p))) || slices.Contains(wanted.paths(), p)
	})
}
