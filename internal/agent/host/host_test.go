package host

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestMemoryIsThatOfTheContainer(t *testing.T) {
	for name, test := range map[string]struct {
		meminfo, limit string
		want           int64
	}{
		"a machine":                     {"MemTotal:        2097152 kB\nMemFree: 1 kB\n", "", 2 << 30},
		"a container with a limit":      {"MemTotal:        2097152 kB\n", "536870912\n", 512 << 20},
		"a container without one":       {"MemTotal:        2097152 kB\n", "max\n", 2 << 30},
		"a limit above what there is":   {"MemTotal:        2097152 kB\n", "9223372036854771712\n", 2 << 30},
		"a kernel that does not say it": {"MemFree: 1 kB\n", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write := func(path, content string) {
				if err := errors.Join(os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755), os.WriteFile(filepath.Join(root, path), []byte(content), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			write("/proc/meminfo", test.meminfo)
			if test.limit != "" {
				write("/sys/fs/cgroup/memory.max", test.limit)
			}
			if got, err := Memory(root); got != test.want || (err != nil) != (test.want == 0) {
				t.Errorf("it has %d, %v; want %d", got, err, test.want)
			}
		})
	}
	if got, err := Memory("/"); err != nil || got < 64<<20 {
		t.Errorf("this machine has %d, %v", got, err)
	}
}

func TestLacks(t *testing.T) {
	machine := Addresses{netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("fd00::10")}
	for _, has := range []string{"*", "0.0.0.0", "::", "10.0.0.10", "fd00::10", "127.0.0.1", "127.0.0.2", "::1"} {
		if said := machine.Lacks(has); said != "" {
			t.Errorf("%s: %s", has, said)
		}
	}
	for _, lacks := range []string{"10.0.0.99", "fd00::99"} {
		if said := machine.Lacks(lacks); !strings.Contains(said, lacks+" is not an address of this machine, which has [10.0.0.10 fd00::10]") {
			t.Errorf("%s: %q", lacks, said)
		}
	}
	if _, err := ReadAddresses(); err != nil {
		t.Error(err)
	}
}

func TestFull(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a", "b.json")
	for name, err := range map[string]error{
		"a write":          fmt.Errorf("record it: %w", &os.PathError{Op: "write", Path: file, Err: unix.ENOSPC}),
		"a rename":         &os.LinkError{Op: "rename", Old: file + ".new", New: file, Err: unix.ENOSPC},
		"a user's share":   &os.PathError{Op: "write", Path: file, Err: unix.EDQUOT},
		"what has no path": errors.Join(unix.ENOSPC),
	} {
		problem := Full(err, file)
		if problem == nil || problem.Type != api.ProblemQuota {
			t.Fatalf("%s became %v", name, problem)
		}
		for _, want := range []string{"the file system of " + dir + " on the machine is full", "MiB are free now", "Delete files there"} {
			if !strings.Contains(problem.Detail, want) {
				t.Errorf("%s lacks %q: %s", name, want, problem.Detail)
			}
		}
	}
	if problem := Full(os.ErrPermission, file); problem != nil {
		t.Errorf("another failure became %v", problem)
	}
}
