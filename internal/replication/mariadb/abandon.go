package mariadb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// AbandonSeed takes a seed back whose copy is not in its place: the data that it
// was to replace are whole. Once those were moved away the way is forward.
func (e *Engine) AbandonSeed(ctx context.Context) error {
	mark, err := e.SeedState()
	if err != nil || mark == nil {
		return err
	}
	_, err = os.Lstat(e.DataDir)
	switch {
	case mark.Placed || errors.Is(err, fs.ErrNotExist):
		incomplete, err := e.ResumeSeed(ctx)
		if incomplete {
			return fmt.Errorf("take the seed back: %s is missing, and its copy is not whole", e.DataDir)
		}
		return err
	case err != nil:
		return fmt.Errorf("take the seed back: %w", err)
	}
	stage := e.DataDir + stageSuffix
	if err := discard(stage); err != nil {
		return fmt.Errorf("take the seed back: %w", err)
	}
	if err := os.Remove(e.DataDir + markSuffix); err != nil {
		return fmt.Errorf("take the seed back: %w", err)
	}
	return syncDir(filepath.Dir(e.DataDir))
}
