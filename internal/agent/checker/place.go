package checker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxPlaces is how many checkers run at once on a machine; the others wait.
const maxPlaces = 4

// placeInterval is how often a checker that waits looks for a place.
const placeInterval = 20 * time.Millisecond

// places returns how many checkers run at once on a machine of so much memory, in
// bytes. All of them together may take half of it.
func places(memory uint64) int {
	return min(maxPlaces, max(1, int(memory/(2*maxMemory)))) //nolint:gosec // far below the highest int
}

// totalMemory returns the machine's memory, 0 if it is not known.
func totalMemory() uint64 {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return 0
	}
	return info.Totalram * uint64(info.Unit)
}

// place waits for one of n places. They are locks on files in dir, which end with
// their process, so that they count for all processes of the machine.
func place(ctx context.Context, dir string, n int) (leave func(), err error) {
	ticker := time.NewTicker(placeInterval)
	defer ticker.Stop()
	for {
		for i := range n {
			file, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("check-place-%d", i)), os.O_CREATE|os.O_RDWR, 0o600)
			if err != nil {
				return nil, fmt.Errorf("find a place for the checker: %w", err)
			}
			err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor is small
			if err == nil {
				return func() { _ = file.Close() }, nil
			}
			_ = file.Close()
			if !errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, fmt.Errorf("find a place for the checker: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %d other checks of configurations to end: %w", n, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}
