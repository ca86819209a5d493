package checker

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAFewCheckersRunAtOnceAndTheOthersWait(t *testing.T) {
	const n = 3
	dir := t.TempDir()
	var leave func() error
	for range n {
		var err error
		if _, leave, err = place(t.Context(), dir, n); err != nil {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := place(gone, dir, n); !errors.Is(err, context.Canceled) {
		t.Errorf("one too many, whose caller is gone: %v", err)
	}
	got := make(chan error)
	go func() {
		_, _, err := place(t.Context(), dir, n)
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("one too many did not wait: %v", err)
	case <-time.After(3 * placeInterval):
	}
	end(t, leave)
	if err := <-got; err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

func end(t *testing.T, leave func() error) {
	t.Helper()
	if err := leave(); err != nil {
		t.Error(err)
	}
}

func TestPlacesFitTheMemory(t *testing.T) {
	for memory, want := range map[uint64]int{0: 1, 512 << 20: 1, 2 << 30: 2, 4 << 30: 4, 64 << 30: maxPlaces} {
		if got := places(memory); got != want {
			t.Errorf("%d MiB: %d places, want %d", memory>>20, got, want)
		}
	}
}

// A check ends with its agent when that is killed: the place is free, and the
// configuration, which may hold secrets, still lies there.
func TestWhatAKilledCheckLeftIsRemoved(t *testing.T) {
	taken := func(dir string) (own string, leave func() error) { // the last place
		own, leave, err := take(dir, maxPlaces-1)
		if err == nil && leave == nil {
			err = errors.New("the place is not free")
		}
		if err != nil {
			t.Fatal(err)
		}
		return own, leave
	}
	for name, remove := range map[string]func(dir string) error{
		"when the agent starts": Clear,
		"by the next check": func(dir string) error {
			_, leave := taken(dir)
			return leave()
		},
	} {
		dir := t.TempDir()
		left, leave := taken(dir)
		if err := os.Mkdir(left, 0o700); err != nil {
			t.Fatal(err)
		}
		config := filepath.Join(left, "config")
		if err := os.WriteFile(config, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Clear(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(config); err != nil {
			t.Errorf("%s: what a check works with was removed: %v", name, err)
		}
		end(t, leave)
		if err := os.Mkdir(left, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := remove(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s stays: %v", name, left, err)
		}
	}
	dir := t.TempDir()
	former := filepath.Join(dir, "check-sandbox-3141592653") // of an agent that named them at random
	if err := errors.Join(os.Mkdir(former, 0o700), Clear(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(former); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s stays: %v", former, err)
	}
	if err := Clear(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("where no check ever ran: %v", err)
	}
}
