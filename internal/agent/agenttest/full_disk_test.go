package agenttest_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

// inMountNamespace tells the test that it runs where its mounts are its own.
const inMountNamespace = "AGENTTEST_MOUNT_NAMESPACE"

// TestAFullDiskLetsDeletionsThrough runs itself where it can mount a small file
// system that nobody else sees, and fills it to the last byte.
func TestAFullDiskLetsDeletionsThrough(t *testing.T) {
	if os.Getenv(inMountNamespace) == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v") //nolint:gosec // the test itself
		again.Env = append(os.Environ(), inMountNamespace+"=yes")
		again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if os.Geteuid() != 0 {
			again.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
			again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
		if said, err := again.CombinedOutput(); err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()) {
			t.Fatalf("%v\n%s", err, said)
		}
		return
	}
	m, admin := enrolled(t, agenttest.Config{})
	other := balancer(100)
	other.Frontends = map[string]api.Frontend{"http": {Address: "*", Port: 81, Backend: "web"}}
	one, two := change(0, balancer(100)), change(0, other)
	two.ID.Name = "other"
	for _, c := range []client.Change{one, two} {
		if _, err := admin.Apply(t.Context(), c, nil); err != nil {
			t.Fatal(err)
		}
	}
	m.Stop()
	onSmallDisk(t, m.Path("/"))
	m.Boot()
	reserve, filled := m.Path(stateDir+"/reserve"), m.Path("/filled")
	fillUp(t, filled)

	_, err := m.Admin().Apply(t.Context(), change(1, balancer(50)), nil)
	full, ok := errors.AsType[*api.Problem](err)
	if !ok || full.Type != api.ProblemQuota || full.Title != "A file system in the machine's memory is full" { // as the small disk is
		t.Fatalf("the apply ends with %v", err)
	}
	for _, want := range []string{"the file system at " + m.Path(""), "is full: ", " of 32 MiB are free now", "To make room, "} {
		if !strings.Contains(full.Detail, want) {
			t.Errorf("%q is not said: %s", want, full.Detail)
		}
	}
	if strings.Contains(full.Error(), "no space left") || strings.Contains(full.Error(), ".json") {
		t.Errorf("it is said in the agent's words: %v", full)
	}
	for _, c := range []client.Change{one, two} {
		c.Base, c.Write = 1, api.Write{}
		if _, err := m.Admin().Delete(t.Context(), c, nil); err != nil {
			t.Errorf("the deletion of %s: %v", c.ID, err)
		}
		if _, err := m.Admin().Get(t.Context(), c.ID); !api.IsProblem(err, api.ProblemNotFound) {
			t.Errorf("after its deletion %s is %v", c.ID, err)
		}
		waitUntilKept(t, reserve) // after the operation's end
	}
	// As if somebody had taken what a deletion borrowed: no operation is needed.
	must(t, os.Truncate(reserve, 0))
	fillUp(t, filled+"-again")
	must(t, errors.Join(os.Remove(filled), os.Remove(filled+"-again")))
	waitUntilKept(t, reserve)
	if _, err := m.Admin().Apply(t.Context(), change(0, balancer(50)), nil); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// waitUntilKept waits until the file of the reserve takes room.
func waitUntilKept(t *testing.T, reserve string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(reserve); err == nil && info.Size() > 0 {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("nothing is kept for the next deletion: %v", err)
		}
	}
}

// onSmallDisk moves a directory to a file system of 32 MiB.
func onSmallDisk(t *testing.T, dir string) {
	t.Helper()
	away := filepath.Join(t.TempDir(), "away")
	run := func(name string, args ...string) {
		if said, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, said)
		}
	}
	run("cp", "-a", dir+"/.", away)
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m,mode=0755"))
	run("cp", "-a", away+"/.", dir)
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// fillUp writes a file until not one more byte fits.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else {
			must(t, err)
		}
	}
	must(t, f.Close())
}
