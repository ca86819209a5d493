package checker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxPlaces is how many checkers run at once on a machine; the others wait.
const maxPlaces = 4

// sandboxPrefix begins the name of what a checker works in, before its place.
const sandboxPrefix = "check-sandbox-"

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

// place waits for one of n places and returns its directory, which is empty and
// root's alone, until leave. They are locks on files in dir, which end with their
// process, so that they count for all processes of the machine.
func place(ctx context.Context, dir string, n int) (own string, leave func() error, err error) {
	ticker := time.NewTicker(placeInterval)
	defer ticker.Stop()
	for {
		for i := range n {
			own, leave, err := take(dir, i)
			switch {
			case err != nil:
				return "", nil, fmt.Errorf("find a place for the checker: %w", err)
			case leave == nil:
				continue
			}
			if err := os.Mkdir(own, 0o700); err != nil {
				return "", nil, errors.Join(fmt.Errorf("make a directory for the checker: %w", err), leave())
			}
			return own, leave, nil
		}
		select {
		case <-ctx.Done():
			return "", nil, fmt.Errorf("wait for %d other checks of configurations to end: %w", n, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// take takes a place if it is free, and removes what a check that was killed left
// there; leave is nil if somebody has it.
func take(dir string, i int) (own string, leave func() error, err error) {
	lock, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("check-place-%d", i)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, err
	}
	own = filepath.Join(dir, sandboxPrefix+strconv.Itoa(i))
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor is small
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return "", nil, lock.Close()
	}
	if err == nil {
		err = os.RemoveAll(own)
	}
	if err != nil {
		return "", nil, errors.Join(err, lock.Close())
	}
	return own, func() error { return errors.Join(os.RemoveAll(own), lock.Close()) }, nil
}

// Clear removes what the checks of an agent that was killed left in its runtime
// directory, also one of another version, which has named them otherwise: it may
// hold secrets. What a check works with right now stays.
func Clear(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(dir, sandboxPrefix+"*"))
	failures := []error{err}
	for _, path := range left {
		if i, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), sandboxPrefix)); err != nil || i < 0 || i >= maxPlaces {
			failures = append(failures, os.RemoveAll(path))
		}
	}
	for i := range maxPlaces {
		_, leave, err := take(dir, i)
		if leave != nil {
			err = leave()
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("clear a place of the checkers: %w", err))
		}
	}
	return errors.Join(failures...)
}
