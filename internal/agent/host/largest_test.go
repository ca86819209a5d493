package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLargest(t *testing.T) {
	root := t.TempDir()
	for path, size := range map[string]int{"foobar/a": 1, "foobar-app-shop-blue/x/b": 3 << 20, "foobar-app-shop-green/c": 2 << 20, "other/d": 9 << 20} {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o700), os.WriteFile(filepath.Join(root, path), make([]byte, size), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(root, "other"), filepath.Join(root, "foobar-app-shop-green", "link")); err != nil {
		t.Fatal(err)
	}
	pattern := filepath.Join(root, "foobar*")
	if dir, usage := (&Usages{}).Largest(t.Context(), pattern); filepath.Base(dir) != "foobar-app-shop-blue" || usage.Bytes>>20 != 3 || usage.AtLeast {
		t.Errorf("it is %s with %v", dir, usage)
	}
	for i := range maxWalked {
		if err := os.WriteFile(filepath.Join(root, "foobar-app-shop-green", fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if dir, usage := (&Usages{}).MostFiles(t.Context(), pattern); filepath.Base(dir) != "foobar-app-shop-green" || !strings.HasPrefix(usage.String(), "at least ") {
		t.Errorf("full of files it is %s with %v", dir, usage)
	}
	if dir, usage := (&Usages{}).Largest(t.Context(), pattern); filepath.Base(dir) != "foobar-app-shop-blue" || usage.AtLeast {
		t.Errorf("by bytes it is %s with %v, though another one has many small files", dir, usage)
	}
	if dir, _ := (&Usages{}).Largest(t.Context(), filepath.Join(root, "none*")); dir != "" {
		t.Errorf("without one it is %s", dir)
	}
}

// TestADeepDirectoryEndsNoWalk: what lies beside it is counted.
func TestADeepDirectoryEndsNoWalk(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, strings.Repeat("d/", maxDepth+3)), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 64 { // of which some are met after it, in whatever order
		if err := os.WriteFile(filepath.Join(root, fmt.Sprint(i)), make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if usage, err := usageOf(root, maxWalked); err != nil || usage.AtLeast || usage.Files != 64+maxDepth+1 || usage.Bytes < 64*4096 {
		t.Errorf("it is %+v, %v", usage, err)
	}
}

// TestAWalkIsBounded looks at a directory that is flat and one that is deep: the
// owner decides what is in it.
func TestAWalkIsBounded(t *testing.T) {
	flat, deep := t.TempDir(), t.TempDir()
	long := strings.Repeat("n", 200)
	for i := range 3 * maxWalked {
		if err := unix.Mknod(filepath.Join(flat, fmt.Sprint(long, i)), unix.S_IFREG|0o600, 0); err != nil {
			t.Fatal(err)
		}
	}
	inner := filepath.Join(append([]string{deep}, strings.Split(strings.Repeat("d/", 2*maxDepth), "/")...)...)
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"flat": flat, "deep": deep} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		usage, err := usageOf(dir, maxWalked)
		runtime.ReadMemStats(&after)
		if err != nil || usage.AtLeast != (name == "flat") || usage.Files > maxWalked {
			t.Errorf("%s: %+v, %v", name, usage, err)
		}
		if allocated, most := after.TotalAlloc-before.TotalAlloc, uint64(maxWalked*512); allocated > most {
			t.Errorf("%s: a walk allocates %d bytes, more than %d", name, allocated, most)
		}
	}
}

// TestAWalkWaitsForNothing opens what has taken a directory's place.
func TestAWalkWaitsForNothing(t *testing.T) {
	root := t.TempDir()
	if err := errors.Join(unix.Mkfifo(filepath.Join(root, "fifo"), 0o600), os.Symlink("/", filepath.Join(root, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "link"} {
		if _, err := openDir(unix.AT_FDCWD, filepath.Join(root, name)); err == nil {
			t.Errorf("a %s is opened", name)
		}
	}
}

// TestOneWalkServesMany asks again at once, and later.
func TestOneWalkServesMany(t *testing.T) {
	root := t.TempDir()
	now := time.Now()
	u := Usages{Now: func() time.Time { return now }}
	seen := func() (files int64) { _, usage := u.Largest(t.Context(), root); return usage.Files }
	if got := seen(); got != 0 {
		t.Errorf("there are %d files", got)
	}
	if err := os.WriteFile(filepath.Join(root, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := seen(); got != 0 {
		t.Errorf("it was walked again at once, and there are %d files", got)
	}
	now = now.Add(usageLife)
	if got := seen(); got != 1 {
		t.Errorf("later there are %d files", got)
	}
}

// TestACallIsBounded, however many directories there are, and whoever asks may give up.
func TestACallIsBounded(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(root, name, "below"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var u Usages
	if dir, usage := u.Largest(gone, filepath.Join(root, "*")); dir != "" || usage.Files != 0 {
		t.Errorf("nobody waits, and it looked at %s: %v", dir, usage)
	}
	if dir, _ := u.Largest(t.Context(), filepath.Join(root, "*")); dir == "" {
		t.Error("what nobody waited for is kept as the answer")
	}
	if usage, err := usageOf(root, 3); err != nil || usage.Files != 3 || !usage.AtLeast {
		t.Errorf("of three files at most it looked at %+v, %v", usage, err)
	}
}
