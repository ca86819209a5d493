package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// lockCache makes labs that share a cache take turns at filling it.
func (l *Lab) lockCache(ctx context.Context) (unlock func(), err error) {
	return lockFile(ctx, filepath.Join(l.CacheDir, "lock"), func() {
		l.log.Info("waiting for another lab to finish its image")
	})
}

// removePartialImages removes what a killed build of this lab left.
func (l *Lab) removePartialImages() error {
	for _, name := range []string{"base", "layer", "work", "sources"} {
		if err := os.RemoveAll(l.partial(name)); err != nil {
			return fmt.Errorf("remove an unfinished image: %w", err)
		}
	}
	return nil
}

// spare is how long after its last use an image stays in the cache, so that it
// is not taken from a lab that is about to make its machines' disks.
const spare = time.Hour

// touch notes that the image is used now, and by this lab.
func (l *Lab) touch(img image) error {
	now := time.Now()
	if err := errors.Join(
		os.Chtimes(l.baseDir(img.base), now, now),
		os.Chtimes(l.layerDir(img.layer), now, now),
		os.MkdirAll(l.usersDir(), 0o755),
	); err != nil {
		return fmt.Errorf("note the use of an image: %w", err)
	}
	sum := sha256.Sum256([]byte(l.StateDir))
	user := filepath.Join(l.usersDir(), hex.EncodeToString(sum[:])[:keyLength])
	if err := renameio.Symlink(l.StateDir, user); err != nil {
		return fmt.Errorf("note the user of an image: %w", err)
	}
	return nil
}

// usersDir has a link to the state of every lab that has used the cache.
func (c Config) usersDir() string { return filepath.Join(c.CacheDir, "users") }

// usedImages returns the cache's directories that are under the disk of a machine
// of any lab.
func (l *Lab) usedImages() (map[string]bool, error) {
	used := map[string]bool{}
	users, err := os.ReadDir(l.usersDir())
	if err != nil {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	for _, entry := range users {
		user := l.Config
		user.StateDir = filepath.Join(l.usersDir(), entry.Name())
		records, err := user.records()
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			used[l.baseDir(r.Base)], used[l.layerDir(r.Layer)] = true, true
		}
	}
	return used, nil
}

// prune removes images that no machine of any lab lies on and that were not used
// lately.
func (l *Lab) prune() error {
	used, err := l.usedImages()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(l.CacheDir)
	if err != nil {
		return fmt.Errorf("list cached images: %w", err)
	}
	var problems []error
	for _, entry := range entries {
		path := filepath.Join(l.CacheDir, entry.Name())
		info, err := entry.Info()
		if err != nil {
			return fmt.Errorf("list cached images: %w", err)
		}
		isImage := strings.HasPrefix(entry.Name(), "base-") || strings.HasPrefix(entry.Name(), "layer-")
		if isImage && !used[path] && time.Since(info.ModTime()) > spare {
			problems = append(problems, os.RemoveAll(path))
		}
	}
	return errors.Join(problems...)
}
