package host

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ReserveSize is how large a [Reserve] is, in bytes: a deletion writes down what it
// removes, which is some 100 KiB of configuration, and several may run at once.
const ReserveSize = 8 << 20

// Reserve is room on a file system that is kept for deletions, as these are what
// makes room on a full one, and have to be written down first. It is a file that
// holds nothing. Its methods may be called at the same time.
type Reserve struct {
	path string

	mu   sync.Mutex
	lent int
}

// NewReserve returns a reserve that is the file at path. There is none before the
// first [Reserve.Keep].
func NewReserve(path string) *Reserve { return &Reserve{path: path} }

// Lend gives the room up until giveBack is called. It is kept again once nobody has
// borrowed it any more.
func (r *Reserve) Lend() (giveBack func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lent++
	_ = os.Remove(r.path) // whoever cannot write then is told why
	return func() error {
		r.mu.Lock()
		r.lent--
		r.mu.Unlock()
		return r.Keep()
	}
}

// Keep makes sure of the room, unless it is lent. On a full disk it keeps what there
// is, and a later call makes up for the rest; where there is none the error says so.
func (r *Reserve) Keep() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lent > 0 || taken(r.path) >= ReserveSize {
		return nil
	}
	if err := fill(r.path); err != nil {
		return fmt.Errorf("keep room for deletions: %w", errors.Join(err, os.RemoveAll(r.path)))
	}
	return nil
}

// taken returns how much room a file takes, which a copy of it with holes does not.
func taken(path string) int64 {
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil || s.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0
	}
	const unit = 512 // bytes, see stat(2)
	return s.Blocks * unit
}

// fill makes a file that takes its room, as one with holes does not.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	const step = ReserveSize / 32 // enough for one deletion
	for size := int64(ReserveSize); size >= step; size -= step {
		if err = f.Truncate(0); err == nil {
			err = allocate(f, size)
		}
		if err == nil || !IsFull(err) {
			break
		}
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size) //nolint:gosec // a descriptor is small
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.WriteAt(make([]byte, size), 0)
	}
	return err
}
