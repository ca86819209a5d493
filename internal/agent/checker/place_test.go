package checker

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAFewCheckersRunAtOnceAndTheOthersWait(t *testing.T) {
	const n = 3
	dir := t.TempDir()
	var leave func()
	for range n {
		var err error
		if leave, err = place(t.Context(), dir, n); err != nil {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := place(gone, dir, n); !errors.Is(err, context.Canceled) {
		t.Errorf("one too many, whose caller is gone: %v", err)
	}
	got := make(chan error)
	go func() {
		_, err := place(t.Context(), dir, n)
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("one too many did not wait: %v", err)
	case <-time.After(3 * placeInterval):
	}
	leave()
	if err := <-got; err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

func TestPlacesFitTheMemory(t *testing.T) {
	for memory, want := range map[uint64]int{0: 1, 512 << 20: 1, 2 << 30: 2, 4 << 30: 4, 64 << 30: maxPlaces} {
		if got := places(memory); got != want {
			t.Errorf("%d MiB: %d places, want %d", memory>>20, got, want)
		}
	}
}
