package appserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

var _ operation.Purger = (*Kind)(nil)

// leftover is a directory that an app server leaves.
type leftover struct{ path, holds string }

// leftovers are the directories that are there of an app server that is gone.
func (k *Kind) leftovers(l layout) []leftover {
	found := []leftover{}
	for _, may := range []leftover{
		{filepath.Join("/var/lib", l.stateDirectory()), "the app's data"},
		// journald names a namespace's directory for the machine and the namespace.
		{"/var/log/journal/*." + logs.Namespace(l.appUnit(slotBlue)), "the app's log"},
		{"/var/log/journal/*." + logs.Namespace(l.nginxUnit()), "the log of its nginx"},
	} {
		matches, _ := filepath.Glob(k.machine.path(may.path)) // a name has no special characters
		for _, match := range matches {
			found = append(found, leftover{match, may.holds})
		}
	}
	return found
}

// places are where a name shows that there is or was an app server: its data, which a site
// of files has not, and the log of its nginx.
func places() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"/var/lib/foobar-app": regexp.MustCompile(`^(.+)$`),
		"/var/log/journal":    regexp.MustCompile(`\.foobar-app-(.+)-nginx$`),
	}
}

// Left implements [operation.Purger].
func (k *Kind) Left() ([]string, error) {
	names := map[string]bool{}
	for dir, shows := range places() {
		entries, err := os.ReadDir(k.machine.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list what app servers have left: %w", err)
		}
		for _, e := range entries {
			if found := shows.FindStringSubmatch(e.Name()); found != nil && api.CheckName(found[1]) == nil {
				names[found[1]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// Leftovers implements [operation.Purger].
func (k *Kind) Leftovers(ctx context.Context, name string) (api.Leftovers, error) {
	l := layout{name: name}
	left := api.Leftovers{Directories: []api.LeftoverDirectory{}}
	for _, d := range k.leftovers(l) {
		_, usage := new(host.Usages).Largest(ctx, d.path)
		left.Directories = append(left.Directories, api.LeftoverDirectory{Path: d.path, Holds: d.holds, Usage: usage.String()})
	}
	if _, err := foreign.Lookup(l.user()); err == nil {
		left.User = l.user()
	}
	return left, nil
}

// Purge implements [operation.Purger]. The account goes last: until then nobody else
// can be given its number, and with it what it owns.
func (k *Kind) Purge(ctx context.Context, name string) error {
	l := layout{name: name}
	for _, d := range k.leftovers(l) {
		// It follows no link in them, whoever puts one there meanwhile; what they lie
		// in is root's.
		if err := os.RemoveAll(d.path); err != nil {
			return fmt.Errorf("remove %s: %w", d.holds, err)
		}
	}
	if k.machine.exists(l.home()) {
		return fmt.Errorf("the account %s stays, as there is still a %s: remove that, and purge again", l.user(), l.home())
	}
	if _, err := foreign.Lookup(l.user()); err != nil {
		return nil //nolint:nilerr // it is gone
	}
	output, err := exec.CommandContext(ctx, "userdel", l.user()).CombinedOutput() //nolint:gosec // the name is a valid one
	if err != nil {
		return fmt.Errorf("remove the account %s: %w: %s", l.user(), err, strings.TrimSpace(string(output)))
	}
	return nil
}
