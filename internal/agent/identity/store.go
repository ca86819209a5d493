package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// store writes files so that a kill at any moment leaves either the old or the
// new one.
type store struct {
	// step is called before each effect on the disk; an error ends the write
	// right there, as a kill would. Tests use it.
	step func(step string) error
}

// tempSuffix ends the names of files that are not finished.
const tempSuffix = ".tmp"

// write replaces the file at path, mode 0600.
func (s store) write(path string, data []byte) error {
	if err := s.replace(path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func (s store) replace(path string, data []byte) error {
	temp := path + tempSuffix
	if err := s.step("create"); err != nil {
		return err
	}
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := s.fill(file, data); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := s.step("rename"); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return s.syncDir(filepath.Dir(path))
}

func (s store) fill(file *os.File, data []byte) error {
	if err := s.step("write"); err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := s.step("sync"); err != nil {
		return err
	}
	return file.Sync()
}

// remove deletes the file at path for good; it is no error if there is none.
func (s store) remove(path string) error {
	if err := s.step("remove"); err != nil {
		return err
	}
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err // names operation and path
	}
	return s.syncDir(filepath.Dir(path))
}

func (s store) syncDir(path string) error {
	if err := s.step("sync directory"); err != nil {
		return err
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
