package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// lockCache makes labs that share a cache take turns at filling it.
func (l *Lab) lockCache(ctx context.Context) (unlock func(), err error) {
	return lockFile(ctx, filepath.Join(l.CacheDir, "lock"), func() {
		l.log.Info("waiting for another lab to finish its image")
	})
}

// removePartialImages removes what a killed build of this lab left.
func (l *Lab) removePartialImages() error {
	for _, name := range []string{"base", "layer", "work"} {
		if err := os.RemoveAll(l.partial(name)); err != nil {
			return fmt.Errorf("remove an unfinished image: %w", err)
		}
	}
	return nil
}

// prune removes images that are neither the present one nor under the disk of a
// machine of any lab.
func (l *Lab) prune(present image) error {
	used := map[string]bool{l.baseDir(present.base): true, l.layerDir(present.layer): true}
	labs, err := os.ReadDir(filepath.Dir(l.StateDir))
	if err != nil {
		return fmt.Errorf("list labs: %w", err)
	}
	for _, entry := range labs {
		other := l.Config
		other.StateDir = filepath.Join(filepath.Dir(l.StateDir), entry.Name())
		records, err := other.records()
		if err != nil {
			return err
		}
		for _, r := range records {
			used[l.baseDir(r.Base)], used[l.layerDir(r.Layer)] = true, true
		}
	}
	entries, err := os.ReadDir(l.CacheDir)
	if err != nil {
		return fmt.Errorf("list cached images: %w", err)
	}
	var problems []error
	for _, entry := range entries {
		path := filepath.Join(l.CacheDir, entry.Name())
		isImage := strings.HasPrefix(entry.Name(), "base-") || strings.HasPrefix(entry.Name(), "layer-")
		if isImage && !used[path] {
			problems = append(problems, os.RemoveAll(path))
		}
	}
	return errors.Join(problems...)
}
