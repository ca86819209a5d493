package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// A file system is full, in bytes, below a part of its size and at most below a
// number: a hundredth, and 64 MiB, which is the largest file that one change of a
// component may replace. It is nearly full below [blob.Reserve]; ext4 keeps as
// much for root. Of files a hundredth and a twentieth count.
const (
	fullPart, full  = 100, 64 << 20
	nearlyFullFiles = 20
)

// Watched is a directory whose file system must not become full.
type Watched struct {
	// Pattern matches the directory, as [filepath.Match] does; there may be none.
	Pattern string
	// Holds says what lies in it.
	Holds string
	// Fails says what no longer works without room.
	Fails string
	// Do says what makes room there.
	Do string
	// Largest matches the directories of which the largest is named, if it is given:
	// what makes room depends on it.
	Largest string
}

// watched are the directories of a machine that are watched.
func watched(state string) []Watched {
	return []Watched{
		{state, "what the agent keeps", "below that the agent refuses uploads", "remove app servers that are no longer needed", ""},
		{"/var/lib/foobar-db/*", "a database's data", "a full one stops the database's writes", "delete data", "/var/lib/foobar-db/*"},
		{"/var/lib/foobar-app/*", "an app's data", "a full one fails the app's writes", "delete what the app no longer needs", "/var/lib/foobar-app/*"},
		{"/var/log/journal", "the log", "a full one loses log lines", "run journalctl --namespace='*' --vacuum-size=50M", ""},
		{"/run", "files of what runs", "a full one stops every change of the machine", "stop and start the unit that fills it", "/run/foobar*"},
	}
}

// diskConditions tells of each file system that is full or nearly so, once,
// with the directories that lie on it.
func diskConditions(ctx context.Context, root string, dirs []Watched, look func(dir string) (host.Room, error), usages *host.Usages) []api.Condition {
	var all []*usedDisk
	byID := map[string]*usedDisk{}
	for _, w := range dirs {
		matches, err := filepath.Glob(filepath.Join(root, w.Pattern))
		if err != nil {
			continue // the pattern is one of ours
		}
		for _, dir := range matches {
			disk, err := look(dir)
			if err != nil {
				continue // it was just removed, or is no directory
			}
			u := byID[disk.ID]
			if u == nil {
				u = &usedDisk{Room: disk}
				byID[disk.ID], all = u, append(all, u)
			}
			u.add(root, dir, w)
		}
	}
	var conditions []api.Condition
	for _, u := range all {
		if c, tight := u.condition(ctx, usages); tight {
			conditions = append(conditions, c)
		}
	}
	return conditions
}

// usedDisk is a file system with what lies on it.
type usedDisk struct {
	host.Room
	dirs, fails, do []string
	largest         []string // patterns
}

func (u *usedDisk) add(root, dir string, w Watched) {
	if pattern := filepath.Join(root, w.Largest); w.Largest != "" && !slices.Contains(u.largest, pattern) {
		u.largest = append(u.largest, pattern)
	}
	u.dirs = append(u.dirs, fmt.Sprintf("%s (%s)", dir, w.Holds))
	if !slices.Contains(u.do, w.Do) {
		u.fails, u.do = append(u.fails, w.Fails), append(u.do, w.Do)
	}
}

// condition returns what is to be reported of a file system, if anything is.
func (u *usedDisk) condition(ctx context.Context, usages *host.Usages) (api.Condition, bool) {
	c := api.Condition{Type: "DiskNearlyFull", Severity: api.SeverityWarning}
	least, fewFiles := blob.Reserve(u.Size), u.FewFiles(nearlyFullFiles)
	switch {
	case u.Free < min(u.Size/fullPart, full) || u.FewFiles(fullPart) || u.Size > 0 && u.Free == 0:
		c.Type, c.Severity = "DiskFull", api.SeverityError
	case u.Free < least || fewFiles:
	default:
		return c, false
	}
	c.Message = fmt.Sprintf("The file system of %s has %s: %s.", strings.Join(u.dirs, ", "), u.lacks(least, fewFiles), strings.Join(u.fails, ", "))
	largest := usages.Largest
	if fewFiles && u.Free >= least {
		largest = usages.MostFiles
	}
	if dir, size := largest(ctx, u.largest...); dir != "" {
		c.Message += fmt.Sprintf(" The largest directory there is %s, with %s.", dir, size)
	}
	c.Message += fmt.Sprintf(" To make room, %s", strings.Join(u.do, ", "))
	if !u.InMemory {
		c.Message += ", or give the machine a larger disk"
	}
	c.Message += "."
	return c, true
}

// lacks says what a file system has and should have, of what it has too little.
func (u *usedDisk) lacks(least int64, fewFiles bool) string {
	files := fmt.Sprintf("room for %d more files of %d", u.FilesUnused, u.FilesInAll)
	bytes := fmt.Sprintf("%s free of %s", host.MiB(u.Free), host.MiB(u.Size))
	switch {
	case fewFiles && u.Free >= least:
		return fmt.Sprintf("%s, and %s; it should have room for %d", files, bytes, u.FilesInAll/nearlyFullFiles)
	case fewFiles:
		return fmt.Sprintf("%s, and %s; it should have %s", bytes, files, host.MiB(least))
	}
	return fmt.Sprintf("%s; it should have %s", bytes, host.MiB(least))
}
