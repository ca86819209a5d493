//go:build lab

package appserver_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// keeper writes into the directory that it has for what outlives it.
const keeper = `
import os
note = os.path.join(os.environ["STATE_DIRECTORY"], "deep", "note")
def write():
    os.makedirs(os.path.dirname(note), exist_ok=True)
    open(note, "a").write("kept;")
    return "written"
answers = {"/write": write, "/read": lambda: open(note).read()}
` + plain

// TestDataOutliveReleaseDestroyAndAccount has an app find again what it wrote.
func TestDataOutliveReleaseDestroyAndAccount(t *testing.T) {
	s := newStand(t)
	t.Cleanup(func() { _ = os.RemoveAll("/var/lib/foobar-app/keeper") })
	release := func(name string) string {
		return s.upload(map[string]entry{"main.py": {"RELEASE = \"" + name + "\"\n" + keeper, 0o644}})
	}
	read := func(when, want string) {
		t.Helper()
		if got := s.text(8080, "/read"); got != want {
			t.Errorf("%s the app finds %q, not %q", when, got, want)
		}
	}
	s.apply("keeper", s.spec(release("one"), 8080), nil)
	s.text(8080, "/write")
	s.apply("keeper", s.spec(release("two"), 8080), nil)
	read("after a release", "kept;")
	s.text(8080, "/write")
	info, err := os.Stat("/var/lib/foobar-app/keeper")
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("the directory is %v, %v", info, err)
	}
	s.deleteAll()
	s.apply("keeper", s.spec(release("two"), 8080), nil)
	read("after a destroy", "kept;kept;")
	s.deleteAll()

	// The account is removed, its number given to another one, and made again.
	sh := func(format string, args ...any) string {
		t.Helper()
		output, err := exec.CommandContext(context.Background(), "sh", "-ec", fmt.Sprintf(format, args...)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		return strings.TrimSpace(string(output))
	}
	number := sh("id -u app-keeper")
	sh("userdel app-keeper; groupdel app-keeper 2>/dev/null || true; groupadd -g %[1]s foobar-other; useradd -M -u %[1]s -g %[1]s foobar-other", number)
	t.Cleanup(func() { sh("userdel foobar-other; groupdel foobar-other 2>/dev/null || true") })
	s.apply("keeper", s.spec(release("two"), 8080), nil)
	read("under another number", "kept;kept;")
	s.text(8080, "/write")
	for _, path := range []string{"", "/deep", "/deep/note"} {
		info, err := os.Lstat("/var/lib/foobar-app/keeper" + path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid); owner == number || owner != sh("id -u app-keeper") { //nolint:forcetypeassert // on Linux
			t.Errorf("%s belongs to %s, the app is %s", info.Name(), owner, sh("id -u app-keeper"))
		}
	}
}

// TestPurgeLeavesNothing removes what an app server leaves.
func TestPurgeLeavesNothing(t *testing.T) {
	s := newStand(t)
	s.apply("keeper", s.spec(s.upload(map[string]entry{"main.py": {keeper, 0o644}}), 8080), nil)
	s.text(8080, "/write")
	ctx := t.Context()
	if _, err := s.runner.Purge(ctx, app("keeper"), "keeper"); !api.IsProblem(err, api.ProblemExists) {
		t.Fatalf("a component that stands: %v", err)
	}
	s.deleteAll()
	if all, err := s.runner.AllLeftovers(ctx); err != nil || !slices.ContainsFunc(all.Components, func(c api.ComponentLeftovers) bool { return c.ID == app("keeper") }) {
		t.Errorf("all that is left is %+v, %v", all, err)
	}
	left, err := s.runner.Leftovers(ctx, app("keeper"))
	if err != nil || len(left.Directories) != 3 || left.User != "app-keeper" {
		t.Errorf("left are %+v, %v", left, err)
	}
	if _, err := s.runner.Purge(ctx, app("keeper"), "keeper"); err != nil {
		t.Fatal(err)
	}
	if left, err = s.runner.Leftovers(ctx, app("keeper")); err != nil || !left.Empty() {
		t.Errorf("after the purge %+v are left, %v", left, err)
	}
	if output, err := exec.CommandContext(ctx, "sh", "-c", "getent passwd app-keeper; getent group app-keeper; ls -d /srv/keeper /var/lib/foobar-app/keeper 2>/dev/null").Output(); len(output) > 0 {
		t.Errorf("there is still %s, %v", output, err)
	}
	s.apply("keeper", s.spec(s.upload(map[string]entry{"main.py": {keeper, 0o644}}), 8080), nil)
	if got := s.text(8080, "/"); got != "ok" {
		t.Errorf("after it was made again it answers %q", got)
	}
}
