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
// borrowed it any more. The file stays, as a full disk may have no room for a new one.
func (r *Reserve) Lend() (giveBack func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lent++
	_ = empty(r.path) // whoever cannot write then is informed why
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
	err := fill(r.path)
	if err != nil && !IsFull(err) { // something else is in its place
		err = errors.Join(err, os.RemoveAll(r.path))
	}
	if err != nil {
		return fmt.Errorf("keep room for deletions: %w", err)
	}
	return nil
}

// blockUnit is what stat(2) counts a file's blocks in, in bytes.
const blockUnit = 512

// taken returns how much room a file takes, which a copy of it with holes does not.
func taken(path string) int64 {
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil || s.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0
	}
	return s.Blocks * blockUnit
}

// open opens the file itself: no link, and without waiting for a pipe.
func open(path string, flags int) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|flags, 0o600)
}

// empty takes a file's room from it.
func empty(path string) error {
	f, err := open(path, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(0), f.Close())
}

// fill makes a file take its room, as one with holes does not. It gives up nothing
// of what the file takes already: on a full disk somebody else would have it at once.
func fill(path string) error {
	f, err := open(path, os.O_CREATE)
	if err != nil {
		return err
	}
	const step = ReserveSize / 32 // enough for one deletion
	for size := int64(ReserveSize); size >= step && size > taken(path); size -= step {
		if err = allocate(f, size); !IsFull(err) {
			break
		}
	}
	if IsFull(err) && taken(path) >= step {
		err = nil
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
