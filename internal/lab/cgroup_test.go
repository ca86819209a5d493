package lab

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatHasEndedAndIsNotTakenAwayIsAZombie(t *testing.T) {
	child := exec.CommandContext(t.Context(), "true")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(out); err != nil { // it closes its output as it ends
		t.Fatal(err)
	}
	pid := child.Process.Pid
	if err := poll(t.Context(), func() (bool, error) { return isZombie(pid), nil }); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := awaitReaped(t.Context(), []int{pid, os.Getpid()}); err != nil {
		t.Error(err)
	}
}

func TestFindCgroup2(t *testing.T) {
	for name, tc := range map[string]struct {
		mounts string
		want   cgroup
	}{
		"hybrid": {
			"29 24 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
				"30 29 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n" +
				"31 29 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			"/sys/fs/cgroup/unified",
		},
		"unified": {"30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", "/sys/fs/cgroup"},
		"the last mount hides those before": {
			"31 29 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" +
				"99 98 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			"/sys/fs/cgroup",
		},
		"a part of the hierarchy does not count": {"30 24 0:26 /a /mnt rw - cgroup2 cgroup2 rw\n", ""},
		"none":                                   {"24 1 0:22 / /sys rw - sysfs sysfs rw\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := findCgroup2(strings.NewReader(tc.mounts))
			if got != tc.want || (err != nil) != (tc.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func FuzzFindCgroup2(f *testing.F) {
	f.Add("31 29 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n")
	f.Fuzz(func(t *testing.T, mounts string) {
		if got, err := findCgroup2(strings.NewReader(mounts)); err == nil && got == "" {
			t.Error("no mount and no error")
		}
	})
}

func TestListens(t *testing.T) {
	const header = "  sl  local_address rem_address   st tx_queue rx_queue\n"
	for name, tc := range map[string]struct {
		line string
		want bool
	}{
		"any address":     {"   0: 00000000:24E3 00000000:0000 0A 00000000:00000000\n", true},
		"IPv6":            {"   0: 00000000000000000000000000000000:24E3 00000000000000000000000000000000:0000 0A 0\n", true},
		"another port":    {"   0: 00000000:24E4 00000000:0000 0A 00000000:00000000\n", false},
		"a connection":    {"   0: 0100000A:24E3 FA00000A:9C40 01 00000000:00000000\n", false},
		"nothing":         {"", false},
		"the peer's port": {"   0: 0100000A:0050 FA00000A:24E3 0A 00000000:00000000\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tcp")
			if err := os.WriteFile(path, []byte(header+tc.line), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := listens(path, 9443); got != tc.want || err != nil {
				t.Errorf("got %t, %v, want %t", got, err, tc.want)
			}
		})
	}
}
