package converge_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestAModeIsRepairedInPlace sees that a file whose content is right stays the
// same file, and counts neither as changed nor as edited.
func TestAModeIsRepairedInPlace(t *testing.T) {
	m := open(t, tempDir(t))
	state := driftState(m.upload(t, map[string]string{"app": "one"}))
	applied := m.apply(t, nil, state)
	want := m.snapshot(t)
	for _, file := range state.Files {
		before := inode(t, m.path(file.Path))
		if err := os.Chmod(m.path(file.Path), 0o777); err != nil {
			t.Fatal(err)
		}
		edited, err := m.engine.Edited(*applied)
		if err != nil || len(edited) > 0 {
			t.Errorf("%s: %v counts as edited, %v", file.Path, edited, err)
		}
		paths, changes, err := m.engine.Preview(t.Context(), applied, state, converge.State{})
		if err != nil || len(changes) != 1 || changes[0] != (api.Change{Path: file.Path, Action: api.ChangeAttributes}) {
			t.Errorf("%s: the changes are %v, %v", file.Path, changes, err)
		}
		if (converge.Change{Paths: paths}).Changed(file.Path) {
			t.Errorf("%s counts as changed", file.Path)
		}
		m.apply(t, applied, state)
		if after := inode(t, m.path(file.Path)); after != before {
			t.Errorf("%s was written again", file.Path)
		}
	}
	same(t, "after the repair", want, m.snapshot(t))
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no inode")
	}
	return stat.Ino
}

// TestWhatAnApplyDoesNotRemoveIsRefusedWithWhoMust puts things in the way.
func TestWhatAnApplyDoesNotRemoveIsRefusedWithWhoMust(t *testing.T) {
	origin := open(t, tempDir(t))
	state := driftState(origin.upload(t, map[string]string{"app": "one"}))
	applied := origin.apply(t, nil, state)
	const cfg, dir, link = "/etc/foobar/edge/haproxy.cfg", "/srv/edge", "/srv/edge/current"
	for name, test := range map[string]struct {
		path   string
		put    func(path string) error
		detail string
	}{
		"a full directory for a file": {cfg, fullDirectory, "is a directory, not a file; an apply does not remove a directory that holds something: move " + cfg + " away on the machine, and apply again"},
		"a full directory for a link": {link, fullDirectory, "is a directory, not a link; an apply does not remove a directory that holds something: move " + link + " away on the machine, and apply again"},
		"a file for a directory":      {dir, func(p string) error { return os.WriteFile(p, nil, 0o600) }, "is a file, not a directory; an apply does not remove it: move " + dir + " away on the machine, and apply again"},
		"a link for a directory":      {dir, func(p string) error { return os.Symlink(p+".old", p) }, "an apply does not remove it: move " + dir + " away on the machine, and apply again"},
	} {
		t.Run(name, func(t *testing.T) {
			m := origin.copyOf(t)
			if err := os.Rename(m.path(test.path), m.path(test.path)+".old"); err != nil {
				t.Fatal(err)
			}
			if err := test.put(m.path(test.path)); err != nil {
				t.Fatal(err)
			}
			drift, err := m.engine.Drift(t.Context(), *applied)
			if err != nil || !strings.HasSuffix(drift[test.path].Detail, test.detail) {
				t.Errorf("the drift is %v, %v", drift, err)
			}
			before := m.snapshot(t)
			_, _, err = m.engine.Preview(t.Context(), applied, state, converge.State{})
			if !api.IsProblem(err, api.ProblemEngineRefused) || !strings.Contains(err.Error(), "move "+test.path+" away") {
				t.Errorf("the preview: %v", err)
			}
			if err := m.engine.Apply(t.Context(), m.transaction(applied, state)); !api.IsProblem(err, api.ProblemEngineRefused) {
				t.Errorf("the apply: %v", err)
			}
			same(t, "after the refusal", before, m.snapshot(t))
		})
	}
}

func fullDirectory(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil { //nolint:gosec // of a test
		return err
	}
	return os.WriteFile(filepath.Join(path, "kept"), nil, 0o600)
}

// registry is a machine's accounts, made by what an apply does.
type registry map[string]bool

func (r registry) Ensure(_ context.Context, users []converge.User) error {
	for _, u := range users {
		r[u.Name] = true
	}
	return nil
}

func (r registry) Lookup(owner, group string) (int, int, error) {
	for _, name := range []string{owner, group} {
		if name != "root" && !r[name] {
			return 0, 0, fmt.Errorf("look up %s: unknown", name)
		}
	}
	return os.Getuid(), os.Getgid(), nil
}

// TestADeletedUserIsTheCause sees one drift for a deleted account, not one for
// each thing that it owned, and its repair.
func TestADeletedUserIsTheCause(t *testing.T) {
	m := open(t, tempDir(t))
	accounts := registry{"edge": true}
	m.engine.Accounts = accounts
	state := driftState(m.upload(t, map[string]string{"app": "one"}))
	state.Users = []converge.User{{Name: "app-shop"}}
	state.Dirs = append(state.Dirs, converge.Dir{Path: "/srv/edge/own", Mode: 0o750, Owner: "root", Group: "app-shop"})
	state.Files[0].Owner, state.Files[0].Group = "app-shop", "app-shop"
	applied := m.apply(t, nil, state)
	delete(accounts, "app-shop")
	drift, err := m.engine.Drift(t.Context(), *applied)
	const key = "user app-shop"
	if want := `the user "app-shop", or its group, does not exist on this machine`; err != nil || len(drift) != 1 || drift[key].Detail != want {
		t.Errorf("the drift is %v, %v", drift, err)
	}
	paths, _, err := m.engine.Preview(t.Context(), applied, state, converge.State{})
	if err != nil || paths[key] != api.ChangeCreate {
		t.Errorf("the preview is %v, %v", paths, err)
	}
	m.apply(t, applied, state)
	if left, err := m.engine.Drift(t.Context(), *applied); err != nil || len(left) > 0 || !accounts["app-shop"] {
		t.Errorf("after the repair the drift is %v, %v", left, err)
	}
	state.Files[0].Group = "of-a-package"
	foreign := *applied
	foreign.State.Files = state.Files
	drift, err = m.engine.Drift(t.Context(), foreign)
	if detail := drift[state.Files[0].Path].Detail; err != nil || !strings.Contains(detail, "app-shop:of-a-package, which this machine does not have") {
		t.Errorf("the drift is %v, %v", drift, err)
	}
}
