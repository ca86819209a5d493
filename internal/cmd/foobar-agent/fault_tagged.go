//go:build faults

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// faultDir is where a test says which fault it wants, and where the agent lists its
// steps. It is gone after a boot.
const faultDir = "/run/foobar-faults"

// fault returns the seam for the tests that kill the agent or its machine at a step:
//
//	steps    has the name of every step so far, one a line; a test that empties it
//	         begins to count
//	at       has the number of the step, from 1, before which the agent waits until
//	         it is killed
//	reached  is there once it does
//
// Without the directory it does nothing.
func fault() func(step string) error {
	var mu sync.Mutex
	return func(step string) error {
		mu.Lock()
		defer mu.Unlock()
		wait, err := noteStep(step)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if wait {
			<-context.Background().Done() // never
		}
		return err
	}
}

// noteStep reports whether the test wants the agent to wait before the step.
func noteStep(step string) (wait bool, err error) {
	steps, err := os.OpenFile(filepath.Join(faultDir, "steps"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	_, err = fmt.Fprintln(steps, step)
	if err = errors.Join(err, steps.Close()); err != nil {
		return false, err
	}
	wanted, err := os.ReadFile(filepath.Join(faultDir, "at"))
	if err != nil {
		return false, err
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(wanted)))
	if err != nil {
		return false, err
	}
	so, err := os.ReadFile(filepath.Join(faultDir, "steps"))
	if err != nil || strings.Count(string(so), "\n") != number {
		return false, err
	}
	return true, os.WriteFile(filepath.Join(faultDir, "reached"), []byte(step), 0o600)
}
