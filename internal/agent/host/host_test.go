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
		"a write":        fmt.Errorf("record it: %w", &os.PathError{Op: "write", Path: file, Err: unix.ENOSPC}),
		"a rename":       &os.LinkError{Op: "rename", Old: file + ".new", New: file, Err: unix.ENOSPC},
		"a user's share": &os.PathError{Op: "write", Path: file, Err: unix.EDQUOT},
	} {
		problem := Full(err)
		if problem == nil || problem.Type != api.ProblemQuota {
			t.Fatalf("%s became %v", name, problem)
		}
		for _, want := range []string{"the file system of " + dir + " on this machine is full", "MiB are free now", "To make room"} {
			if !strings.Contains(problem.Detail, want) {
				t.Errorf("%s lacks %q: %s", name, want, problem.Detail)
			}
		}
	}
	if problem := Full(errors.Join(unix.ENOSPC)); problem == nil || !strings.HasPrefix(problem.Detail, "a file system of this machine is full. To make room") {
		t.Errorf("without a path it became %v", problem)
	}
	if problem := Full(os.ErrPermission); problem != nil {
		t.Errorf("another failure became %v", problem)
	}
}

func TestFullNamesWhatIsFull(t *testing.T) {
	for name, test := range map[string]struct {
		room Room
		want string
	}{
		"of bytes":             {Room{Size: 64 << 20, FilesInAll: 1000, FilesUnused: 900}, "0 MiB of 64 MiB are free now"},
		"of files":             {Room{Size: 64 << 20, Free: 63 << 20, FilesInAll: 1000}, "0 more files of 1000 have room, and 63 MiB of 64 MiB are free now"},
		"of files, a tiny one": {Room{Size: 64 << 20, Free: 63 << 20, FilesInAll: 50}, "0 more files of 50 have room, and 63 MiB of 64 MiB are free now"},
		"a tiny one with one":  {Room{Size: 64 << 20, FilesInAll: 50, FilesUnused: 1}, "0 MiB of 64 MiB are free now"},
		"without a bound":      {Room{Size: 64 << 20}, "0 MiB of 64 MiB are free now"},
	} {
		if got := test.room.left(); got != test.want {
			t.Errorf("%s: %s; want %s", name, got, test.want)
		}
	}
}

func TestFullOfMemoryAsksForNoDisk(t *testing.T) {
	const dir = "/dev/shm"
	if room, err := RoomOf(dir); err != nil || !room.InMemory {
		t.Fatalf("there is no tmpfs at %s: %v", dir, err)
	}
	below, err := os.MkdirTemp(dir, "") //nolint:usetesting // in memory
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(below) //nolint:errcheck // it is empty
	problem := Full(&os.PathError{Op: "write", Path: below + "/x", Err: unix.ENOSPC})
	if strings.Contains(problem.Detail, "disk") || !strings.HasPrefix(problem.Detail, "the file system at "+dir+" of this machine is full") || !strings.Contains(problem.Detail, "stop and start the unit that fills it") || strings.Contains(problem.Detail, "delete") {
		t.Errorf("it says %s", problem.Detail)
	}
}

func TestReserveIsKeptButWhileItIsLent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reserve")
	r := NewReserve(path)
	kept := func(what string, want bool) {
		t.Helper()
		var stat unix.Stat_t
		err := unix.Stat(path, &stat)
		if is := err == nil && stat.Blocks*512 >= ReserveSize; is != want {
			t.Errorf("%s it takes its room: %t, want %t (%v)", what, is, want, err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(r.Keep())
	kept("at first", true)
	inode := func() uint64 {
		var stat unix.Stat_t
		must(unix.Stat(path, &stat))
		return stat.Ino
	}
	file := inode()
	one, two := r.Lend(), r.Lend()
	kept("while two have it", false)
	if inode() != file {
		t.Error("the file itself was given away, which a disk that is full of files has no other for")
	}
	must(one())
	must(r.Keep())
	kept("while one has it", false)
	must(two())
	kept("in the end", true)
	must(os.Truncate(path, 7))
	must(r.Keep())
	kept("after it was cut off", true)
	must(errors.Join(os.Truncate(path, 0), os.Truncate(path, ReserveSize)))
	must(r.Keep())
	kept("after it had a hole", true)
	must(errors.Join(os.Remove(path), os.Symlink("/nowhere", path)))
	if err := r.Keep(); err == nil {
		t.Error("a link was followed")
	}
	must(r.Keep())
	kept("after the link", true)
}
