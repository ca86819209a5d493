package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Memory returns how many bytes of memory the machine below root has: what the
// kernel has, or what a container may use of it.
func Memory(root string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(root, "/proc/meminfo"))
	if err != nil {
		return 0, fmt.Errorf("read how much memory the machine has: %w", err)
	}
	_, rest, _ := strings.Cut("\n"+string(text), "\nMemTotal:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, err := strconv.ParseInt(number, 10, 54)
	if err != nil {
		return 0, errors.New("read how much memory the machine has: /proc/meminfo has no MemTotal")
	}
	limit, err := os.ReadFile(filepath.Join(root, "/sys/fs/cgroup/memory.max"))
	if errors.Is(err, fs.ErrNotExist) {
		return kib << 10, nil // no container, or none with a limit
	}
	if err != nil {
		return 0, fmt.Errorf("read how much memory the machine may use: %w", err)
	}
	if most, err := strconv.ParseInt(strings.TrimSpace(string(limit)), 10, 64); err == nil { // else it is "max"
		return min(kib<<10, most), nil
	}
	return kib << 10, nil
}
