package dbreplication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// The files of a part. All are root's alone: one has passwords in it, and one
// decides who may take writes.
const (
	membershipFile = "membership.json"
	configFile     = "config.json"
	recordFile     = "record.json"
	seededFile     = "seeded.json"
	followedFile   = "followed.json"
)

// store keeps a part on the disk. What was set is there after a power loss,
// and what is reported to others would be.
type store struct {
	dir string

	mu sync.Mutex
	// record is what record.json is known to hold, nil if that has to be read:
	// at first, and after a write that failed nobody knows where.
	record *replication.Record
}

var _ replication.Records = (*store)(nil)

func (s *store) path(file string) string { return filepath.Join(s.dir, file) }

// Record returns what is recorded. A record that cannot be read is an error and
// never an empty record: it may have been that of a higher epoch.
func (s *store) Record(context.Context) (replication.Record, error) { return s.recorded() }

func (s *store) recorded() (replication.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load()
}

func (s *store) load() (replication.Record, error) {
	if s.record != nil {
		return *s.record, nil
	}
	record, _, err := readDurably[replication.Record](s.path(recordFile))
	if err != nil {
		return replication.Record{}, fmt.Errorf("what this machine has recorded of the replication cannot be known: %w", err)
	}
	s.record = &record
	return record, nil
}

// SetRecord records durably what [replication.Record.Accept] accepts, looking
// and writing at once: of two proposals for one epoch one is recorded.
func (s *store) SetRecord(_ context.Context, proposal replication.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := s.load()
	if err != nil {
		return err
	}
	if err := have.Accept(proposal); err != nil || have.Equal(proposal) {
		return err
	}
	s.record = nil
	if err := writeDurably(s.path(recordFile), proposal); err != nil {
		return err
	}
	s.record = &proposal
	return nil
}

// seeded is the content of seeded.json.
type seeded struct {
	Order string `json:"order"` // or what a seed under way is of
}

// Seeded returns what [replication.Records] tells of seeds, "" if there was
// none, or if that is damaged: the data themselves then say whether they may go.
func (s *store) Seeded(context.Context) (string, error) {
	last, _, err := readDurably[seeded](s.path(seededFile))
	if statefile.As(err) != nil {
		return "", nil //nolint:nilerr // see above
	}
	return last.Order, err
}

// SetSeeded notes it.
func (s *store) SetSeeded(_ context.Context, what string) error {
	return writeDurably(s.path(seededFile), seeded{Order: what})
}

// followed is the content of followed.json.
type followed struct {
	Password string `json:"password"` // its imprint
}

// Followed returns what [replication.Records] tells of passwords, "" if none
// was given. Where that is damaged it is no password's: the member is given the
// present one again.
func (s *store) Followed(context.Context) (string, error) {
	last, _, err := readDurably[followed](s.path(followedFile))
	if statefile.As(err) != nil {
		return "damaged", nil //nolint:nilerr // see above
	}
	return last.Password, err
}

// SetFollowed notes it.
func (s *store) SetFollowed(_ context.Context, password string) error {
	return writeDurably(s.path(followedFile), followed{Password: password})
}

// readDurably reads JSON that writeDurably wrote. What it returns has reached
// the disk, also where the writer was killed before it had made sure of it.
func readDurably[T any](path string) (value T, found bool, err error) {
	found, err = readFile(path, &value)
	if err == nil && found {
		err = reached(path)
	}
	if err != nil {
		var none T
		return none, true, err
	}
	return value, found, nil
}

// reached makes sure that a file is on the disk.
func reached(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close(), syncDir(filepath.Dir(path)))
}

// writeDurably writes JSON so that after a power loss there is all of it, or
// all of what was there before.
func writeDurably(path string, value any) error {
	if err := keepDamaged(path); err != nil {
		return err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return replaceFile(path, raw, 0o600)
}

// replaceFile exchanges the content of a file at once.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// makeDir makes a directory for root alone, so that it outlives a power loss.
func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
